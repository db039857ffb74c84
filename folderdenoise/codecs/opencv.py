"""Encoding and decoding through OpenCV: JPEG 2000, and the JPEG encoding that libvips lacks."""

from __future__ import annotations

import cv2
import numpy as np

from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.picture import Array, Encoding, Picture

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # failures are raised here, not printed


def decode(data: bytes) -> Array:
    """(H, W, C) in RGB(A) order. Raises HeaderError where OpenCV gives up."""
    try:
        array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise HeaderError(f"OpenCV: {error.err}") from error
    if array is None:
        raise HeaderError("OpenCV cannot decode it")
    if array.ndim == 2:
        return np.asarray(array[..., None])
    swap = cv2.COLOR_BGRA2RGBA if array.shape[2] == 4 else cv2.COLOR_BGR2RGB
    cv2.cvtColor(array, swap, dst=array)
    return np.asarray(array)


def encode(suffix: str, page: Picture, parameters: list[int]) -> bytes:
    """The picture in the format of a suffix, without metadata. Raises ValueError where OpenCV cannot."""
    pixels = page.pixels
    if page.alpha is not None:
        pixels = cv2.cvtColor(np.concatenate([pixels, page.alpha[..., None]], axis=2), cv2.COLOR_RGBA2BGRA)
    elif pixels.shape[2] == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(suffix, pixels, parameters)
    if not done:
        raise ValueError(f"OpenCV cannot write a {suffix} file of {pixels.shape[1]} × {pixels.shape[0]} pixels")
    return bytes(encoded)


def jpeg_picture(page: Picture, encoding: Encoding) -> bytes:
    """A JPEG file with the chroma subsamplings that libvips cannot write, without metadata."""
    factor = {
        "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
        "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    }[encoding.subsampling or "4:2:2"]
    return encode(".jpg", page, [
        cv2.IMWRITE_JPEG_QUALITY, encoding.quality or 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor,
        cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, int(encoding.progressive),
    ])  # fmt: skip
