"""TIFF files, page by page: each has its own size, resolution, profile and tags."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from folderdenoise.codecs import (
    decoding,
    headers,
    jpegheader,
    photoshop,
    recode,
    scale,
    tiff,
    tiffalpha,
    tiffimagej,
    tiffpage,
    tiffwriter,
    vips,
)
from folderdenoise.codecs.picture import Encoding, ImageFile, Limits, Metadata, Picture

_RGB_FROM = 90  # the JPEG quality from which on libvips does not subsample chroma in a TIFF
_PREDICTORS = {1: "none", 2: "horizontal", 3: "float"}
_MOST_PAGES = 10_000  # all their pixels are decoded before the first is denoised
_FAX = 4  # the number of CCITT group 4
_CLASSIC_LIMIT = 2**32 - 2**26  # bytes that a classic TIFF can address, less room for its directories


def read(path: Path, limits: Limits) -> ImageFile:
    """TIFF and BigTIFF: integers of 1 to 16 bits, 32-bit float, gray, RGB, CMYK and palette, up to 10,000 pages."""
    with path.open("rb") as file:
        reader = tiff.Reader(file)
        directories = list(itertools.islice(reader.directories(), _MOST_PAGES + 1))
        if len(directories) > _MOST_PAGES:
            what = f"it has more than {_MOST_PAGES:,} pages (smaller copies included)"
            raise vips.unsupported(path, what, "split it into several files first")
        notes, total = list[str](), 0.0
        kinds = [tiffpage.PageKind.of(directory) for directory in directories]
        _refuse_hidden(path, reader, directories, kinds)
        full = [i for i, kind in enumerate(kinds) if not kind.reduced]
        if not full:
            problem = next((kind.problem() for kind in kinds if kind.raw_camera), None)
            if problem:
                raise vips.unsupported(path, f"it is {problem[0]}", problem[1])
            raise headers.HeaderError("it holds no picture")
        if len(full) < len(kinds):
            notes.append(tiffpage.OVERVIEWS_NOTE)
        for i in full:
            number = f"page {i + 1}" if len(full) > 1 else "it"
            problem = kinds[i].problem()
            if problem:
                raise vips.unsupported(path, f"{number} is {problem[0]}", problem[1])
            total += kinds[i].width * kinds[i].height / 1e6
        vips.guard(path, kinds[full[0]].width, kinds[full[0]].height, total, limits.megapixels, len(full))
        pages = [_page(path, reader, directories[i], kinds[i], limits, i, notes) for i in full]
        encodings = [_encoding(reader, directories[i], kinds[i], notes) for i in full if not kinds[i].bilevel]
    if any(
        replace(encoding, bit_depth=encodings[0].bit_depth, premultiplied=encodings[0].premultiplied) != encodings[0]
        for encoding in encodings
    ):
        notes.append("all pages are stored with the compression of the first")
    named = [kinds[i] for i in full if not (kinds[i].bilevel or kinds[i].unnamed_channel)]
    if any(kind.premultiplied != encodings[0].premultiplied for kind in named):
        notes.append(tiffalpha.MIXED_NOTE)
    for i in full:
        notes += [note for note in kinds[i].notes() if note not in notes]
        if numbers := tiff.pointing(directories[i]):
            notes.append(f"tags that point into the file ({', '.join(map(str, numbers))}) were dropped")
    if encodings and tiffpage.BILEVEL_NOTE in notes:
        notes.remove(tiffpage.BILEVEL_NOTE)
        is_fax = all(kinds[i].compression == _FAX for i in full if kinds[i].bilevel)
        notes.append(tiffpage.BILEVEL_PAGES_NOTE + ("" if is_fax else ", compressed as fax (CCITT group 4)"))
    for page in pages:
        if page.scale and (page.scale.black, page.scale.white) != (0, 1):
            notes.append(f"its values were taken from {page.scale.black:g} (black) to {page.scale.white:g} (white)")
    encoding = (
        encodings[0] if encodings else Encoding("tiff", 1, compression="deflate", predictor="none", bigtiff=reader.big)
    )
    return ImageFile(tuple(pages), encoding, tuple(dict.fromkeys(notes)))


def _page(
    path: Path,
    reader: tiff.Reader,
    directory: tiff.Directory,
    kind: tiffpage.PageKind,
    limits: Limits,
    index: int,
    notes: list[str],
) -> Picture:
    resolution, unit = tiffpage.resolution(directory)
    metadata = Metadata(
        exif=tiffwriter.exif_block(_carried(directory, notes)),
        iptc=tiffpage.iptc(directory),
        orientation=kind.orientation,
        resolution=resolution,
        resolution_unit=unit,
    )
    # Of damaged tiles libvips tells at "warning" only. Strips of intact files can fail there, for a repeated tag.
    strictness = "warning" if kind.tile else "error"
    if not recode.needed(kind):
        page = decoding.decode(path, "tiffload", metadata, limits, page=index, fail_on=strictness)
        return _told(scale.read(path, page, limits.scratch), kind)
    try:
        files = recode.readable(reader, directory, kind)  # libvips looks into them until the picture is there
        planes = [vips.opened(path, "tiffload", data, fail_on=strictness) for data in files]
        meaning = {1: "b-w", 3: "srgb", 4: "cmyk"}.get(kind.colours or 0, "multiband")
        image = planes[0] if len(planes) == 1 else planes[0].bandjoin(planes[1:]).copy(interpretation=meaning)
        if (image.width, image.height) != (kind.width, kind.height):
            raise headers.HeaderError("its header contradicts itself")
        if recode.multiplied(kind):
            image = vips.unpremultiplied(image)
        page = vips.picture(path, image, metadata, limits.scratch)
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error
    page = replace(page, pixels=page.pixels.view(np.float16)) if kind.is_half else page
    return _told(scale.read(path, page, limits.scratch), kind)


def _told(page: Picture, kind: tiffpage.PageKind) -> Picture:
    """The page with what only its tags say."""
    return replace(
        page,
        bilevel=kind.bilevel,
        bit_depth=_depth(kind),
        white_is_zero=kind.white_is_zero,
        unnamed_channel=page.alpha is not None and kind.unnamed_channel,
    )


def _depth(kind: tiffpage.PageKind) -> int:
    return 1 if kind.bilevel else max(kind.bits[0], 8)


def _refuse_hidden(
    path: Path, reader: tiff.Reader, directories: list[tiff.Directory], kinds: list[tiffpage.PageKind]
) -> None:
    """Raise UnsupportedImageError for pictures that are no pages: they would be lost."""
    if directories and (count := tiffpage.further_images(directories[0], len(directories), path.stat().st_size)):
        what = f"it is a stack with {count} more images than it has pages for (ImageJ and MetaMorph write such)"
        raise vips.unsupported(path, what, "save it as a TIFF with a page for each image first")
    for directory, kind in zip(directories, kinds, strict=True):
        for offset in directory[330].integers if kind.copies and not kind.raw_camera else ():
            with contextlib.suppress(headers.HeaderError):
                inner = tiffpage.PageKind.of(reader.directory(offset)[0])
                if inner.width * inner.height >= kind.width * kind.height or (kind.reduced and not inner.reduced):
                    what = "it has a picture inside another's directory (SubIFD) that is no smaller copy of that"
                    raise vips.unsupported(path, what, "save that picture as a TIFF of its own first")


def _carried(directory: tiff.Directory, notes: list[str]) -> dict[int, tiff.Field]:
    fields = tiff.carried(directory)
    if not tiffimagej.turn(fields):
        notes.append(tiffimagej.LOST_NOTE)
    if block := fields.get(tiff.PHOTOSHOP):
        fields[tiff.PHOTOSHOP] = replace(block, data=photoshop.without_thumbnail(block.data))
    return fields


def _encoding(reader: tiff.Reader, directory: tiff.Directory, kind: tiffpage.PageKind, notes: list[str]) -> Encoding:
    compression = tiffpage.COMPRESSIONS[kind.compression]
    quality, subsampling = None, None
    if compression == "jpeg" and not kind.keeps_jpeg:
        compression = "deflate"
    elif compression == "jpeg":
        quality = jpegheader.tables_quality(kind.jpeg_tables, reader.first_chunk(directory))
        if quality is None:
            quality = decoding.LOSSY_QUALITY
            notes.append(decoding.NO_QUALITY)
        if kind.colours == 3:
            subsampling = "4:2:0" if kind.keeps_ycbcr and quality < _RGB_FROM else "4:4:4"
            if kind.photometric == 6 and subsampling == "4:4:4":
                notes.append("its YCbCr colours were stored as RGB")
    return Encoding(
        "tiff",
        _depth(kind),
        quality,
        subsampling,
        lossless=compression != "jpeg",
        compression=compression,
        predictor=_PREDICTORS.get(kind.predictor, "none"),
        tile=kind.tile,
        bigtiff=reader.big,
        premultiplied=kind.premultiplied,
    )


def write(image: ImageFile, path: Path) -> None:
    """Write a TIFF file, in the file itself: it may be larger than the memory."""
    raw = sum(page.pixels.nbytes + (0 if page.alpha is None else page.alpha.nbytes) for page in image.pages)
    big = image.encoding.bigtiff or raw > _CLASSIC_LIMIT
    name = image.encoding.compression or "none"
    pages = list(image.pages)
    if name not in recode.NUMBERS:
        _encode(pages[0], image.encoding, big, path)
    with path.open("r+b" if name not in recode.NUMBERS else "w+b") as file:
        assembler = tiffwriter.Assembler(file, big=big)
        if name not in recode.NUMBERS:
            assembler.finish_first(_tags(pages.pop(0), image.encoding))
        for page in pages:
            encoded = io.BytesIO(_encode(page, image.encoding, big))
            tags = _tags(page, image.encoding)
            if name in recode.NUMBERS and not page.bilevel:
                tags |= recode.compression_field(name)
                assembler.append(encoded, tags, functools.partial(recode.recompress, name))
            else:
                assembler.append(encoded, tags)


def _encode(page: Picture, encoding: Encoding, big: bool, target: Path | None = None) -> bytes:
    premultiplied = tiffalpha.is_premultiplied(page, encoding)
    return vips.encode(page, "tiffsave", _options(page, encoding, big), target=target, premultiplied=premultiplied)


def _tags(page: Picture, encoding: Encoding) -> dict[int, tiff.Field]:
    metadata = page.metadata
    tags = tiff.carried(tiff.exif_fields(metadata.exif)) if metadata.exif else {}
    tags[274] = tiff.Field(3, struct.pack("<H", metadata.orientation))
    if metadata.iptc:  # libvips stores a quarter of it: it counts in four-byte numbers, libtiff in bytes
        tags[33723] = tiff.Field(7, metadata.iptc)
    if page.scale and page.scale.dtype == "float16":
        tags[339] = tiff.Field(3, struct.pack("<H", 3) * page.pixels.shape[2])
    if page.white_is_zero:
        tags[262] = tiff.Field(3, struct.pack("<H", 0))
    if page.unnamed_channel or tiffalpha.is_premultiplied(page, encoding):
        tags[338] = tiff.Field(3, struct.pack("<H", 0 if page.unnamed_channel else 1))
    return {**tags, **tiffpage.resolution_fields(metadata.resolution, metadata.resolution_unit)}


def _options(page: Picture, encoding: Encoding, big: bool) -> dict[str, object]:
    if page.bilevel and page.pixels.shape[2] == 1 and page.alpha is None:
        return {"compression": "ccittfax4", "bitdepth": 1, "bigtiff": big}
    name = encoding.compression or "none"
    compression = "deflate" if name in recode.NUMBERS else name
    options: dict[str, object] = {"compression": compression, "bigtiff": big}
    if compression in ("deflate", "lzw"):
        kind = page.scale.dtype if page.scale else page.pixels.dtype.name
        floating = kind == "float32"
        options["predictor"] = (
            encoding.predictor if (encoding.predictor == "float") == floating and kind != "float16" else "none"
        )
    if compression == "jpeg":
        options |= {"Q": encoding.quality, "rgbjpeg": encoding.subsampling == "4:4:4"}
        if page.alpha is not None or page.pixels.dtype != np.uint8:
            options = {"compression": "deflate", "bigtiff": big}
    if encoding.tile:
        options |= {"tile": True, "tile_width": encoding.tile[0], "tile_height": encoding.tile[1]}
    return options
