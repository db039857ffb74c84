"""JPEG files: one picture, or several of equal rank (MPO), with what cameras and phones store behind it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from folderdenoise.codecs import containers, decoding, jpegheader, multipicture, opencv, photoshop, vips
from folderdenoise.codecs.picture import Encoding, ImageFile, Limits, Metadata, Picture
from folderdenoise.errors import UnreadableImageError

_SMALL = 1 << 28  # bytes of pixels; what is larger is stored with an eye on the memory
_BEHIND = "what stands behind the picture (a gain map, a depth map, a film or the like) was kept as it is"
_PREVIEW = "a smaller copy behind the picture, which would be out of date, was dropped"


def read(path: Path, limits: Limits) -> ImageFile:
    """Baseline and progressive JPEG, gray, colour or CMYK, 8 bits. Views of equal rank are pages of their own."""
    with path.open("rb") as file:
        header = jpegheader.jpeg(file)
        end = multipicture.end_of_picture(file)
        found = None if end is None else multipicture.contents(file, header.index, header.index_at, end)
    page, encoding, notes = _picture(path, header, limits)
    if found is None:
        return ImageFile((page,), encoding, tuple(notes))
    pages, views = [page], list[Encoding]()
    for data in found.views:
        more = limits.less(sum(done.pixels[..., 0].size for done in pages) / 1e6)
        page, view, others = _picture(path, jpegheader.jpeg(io.BytesIO(data)), more, data)
        pages.append(page)
        views.append(view)
        notes += others
    notes += [_PREVIEW] if found.has_preview else []
    notes += [_BEHIND] if any(data is not None for _, data in found.behind.parts) else []
    encoding = replace(encoding, views=tuple(views), behind=found.behind)
    return ImageFile(tuple(pages), encoding, tuple(dict.fromkeys(notes)))


def _picture(
    path: Path, header: jpegheader.JpegHeader, limits: Limits, data: bytes | None = None
) -> tuple[Picture, Encoding, list[str]]:
    """One picture, of the file ``path`` or of ``data`` out of it."""
    if header.components not in (1, 3, 4):
        raise vips.unsupported(path, f"it is a JPEG of {header.components} channels", "convert it to RGB first")
    if header.precision != 8 or header.lossless:
        raise vips.unsupported(path, "it is a 12-bit or lossless JPEG", "convert it to TIFF first")
    exif, orientation, (resolution, unit) = decoding.camera_block(header.exif)
    if header.density and header.density[0] in (1, 2) and min(header.density[1:]) > 0:
        scale, unit = (25.4, "in") if header.density[0] == 1 else (10.0, "cm")
        resolution = (header.density[1] / scale, header.density[2] / scale)
    block = photoshop.without_thumbnail(header.photoshop) if header.photoshop else None
    metadata = Metadata(exif=exif, iptc=block, orientation=orientation, resolution=resolution, resolution_unit=unit)
    try:
        page = decoding.decode(path, "jpegload", metadata, limits, data, fail_on="warning")
    except UnreadableImageError as error:
        # Some cameras pad the end of the file. Nothing of the picture is missing then.
        if "extraneous bytes before marker 0xd9" not in str(error):
            raise
        page = decoding.decode(path, "jpegload", metadata, limits, data, fail_on="truncated")
    notes = []
    subsampling = header.subsampling if header.components == 3 else None
    if header.components == 3 and subsampling is None:
        subsampling = "4:4:4"
        notes.append("its unusual chroma subsampling was stored as 4:4:4 (no subsampling)")
    if header.components == 4 and header.transform == 2:
        notes.append("its YCCK colours were stored as CMYK")
    if header.is_rgb:
        notes.append("its RGB colours were stored as YCbCr, as in most JPEG files")
    notes += [f"{what} dropped" for what in header.dropped]
    kept = [(bytes([marker]), payload) for marker, payload in header.kept]
    if data is not None and header.index:  # in a view it says how the views belong together, and lists none
        kept.append((b"\xe2", header.index))
    encoding = Encoding("jpeg", 8, header.quality, subsampling, header.progressive, lossless=False, chunks=tuple(kept),
                        jfif=header.density is not None, density=header.density)  # fmt: skip
    return page, encoding, notes


def write(image: ImageFile) -> containers.Pieces:
    """A JPEG file of the same quality, subsampling and kind, and what stood behind it."""
    encoding = image.encoding
    behind = encoding.behind
    listed = any(number is not None for number, _ in behind.parts)
    index = containers.segment(0xE2, behind.index) if listed else b""
    first = _encoded(image.pages[0], encoding, index)
    others = [b"".join(_encoded(page, view)) for page, view in zip(image.pages[1:], encoding.views, strict=True)]
    views = iter(others)
    tail = [(number, next(views) if data is None else data) for number, data in behind.parts]
    if listed:
        at = next(i for i, piece in enumerate(first) if piece is index)
        payload = sum(len(piece) for piece in first[:at]) + 4
        end = sum(len(piece) for piece in first)
        places = {0: (0, end)}
        for number, data in tail:
            if number is not None:
                places[number] = (end - payload, len(data))
            end += len(data)
        first[at] = containers.segment(0xE2, multipicture.with_places(behind.index, places))
    return [*first, *(data for _, data in tail)]


def _encoded(page: Picture, encoding: Encoding, index: bytes = b"") -> list[bytes | memoryview]:
    """One picture. ``index`` is a piece of its own in it."""
    options: dict[str, object] = {
        "Q": encoding.quality,
        "interlace": encoding.progressive,
        # A few percent smaller; but libjpeg then holds all coefficients, twice the size of the pixels.
        "optimize_coding": page.pixels.nbytes < _SMALL,
    }
    plain = replace(page, metadata=replace(page.metadata, iptc=None))  # libvips writes one segment of it at most
    segments = [index, b"".join(containers.segment(name[0], payload) for name, payload in encoding.chunks)]
    if encoding.subsampling in (None, "4:4:4", "4:2:0"):
        mode = "on" if encoding.subsampling == "4:2:0" else "off"
        encoded = vips.encode(plain, "jpegsave", {**options, "subsample_mode": mode})
        return containers.jpeg(encoded, page.metadata, segments, encoding)
    # libvips still writes the profile, XMP and IPTC, around a picture of one block; OpenCV the pixels.
    small = replace(plain, pixels=np.zeros((8, 8, 3), np.uint8), alpha=None)
    around = jpegheader.jpeg_segments(io.BytesIO(vips.encode(small, "jpegsave", {})))
    kept = b"".join(containers.segment(marker, data) for marker, data in around if 0xE1 <= marker <= 0xED)
    return containers.jpeg(opencv.jpeg_picture(page, encoding), page.metadata, [*segments, kept], encoding)
