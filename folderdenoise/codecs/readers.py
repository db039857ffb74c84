"""One reader for each format that libvips decodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from folderdenoise.codecs import headers, recode, tiff, tiffpage, tiffwriter, vips
from folderdenoise.codecs.picture import Encoding, ImageFile, Limits, Metadata, Picture
from folderdenoise.errors import UnreadableImageError

LOSSY_QUALITY = 90
_NO_QUALITY = f"it does not say with what quality it was compressed: stored with quality {LOSSY_QUALITY}"
_SINGLE = "save the frames as single images first"
_PREDICTORS = {1: "none", 2: "horizontal", 3: "float"}


def _decode(
    path: Path,
    loader: str,
    metadata: Metadata,
    limits: Limits,
    data: bytes | None = None,
    **options: object,
) -> Picture:
    try:
        image = vips.opened(path, loader, data, **options)
        vips.guard(path, image.width, image.height, image.width * image.height / 1e6, limits.megapixels)
        return vips.picture(path, image, metadata, limits.scratch)
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error


def _exif(block: bytes | None) -> tuple[bytes | None, int, tuple[tuple[float, float] | None, str | None]]:
    """The block without thumbnail, the orientation and the resolution in it."""
    if not block:
        return None, 1, (None, None)
    block = tiff.without_thumbnail(block)
    fields = tiff.exif_fields(block)
    return block, tiffpage.orientation(fields), tiffpage.resolution(fields)


def read_jpeg(path: Path, limits: Limits) -> ImageFile:
    """Baseline and progressive JPEG, gray, colour or CMYK, 8 bits."""
    with path.open("rb") as file:
        header = headers.jpeg(file)
    if header.components not in (1, 3, 4):
        raise vips.unsupported(path, f"it is a JPEG of {header.components} channels", "convert it to RGB first")
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
        page = _decode(path, "jpegload", metadata, limits, fail_on="warning")
    except UnreadableImageError as error:
        # Some cameras pad the end of the file. Nothing of the picture is missing then.
        if "extraneous bytes before marker 0xd9" not in str(error):
            raise
        page = _decode(path, "jpegload", metadata, limits, fail_on="truncated")
    subsampling = header.subsampling if header.components == 3 else None
    if header.components == 3 and subsampling is None:
        subsampling = "4:4:4"
        notes.append("its unusual chroma subsampling was stored as 4:4:4 (no subsampling)")
    if header.components == 4 and header.transform == 2:
        notes.append("its YCCK colours were stored as CMYK")
    notes += [f"{what} dropped" for what in header.dropped]
    chunks = tuple((bytes([marker]), payload) for marker, payload in header.kept)
    encoding = Encoding("jpeg", 8, header.quality, subsampling, header.progressive, lossless=False, chunks=chunks)
    return ImageFile((page,), encoding, tuple(notes))


def read_png(path: Path, limits: Limits) -> ImageFile:
    """PNG of 1 to 16 bits: gray, RGB, palette, with and without alpha."""
    with path.open("rb") as file:
        header = headers.png(file)
    if header.frames > 1:
        raise vips.unsupported(path, f"it is an animation of {header.frames} frames", _SINGLE)
    exif, orientation, _ = _exif(header.exif)
    resolution, unit = (header.density, "cm") if header.density else (None, None)
    metadata = Metadata(exif=exif, orientation=orientation, resolution=resolution, resolution_unit=unit)
    page = _decode(path, "pngload", metadata, limits, fail_on="warning")
    notes, depth = [], header.depth
    if depth == 1:
        page = replace(page, bilevel=True)
        notes.append(tiffpage.BILEVEL_NOTE)
    elif header.colour == 3:
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


def read_webp(path: Path, limits: Limits) -> ImageFile:
    """WebP, lossy and lossless, still and animated."""
    data = path.read_bytes()
    header = headers.webp(data)
    exif, orientation, (resolution, unit) = _exif(header.exif)
    metadata = Metadata(exif=exif, orientation=orientation, resolution=resolution, resolution_unit=unit)
    notes = () if header.lossless else (_NO_QUALITY,)
    quality = None if header.lossless else LOSSY_QUALITY
    encoding = Encoding("webp", 8, quality, lossless=header.lossless)
    if header.animated:
        return _animation(path, "webpload", metadata, encoding, limits, data, notes)
    page = _decode(path, "webpload", metadata, limits, data, fail_on="warning")
    return ImageFile((page,), encoding, notes)


def read_gif(path: Path, limits: Limits) -> ImageFile:
    """GIF, still and animated. What is denoised has more colours than a GIF holds, so they are chosen anew."""
    notes = ("its colours were reduced to the 256 that a GIF picture holds",)
    return _animation(path, "gifload", Metadata(), Encoding("gif", lossless=False), limits, path.read_bytes(), notes)


def _animation(
    path: Path,
    loader: str,
    metadata: Metadata,
    encoding: Encoding,
    limits: Limits,
    data: bytes,
    notes: tuple[str, ...],
) -> ImageFile:
    """Every frame as a page, as it is shown: frames that are stored as changes are whole here."""
    try:
        image = vips.opened(path, loader, data, n=-1, fail_on="warning")
        frames = image.get("n-pages") if image.get_typeof("n-pages") else 1
        width, height = image.width, image.height // frames
        vips.guard(path, width, height, width * image.height / 1e6, limits.megapixels, frames)
        whole = vips.picture(path, image, metadata, limits.scratch)
        if whole.alpha is not None and (whole.alpha == 255).all():
            whole = replace(whole, alpha=None)  # decoders make up one, encoders leave it out
        timing = [image.get(key) if image.get_typeof(key) else None for key in ("delay", "loop")]
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error
    pages = tuple(
        Picture(
            whole.pixels[top : top + height],
            None if whole.alpha is None else whole.alpha[top : top + height],
            whole.metadata,
        )
        for top in range(0, height * frames, height)
    )
    if frames > 1:
        encoding = replace(encoding, delays=tuple(timing[0] or ()), loop=timing[1] or 0)
    return ImageFile(pages, encoding, notes)


def read_avif(path: Path, limits: Limits) -> ImageFile:
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
    page = _decode(path, "heifload", metadata, limits, data, fail_on="warning")
    encoding = Encoding("avif", depth, LOSSY_QUALITY, "4:4:4", lossless=False)
    return ImageFile((page,), encoding, (_NO_QUALITY,))


def read_tiff(path: Path, limits: Limits) -> ImageFile:
    """TIFF and BigTIFF: integers of 1 to 16 bits, 32-bit float, gray, RGB, CMYK and palette, any number of pages."""
    with path.open("rb") as file:
        reader = tiff.Reader(file)
        directories = list(reader.directories())
        notes, total = list[str](), 0.0
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
        vips.guard(path, kinds[full[0]].width, kinds[full[0]].height, total, limits.megapixels, len(full))
        pages = [_tiff_page(path, reader, directories[i], kinds[i], limits, i) for i in full]
    for i in full:
        notes += [note for note in kinds[i].notes() if note not in notes]
    encodings = [_tiff_encoding(kinds[i], reader.big) for i in full if not kinds[i].bilevel]
    if any(encoding != encodings[0] for encoding in encodings):
        notes.append("all pages are stored with the compression of the first")
    encoding = (
        encodings[0] if encodings else Encoding("tiff", 1, compression="deflate", predictor="none", bigtiff=reader.big)
    )
    return ImageFile(tuple(pages), encoding, tuple(notes))


def _tiff_page(
    path: Path, reader: tiff.Reader, directory: tiff.Directory, kind: tiffpage.PageKind, limits: Limits, index: int
) -> Picture:
    resolution, unit = tiffpage.resolution(directory)
    metadata = Metadata(
        exif=tiffwriter.exif_block(tiff.carried(directory)),
        iptc=tiffpage.iptc(directory),
        orientation=kind.orientation,
        resolution=resolution,
        resolution_unit=unit,
    )
    # Of damaged tiles libvips tells at "warning" only. Strips of intact files can fail there, for a repeated tag.
    strictness = "warning" if kind.tile else "error"
    if not recode.needed(kind):
        page = _decode(path, "tiffload", metadata, limits, page=index, fail_on=strictness)
        return replace(page, bilevel=kind.bilevel)
    try:
        files = recode.readable(reader, directory, kind)  # libvips looks into them until the picture is there
        planes = [vips.opened(path, "tiffload", data, fail_on=strictness) for data in files]
        meaning = {1: "b-w", 3: "srgb", 4: "cmyk"}.get(kind.colours or 0, "multiband")
        image = planes[0] if len(planes) == 1 else planes[0].bandjoin(planes[1:]).copy(interpretation=meaning)
        if (image.width, image.height) != (kind.width, kind.height):
            raise headers.HeaderError("its header contradicts itself")
        return vips.picture(path, image, metadata, limits.scratch)
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error


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
