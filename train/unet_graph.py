"""The ONNX graph of a U-Net, written layer by layer from its trained weights.

A converter gives a graph of the same pictures, with transpositions, paddings and cuts between the convolutions that the
runtime does not get rid of: they took an eighth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from train.architectures import HEAD, NOISE_LEVEL_STRIDE, UNet

INPUTS = ("image", "strength")
_OPSET = 17
_IR_VERSION = 8  # that of opset 17: the oldest runtimes that know the one know the other


def unet_graph(model: keras.Model, network: UNet) -> onnx.ModelProto:
    """``image`` ``(N, H, W, C)`` and ``strength`` (a scalar) to ``denoised`` and ``noise_level``, all float32.

    Above 1, ``strength`` tells the denoiser of more noise than its head sees; below, part of the noise is left in the
    image. ``model`` has the layers of ``network``, by name.
    """
    writer = _Writer(model, network.slope)
    one = writer.constant("one", np.float32(1.0))
    image = writer.node("Transpose", "image", perm=[0, 3, 1, 2])
    level = _head(writer, image)
    told = writer.node("Mul", level, writer.node("Max", "strength", one))
    residual = _residual(writer, network, image, told)
    part = writer.node("Mul", residual, writer.node("Min", "strength", one))
    # Added before it is turned back: so the runtime need not turn the image once more.
    writer.node("Transpose", writer.node("Add", image, part), output="denoised", perm=[0, 2, 3, 1])
    writer.node("Transpose", level, output="noise_level", perm=[0, 2, 3, 1])
    return writer.proto(network.channels)


def _head(writer: _Writer, image: str) -> str:
    x = image
    for index, (_, stride) in enumerate(HEAD):
        x = writer.activated(writer.convolution(x, f"level{index}", stride))
    return writer.node("Softplus", writer.convolution(x, "level_out"))


def _residual(writer: _Writer, network: UNet, image: str, told: str) -> str:
    """The one of :meth:`UNet.residual`, but that the level is enlarged before its convolution, which is of 1×1."""
    scale = NOISE_LEVEL_STRIDE // 2
    scales = writer.constant("scales", np.array([1, 1, scale, scale], np.float32))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    told = writer.convolution(writer.node("Resize", told, "", scales, **nearest), "told")
    x = writer.node("Add", writer.convolution(image, "first", stride=2), told)
    skips = []
    for depth in range(len(network.widths) - 1):
        x = writer.blocks(x, f"down{depth}", network.blocks)
        skips.append(x)
        x = writer.convolution(x, f"down{depth}_half", stride=2)
    x = writer.blocks(x, "middle", network.middle)
    for depth in reversed(range(len(network.widths) - 1)):
        x = writer.node("Add", writer.doubled(x, f"up{depth}_double"), skips[depth])
        x = writer.blocks(x, f"up{depth}", network.blocks)
    return writer.doubled(x, "residual")


class _Writer:
    """Collects the nodes and weights of a graph. A layer is named as in ``model``, a tensor by who makes it."""

    def __init__(self, model: keras.Model, slope: float) -> None:
        self._model, self._slope = model, slope
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: NDArray[np.float32] | np.float32) -> str:
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolution(self, x: str, layer: str, stride: int = 1) -> str:
        kernel, weights = self._kernel(layer)
        pad = (kernel - stride) // 2
        return self.node("Conv", x, *weights, strides=[stride, stride], pads=[pad, pad, pad, pad])

    def doubled(self, x: str, layer: str) -> str:
        """A transposed convolution of 2×2 and stride 2."""
        return self.node("ConvTranspose", x, *self._kernel(layer)[1], strides=[2, 2])

    def activated(self, x: str) -> str:
        return self.node("LeakyRelu", x, alpha=self._slope)

    def blocks(self, x: str, name: str, count: int) -> str:
        for index in range(count):
            inner = self.activated(self.convolution(x, f"{name}_block{index}_conv1"))
            x = self.node("Add", self.convolution(inner, f"{name}_block{index}_conv2"), x)
        return x

    def proto(self, channels: int) -> onnx.ModelProto:
        def port(name: str, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        image, level = ("N", "H", "W", channels), ("N", "h", "w", 1)
        inputs = [port(name, shape) for name, shape in zip(INPUTS, (image, ()), strict=True)]
        outputs = [port("denoised", image), port("noise_level", level)]
        graph = helper.make_graph(self._nodes, "unet", inputs, outputs, self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)

    def _kernel(self, layer: str) -> tuple[int, tuple[str, str]]:
        """The side of a layer's kernel, and the names of kernel and bias.

        Keras has (height, width, in, out), and (height, width, out, in) of a transposed convolution; ONNX has
        (out, in, height, width) and (in, out, height, width).
        """
        kernel, bias = (np.asarray(weight, np.float32) for weight in self._model.get_layer(layer).get_weights())
        names = self.constant(f"{layer}/kernel", kernel.transpose(3, 2, 0, 1)), self.constant(f"{layer}/bias", bias)
        return kernel.shape[0], names
