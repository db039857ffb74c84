"""The noise of a camera's file: born on the sensor, coloured by everything that the camera does to it afterwards.

Sensor noise is Poisson-Gaussian in linear light (A. Foi et al., "Practical Poissonian-Gaussian noise modeling and
fitting for single-image raw data", IEEE TIP 2008, https://doi.org/10.1109/TIP.2008.2001399). The way through the
pipeline, white balance, demosaicing, colour matrix, tone curve and sRGB, follows S. Guo et al., "Toward convolutional
blind denoising of real photographs", CVPR 2019, https://arxiv.org/abs/1807.04686, and T. Brooks et al., "Unprocessing
images for learned raw denoising", CVPR 2019, https://arxiv.org/abs/1811.11127; then comes what cameras do to noise on
purpose: smooth its colours, blur it a little, sharpen. Only the noise passes the linear steps, so that the image keeps
its detail.

Images are ``(H, W, C)`` float32, C = 1 or 3, sRGB-encoded in [0, 1] unless called linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

# A typical camera's colours to linear sRGB; rows sum to 1, so that gray stays gray.
_MATRIX = np.array([[1.75, -0.62, -0.13], [-0.22, 1.54, -0.32], [0.02, -0.58, 1.56]], np.float32)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_BILINEAR_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_BILINEAR_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
# H. Malvar, L. He, R. Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images",
# ICASSP 2004, figure 2: green at a red or blue site; red (blue) at a green site in its own row; red at a blue site.
_MALVAR_GREEN = (
    np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]], np.float32) / 8
)
_MALVAR_ROW = (
    np.array(
        [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]], np.float32
    )
    / 8
)
_MALVAR_CROSS = (
    np.array(
        [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]], np.float32
    )
    / 8
)


@dataclass(frozen=True)
class Camera:
    """One exposure and its processing. The defaults are a plain pipeline: white balance, bilinear demosaicing, sRGB.

    Parameters
    ----------
    shot
        Variance per unit of light: the variance at linear intensity x is ``shot·x + read²`` on the sensor.
    read
        Standard deviation of the read noise, in linear units.
    gains
        White-balance gains of red and blue (green 1). A channel that was amplified by g has g times the shot variance
        and g times the read noise.
    matrix
        0 to 1: how far the colour matrix goes from the identity to a typical camera's.
    malvar
        Demosaic by Malvar, He and Cutler's filters, which keep noise sharper, in place of bilinear ones.
    tone
        0 to 1: how much of an S-shaped tone curve lies in the image.
    chroma_blur, luma_blur
        Standard deviations in pixels of the smoothing of the noise's colours and of its brightness.
    sharpen
        Gain of an unsharp mask of one pixel on the noise's brightness.
    phase
        0 to 3: where red sits in the 2×2 cell of the mosaic.
    """

    shot: float
    read: float
    gains: tuple[float, float] = (1.0, 1.0)
    matrix: float = 0.0
    malvar: bool = False
    tone: float = 0.0
    chroma_blur: float = 0.0
    luma_blur: float = 0.0
    sharpen: float = 0.0
    phase: int = 0


def draw(rng: np.random.Generator) -> Camera:
    """A camera and an exposure as they are met: from base ISO to a very dark room, processed little or much.

    In flat parts of real files (RNI15's, photographs with EXIF) the brightness of the noise correlates at 0.6 to 0.8
    from pixel to pixel and at 0.2 to 0.3 over two. Demosaicing alone gives 0.4 and 0: most noise is smoothed further.
    """
    # Read noise follows shot noise loosely, over all gains of a sensor (T. Brooks et al. 2019, section 3.1).
    shot = float(np.exp(rng.uniform(np.log(5e-5), np.log(1.5e-2))))
    read = float(np.sqrt(np.exp(2.18 * np.log(shot) + 1.2 + rng.normal(0.0, 0.26))))
    smoothed = rng.random() < 0.7
    return Camera(
        shot,
        read,
        gains=(float(rng.uniform(1.2, 2.6)), float(rng.uniform(1.2, 2.6))),
        matrix=float(rng.uniform(0.0, 1.0)),
        malvar=bool(rng.random() < 0.5),
        tone=float(rng.choice([0.0, rng.random()])),
        chroma_blur=float(rng.uniform(0.3, 3.0)) if smoothed else 0.0,
        luma_blur=float(rng.uniform(0.4, 1.5)) if smoothed else 0.0,
        sharpen=float(rng.uniform(0.0, 1.0)) if rng.random() < 0.5 else 0.0,
        phase=int(rng.integers(4)),
    )


def camera(clean: Image, by: Camera, rng: np.random.Generator) -> Image:
    """``clean`` as the camera ``by`` would have stored it, neither clipped nor rounded.

    A gray image is taken for a colour one without colours, and the result turned gray.
    """
    colour = np.repeat(clean, 3, axis=2) if clean.shape[2] == 1 else clean
    linear = to_linear(_without_tone(np.clip(colour, 0.0, 1.0), by.tone))
    matrix = (1.0 - by.matrix) * np.eye(3, dtype=np.float32) + by.matrix * _MATRIX
    gain = np.array([by.gains[0], 1.0, by.gains[1]], np.float32)
    light = np.maximum(linear @ np.linalg.inv(matrix).T, 0.0)  # in the camera's own colours, white-balanced
    noise = np.sqrt(by.shot * gain * light + (by.read * gain) ** 2)
    noise = demosaic(noise * rng.standard_normal(clean.shape[:2], dtype=np.float32)[..., None], by.phase, by.malvar)
    noisy = _with_tone(to_srgb(linear + noise @ matrix.T), by.tone)
    noisy = colour + _processed(noisy - colour, by)
    return np.asarray(noisy if clean.shape[2] == 3 else noisy @ _LUMA[:, None], np.float32)


def _processed(noise: Image, by: Camera) -> Image:
    """The noise after the camera's smoothing and sharpening, brightness and colours apart."""
    luma = noise @ _LUMA[:, None]
    chroma = noise - luma
    if by.chroma_blur > 0.0:
        chroma = cv2.GaussianBlur(chroma, (0, 0), by.chroma_blur)
    if by.luma_blur > 0.0:
        luma = cv2.GaussianBlur(luma, (0, 0), by.luma_blur).reshape(luma.shape)
    if by.sharpen > 0.0:
        luma = luma + by.sharpen * (luma - cv2.GaussianBlur(luma, (0, 0), 1.0).reshape(luma.shape))
    return np.asarray(luma + chroma, np.float32)


def demosaic(image: Image, phase: int, malvar: bool) -> Image:
    """Keep the Bayer sites of the linear image ``(H, W, 3)`` (``phase``: where red sits) and interpolate the others."""
    height, width = image.shape[:2]
    row, column = divmod(phase, 2)
    red_rows = (np.arange(height) % 2 == row)[:, None]
    red_columns = (np.arange(width) % 2 == column)[None, :]
    red, blue = red_rows & red_columns, ~red_rows & ~red_columns
    mosaic = np.where(red, image[..., 0], np.where(blue, image[..., 2], image[..., 1]))
    if not malvar:
        kernels = (_BILINEAR_RED_BLUE, _BILINEAR_GREEN, _BILINEAR_RED_BLUE)
        sites = (red, ~red & ~blue, blue)
        planes = [_filtered(np.where(site, mosaic, 0.0), kernel) for site, kernel in zip(sites, kernels, strict=True)]
        return np.stack(planes, axis=-1)
    green, rows, columns, cross = (
        _filtered(mosaic, kernel) for kernel in (_MALVAR_GREEN, _MALVAR_ROW, _MALVAR_ROW.T, _MALVAR_CROSS)
    )
    # A green site in a red row has its red neighbours beside it and its blue ones above and below.
    reds = np.where(red, mosaic, np.where(blue, cross, np.where(red_rows, rows, columns)))
    blues = np.where(blue, mosaic, np.where(red, cross, np.where(red_rows, columns, rows)))
    return np.stack([reds, np.where(red | blue, green, mosaic), blues], axis=-1)


def _filtered(plane: Image, kernel: NDArray[np.float32]) -> Image:
    # BORDER_REFLECT_101 keeps the parity of the mosaic at the border.
    return cv2.filter2D(plane.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def to_linear(encoded: Image) -> Image:
    """sRGB-encoded [0, 1] to linear light [0, 1] (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: Image) -> Image:
    """Linear light to sRGB-encoded [0, 1] (IEC 61966-2-1); negative light stays negative on the linear branch."""
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curve).astype(np.float32)


def _with_tone(encoded: Image, amount: float) -> Image:
    """A share ``amount`` of the curve 3x² − 2x³ within [0, 1], where it is monotonic; what lies outside is kept."""
    inside = np.clip(encoded, 0.0, 1.0)
    return np.asarray(encoded + amount * (inside * inside * (3.0 - 2.0 * inside) - inside), np.float32)


def _without_tone(encoded: Image, amount: float) -> Image:
    """The inverse of :func:`_with_tone` on [0, 1], from a table."""
    levels = np.linspace(0.0, 1.0, 1025, dtype=np.float32)
    return np.interp(encoded, _with_tone(levels, amount), levels).astype(np.float32) if amount > 0.0 else encoded
