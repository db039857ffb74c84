"""Evidence without a clean original: what a denoiser took away, and how good the result probably is.

Nobody has a clean version of a real scan. Three things can be measured all the same: the noise where the image is flat,
before and after; how much better the result probably is, from how the denoiser answers a small disturbance; and whether
what was removed looks like noise or like the image. How far each can be trusted: ``docs/evidence.md``. Images are
``(H, W, C)`` arrays of uint8, uint16 or floats nominally in [0, 1]. Large ones are judged by a sample of blocks, the
same ones each time, so that the time is small beside that of the network, unless the ``whole`` is asked for. Memory is
bounded either way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import SuspectResultError
from .quality import spread_blocks, strips
from .tiles import to_float

Pixels: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Network: TypeAlias = Callable[[Floats, float], Floats]

_BLOCK = 16
_ENOUGH_BLOCKS = 16
# One megapixel in 16 parts: the figures of more do not differ, their cost beside the network's does.
_SAMPLE_PIXELS, _SAMPLE_SIDE, _SAMPLE_ALONG = 1 << 20, 256, 4
# Second differences along both axes: white noise of deviation 1 comes out with 6 (J. Immerkaer, "Fast noise variance
# estimation", Computer Vision and Image Understanding 64, 1996).
_SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_FLATTEST = 0.1
# What the flattest tenth of the blocks shows of white noise of deviation 1: measured, tests/test_evidence.py.
_OF_FLATTEST = 0.888
_CLIPPED = 0.02

# What the network is asked about once more: a quarter of a megapixel, in 16 parts. The whole of the images of
# Kodak24 gives no better estimates.
_PROBED_PIXELS, _PROBED_SIDE, _PROBED_ALONG = 16 * 128**2, 128, 4
_LARGEST_PASSED = 0.97
_NOTHING = 0.02 / 255
_SMALLEST_ERROR = 1e-4


@np.errstate(over="ignore", invalid="ignore")
def flat_noise(pixels: Pixels, *, whole: bool = False) -> float | None:
    """Deviation of the noise in 8-bit levels (0 to 255) where the image is flattest, mean over channels.

    Texture, which ``quality.noise_level`` takes for noise, has less of a say: the flattest tenth of all blocks of 16 ×
    16 pixels is asked. Blocks with more than a fiftieth of their pixels at black or white are left out, since clipping
    hides noise. Right for white noise; too low for noise that was smoothed. None if fewer than 16 blocks are left.
    """
    white = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0
    energies, clipped = [], []
    for part in _parts(pixels, whole):
        details = cv2.filter2D(to_float(part), -1, _SECOND_DIFFERENCES, borderType=cv2.BORDER_REFLECT_101)
        energies.append(_block_means(np.square(details).reshape(part.shape)))
        clipped.append(_block_means(((part <= 0) | (part >= white)).astype(np.float32)))
    energy, hidden = np.concatenate(energies), np.concatenate(clipped)
    deviations = []
    for channel in range(pixels.shape[2]):
        usable = np.sqrt(energy[hidden[:, channel] <= _CLIPPED, channel]) / 6.0
        if usable.size < _ENOUGH_BLOCKS:
            return None
        deviations.append(float(np.quantile(usable, _FLATTEST)) / _OF_FLATTEST)
    return _finite(255.0 * sum(deviations) / len(deviations))


@np.errstate(over="ignore", invalid="ignore")
def estimated_gain(noisy: Pixels, denoise: Network, strength: float = 1.0, brightening: int = 1) -> float | None:
    """The PSNR gained, in dB, estimated without the clean image and without knowing the noise.

    Parameters
    ----------
    noisy : (H, W, C) array
        The input. Of one above 0.26 megapixels, 16 pieces of 128 × 128 pixels are looked at.
    denoise : callable
        ``(h, w, C)`` float32 nominally in [0, 1], and a strength, to the same shape. Called twice for each piece: with
        the image, and with the image slightly disturbed; for another strength than 1 twice more at that.
    strength : float
        0 or more, as the denoiser takes it: what the image was denoised with.
    brightening : int
        What the denoiser multiplied the image with: a power of two, for one that leaves the upper bits empty.

    Returns
    -------
    float or None
        At most 40 dB; hardly ever below 0 at strength 1. None for an image too small for a block of 16 × 16 pixels.

    Notes
    -----
    Stein's estimate of the mean squared error of f(y), with noise of the power spectrum S, is in each frequency
    L − S + 2·S·J: L is the spectrum of what was removed, y − f(y), and J how much of a disturbance b passes, the
    divergence of [1]_ by frequency: the cross spectrum of b and (f(y + εb) − f(y)) / ε over the spectrum of b. It needs
    S, and an error of a few percent in the noise's deviation makes it useless where the gain is large.

    But the estimator of the least mean squared error leaves an error of exactly S·J (its posterior covariance is the
    noise's times its derivative [2]_), so that S = L / (1 − J): a network trained for that error says by itself what it
    takes for noise, white or not. The gain at strength 1 is then the sum of S over that of S·J; at another strength,
    for which the network was not trained, S is kept and Stein's estimate made with the L and J of that strength. It is
    an estimate of what the network believes: one that takes texture for noise counts it as such.

    References
    ----------
    .. [1] S. Ramani, T. Blu, M. Unser: Monte-Carlo SURE: a black-box optimization of regularization parameters for
       general denoising algorithms. IEEE Transactions on Image Processing 17 (2008). doi:10.1109/TIP.2008.2001404
    .. [2] H. Manor, T. Michaeli: On the posterior distribution in denoising: application to uncertainty
       quantification. ICLR 2024. arXiv:2309.13598
    """
    if min(noisy.shape[:2]) < _BLOCK:
        return None
    if strength == 0:
        return 0.0
    # A seed of several numbers: a probe that shares its seed with somebody's synthetic noise is no longer independent.
    rng = np.random.default_rng((2008, 17, 9))
    strengths = (1.0,) if strength == 1 else (1.0, strength)
    sums = np.zeros((len(strengths), 2, _BLOCK, _BLOCK // 2 + 1))
    given = np.zeros((_BLOCK, _BLOCK // 2 + 1))
    squares, samples = 0.0, 0
    for part in spread_blocks(noisy, _PROBED_PIXELS, _PROBED_SIDE, _PROBED_ALONG):
        image = to_float(part) * np.float32(brightening)
        probe = rng.integers(0, 2, image.shape).astype(np.float32) * 2 - 1
        try:
            results = [denoise(image, each) for each in strengths]
            # Small against the noise, so that the network sees the same picture; large against its own arithmetic.
            epsilon = np.float32(max(float((image - results[0]).std()) / 4, 0.25 / 255))
            disturbed = [denoise(image + epsilon * probe, each) for each in strengths]
        except SuspectResultError:
            # What a whole picture explains may look wrong in a piece of it: the other pieces are asked.
            continue
        sent = block_spectra(probe)
        given += np.square(np.abs(sent)).sum(axis=0)
        for place, (result, other) in enumerate(zip(results, disturbed, strict=True)):
            sums[place, 0] += np.square(np.abs(block_spectra(image - result))).sum(axis=0)
            sums[place, 1] += (sent.conj() * block_spectra((other - result) / epsilon)).real.sum(axis=0)
        squares += float(np.square(image - results[0], dtype=np.float64).sum())
        samples += image.size
    if samples == 0:
        return None
    if squares < _NOTHING**2 * samples:
        return 0.0
    removed, passed = sums[:, 0], sums[:, 1] / given
    noise = removed[0] / (1.0 - np.clip(passed[0], 0.0, _LARGEST_PASSED))
    error = removed[-1] - noise + 2.0 * noise * np.clip(passed[-1], 0.0, 1.0)
    return _finite(-10.0 * math.log10(max(float(error.sum() / noise.sum()), _SMALLEST_ERROR)))


def block_spectra(plane: Floats) -> NDArray[np.complexfloating[Any, Any]]:
    """(blocks and channels, 16, 9): the Fourier transforms of all blocks of 16 × 16 pixels of an (H, W, C) array, under
    a Hann window, at the frequencies of ``numpy.fft.rfft2``; scaled so that the sum of the squares over the frequencies
    is that of all 256.
    """
    rows, columns, channels = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK, plane.shape[2]
    blocks = plane[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK, channels)
    window = np.hanning(_BLOCK + 2)[1:-1].astype(np.float32)
    windowed = blocks.transpose(0, 2, 4, 1, 3).reshape(-1, _BLOCK, _BLOCK) * (window * window[:, np.newaxis])
    # rfft2 leaves out the half of the frequencies that mirrors the other; the first and the last column are their own.
    twice = np.full(_BLOCK // 2 + 1, math.sqrt(2.0))
    twice[[0, -1]] = 1.0
    spectra: NDArray[np.complexfloating[Any, Any]] = np.fft.rfft2(windowed) * twice
    return spectra


@np.errstate(over="ignore", invalid="ignore")
def residual_structure(noisy: Pixels, denoised: Pixels, *, whole: bool = False) -> float | None:
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
    # For each block and channel: its energy, and its products with itself moved in four directions.
    sums: list[list[Floats]] = [[] for _ in range(5)]
    for before, after in zip(_parts(noisy, whole), _parts(denoised, whole), strict=True):
        layer = to_float(before) - to_float(after)
        plane = layer - cv2.blur(layer, (_BLOCK, _BLOCK)).reshape(layer.shape)
        sums[0].append(_block_means(np.square(plane)))
        for place, (down, right) in enumerate(((0, 1), (1, 0), (1, 1), (1, -1)), 1):
            sums[place].append(_block_means(plane * np.roll(plane, (-down, -right), axis=(0, 1))))
    energies, *products = (np.concatenate(parts) for parts in sums)
    excess = chance = 0.0
    for channel in range(noisy.shape[2]):
        energy = energies[:, channel]
        # Where next to nothing was removed there is only rounding.
        judged = energy > max(0.25 * float(np.median(energy)), (0.3 / 255) ** 2)
        if judged.sum() < _ENOUGH_BLOCKS:
            continue
        correlations = [product[judged, channel] / energy[judged] for product in products]
        middles = [float(np.median(correlation)) for correlation in correlations]
        inflation = 1.0 + 2.0 * sum(middle**2 for middle in middles)
        for correlation, middle in zip(correlations, middles, strict=True):
            expected = inflation * (1.0 - min(middle**2, 0.9)) ** 2 / _BLOCK**2
            excess += max(float(np.mean(np.square(correlation - middle))) - expected, 0.0)
            chance += expected
    return _finite(excess / (excess + 4.0 * chance)) if chance > 0.0 else None


def _finite(value: float) -> float | None:
    """None where the floats of a file are so large that their squares are not."""
    return value if math.isfinite(value) else None


def _parts(pixels: Pixels, whole: bool) -> Iterable[Pixels]:
    """A sample of blocks, or the ``whole`` in strips."""
    if whole:
        return strips(pixels, _BLOCK)
    return spread_blocks(pixels, _SAMPLE_PIXELS, _SAMPLE_SIDE, _SAMPLE_ALONG)


def _block_means(plane: Floats) -> Floats:
    """(blocks, C) means over blocks of 16 × 16 pixels of an (H, W, C) array, without what is left over."""
    rows, columns, channels = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK, plane.shape[2]
    if rows == 0 or columns == 0:
        return np.empty((0, channels), np.float32)
    whole = plane[: rows * _BLOCK, : columns * _BLOCK]
    # OpenCV's reduction by a whole factor is the mean, many times faster than NumPy's over two axes.
    return np.reshape(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), (rows * columns, channels))
