"""How good an image is: against a clean reference, by its own noise, and by what a denoiser did to it.

The measures of the literature come from scikit-image. It is imported when first used, since most callers of
the library door never measure.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import ReferenceImageError
from .scratch import bands, release
from .tiles import to_float

Pixels: TypeAlias = NDArray[Any]

SSIM_WINDOW = 11
_STRIP_PIXELS = 4_000_000
_SAMPLE_PIXELS = 1 << 20
_SAMPLE_BLOCK = 256
_QUARTILE = 0.6744897501960817  # half of a standard normal distribution lies within


@dataclasses.dataclass(frozen=True)
class Scores:
    """An image against its clean reference, both in [0, 1].

    ``psnr`` in dB, infinite for identical images; ``ssim`` at most 1, None where a side is under 11 pixels;
    ``mse`` mean squared and ``mae`` mean absolute difference.
    """

    psnr: float
    ssim: float | None
    mse: float
    mae: float


def scores(image: Pixels, reference: Pixels) -> Scores:
    """Compare an image with its clean reference.

    Parameters
    ----------
    image, reference : (H, W), (H, W, 1) or (H, W, 3) arrays of equal shape
        uint8, uint16 or float in [0, 1]; each is brought to [0, 1] by its own dtype, so an 8-bit image may be
        compared with a 16-bit reference.

    Raises
    ------
    ReferenceImageError
        The shapes differ.

    Notes
    -----
    Data range 1. PSNR and MSE over all samples. SSIM with the Gaussian window of 11 x 11 pixels and sigma 1.5,
    the mean over channels [1]_. Worked out in strips of rows that overlap by the window, which gives the
    figures of the whole image at a bounded memory.

    References
    ----------
    .. [1] Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural
       similarity. IEEE Transactions on Image Processing 13 (2004). doi:10.1109/TIP.2003.819861
    """
    image, reference = _three_axes(image), _three_axes(reference)
    if image.shape != reference.shape:
        raise ReferenceImageError(
            f"The image is {_describe(image)}, its reference {_describe(reference)}: they must be equal. "
            "Give a reference of the same size and channels."
        )
    height, width = image.shape[:2]
    squares = absolutes = 0.0
    similarity = 0.0
    margin = SSIM_WINDOW // 2
    measures_ssim = min(height, width) >= SSIM_WINDOW
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        difference = to_unit(image[top:bottom]) - to_unit(reference[top:bottom])
        squares += float(np.sum(np.square(difference)))
        absolutes += float(np.sum(np.abs(difference)))
        # scikit-image leaves a margin of half a window out of the mean, where the window would leave the
        # image.
        first, last = max(top, margin), min(bottom, height - margin)
        if measures_ssim and first < last:
            rows = slice(first - margin, last + margin)
            similarity += (last - first) * _ssim(to_unit(image[rows]), to_unit(reference[rows]))
        release(image, reference)
    mse = squares / image.size
    return Scores(
        psnr=-10 * math.log10(mse) if mse > 0 else math.inf,
        ssim=similarity / (height - 2 * margin) if measures_ssim else None,
        mse=mse,
        mae=absolutes / image.size,
    )


def noise_level(pixels: Pixels, *, whole: bool = False) -> float | None:
    """Deviation of the noise in 8-bit levels (0 to 255), mean over channels; None if too small an image.

    From the median of the finest diagonal wavelet details, as scikit-image's ``estimate_sigma`` [1]_: right
    for white noise, too low for noise that a camera or JPEG has smoothed. Images of more than a megapixel
    are judged by 16 blocks spread evenly, the same ones each time, or, if ``whole``, by the mean over strips of a
    megapixel that make them up. Takes what ``scores`` takes.

    References
    ----------
    .. [1] Donoho, Johnstone: Ideal spatial adaptation by wavelet shrinkage. Biometrika 81 (1994).
       doi:10.1093/biomet/81.3.425
    """
    pixels = _three_axes(pixels)
    if min(pixels.shape[:2]) < 4:  # the wavelet is four pixels long
        return None
    total, count = 0.0, 0
    for sample in strips(pixels, 4) if whole else (sample_blocks(pixels),):
        floats = to_float(sample)
        sigmas = [_sigma(floats[:, :, channel]) for channel in range(sample.shape[2])]
        total += len(sample) * sum(sigmas) / len(sigmas)
        count += len(sample)
    return 255 * total / count


def objection(noisy: Pixels, denoised: Pixels, mean_shift: float = 0.0) -> str | None:
    """Why ``denoised`` cannot be a denoised version of ``noisy``, in plain words; None if it can.

    Both are (H, W, C) arrays of one shape and dtype, integers or floats nominally in [0, 1]. ``mean_shift`` in
    [0, 1] is how far the model moves the mean on purpose: one that removes stains lightens the page.

    Notes
    -----
    Two faults are looked for, channel by channel, on a regular sample of at most a megapixel. Images under 64
    pixels are let through: there is no telling.

    *A constant plane from an input that was more than a flat area with noise*: see ``_has_structure``.

    *A mean that moved beyond what noise explains*. Noise of mean zero leaves the mean alone, but a file
    stores noise clipped to [0, 1], which lifts the mean in the dark and lowers it in the light. For a clean
    value x and Gaussian noise of deviation s the lift at 0 is s L(x / s), L(t) = phi(t) - t (1 - Phi(t)), and
    the drop at 1 likewise with 1 - x. The clean values are taken from the result, s from the deviation of
    what was removed: twice that, because clipping at black leaves 0.58 s of it. A quarter of the deviation
    and 3 levels of 8 bits are allowed for models with a bias of their own, and 4 standard errors for small
    images.
    """
    step = math.isqrt(noisy.shape[0] * noisy.shape[1] // 1_000_000) + 1
    before, after = _thinned(noisy, step), _thinned(denoised, step)
    for channel in range(noisy.shape[2]):
        x, y = to_unit(before[:, :, channel]), to_unit(after[:, :, channel])
        if x.size < 64:
            return None
        is_constant = y.min() == y.max() and _is_constant(denoised[:, :, channel])
        if is_constant and _has_structure(noisy[:, :, channel]):
            return "the result is a constant plane, the input is not"
        removed = x - y
        shift, spread = float(removed.mean()), float(removed.std())
        dark, light = _clipping_shifts(y, 2 * spread)
        # Noise in files is correlated over several pixels: 64 of them count as one.
        slack = mean_shift + 3 / 255 + spread / 4 + 4 * spread / math.sqrt(x.size / 64)
        if not -light - slack <= shift <= dark + slack:
            return (
                f"the mean moved by {-255 * shift:+.1f} levels of 255, from {255 * x.mean():.1f}, "
                "more than the noise explains"
            )
    return None


def _thinned(pixels: Pixels, step: int) -> Pixels:
    """Every ``step``-th pixel of every ``step``-th row."""
    # Band by band: a few bytes of each page would bring all of a scratch file into memory.
    return np.concatenate([np.array(pixels[rows][-rows.start % step :: step, ::step]) for rows in bands(pixels)])


def _is_constant(plane: Pixels) -> bool:
    return all(bool((plane[rows] == plane[0, 0]).all()) for rows in bands(plane))


def _has_structure(channel: Pixels) -> bool:
    """Whether an (H, W) channel is more than a flat area with noise, which is rightly denoised to a constant.

    Structure keeps its deviation in the means of 8 × 8 pixels; noise loses most of it (white noise all but an
    eighth, smoothed noise all but a half). Lines too thin for that are no noise to the wavelet estimate. What
    is under 4 levels of 8 bits may vanish.
    """
    sample = to_unit(sample_blocks(channel[:, :, np.newaxis])[:, :, 0])
    deviation = 255 * float(sample.std())
    rows, columns = sample.shape[0] // 8, sample.shape[1] // 8
    if rows * columns >= 16:
        blocks = sample[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).mean(axis=(1, 3))
        if 255 * float(blocks.std()) > max(4, deviation / 2):
            return True
    noise = noise_level(channel)
    return noise is not None and deviation > 4 + 2 * noise


def to_unit(pixels: Pixels) -> NDArray[np.float64]:
    """As float64, integers scaled so that their largest value is 1."""
    scale = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0
    return np.divide(pixels, scale, dtype=np.float64)


def _clipping_shifts(clean: NDArray[np.float64], sigma: float) -> tuple[float, float]:
    """By how much clipping noise of deviation ``sigma`` to [0, 1] lifts the mean, and by how much it lowers
    it.
    """
    if sigma == 0:
        return 0.0, 0.0
    levels = np.rint(255 * np.clip(clean, 0, 1)).astype(np.uint8)
    weights = np.bincount(levels.ravel(), minlength=256) / levels.size
    lifts = np.array([sigma * _unit_loss(level / 255 / sigma) for level in range(256)])
    return float(weights @ lifts), float(weights @ lifts[::-1])


def _unit_loss(t: float) -> float:
    """L(t) = E[max(z - t, 0)] for a standard normal z."""
    return math.exp(-t * t / 2) / math.sqrt(2 * math.pi) - t * math.erfc(t / math.sqrt(2)) / 2


def _ssim(image: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            image.astype(np.float32),  # half the time of float64, and equal to 1e-6
            reference.astype(np.float32),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
        )
    )


def strips(pixels: Pixels, multiple: int) -> Iterator[Pixels]:
    """All rows of an image in strips of about a megapixel, let go of after each. Their heights are multiples of
    ``multiple``, and the last one has what is left besides.
    """
    height, width = pixels.shape[:2]
    units = height // multiple
    count = max(1, min(units, height * width // _SAMPLE_PIXELS))
    starts = [units * index // count * multiple for index in range(count)]
    for start, stop in itertools.pairwise([*starts, height]):
        yield pixels[start:stop]
        release(pixels)


def sample_blocks(pixels: Pixels) -> Pixels:
    """The image itself, or a column of blocks spread evenly over a large one."""
    blocks = spread_blocks(pixels, _SAMPLE_PIXELS, _SAMPLE_BLOCK, 4)
    return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]


def spread_blocks(pixels: Pixels, most: int, side: int, along: int) -> list[Pixels]:
    """Views of blocks spread evenly over an image of more than ``most`` pixels, the same ones each time: ``along`` each
    way (one, where the image is narrower than a block), each of ``side`` × ``side`` pixels. A smaller image is one.
    """
    height, width = pixels.shape[:2]
    if height * width <= most:
        return [pixels]
    rows, columns = min(height, side), min(width, side)
    across = along if columns < width else 1
    down = along if rows < height else 1
    tops = np.linspace(0, height - rows, down).astype(int)
    lefts = np.linspace(0, width - columns, across).astype(int)
    return [pixels[top : top + rows, left : left + columns] for top in tops for left in lefts]


# The high-pass filter of the Daubechies wavelet with two vanishing moments, "db2" in PyWavelets.
_HIGH_PASS = np.array([-(1 - 3**0.5), 3 - 3**0.5, -(3 + 3**0.5), 1 + 3**0.5]) / (4 * 2**0.5)


def _sigma(channel: NDArray[np.float32]) -> float:
    """scikit-image's ``estimate_sigma``, but 0, not NaN and a warning, for an image without any detail."""
    import cv2

    # PyWavelets works out all four bands, in seven times the time.
    padded = cv2.copyMakeBorder(channel, 3, 3, 3, 3, cv2.BORDER_REFLECT)
    filtered = cv2.sepFilter2D(padded, -1, _HIGH_PASS, _HIGH_PASS, anchor=(3, 3))
    rows, columns = ((side + 3) // 2 for side in channel.shape)
    details = np.abs(filtered[4 : 3 + 2 * rows : 2, 4 : 3 + 2 * columns : 2])
    details = details[details > 0]
    return float(np.median(details)) / _QUARTILE if details.size else 0.0


def _three_axes(pixels: Pixels) -> Pixels:
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels


def _describe(pixels: Pixels) -> str:
    height, width, channels = pixels.shape
    return f"{width} × {height} pixels with {channels} channel{'s' if channels > 1 else ''}"
