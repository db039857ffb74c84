"""Muon for convolutions: the optimiser of all networks here."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# The layers at both ends map pixels and noise levels, not features: orthogonal steps make no sense there.
_ENDS = ("first/", "told/", "residual/", "level_out/")
_MOMENTUM = 0.95
# Coefficients of the quintic iteration: K. Jordan et al. 2024, see ConvMuon.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
# Root mean square of a step, as a share of the rate: that of Adam's steps (J. Liu et al. 2025, section 2.2).
_RMS = 0.2


@keras.saving.register_keras_serializable("folderdenoise")
class ConvMuon(keras.optimizers.AdamW):
    """Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) on convolution kernels, else AdamW.

    The momentum of a kernel ``(h, w, in, out)``, read as a matrix of ``h·w·in`` rows, is replaced by the nearest
    orthogonal one before each step; biases, and the layers at both ends of a U-Net, are left to AdamW. (Keras's own
    Muon treats matrices only.) The step is scaled to the size of Adam's (J. Liu et al. 2025,
    https://arxiv.org/abs/2502.16982), so that one rate serves both. It trains U-Nets without any normalisation layer,
    faster than Adam does with BatchNorm.
    """

    def build(self, variables: Any) -> None:
        # In a step the TensorFlow backend gives its own variables, which have no path.
        self._kernels = {
            index
            for index, variable in enumerate(variables)
            if len(variable.shape) == 4 and not any(name in variable.path for name in _ENDS)
        }
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        if index not in self._kernels:
            super().update_step(gradient, variable, learning_rate)
            return
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        momentum = self._momentums[index]
        self.assign(momentum, ops.add(_MOMENTUM * momentum, gradient))
        ahead = ops.add(gradient, _MOMENTUM * momentum)  # Nesterov
        step = orthogonal(ops.reshape(ahead, (-1, variable.shape[-1])))
        rows, columns = step.shape
        self.assign_sub(variable, rate * _RMS * max(rows, columns) ** 0.5 * ops.reshape(step, variable.shape))


def orthogonal(matrix: Any) -> Any:
    """``matrix`` with all its singular values brought near 1 (0.7 to 1.2) by five Newton-Schulz iterations."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    for _ in range(_ITERATIONS):
        square = ops.matmul(x, ops.transpose(x))
        x = _A * x + ops.matmul(_B * square + _C * ops.matmul(square, square), x)
    return x if wide else ops.transpose(x)
