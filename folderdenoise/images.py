"""A file <-> its pictures, with everything around the pixels that must survive.

``read`` takes a file apart into an ``ImageFile``; ``write`` stores one the way the original was stored. Which
decoder reads a file is decided by its first bytes, never by its name. Pixels are as stored: no colour
conversion (the profile stays attached), no turning (the orientation tag stays).
"""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from folderdenoise.codecs import (
    animations,
    avif,
    bmp,
    containers,
    jp2,
    jpeg,
    kinds,
    png,
    pnm,
    scale,
    tiffalpha,
    tiffimage,
    vips,
)
from folderdenoise.codecs.convert import SUFFIXES as FORMATS
from folderdenoise.codecs.convert import converted, with_quality
from folderdenoise.codecs.convert import refuse as refuse_conversion
from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.kinds import EXTENSIONS, UNSUPPORTED_EXTENSIONS
from folderdenoise.codecs.picture import Array, Encoding, ImageFile, Limits, Metadata, Picture, Scale, shown
from folderdenoise.codecs.scale import to_levels
from folderdenoise.errors import FolderDenoiseError, OutputError, SuspectResultError, UnreadableImageError
from folderdenoise.scratch import Scratch, bands, release

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "UNSUPPORTED_EXTENSIONS",
    "Array",
    "Encoding",
    "ImageFile",
    "Metadata",
    "Picture",
    "converted",
    "pixel_bytes",
    "read",
    "refuse_conversion",
    "set_threads",
    "to_levels",
    "verify",
    "with_quality",
    "write",
]

_READERS: Mapping[str, Callable[[Path, Limits], ImageFile]] = {
    "jpeg": jpeg.read,
    "png": png.read,
    "tiff": tiffimage.read,
    "webp": animations.read_webp,
    "gif": animations.read_gif,
    "avif": avif.read,
    "bmp": bmp.read,
    "pnm": pnm.read,
    "jp2": jp2.read,
}
_ATTEMPT = 1 << 20  # bytes, in place of those at which an encoder failed
_WRITERS: Mapping[str, Callable[[ImageFile], containers.Pieces]] = {
    "jpeg": jpeg.write,
    "png": png.write,
    "webp": animations.write_webp,
    "gif": animations.write_gif,
    "avif": avif.write,
    "bmp": bmp.write,
    "pnm": pnm.write,
    "jp2": jp2.write,
}


def read(path: Path, *, max_megapixels: float = 2000.0, scratch: Scratch | None = None) -> ImageFile:
    """Read and decode a file completely.

    All pages together may have ``max_megapixels`` million pixels. They are kept where ``scratch`` gives room for
    them, by default in memory. Raises UnreadableImageError for a file that is missing, not readable, no image, damaged
    or cut off; UnsupportedImageError for an intact one of a kind that is not denoised (the message says which, and what
    to do) or larger than the limit; OutputError where there is no room for scratch files.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImageError(f"{shown(path)}: a folder, device or pipe and not a file; give a file")
        with path.open("rb") as file:
            start = file.read(1024)
        return _READERS[_format(path, start)](path, Limits(max_megapixels, scratch or Scratch()))
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise UnreadableImageError(
            f"{shown(path)}: cannot be opened; check that it exists and may be read [{what}]"
        ) from error
    except HeaderError as error:
        raise vips.damaged(path, str(error)) from error


def pixel_bytes(path: Path) -> int | None:
    """How many bytes the pixels of a file take, all pages of one size taken for granted; None if its header does not
    say so at once."""
    return vips.pixel_bytes(path)


def set_threads(count: int) -> None:
    """How many processor threads the decoders and encoders may take for one file."""
    vips.set_threads(count)


def _format(path: Path, start: bytes) -> str:
    """The key of the reader. Raw camera files are TIFF inside: there the name decides."""
    raw = start and UNSUPPORTED_EXTENSIONS.get(path.suffix.lower()) == kinds.RAW_CAMERA
    name = None if raw else kinds.supported(start)
    if name:
        return name
    if not start:
        why = "the file is empty; get a fresh copy of it"
    elif not start.strip(b"\0"):
        why = "the file holds only zeros, as after a copy that was broken off; get a fresh copy of it"
    elif kind := kinds.foreign(start, path.suffix.lower()):
        raise vips.unsupported(path, f"{kind} files are not supported", "convert it to TIFF, PNG or JPEG first")
    elif min(start) > 8:
        why = "not an image but text; check where the file comes from"
    else:
        why = "not an image of a known kind; check that an image viewer opens it, and convert it to PNG or TIFF"
    raise UnreadableImageError(f"{shown(path)}: {why}")


def write(image: ImageFile, path: Path) -> None:
    """Store ``image`` the way its ``encoding`` says, in the file ``path``, whatever its suffix.

    Raises OutputError where the file cannot be written, and SuspectResultError where its encoder refuses the picture,
    which says nothing of other files. What is there then is for the caller to remove.
    """
    path = Path(path)
    try:
        if image.encoding.format == "tiff":
            tiffimage.write(image, path)
            return
        pieces = _WRITERS[image.encoding.format](image)
        with path.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise _unwritable(path, error) from error
    except (vips.Error, ValueError) as error:
        if refusal := _refusal(path, error):
            raise _unwritable(path, refusal) from refusal
        raise SuspectResultError(
            f"the result could not be encoded as {image.encoding.format.upper()} [{vips.reason(error)}]; "
            "choose another format with --format"
        ) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{shown(path)}: cannot be written; check the disk's free space and your rights [{error.strerror}]"
    )


def _refusal(path: Path, error: Exception) -> OSError | None:
    """What the system has against writing the file ``path``, of which libvips' ``error`` does not tell reliably; None
    where it takes more."""
    for code in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(code) in str(error):  # there may be room again: another thread's result was given up
            return OSError(code, os.strerror(code))
    try:
        with path.open("ab") as file:
            file.write(bytes(_ATTEMPT))
    except OSError as refusal:
        return refusal
    return None


def verify(image: ImageFile, path: Path, scratch: Scratch | None = None) -> tuple[str, ...]:
    """Read back what :func:`write` stored: notes, in plain words, about what the format could not hold.

    Raises SuspectResultError if it does not decode to pages of the same number, size, channels and type, or to other
    pixels: equal ones for lossless formats, else ones that differ by less than 8 levels of 255 in the mean (40 where a
    quality under 25 was asked for).
    """
    try:
        stored = read(path, max_megapixels=math.inf, scratch=scratch)
    except OutputError:
        raise
    except FolderDenoiseError as error:
        raise SuspectResultError(f"the result cannot be read back ({error})") from error
    if len(stored.pages) != len(image.pages):
        raise SuspectResultError(f"the result was stored with {len(stored.pages)} pages of {len(image.pages)}")
    lost = list[str]()
    for number, (page, again) in enumerate(zip(image.pages, stored.pages, strict=True), start=1):
        if fault := _difference(page, again, image.encoding):
            raise SuspectResultError(f"page {number} of the result was stored wrong: {fault}")
        lost += [what for what, is_lost in _LOST.items() if is_lost(page.metadata, again.metadata)]
    return tuple(f"its {what} could not be kept" for what in dict.fromkeys(lost))


def _is_other(was: tuple[float, float] | None, now: tuple[float, float] | None) -> bool:
    # JPEG has whole numbers only, PNG whole pixels per metre.
    return was is not None and (now is None or not np.allclose(was, now, rtol=0.01))


_LOST: Mapping[str, Callable[[Metadata, Metadata], bool]] = {
    # libvips stores none that it cannot read, or that is for other colours than the pixels have.
    "colour profile (damaged, or made for other colours)": lambda was, now: was.icc is not None and was.icc != now.icc,
    "EXIF block": lambda was, now: was.exif is not None and now.exif is None,  # AVIF's encoder writes it anew
    "orientation": lambda was, now: was.orientation != now.orientation,
    "XMP block": lambda was, now: was.xmp is not None and was.xmp != now.xmp,
    "IPTC block": lambda was, now: was.iptc is not None and was.iptc != now.iptc,
    "resolution": lambda was, now: _is_other(was.resolution, now.resolution),
}


def _difference(page: Picture, again: Picture, encoding: Encoding) -> str | None:
    kinds = [
        (p.pixels.shape, p.scale.dtype if p.scale else p.pixels.dtype.name, p.alpha is not None) for p in (page, again)
    ]
    if kinds[0] != kinds[1]:
        return f"{kinds[1]} instead of {kinds[0]} (shape, type, alpha)"
    if tiffalpha.is_premultiplied(page, encoding):
        apart, most = tiffalpha.levels_apart(page, again)
    else:
        apart = _levels_apart(page.pixels, again.pixels, again.scale, page.scale)
        if page.alpha is not None and again.alpha is not None:
            apart = max(apart, _levels_apart(page.alpha, again.alpha))
        most = 0.0 if encoding.lossless else 8 if (encoding.quality or 100) >= 25 else 40
    if page.scale:  # rounded to whole numbers, or to floats of another kind
        most += 255 * max(1 / (page.scale.white - page.scale.black) if page.scale.dtype.startswith("int") else 0, 1e-3)
    return f"it differs by {apart:.2g} levels of 255" if apart > most else None


def _levels_apart(was: Array, now: Array, now_scale: Scale | None = None, was_scale: Scale | None = None) -> float:
    """The mean difference, on a scale to 255."""
    total = 0.0
    white = 1.0 if was.dtype.kind == "f" else float(np.iinfo(was.dtype).max)
    for rows in bands(was):
        stored = scale.rescaled(now[rows], now_scale, was_scale)
        total += float(cv2.norm(was[rows], stored, cv2.NORM_L1))
        release(now)
    return 255 * total / was.size / white
