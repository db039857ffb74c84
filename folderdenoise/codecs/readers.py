"""One reader for each format that libvips decodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from folderdenoise.codecs import headers, tiff, tiffpage, vips
from folderdenoise.codecs.picture import Encoding, ImageFile, Metadata, Picture
from folderdenoise.errors import UnreadableImageError

LOSSY_QUALITY = 90
_NO_QUALITY = f"it does not say with what quality it was compressed: stored with quality {LOSSY_QUALITY}"
_SINGLE = "save the frames as single images first"
_PREDICTORS = {1: "none", 2: "horizontal", 3: "float"}


def _decode(
    path: Path,
    loader: str,
    metadata: Metadata,
    max_megapixels: float,
    data: bytes | None = None,
    **options: object,
) -> Picture:
    try:
        image = vips.opened(path, loader, data, **options)
        vips.guard(path, image.width, image.height, image.width * image.height / 1e6, max_megapixels)
        return vips.picture(path, image, metadata)
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error


def _exif(block: bytes | None) -> tuple[bytes | None, int, tuple[tuple[float, float] | None, str | None]]:
    """The block without thumbnail, the orientation and the resolution in it."""
    if not block:
        return None, 1, (None, None)
    block = tiff.without_thumbnail(block)
    fields = tiff.exif_fields(block)
    return block, tiffpage.orientation(fields), tiffpage.resolution(fields)


def read_jpeg(path: Path, max_megapixels: float) -> ImageFile:
    """Baseline and progressive JPEG, gray or colour, 8 bits."""
    with path.open("rb") as file:
        header = headers.jpeg(file)
    if header.components not in (1, 3):
        channels = "CMYK (print) colours" if header.components == 4 else f"{header.components} channels"
        raise vips.unsupported(path, f"it is a JPEG of {channels}", "convert it to RGB first")
    if header.precision != 8 or header.lossless:
        raise vips.unsupported(path, "it is a 12-bit or lossless JPEG", "convert it to TIFF first")
    notes = []
    others = [word & 0xFFFFFF for word in header.pictures[1:]]
    # Types that begin with 2 are views of equal rank; the others are previews, gain maps and depth maps.
    if any(kind >> 16 == 2 for kind in others) or (others and path.suffix.lower() == ".mpo"):
        what = f"it holds {len(others) + 1} pictures (stereo, panorama or burst)"
        raise vips.unsupported(path, what, "save each as a JPEG of its own first")
    if others:
        notes.append("a preview, depth or gain map stored behind the picture was dropped")
    exif, orientation, (resolution, unit) = _exif(header.exif)
    if header.density and header.density[0] in (1, 2) and min(header.density[1:]) > 0:
        scale, unit = (25.4, "in") if header.density[0] == 1 else (10.0, "cm")
        resolution = (header.density[1] / scale, header.density[2] / scale)
    metadata = Metadata(exif=exif, orientation=orientation, resolution=resolution, resolution_unit=unit)
    try:
        page = _decode(path, "jpegload", metadata, max_megapixels, fail_on="warning")
    except UnreadableImageError as error:
        # Some cameras pad the end of the file. Nothing of the picture is missing then.
        if "extraneous bytes before marker 0xd9" not in str(error):
            raise
        page = _decode(path, "jpegload", metadata, max_megapixels, fail_on="truncated")
    subsampling = header.subsampling if header.components == 3 else None
    if header.components == 3 and subsampling is None:
        subsampling = "4:4:4"
        notes.append("its unusual chroma subsampling was stored as 4:4:4 (no subsampling)")
    encoding = Encoding("jpeg", 8, header.quality, subsampling, header.progressive, lossless=False)
    return ImageFile((page,), encoding, tuple(notes))


def read_png(path: Path, max_megapixels: float) -> ImageFile:
    """PNG of 2 to 16 bits: gray, RGB, palette, with and without alpha."""
    with path.open("rb") as file:
        header = headers.png(file)
    if header.frames > 1:
        raise vips.unsupported(path, f"it is an animation of {header.frames} frames", _SINGLE)
    if header.depth == 1:
        raise vips.unsupported(path, vips.BILEVEL, "leave it as it is")
    exif, orientation, _ = _exif(header.exif)
    resolution, unit = (header.density, "cm") if header.density else (None, None)
    metadata = Metadata(exif=exif, orientation=orientation, resolution=resolution, resolution_unit=unit)
    page = _decode(path, "pngload", metadata, max_megapixels, fail_on="warning")
    notes, depth = [], header.depth
    if header.colour == 3:
        page, depth = _from_palette(page, header.palette), 8
        notes.append(f"its palette was replaced by plain {'gray' if page.pixels.shape[2] == 1 else 'RGB'} values")
    elif depth < 8 and page.alpha is not None:
        depth = 8
        notes.append(f"stored with 8 bits a sample in place of {header.depth}")
    if header.transparent_key and header.colour != 3:
        notes.append("its transparent colour was stored as an alpha channel")
    encoding = Encoding("png", depth, progressive=header.interlaced, chunks=tuple(header.kept))
    return ImageFile((page,), encoding, tuple(notes))


def _from_palette(page: Picture, palette: bytes) -> Picture:
    """Gray where every colour of the palette is gray; but an RGB profile fits RGB values only."""
    colours = np.frombuffer(palette[: len(palette) // 3 * 3], dtype=np.uint8).reshape(-1, 3)
    gray = bool((colours == colours[:, :1]).all()) and page.metadata.icc is None
    return replace(page, pixels=np.ascontiguousarray(page.pixels[..., :1])) if gray else page


def read_webp(path: Path, max_megapixels: float) -> ImageFile:
    """WebP, lossy and lossless, still."""
    data = path.read_bytes()
    header = headers.webp(data)
    if header.animated:
        raise vips.unsupported(path, "it is an animation", _SINGLE)
    exif, orientation, (resolution, unit) = _exif(header.exif)
    metadata = Metadata(exif=exif, orientation=orientation, resolution=resolution, resolution_unit=unit)
    page = _decode(path, "webpload", metadata, max_megapixels, data, fail_on="warning")
    notes = () if header.lossless else (_NO_QUALITY,)
    quality = None if header.lossless else LOSSY_QUALITY
    return ImageFile((page,), Encoding("webp", 8, quality, lossless=header.lossless), notes)


def read_avif(path: Path, max_megapixels: float) -> ImageFile:
    """AVIF stills of 8 to 12 bits."""
    data = path.read_bytes()
    try:
        image = vips.opened(path, "heifload", data)
        pages = image.get("n-pages")
        depth = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
        block = bytes(image.get("exif-data")) if image.get_typeof("exif-data") else b""
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error
    if pages > 1:
        raise vips.unsupported(path, f"it holds {pages} pictures", "save each as a file of its own first")
    exif, _, (resolution, unit) = _exif(block.removeprefix(headers.EXIF_PREFIX))
    # AVIF says by itself how the picture is turned, and decoders turn it: orientation stays 1.
    metadata = Metadata(exif=exif, resolution=resolution, resolution_unit=unit)
    page = _decode(path, "heifload", metadata, max_megapixels, data, fail_on="warning")
    encoding = Encoding("avif", depth, LOSSY_QUALITY, "4:4:4", lossless=False)
    return ImageFile((page,), encoding, (_NO_QUALITY,))


def read_tiff(path: Path, max_megapixels: float) -> ImageFile:
    """TIFF and BigTIFF: 8- and 16-bit integers, 32-bit float, gray, RGB and palette, any number of pages."""
    with path.open("rb") as file:
        reader = tiff.Reader(file)
        directories = list(reader.directories())
    pages, notes, encodings, total = [], list[str](), [], 0.0
    kinds = [tiffpage.PageKind.of(directory) for directory in directories]
    full = [i for i, kind in enumerate(kinds) if not kind.reduced]
    if not full:
        raise headers.HeaderError("it holds no picture")
    if len(full) < len(kinds):
        notes.append("smaller copies of the picture (overviews, thumbnails) were dropped")
    for i in full:
        number = f"page {i + 1}" if len(full) > 1 else "it"
        problem = kinds[i].problem()
        if problem:
            raise vips.unsupported(path, f"{number} is {problem[0]}", problem[1])
        total += kinds[i].width * kinds[i].height / 1e6
    vips.guard(path, kinds[full[0]].width, kinds[full[0]].height, total, max_megapixels, len(full))
    for i in full:
        kind, directory = kinds[i], directories[i]
        resolution, unit = tiffpage.resolution(directory)
        metadata = Metadata(
            exif=tiff.exif_block(tiff.carried(directory)),
            iptc=tiffpage.iptc(directory),
            orientation=kind.orientation,
            resolution=resolution,
            resolution_unit=unit,
        )
        # Of damaged tiles libvips tells at "warning" only. Strips of intact files can fail there, for a repeated tag.
        strictness = "warning" if kind.tile else "error"
        pages.append(_decode(path, "tiffload", metadata, max_megapixels, page=i, fail_on=strictness))
        encodings.append(_tiff_encoding(kind, reader.big))
        notes += [note for note in kind.notes() if note not in notes]
    if any(encoding != encodings[0] for encoding in encodings):
        notes.append("all pages are stored with the compression of the first")
    return ImageFile(tuple(pages), encodings[0], tuple(notes))


def _tiff_encoding(kind: tiffpage.PageKind, big: bool) -> Encoding:
    compression = tiffpage.COMPRESSIONS[kind.compression]
    quality, subsampling = None, None
    if compression == "jpeg":
        subsampling = "4:4:4" if kind.photometric == 2 else None
        quality = headers.jpeg_tables_quality(kind.jpeg_tables) if kind.jpeg_tables else LOSSY_QUALITY
    return Encoding(
        "tiff",
        max(kind.bits[0], 8),
        quality,
        subsampling,
        lossless=compression != "jpeg",
        compression=compression,
        predictor=_PREDICTORS.get(kind.predictor, "none"),
        tile=kind.tile,
        bigtiff=big,
        premultiplied=kind.premultiplied,
    )
