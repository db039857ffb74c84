"""Muon for convolutions: the optimiser of the U-Nets."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# The layers at both ends map pixels and noise levels, not features: orthogonal steps make no sense there.
_ENDS = ("first/", "told/", "residual/", "level_out/")


@keras.saving.register_keras_serializable("folderdenoise")
class ConvMuon(keras.optimizers.Muon):
    """Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) on convolution kernels.

    The momentum of a kernel ``(h, w, in, out)``, read as a matrix of ``h·w·in`` rows, is replaced by the nearest
    orthogonal one before each step; biases and the layers at both ends are left to AdamW. Keras's own Muon treats
    matrices only. The step's size is scaled to that of Adam (J. Liu et al. 2025, https://arxiv.org/abs/2502.16982).
    It trains U-Nets without any normalisation layer, faster than Adam trains them with BatchNorm.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4 or any(name in variable.path for name in _ENDS)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        ahead = ops.add(gradient, self.momentum * m)  # Nesterov
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        step = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(step, variable.shape))
