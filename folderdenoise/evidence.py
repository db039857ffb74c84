"""Evidence without a clean original: what a denoiser took away, and how good the result probably is.

Nobody has a clean version of a real scan. Three things can be measured all the same: the noise where the image is flat,
before and after; the error itself, in the mean, by Stein's estimate; and whether what was removed looks like noise or
like the image. Images are ``(H, W, C)`` arrays of uint8, uint16 or floats nominally in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .quality import sample_blocks, to_unit

Pixels: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]

_BLOCK = 16
# Second differences along both axes: white noise of deviation 1 comes out with 6 (J. Immerkaer, "Fast noise variance
# estimation", Computer Vision and Image Understanding 64, 1996).
_SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
_FLATTEST = 0.1
# What the flattest tenth of the blocks shows of white noise of deviation 1: measured, tests/test_evidence.py.
_OF_FLATTEST = 0.888
_CLIPPED = 0.02
_SMALLEST_GAIN, _LARGEST_GAIN = -10.0, 40.0


def flat_noise(pixels: Pixels) -> float | None:
    """Deviation of the noise in 8-bit levels (0 to 255) where the image is flattest, mean over channels.

    Texture, which ``quality.noise_level`` takes for noise, has no say: the flattest tenth of all blocks of 16 × 16
    pixels is asked. Blocks with more than a fiftieth of their pixels at black or white are left out, since clipping
    hides noise. Right for white noise; too low for noise that was smoothed. None if fewer than 16 blocks are left.
    """
    sample = to_unit(sample_blocks(pixels))
    deviations = []
    for channel in range(sample.shape[2]):
        plane = sample[:, :, channel]
        details = cv2.filter2D(plane, cv2.CV_64F, _SECOND_DIFFERENCES, borderType=cv2.BORDER_REFLECT_101)
        energy = _block_means(np.square(details))
        inside = _block_means(((plane <= 0.0) | (plane >= 1.0)).astype(np.float64)) <= _CLIPPED
        usable = np.sqrt(energy[inside]) / 6.0
        if usable.size < 16:
            return None
        deviations.append(float(np.quantile(usable, _FLATTEST)) / _OF_FLATTEST)
    return 255.0 * sum(deviations) / len(deviations)


def estimated_gain(
    noisy: Pixels,
    denoised: Pixels,
    denoise: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    sigma: float,
    seed: int = 0,
) -> float | None:
    """The PSNR gained, in dB, estimated without the clean image: Stein's unbiased risk estimate by Monte Carlo.

    Parameters
    ----------
    noisy, denoised : (H, W, C) arrays of one shape
        The input and the result.
    denoise : callable
        The denoiser itself, ``(H, W, C)`` float32 in [0, 1] to the same: it is called once, on the input with a small
        known disturbance, to see how strongly the result follows its input.
    sigma : float
        Standard deviation of the noise in [0, 1], as the model saw it.

    Returns
    -------
    float or None
        Between −10 and 40 dB. None if ``sigma`` is 0: there was nothing to gain.

    Notes
    -----
    For white Gaussian noise the mean squared error of f(y) is in the mean |f(y) − y|² / N − σ² + 2σ² div f(y) / N; the
    divergence is b·(f(y + εb) − f(y)) / ε for a random b of ±1 [1]_. Both results may be rounded to 8 bits: over a
    million pixels the rounding averages out. Noise that is correlated between pixels is outside of the theory, and the
    estimate is then too high.

    References
    ----------
    .. [1] S. Ramani, T. Blu, M. Unser: Monte-Carlo SURE: a black-box optimization of regularization parameters for
       general denoising algorithms. IEEE Transactions on Image Processing 17 (2008). doi:10.1109/TIP.2008.2001404
    """
    if sigma <= 0.0:
        return None
    before, after = to_unit(noisy), to_unit(denoised)
    # A seed of several numbers: a probe that shares its seed with somebody's synthetic noise is no longer independent.
    probe = np.random.default_rng((2008, 17, 9, seed)).integers(0, 2, before.shape).astype(np.float64) * 2.0 - 1.0
    # Large against the rounding of the result, small against the noise, so that the network sees the same picture.
    epsilon = max(sigma / 4.0, 1.0 / 255.0)
    disturbed = denoise((before + epsilon * probe).astype(np.float32))
    divergence = float(np.mean(probe * (disturbed - after))) / epsilon
    error = float(np.mean(np.square(after - before))) - sigma**2 + 2.0 * sigma**2 * divergence
    gain = 10.0 * math.log10(sigma**2 / error) if error > 0.0 else _LARGEST_GAIN
    return min(max(gain, _SMALLEST_GAIN), _LARGEST_GAIN)


def residual_structure(noisy: Pixels, denoised: Pixels) -> float | None:
    """Whether what was removed, input minus output, looks like noise or like the picture.

    0 for a layer that looks the same everywhere, as noise does, and up to 1 for one that follows the picture: the share
    of the differences between its parts that chance does not explain. None under 64 pixels a side, or if next to
    nothing was removed.

    Notes
    -----
    Noise, whatever its colour, has the same correlations between neighbouring pixels everywhere; edges and textures
    have their own in every place. In blocks of 16 × 16 pixels the correlations of the removed layer with itself are
    taken at one pixel's distance in four directions. How much they vary from block to block is compared with what
    chance gives: the variance of a correlation ρ over n pixels is (1 − ρ²)² / n for independent ones, and for others
    more by the sum of the squares of all their correlations [1]_.

    References
    ----------
    .. [1] M. S. Bartlett: On the theoretical specification and sampling properties of autocorrelated time-series.
       Supplement to the Journal of the Royal Statistical Society 8 (1946). doi:10.2307/2983611
    """
    if min(noisy.shape[:2]) < 4 * _BLOCK:
        return None
    layer = to_unit(sample_blocks(noisy)) - to_unit(sample_blocks(denoised))
    excess = chance = 0.0
    for channel in range(layer.shape[2]):
        plane = layer[:, :, channel] - cv2.blur(layer[:, :, channel], (_BLOCK, _BLOCK))
        energy = _block_means(np.square(plane))
        # Where next to nothing was removed there is only rounding.
        judged = energy > max(0.25 * float(np.median(energy)), (0.3 / 255) ** 2)
        if judged.sum() < 16:
            continue
        correlations = []
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            moved = np.roll(plane, (-down, -right), axis=(0, 1))
            correlations.append(_block_means(plane * moved)[judged] / energy[judged])
        middles = [float(np.median(correlation)) for correlation in correlations]
        inflation = 1.0 + 2.0 * sum(middle**2 for middle in middles)
        for correlation, middle in zip(correlations, middles, strict=True):
            expected = inflation * (1.0 - min(middle**2, 0.9)) ** 2 / _BLOCK**2
            excess += max(float(np.mean(np.square(correlation - middle))) - expected, 0.0)
            chance += expected
    return excess / (excess + 4.0 * chance) if chance > 0.0 else None


def _block_means(plane: Floats) -> Floats:
    """Means over blocks of 16 × 16 pixels; what is left over at the right and bottom is not looked at."""
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    blocks = plane[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    means: Floats = blocks.mean(axis=(1, 3))
    return means
