"""``--format`` and ``--quality``: the same pictures as another format stores them, and what it cannot hold."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from folderdenoise.codecs import animations, decoding, jp2, photoshop, tiff, tiffpage, tiffwriter
from folderdenoise.codecs.picture import Array, Encoding, ImageFile, Metadata, Picture
from folderdenoise.errors import UnsupportedImageError

SUFFIXES = {"png": ".png", "tiff": ".tif", "jpeg": ".jpg", "webp": ".webp"}
"""Formats that files can be converted to -> the suffix of their names."""

_QUALITY = {"jpeg": 95, "webp": 90}
_LARGEST = {"jpeg": 65535, "webp": 16383, "png": 2**31 - 1, "tiff": 2**31 - 1}
_COLOURS = {b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"colour space"}  # parts of PNG and BMP files
_NO_TEXT = {b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"tIME", b"jp2h/colr", b"jp2h/res "}
_LONGEST_EXIF = 65527  # bytes, in a segment of a JPEG


def with_quality(image: ImageFile, quality: int) -> ImageFile:
    """The same to be stored with ``quality`` (1 to 100), if its format is a lossy one."""
    encoding = image.encoding
    views = tuple(replace(view, quality=quality) for view in encoding.views)
    if encoding.lossless:
        return image
    notes = tuple(note for note in image.notes if note != decoding.NO_QUALITY)
    return replace(image, encoding=replace(encoding, quality=quality, views=views), notes=notes)


def converted(image: ImageFile, target: str, quality: int | None = None) -> ImageFile:
    """The file as ``target`` ("png", "tiff", "jpeg" or "webp") can hold it, with notes about what that changed.

    A file of that format already comes back as it is. ``quality`` (1 to 100) is for lossy storage; WebP is lossless
    without it where the file was. Raises UnsupportedImageError for pages, print colours or sizes that the format does
    not have.
    """
    source = image.encoding
    if source.format == target:
        return image
    refuse(image, target)
    stays = {tiffpage.BILEVEL_NOTE: "bilevel (black and white only): there is no noise to remove"}
    notes = [stays.get(note, note) for note in image.notes if note not in (decoding.NO_QUALITY, animations.FEW_COLOURS)]
    pages = tuple(_page(page, target, source, notes) for page in image.pages)
    if target == "webp" and all(page.alpha is not None and (page.alpha == 255).all() for page in pages):
        pages = tuple(replace(page, alpha=None) for page in pages)  # a WebP leaves out what hides nothing
    first_page = pages[0]
    first = first_page.pixels
    lossless = target in ("png", "tiff") or (target == "webp" and quality is None and source.lossless)
    if not lossless:
        quality = quality or (None if source.lossless else source.quality) or _QUALITY[target]
        notes.append(f"stored with loss, at quality {quality}")
    is_bilevel = target in ("png", "tiff") and all(page.bilevel and page.alpha is None for page in pages)
    encoding = Encoding(
        target,
        1 if is_bilevel else 8 * first.dtype.itemsize,
        None if lossless else quality,
        subsampling=source.subsampling or "4:4:4" if target == "jpeg" and first.shape[2] == 3 else None,
        lossless=lossless,
        compression="deflate" if target == "tiff" else None,
        predictor="float" if first.dtype == np.float32 else "horizontal",
        delays=source.delays if target == "webp" else (),
        loop=source.loop,
        frame_times=tuple((delay, 1000) for delay in source.delays) if target == "png" else (),
    )
    names = {name for name, data in source.chunks if not jp2.is_metadata(name, data)}
    if source.format in ("jpeg", "png", "gif", "pnm", "jp2") and names - _COLOURS - _NO_TEXT:
        notes.append("its comments or text were dropped")
    if names & (_COLOURS if b"sRGB" not in names else {b"cICP"}) and not first_page.metadata.icc:
        notes.append("what it said of its colours without a profile was dropped")
    if any(data is not None for _, data in source.behind.parts):
        notes.append("what stood behind the picture (a film, a gain map or the like) was dropped")
    if (source.delays or source.frame_times) and target not in ("webp", "png"):
        notes.append("the timing of its frames was dropped")
    return ImageFile(pages, encoding, tuple(dict.fromkeys(notes)))


def refuse(image: ImageFile, target: str) -> None:
    """Raise UnsupportedImageError for pages, print colours or sizes that ``target`` does not have."""
    if image.encoding.format == target:
        return
    name, first = target.upper(), image.pages[0].pixels
    if len(image.pages) > 1 and not (target == "tiff" or (target in ("webp", "png") and image.encoding.delays)):
        what = f"it holds {len(image.pages)} pages, which a {name} file does not; convert it with --format tiff"
    elif first.shape[2] == 4 and target in ("png", "webp"):
        what = f"it is in print colours (CMYK), which {name} files do not hold; convert it with --format tiff or jpeg"
    elif max(first.shape[:2]) > _LARGEST[target]:
        what = f"a {name} file holds at most {_LARGEST[target]} pixels a side; convert it with --format tiff"
    else:
        return
    raise UnsupportedImageError(what)


def _page(page: Picture, target: str, source: Encoding, notes: list[str]) -> Picture:
    pixels, alpha, metadata = page.pixels, page.alpha, page.metadata
    deepest = {"jpeg": np.uint8, "webp": np.uint8, "png": np.uint16}.get(target)
    if deepest is not None and pixels.dtype.itemsize > np.dtype(deepest).itemsize:
        kind = page.scale.dtype if page.scale else "32-bit float" if pixels.dtype == np.float32 else "16"
        notes.append(f"stored with {8 * np.dtype(deepest).itemsize} bits a sample in place of {kind}")
        pixels, alpha = _as(pixels, deepest), None if alpha is None else _as(alpha, deepest)
    if alpha is not None and target == "jpeg":
        alpha = None
        notes.append("its transparency was dropped")
    if alpha is not None and page.unnamed_channel:
        notes.append("its extra channel, which it does not call alpha, was stored as transparency")
    if pixels.shape[2] == 1 and target == "webp":
        pixels = np.repeat(pixels, 3, axis=2)
        notes.append("its gray was stored as RGB")
        if metadata.icc is not None:
            metadata = replace(metadata, icc=None)
            notes.append("its gray colour profile was dropped")
    return Picture(
        pixels, alpha, _metadata(metadata, target, source, notes), page.bilevel and target in ("png", "tiff")
    )


def _as(values: Array, kind: type[np.unsignedinteger]) -> Array:
    white = np.iinfo(kind).max
    scale = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    # Row by row: the whole image as floats would take eight times its memory.
    result = np.empty(values.shape, kind)
    for row, line in zip(result, values, strict=True):
        row[...] = np.rint(np.clip(line / scale, 0, 1) * white)
    return result


def _metadata(metadata: Metadata, target: str, source: Encoding, notes: list[str]) -> Metadata:
    """With what the other format has elsewhere: a TIFF has orientation, IPTC and Photoshop's block in tags of their
    own, a JPEG has IPTC inside Photoshop's block, and an AVIF's decoder has turned the picture."""
    fields = dict(tiff.exif_fields(metadata.exif)) if metadata.exif else {}
    if target == "tiff":
        if source.format != "jpeg" or metadata.iptc is None:
            return metadata
        fields[tiff.PHOTOSHOP] = tiff.Field(1, photoshop.resources(metadata.iptc))
        return replace(metadata, exif=tiffwriter.exif_block(fields), iptc=photoshop.iptc(metadata.iptc))
    if metadata.resolution is not None and metadata.resolution_unit is None:
        # Of other formats a PNG would make it dots a metre. One by one is what programs write that know of none.
        if metadata.resolution != (1, 1):
            notes.append("its resolution, which has no unit, was dropped")
        metadata = replace(metadata, resolution=None)
    if target == "jpeg" and tiff.PHOTOSHOP in fields:
        metadata = replace(metadata, iptc=photoshop.jpeg_segment(fields[tiff.PHOTOSHOP].data))
    elif target == "jpeg" and metadata.iptc is not None:
        metadata = replace(metadata, iptc=photoshop.jpeg_segment(photoshop.resource(metadata.iptc)))
    if metadata.exif and not fields:
        if target == "jpeg" and len(metadata.exif) > _LONGEST_EXIF:
            notes.append("its EXIF block, which is damaged and too long for a JPEG, was dropped")
            return replace(metadata, exif=None)
        return metadata  # a new block in place of a damaged one would hide that there was one
    stored = fields[tiff.ORIENTATION].integers[:1] if tiff.ORIENTATION in fields else (1,)
    fits = target != "jpeg" or len(metadata.exif or b"") <= _LONGEST_EXIF
    if target == "webp" and (not fields or source.format == "tiff"):
        # A WebP has no other place for it.
        resolution = tiffpage.resolution_fields(metadata.resolution, metadata.resolution_unit)
        fits, fields = fits and not resolution, fields | resolution
    if stored == (metadata.orientation,) and source.format != "tiff" and fits:
        return metadata
    # Rebuilt only where it must be: camera makers' notes may hold offsets that this changes.
    fields[tiff.ORIENTATION] = tiff.Field(3, struct.pack("<H", metadata.orientation))
    for tag in (tiff.NEW_SUBFILE_TYPE, tiff.PHOTOSHOP):
        fields.pop(tag, None)
    block = tiffwriter.exif_block(fields) or b""
    while target == "jpeg" and len(block) > _LONGEST_EXIF:
        largest = max(fields, key=lambda tag: len(tiffwriter.exif_block({tag: fields[tag]}) or b""))
        del fields[largest]
        notes.append(f"a tag that is too long for a JPEG (number {largest}) was dropped")
        block = tiffwriter.exif_block(fields) or b""
    return replace(metadata, exif=block or None)
