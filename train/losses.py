"""Losses, as registered Keras functions of ``(y_true, y_pred)``, both ``(N, H, W, C)`` in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Loss = Callable[[Any, Any], Any]


def _gaussian_window(size: int, sigma: float, channels: int) -> Any:
    axis = np.arange(size) - (size - 1) / 2
    line = np.exp(-(axis**2) / (2 * sigma**2))
    window = np.outer(line, line) / np.outer(line, line).sum()
    return ops.convert_to_tensor(np.repeat(window[:, :, None, None], channels, axis=2).astype("float32"))


def ssim(y_true: Any, y_pred: Any) -> Any:
    """Mean structural similarity per image, ``(N,)``: Gaussian window 11×11, sigma 1.5, data range 1.

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004,
    https://doi.org/10.1109/TIP.2003.819861, equation 13; the window lies wholly inside the image.
    """
    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    window = _gaussian_window(11, 1.5, y_true.shape[-1])

    def blur(x: Any) -> Any:
        return ops.depthwise_conv(x, window, padding="valid")

    mean_t, mean_p = blur(y_true), blur(y_pred)
    var_t = blur(y_true * y_true) - mean_t * mean_t
    var_p = blur(y_pred * y_pred) - mean_p * mean_p
    covariance = blur(y_true * y_pred) - mean_t * mean_p
    c1, c2 = 0.01**2, 0.03**2
    score = ((2 * mean_t * mean_p + c1) * (2 * covariance + c2)) / (
        (mean_t * mean_t + mean_p * mean_p + c1) * (var_t + var_p + c2)
    )
    return ops.mean(score, axis=(1, 2, 3))


@keras.saving.register_keras_serializable("folderdenoise")
def mse_ssim(y_true: Any, y_pred: Any) -> Any:
    """0.8·MSE + 0.2·(1 − SSIM), ``(N,)``: the second study's combined loss."""
    mse = ops.mean(ops.square(ops.cast(y_pred, "float32") - ops.cast(y_true, "float32")), axis=(1, 2, 3))
    return 0.8 * mse + 0.2 * (1.0 - ssim(y_true, y_pred))


@keras.saving.register_keras_serializable("folderdenoise")
class CharbonnierThenPSNR(keras.losses.Loss):
    """Charbonnier √(e² + 10⁻⁶) while ``finish`` is 0, 0.01·ln(MSE + 10⁻⁴) of each image once it is 1.

    The Charbonnier loss learns faster at high error; the figure of merit is the mean PSNR, so the last part of a
    schedule minimises the logarithm of each image's squared error. Under the squared error itself the few images with
    the strongest noise would decide every step. Below 40 dB of error (10⁻⁴) an image counts less and less. The factor
    keeps the gradients of both of one order at an error of 0.03, so that Adam's running variance stays valid.
    """

    def __init__(self, name: str = "charbonnier_then_psnr", reduction: str = "sum_over_batch_size") -> None:
        super().__init__(name=name, reduction=reduction)
        self.finish = keras.Variable(0.0, trainable=False, dtype="float32", name="finish")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = ops.square(ops.cast(y_pred, "float32") - ops.cast(y_true, "float32"))
        early = ops.mean(ops.sqrt(error + 1e-6), axis=(1, 2, 3))
        late = 0.01 * ops.log(ops.mean(error, axis=(1, 2, 3)) + 1e-4)
        return (1.0 - self.finish) * early + self.finish * late


def by_name(name: str) -> Loss | str:
    """The loss a recipe names: ``mse``, ``bce``, ``mse+ssim`` or ``charbonnier-then-psnr``."""
    table: dict[str, Loss | str] = {"mse": "mse", "bce": "binary_crossentropy", "mse+ssim": mse_ssim}
    if name == "charbonnier-then-psnr":
        return CharbonnierThenPSNR()
    return table[name]
