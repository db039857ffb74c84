"""The networks, as values: a specification that builds a Keras model.

Every model has one input ``image`` ``(N, H, W, C)`` float32, nominally [0, 1], H and W free (multiples of the
specification's ``size_multiple``), and an output ``denoised`` of the same shape. The U-Net has a second output
``noise_level`` ``(N, H/8, W/8, 1)``: the standard deviation of the noise that it sees. Only standard Keras layers are
used, so that a ``.keras`` file loads without this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

NOISE_LEVEL_STRIDE = 8
HEAD = ((6, 2), (4, 2), (4, 2), (3, 1), (3, 1))
"""Kernel and stride of the convolutions of the noise-level head."""


@dataclass(frozen=True)
class Autoencoder:
    """Convolutional autoencoder of the student studies: Conv2D + MaxPooling down, UpSampling + Conv2D up.

    ``widths[:-1]`` are the encoder's convolutions, each followed by a 2×2 MaxPooling; ``widths[-1]`` is the
    bottleneck, ``extra_latent`` more convolutions deepen it; the decoder mirrors the encoder. A ``sigmoid`` output
    belongs to binary cross-entropy; under the squared error on mostly black images it saturates at zero within some
    thirty steps and stays there, so those networks have a ``linear`` one.
    """

    channels: int
    widths: tuple[int, ...]
    activation: str = "relu"
    batch_norm: bool = False
    extra_latent: int = 0
    output: str = "sigmoid"

    @property
    def size_multiple(self) -> int:
        return 2 ** (len(self.widths) - 1)

    def build(self) -> keras.Model:
        image = keras.Input((None, None, self.channels), name="image")
        x: Any = image
        for width in self.widths[:-1]:
            x = layers.MaxPooling2D()(self._conv(x, width))
        for _ in range(1 + self.extra_latent):
            x = self._conv(x, self.widths[-1])
        for width in reversed(self.widths[:-1]):
            x = self._conv(layers.UpSampling2D()(x), width)
        output = layers.Conv2D(
            self.channels, 3, padding="same", activation=self.output, dtype="float32", name="denoised"
        )
        return keras.Model(image, {"denoised": output(x)})

    def _conv(self, x: Any, width: int) -> Any:
        x = layers.Conv2D(width, 3, padding="same", use_bias=not self.batch_norm)(x)
        if self.batch_norm:
            x = layers.BatchNormalization()(x)
        return layers.LeakyReLU(0.1)(x) if self.activation == "leaky" else layers.ReLU()(x)


@dataclass(frozen=True)
class UNet:
    """LeakyReLU convolutional autoencoder with skip connections, at half resolution, with residual output.

    ``widths`` are the channels of each level (the first works at half resolution, each next at half of that),
    ``blocks`` the residual blocks of each level on the way down and again on the way up, ``middle`` those at the
    bottom (the last width). Skips are added, not concatenated: cheaper at equal quality.

    The noise-level head is a small plain network of its own. Its map, scaled, is added to the first features, so the
    denoiser is told how strong the noise is (FFDNet: K. Zhang et al., IEEE TIP 2018,
    https://arxiv.org/abs/1710.04026), but by its own estimate.

    There is no normalisation: what a file needs at inference is all that is trained. BatchNorm would normalise each
    training batch by its own few images and kinds of noise, and a file in use by the average over all.
    """

    channels: int
    widths: tuple[int, ...]
    blocks: int
    middle: int
    slope: float = 0.1
    head_width: int = 32

    @property
    def size_multiple(self) -> int:
        return max(2 ** len(self.widths), NOISE_LEVEL_STRIDE)

    def build(self) -> keras.Model:
        """The training model: ``image`` to ``denoised`` and ``noise_level``."""
        image = keras.Input((None, None, self.channels), name="image")
        level = self.noise_level(image)
        residual = self.residual(image, level)
        return keras.Model(
            image,
            {
                "denoised": layers.Add(dtype="float32", name="denoised")([image, residual]),
                "noise_level": level,
            },
        )

    def noise_level(self, image: Any) -> Any:
        """The estimator head: ``(N, H/8, W/8, 1)`` float32 ≥ 0. Standard deviations are learned at 1/8 of the size."""
        x = image
        for index, (kernel, stride) in enumerate(HEAD):
            name = f"level{index}"
            x = layers.Conv2D(self.head_width, kernel, strides=stride, padding="same", name=name)(x)
            x = layers.LeakyReLU(self.slope, name=f"{name}_act")(x)
        x = layers.Conv2D(1, 3, padding="same", bias_initializer=keras.initializers.Constant(-2.0), name="level_out")(x)
        return layers.Activation("softplus", dtype="float32", name="noise_level")(x)

    def residual(self, image: Any, level: Any) -> Any:
        """What is to be added to ``image``, given the (possibly scaled) noise level map."""
        # Space-to-depth by 2 and a 3×3 convolution, written as the one 6×6 convolution of stride 2 that they are.
        x = layers.Conv2D(self.widths[0], 6, strides=2, padding="same", name="first")(image)
        told = layers.Conv2D(self.widths[0], 1, name="told")(level)
        x = layers.Add(name="first_told")([x, layers.UpSampling2D(NOISE_LEVEL_STRIDE // 2, name="told_up")(told)])
        skips = []
        for depth, width in enumerate(self.widths[:-1]):
            x = self._blocks(x, width, self.blocks, f"down{depth}")
            skips.append(x)
            x = layers.Conv2D(self.widths[depth + 1], 2, strides=2, name=f"down{depth}_half")(x)
        x = self._blocks(x, self.widths[-1], self.middle, "middle")
        for depth in reversed(range(len(self.widths) - 1)):
            x = layers.Conv2DTranspose(self.widths[depth], 2, strides=2, name=f"up{depth}_double")(x)
            x = layers.Add(name=f"up{depth}_skip")([x, skips[depth]])
            x = self._blocks(x, self.widths[depth], self.blocks, f"up{depth}")
        # Depth-to-space as a transposed convolution; zero at first, so that training starts from the identity.
        return layers.Conv2DTranspose(
            self.channels, 2, strides=2, kernel_initializer="zeros", dtype="float32", name="residual"
        )(x)

    def _blocks(self, x: Any, width: int, count: int, name: str) -> Any:
        for index in range(count):
            x = self._block(x, width, f"{name}_block{index}")
        return x

    def _block(self, x: Any, width: int, name: str) -> Any:
        y = layers.Conv2D(width, 3, padding="same", name=f"{name}_conv1")(x)
        y = layers.LeakyReLU(self.slope, name=f"{name}_act")(y)
        # Zero at first: each block starts as the identity (H. Zhang et al. 2019, https://arxiv.org/abs/1901.09321).
        y = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros", name=f"{name}_conv2")(y)
        return layers.Add(name=f"{name}_add")([x, y])


def kmac_per_pixel(model: keras.Model) -> float:
    """Thousands of multiply-accumulates of all convolutions, per image pixel."""
    scales = _scales(model)
    total = 0.0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
            kernel = layer.kernel.shape
            macs = kernel[0] * kernel[1] * kernel[2] * kernel[3]
            # A convolution works once per output pixel, a transposed one once per input pixel.
            scale = scales[layer.name][1 if isinstance(layer, layers.Conv2D) else 0]
            total += macs / scale**2
    return total / 1000.0


def receptive_field(model: keras.Model) -> int:
    """Theoretical receptive field in pixels: the side of the square centred on an output pixel outside of which no
    input pixel can change it, whichever place in the coarsest grid's cell the output pixel has.
    """
    scales = _scales(model)
    reach = 0
    for pixel in range(round(max(after for _, after in scales.values()))):
        # From the outputs back to the image: the first and the last sample of each layer that the pixel depends on.
        spans = {}
        for tensor in model.outputs:
            name = tensor._keras_history.operation.name
            sample = int(pixel // scales[name][1])
            spans[name] = (sample, sample)
        for layer in reversed(model.layers):
            first, last = _seen(layer, *spans[layer.name])
            for source in _sources(layer):
                low, high = spans.get(source, (first, last))
                spans[source] = (min(low, first), max(high, last))
        first, last = spans[model.inputs[0]._keras_history.operation.name]
        reach = max(reach, pixel - first, last - pixel)
    return 2 * reach + 1


def _seen(layer: Any, first: int, last: int) -> tuple[int, int]:
    """The first and last input sample along one axis that the output samples ``first`` to ``last`` depend on."""
    if isinstance(layer, layers.Conv2DTranspose):
        kernel, stride = layer.kernel_size[0], layer.strides[0]
        pad = max(kernel - stride, 0) // 2
        return -(-(first + pad - kernel + 1) // stride), (last + pad) // stride
    if isinstance(layer, layers.Conv2D):
        kernel, stride = layer.kernel_size[0], layer.strides[0]
        pad = max(kernel - stride, 0) // 2
        return first * stride - pad, last * stride - pad + kernel - 1
    if isinstance(layer, layers.MaxPooling2D):
        return first * layer.pool_size[0], (last + 1) * layer.pool_size[0] - 1
    if isinstance(layer, layers.UpSampling2D):
        return first // layer.size[0], last // layer.size[0]
    return first, last


def _sources(layer: Any) -> list[str]:
    """Names of the layers whose outputs ``layer`` takes."""
    return [tensor._keras_history.operation.name for node in layer._inbound_nodes for tensor in node.input_tensors]


def _scales(model: keras.Model) -> dict[str, tuple[float, float]]:
    """For every layer: image pixels per sample, along one axis, before and after it."""
    scales: dict[str, tuple[float, float]] = {}
    for layer in model.layers:
        before = after = max((scales[name][1] for name in _sources(layer)), default=1.0)
        if isinstance(layer, layers.Conv2DTranspose):
            after = before / layer.strides[0]
        elif isinstance(layer, layers.Conv2D):
            after = before * layer.strides[0]
        elif isinstance(layer, layers.MaxPooling2D):
            after = before * layer.pool_size[0]
        elif isinstance(layer, layers.UpSampling2D):
            after = before / layer.size[0]
        scales[layer.name] = (before, after)
    return scales
