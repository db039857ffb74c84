"""Decoding and encoding of pixels through libvips (the ``pyvips`` binding), one page at a time.

libvips decodes strictly (a file that is cut off is an error, not half a picture) and encodes pixels with
profile, XMP and IPTC. EXIF blocks are put back byte for byte by ``containers``, because re-writing one
damages maker notes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from folderdenoise.codecs import scale
from folderdenoise.codecs.picture import Array, Encoding, Metadata, Picture, shown
from folderdenoise.errors import UnreadableImageError, UnsupportedImageError
from folderdenoise.scratch import Scratch, bands, release, root

os.environ.setdefault("VIPS_WARNING", "0")  # before libvips starts: its warnings would litter the progress bar
import pyvips

pyvips.cache_set_max(0)  # no result is kept: each file is read anew, and its memory goes back

Error: type[Exception] = pyvips.Error

_DTYPES = {"uchar": np.uint8, "char": np.int8, "ushort": np.uint16, "short": np.int16, "float": np.float32}
_FORMATS = {np.dtype(kind).name: name for name, kind in _DTYPES.items()}
_BLOBS = {"icc": "icc-profile-data", "xmp": "xmp-data", "iptc": "iptc-data"}
_FULL_ALPHA = {"uchar": 255, "ushort": 65535, "float": 1}
_KEEP = pyvips.ForeignKeep.ICC | pyvips.ForeignKeep.XMP | pyvips.ForeignKeep.IPTC | pyvips.ForeignKeep.OTHER


def reason(error: Exception) -> str:
    """The library's own words, on one line, without the names of its functions."""
    lines = [re.sub(r"^\w+?(_source|_target|_buffer)?: ", "", line.strip()) for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("unable to call")]
    return "; ".join(dict.fromkeys(lines)) or "no reason given"


def damaged(path: Path, why: str) -> UnreadableImageError:
    """The error for a file that does not decode whole."""
    return UnreadableImageError(
        f"{shown(path)}: the file is damaged or cut off and cannot be decoded whole; get a fresh copy of it [{why}]"
    )


def pixel_bytes(path: Path) -> int | None:
    """Width × height × pages × bands × bytes each, going by the header; None for what libvips does not read."""
    try:
        image = pyvips.Image.new_from_source(pyvips.Source.new_from_file(os.fsencode(path)), "")
    except pyvips.Error:
        return None
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    each = np.dtype(_DTYPES[image.format]).itemsize if image.format in _DTYPES else 8
    return int(image.width) * int(image.height) * int(pages) * int(image.bands) * each


def set_threads(count: int) -> None:
    """How many processor threads libvips may take for one image."""
    pyvips.concurrency_set(count)


def opened(path: Path, loader: str, data: bytes | None = None, **options: object) -> Any:
    """A lazy libvips image: header read, pixels not yet. ``data`` instead of ``path`` for formats that
    libvips would map into memory: a file cut short during that would end the process.

    Names go in as bytes: libvips takes square brackets at the end of a text name for options.
    """
    source = pyvips.Source.new_from_memory(data) if data is not None else pyvips.Source.new_from_file(os.fsencode(path))
    return getattr(pyvips.Image, f"{loader}_source")(source, access="sequential", **options)


def unsupported(path: Path, what: str, todo: str) -> UnsupportedImageError:
    """The error for an intact file of a kind that is not denoised: what it is, what to do."""
    return UnsupportedImageError(f"{shown(path)}: {what}; {todo}")


def guard(path: Path, width: int, height: int, megapixels: float, most: float, pages: int = 1) -> None:
    """Refuse pictures of more than ``most`` megapixels together. Raises UnsupportedImageError."""
    if megapixels > most:
        size = f"{width} × {height} pixels" + (f" on {pages} pages" if pages > 1 else "")
        many = f"{megapixels:,.0f}" if megapixels >= 10 else f"{megapixels:.2g}"
        raise UnsupportedImageError(
            f"{shown(path)}: {size} ({many} megapixels) are more than the limit of "
            f"{most:,.10g} megapixels; if you trust the file, raise the limit with --max-megapixels"
        )


def picture(path: Path, image: Any, metadata: Metadata, scratch: Scratch) -> Picture:
    """Decode all pixels, where ``scratch`` gives room for them. ``metadata`` is completed with the profile, XMP and
    IPTC that libvips found.

    Raises UnsupportedImageError for channels that are neither gray, RGB nor CMYK, pyvips.Error where decoding fails,
    OutputError where the disk has no room.
    """
    colours = colour_channels(image)
    if image.format not in _DTYPES or not 0 <= image.bands - colours <= 1:
        what = f"{image.bands} channels of type {image.format} ({image.interpretation}) are not supported"
        raise unsupported(path, what, "convert it to 8- or 16-bit RGB or grayscale first")
    array = pixels(image, scratch)
    blobs = {name: bytes(image.get(key)) if image.get_typeof(key) else None for name, key in _BLOBS.items()}
    metadata = replace(metadata, icc=blobs["icc"], xmp=blobs["xmp"], iptc=metadata.iptc or blobs["iptc"])
    alpha = array[..., colours] if image.bands > colours else None
    return Picture(array[..., :colours], alpha, metadata)


def colour_channels(image: Any) -> int:
    """How many of the bands are colours: 1, 3 or, of print colours, 4; 0 for colours of another kind."""
    if image.interpretation == "cmyk":
        return 4
    return 0 if image.interpretation in ("lab", "labs") else 1 if image.bands < 3 else 3


def pixels(image: Any, scratch: Scratch) -> Array:
    """The pixels (H, W, bands) of a lazy image. Raises pyvips.Error and OutputError."""
    shape = (image.height, image.width, image.bands)
    array = scratch.empty(shape, _DTYPES[image.format])
    if root(array) is None:
        array[...] = image.numpy().reshape(shape)
        return array
    region = pyvips.Region.new(image)
    for rows in bands(array):
        part = array[rows]
        part[...] = np.frombuffer(region.fetch(0, rows.start, image.width, len(part)), array.dtype).reshape(part.shape)
    return array


def profile(name: str) -> bytes:
    """One of libvips' own colour profiles."""
    return bytes(pyvips.Operation.call("profile_load", name))


def encode(
    image: Picture,
    saver: str,
    options: Mapping[str, object],
    *,
    target: Path | None = None,
    exif: bytes | None = None,
    premultiplied: bool = False,
) -> bytes:
    """Encode one picture by libvips' ``saver`` ("jpegsave", ...); into the file ``target`` where given.

    ``exif`` goes through libvips, which rewrites it. ``premultiplied``: with colours multiplied by alpha. Raises
    pyvips.Error.
    """
    vips = lazy(image, premultiplied=premultiplied)
    x, y = image.metadata.resolution or (1.0, 1.0)
    vips = vips.copy(xres=x, yres=y)
    _let_go_on_the_way(vips, image)
    _set_blobs(vips, image.metadata, exif)
    keep = _KEEP if exif is None else _KEEP | pyvips.ForeignKeep.EXIF
    if target is None:
        return bytes(getattr(vips, f"{saver}_buffer")(keep=keep, **options))
    getattr(vips, f"{saver}_target")(pyvips.Target.new_to_file(os.fsencode(target)), keep=keep, **options)
    return b""


def encode_frames(
    frames: Sequence[Any], saver: str, options: Mapping[str, object], encoding: Encoding, metadata: Metadata
) -> bytes:
    """Encode frames of one size as an animation, or as a still if it is one. ``metadata`` is stored but for resolution.
    Raises pyvips.Error."""
    roll = pyvips.Image.arrayjoin(list(frames), across=1).copy(interpretation="srgb")
    roll.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    if len(frames) > 1:
        roll.set_type(pyvips.GValue.array_int_type, "delay", list(encoding.delays))
    # Of a still, too: a GIF would else be said to be shown for ever.
    roll.set_type(pyvips.GValue.gint_type, "loop", encoding.loop)
    _set_blobs(roll, metadata, metadata.exif)
    keep = _KEEP if metadata.exif is None else _KEEP | pyvips.ForeignKeep.EXIF
    return bytes(getattr(roll, f"{saver}_buffer")(keep=keep, **options))


def _set_blobs(vips: Any, metadata: Metadata, exif: bytes | None) -> None:
    for name, key in _BLOBS.items():
        blob = getattr(metadata, name)
        if blob is not None:
            vips.set_type(pyvips.GValue.blob_type, key, blob)
    if exif is not None:
        vips.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + exif)


def lazy(image: Picture, *, premultiplied: bool = False) -> Any:
    """The pixels with alpha as a libvips image of what the file is to hold, not copied but for 16-bit floats."""
    pixels, alpha, kept = image.pixels, image.alpha, image.scale
    if kept is not None and kept.dtype == "float16":
        (pixels, alpha), kept = scale.halves(image), None
    vips = _array(pixels)
    if kept is not None:
        # Strip by strip on the way to the file: a copy would be as large as the image.
        limits = np.iinfo(kept.dtype) if kept.dtype.startswith("int") else np.finfo(kept.dtype)
        vips = vips.cast("double").linear(kept.white - kept.black, kept.black)
        vips = vips.rint() if kept.dtype.startswith("int") else vips
        vips = vips.clamp(min=float(limits.min), max=float(limits.max)).cast(_FORMATS[kept.dtype])
    if image.white_is_zero and pixels.dtype.kind == "u":
        vips = vips.invert()
    if alpha is not None:
        vips = vips.bandjoin(_array(alpha))
        vips = _whole(vips.premultiply(max_alpha=_FULL_ALPHA[vips.format]), vips.format) if premultiplied else vips
    meaning = {1: "b-w", 3: "srgb"} if pixels.dtype != np.uint16 else {1: "grey16", 3: "rgb16"}
    return vips.copy(interpretation=(meaning | {4: "cmyk"})[image.pixels.shape[2]])


def unpremultiplied(image: Any) -> Any:
    """A lazy image, the last band of which is the alpha that its colours are multiplied by, with plain colours."""
    # The value of full alpha is said here: libvips goes by what it calls the colours, and takes 255 for most floats.
    return _whole(image.unpremultiply(max_alpha=_FULL_ALPHA[image.format]), image.format)


def _whole(image: Any, kind: str) -> Any:
    return (image if kind == "float" else image.rint()).cast(kind)


def _array(values: Array) -> Any:
    if values.dtype == np.float16:  # libvips knows only that they are two bytes each
        values = values.view(np.uint16)
    height, width = values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    whole = root(values)
    if whole is None:
        data = np.ascontiguousarray(values)
        return pyvips.Image.new_from_memory(data, width, height, channels, _FORMATS[data.dtype.name])
    # Some channels of a scratch file: a contiguous copy of them would be as large as the image.
    total = whole.shape[2]
    file = pyvips.Image.new_from_memory(whole, width, height, total, _FORMATS[whole.dtype.name])
    first = (values.ctypes.data - whole.ctypes.data) // whole.itemsize
    return file if channels == total else file.extract_band(first, n=channels)


def _let_go_on_the_way(vips: Any, image: Picture) -> None:
    """Release the scratch files behind an image while libvips walks over it."""
    arrays = [array for array in (image.pixels, image.alpha) if array is not None and root(array) is not None]
    if not arrays:
        return
    last = -1

    def walked(_: Any, progress: Any) -> None:
        nonlocal last
        if progress.percent != last:
            last = progress.percent
            release(*arrays)

    vips.set_progress(True)
    vips.signal_connect("eval", walked)
