"""A file <-> its pictures, with everything around the pixels that must survive.

``read`` takes a file apart into an ``ImageFile``; ``write`` stores one the way the original was stored. Which
decoder reads a file is decided by its first bytes, never by its name. Pixels are as stored: no colour
conversion (the profile stays attached), no turning (the orientation tag stays).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from folderdenoise.codecs import containers, kinds, opencv, readers, vips, writers
from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.kinds import EXTENSIONS, UNSUPPORTED_EXTENSIONS
from folderdenoise.codecs.picture import Array, Encoding, ImageFile, Metadata, Picture, shown
from folderdenoise.errors import OutputError, UnreadableImageError

__all__ = [
    "EXTENSIONS",
    "UNSUPPORTED_EXTENSIONS",
    "Array",
    "Encoding",
    "ImageFile",
    "Metadata",
    "Picture",
    "read",
    "write",
]

_READERS: Mapping[str, Callable[[Path, float], ImageFile]] = {
    "jpeg": readers.read_jpeg,
    "png": readers.read_png,
    "tiff": readers.read_tiff,
    "webp": readers.read_webp,
    "avif": readers.read_avif,
    "bmp": opencv.read_bmp,
    "pnm": opencv.read_pnm,
    "jp2": opencv.read_jp2,
}
_WRITERS: Mapping[str, Callable[[Picture, Encoding], containers.Pieces]] = {
    "jpeg": writers.jpeg,
    "png": writers.png,
    "webp": writers.webp,
    "avif": writers.avif,
    "bmp": lambda page, encoding: [opencv.encode_bmp(page)],
    "pnm": lambda page, encoding: [opencv.encode_pnm(page, encoding)],
    "jp2": lambda page, encoding: [opencv.encode_jp2(page, encoding)],
}


def read(path: Path, *, max_megapixels: float = 2000.0) -> ImageFile:
    """Read and decode a file completely.

    All pages together may have ``max_megapixels`` million pixels. Raises UnreadableImageError for a file that
    is missing, not readable, no image, damaged or cut off; UnsupportedImageError for an intact one of a kind
    that is not denoised (the message says which, and what to do) or larger than the limit.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImageError(f"{shown(path)}: a folder, device or pipe and not a file; give a file")
        with path.open("rb") as file:
            start = file.read(1024)
        return _READERS[_format(path, start)](path, max_megapixels)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise UnreadableImageError(
            f"{shown(path)}: cannot be opened; check that it exists and may be read [{what}]"
        ) from error
    except HeaderError as error:
        raise vips.damaged(path, str(error)) from error


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


def write(image: ImageFile, path: Path) -> tuple[str, ...]:
    """Store ``image`` the way its ``encoding`` says, in the file ``path``, whatever its suffix.

    Returns notes, in plain words, about what the format could not hold. Raises OutputError where the file
    cannot be written; what is there then is for the caller to remove.
    """
    path = Path(path)
    try:
        if image.encoding.format == "tiff":
            writers.tiff_file(image, path)
        else:
            pieces = _WRITERS[image.encoding.format](image.pages[0], image.encoding)
            with path.open("wb") as file:
                file.writelines(pieces)
    except (OSError, vips.Error, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else vips.reason(error)
        raise OutputError(
            f"{shown(path)}: cannot be written; check the disk's free space and your rights [{what}]"
        ) from error
    return ()
