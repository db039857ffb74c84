"""ONNX graphs of the peers' shapes with random weights: time depends on the shape alone.

DnCNN-B: K. Zhang et al., IEEE TIP 2017, https://arxiv.org/abs/1608.03981; FFDNet: K. Zhang et al., IEEE TIP 2018,
https://arxiv.org/abs/1710.04026.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

NOISE_PLANE = 25 / 255


class GraphBuilder:
    """Writes an ONNX graph of convolutions: ``image`` (N, H, W, C) to ``denoised``, as the models of the zoo."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self.kmac_per_pixel = 0.0

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """A node and the name of its output."""
        output = output or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def convolutions(self, x: str, widths: tuple[int, ...], stride: int) -> str:
        """3 x 3 convolutions with ReLU between them, on a grid of one sample for ``stride`` x ``stride`` pixels."""
        layers = list(itertools.pairwise(widths))
        for index, (before, after) in enumerate(layers):
            # He's deviation, so that the signal neither dies nor grows: denormal numbers would be slow.
            weights = self._rng.normal(size=(after, before, 3, 3)) * np.sqrt(2 / (9 * before))
            biases = np.zeros(after, np.float32)
            kernel, bias = self.constant(weights.astype(np.float32)), self.constant(biases)
            x = self.add("Conv", x, kernel, bias, pads=[1, 1, 1, 1])
            if index < len(layers) - 1:
                x = self.add("Relu", x)
            self.kmac_per_pixel += 9 * before * after / stride**2 / 1000
        return x

    def finish(self, channels: int) -> bytes:
        shape = ["N", "H", "W", channels]
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "denoised")]
        graph = helper.make_graph(self._nodes, "peer", ports[:1], ports[1:], self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def build_dncnn(channels: int) -> tuple[bytes, float]:
    """The graph of DnCNN-B's shape, batch normalisation folded, and its kMAC per pixel."""
    builder = GraphBuilder()
    planes = builder.add("Transpose", "image", perm=[0, 3, 1, 2])
    noise = builder.convolutions(planes, (channels, *[64] * 19, channels), 1)
    clean = builder.add("Sub", planes, noise)
    builder.add("Transpose", clean, output="denoised", perm=[0, 2, 3, 1])
    return builder.finish(channels), builder.kmac_per_pixel


def build_ffdnet(channels: int) -> tuple[bytes, float]:
    """The graph of FFDNet's shape and its kMAC per pixel. Its noise map is here a constant plane within the graph."""
    builder = GraphBuilder()
    planes = builder.add("Transpose", "image", perm=[0, 3, 1, 2])
    x = builder.add("SpaceToDepth", planes, blocksize=2)
    # A plane of the noise level beside the image: the first channel, made constant.
    first = builder.add("Slice", x, *(builder.constant(np.array([value])) for value in (0, 1, 1)))
    zeros = builder.add("Mul", first, builder.constant(np.float32(0)[np.newaxis]))
    level = builder.add("Add", zeros, builder.constant(np.float32([NOISE_PLANE])))
    x = builder.add("Concat", x, level, axis=1)
    hidden = [96] * 11 if channels == 3 else [64] * 14
    x = builder.convolutions(x, (4 * channels + 1, *hidden, 4 * channels), 2)
    x = builder.add("DepthToSpace", x, blocksize=2)
    builder.add("Transpose", x, output="denoised", perm=[0, 2, 3, 1])
    return builder.finish(channels), builder.kmac_per_pixel


def build_matrix_product(size: int) -> bytes:
    """``image`` (size, size) times a constant matrix of that size."""
    weights = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in ("image", "denoised")]
    node = helper.make_node("MatMul", ["image", "weights"], ["denoised"])
    graph = helper.make_graph([node], "peak", ports[:1], ports[1:], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
