"""WebP and GIF files, stills and animations."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from folderdenoise.codecs import containers, decoding, headers, vips, vp8
from folderdenoise.codecs.picture import Encoding, ImageFile, Limits, Metadata, Picture

FEW_COLOURS = "its colours were reduced to the 256 that a GIF picture holds"
_BACKGROUND = b"ANIM"
_ICC, _ALPHA, _EXIF, _XMP, _ANIMATED = 0x20, 0x10, 0x08, 0x04, 0x02  # flags of a WebP file
_DO_NOT_BLEND = 2


def read_webp(path: Path, limits: Limits) -> ImageFile:
    """WebP, lossy and lossless, still and animated."""
    data = path.read_bytes()
    header = headers.webp(data)
    exif, orientation, (resolution, unit) = decoding.camera_block(header.exif)
    metadata = Metadata(exif=exif, orientation=orientation, resolution=resolution, resolution_unit=unit)
    quality, notes = None, tuple[str, ...]()
    if not header.lossless:
        quality = vp8.quality(header.lossy)
        notes = (decoding.NO_QUALITY,) if quality is None else ()
        quality = quality or decoding.LOSSY_QUALITY
    encoding = Encoding("webp", 8, quality, lossless=header.lossless)
    if header.animated:
        encoding = replace(encoding, chunks=((_BACKGROUND, header.background),))
        return _animation(path, "webpload", metadata, encoding, limits, data, notes)
    page = _without_opaque(decoding.decode(path, "webpload", metadata, limits, data, fail_on="warning"))
    return ImageFile((page,), encoding, notes)


def read_gif(path: Path, limits: Limits) -> ImageFile:
    """GIF, still and animated. What is denoised has more colours than a GIF holds, so they are chosen anew."""
    data = path.read_bytes()
    encoding = Encoding("gif", lossless=False, chunks=tuple(_extensions(data)))
    return _animation(path, "gifload", Metadata(), encoding, limits, data, (FEW_COLOURS,))


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
        whole = _without_opaque(vips.picture(path, image, metadata, limits.scratch))
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
    encoding = replace(encoding, loop=timing[1] or 0)
    if frames > 1:
        encoding = replace(encoding, delays=tuple(timing[0] or ()))
    return ImageFile(pages, encoding, notes)


def _without_opaque(page: Picture) -> Picture:
    """The page without an alpha that hides nothing: decoders make up such, encoders leave it out."""
    return replace(page, alpha=None) if page.alpha is not None and (page.alpha == 255).all() else page


def write_webp(image: ImageFile) -> containers.Pieces:
    """A WebP file, lossless if it was; hidden colours under full transparency stay."""
    encoding, first = image.encoding, image.pages[0]
    options: dict[str, object] = {"lossless": True} if encoding.lossless else {"Q": encoding.quality}
    options["exact"] = True
    if len(image.pages) == 1:
        encoded = vips.encode(first, "webpsave", options, exif=first.metadata.exif)
        return [encoded] if first.metadata.exif is None else containers.webp(encoded, first.metadata.exif)
    encoded = _encode_frames(image, "webpsave", options)
    frames = [encoded[start : start + size] for name, start, size in headers.riff_chunks(encoded) if name == b"ANMF"]
    if len(frames) != len(image.pages):
        # The encoder makes one of frames that are equal; so each is encoded on its own.
        frames = [_frame(page, options) for page in image.pages]
    # It also shows frames of less than 11 ms for 100.
    frames = [f[:12] + struct.pack("<I", ms)[:3] + f[15:] for f, ms in zip(frames, encoding.delays, strict=True)]
    metadata = first.metadata
    flags = _ANIMATED | (_ALPHA if first.alpha is not None else 0)
    flags |= (_ICC if metadata.icc else 0) | (_EXIF if metadata.exif else 0) | (_XMP if metadata.xmp else 0)
    height, width = first.pixels.shape[:2]
    background = dict(encoding.chunks).get(_BACKGROUND, bytes(4))
    chunks = [
        (b"VP8X", struct.pack("<I", flags) + _size(width, height)),
        (b"ICCP", metadata.icc or b""),
        (b"ANIM", background + struct.pack("<H", min(encoding.loop, 65535))),
        *((b"ANMF", frame) for frame in frames),
        (b"EXIF", metadata.exif or b""),
        (b"XMP ", metadata.xmp or b""),
    ]
    return containers.riff([(name, data) for name, data in chunks if data])


def _frame(page: Picture, options: dict[str, object]) -> bytes:
    """The payload of an ANMF chunk that shows the whole picture, its time left open."""
    plain = replace(page, metadata=Metadata())
    encoded = vips.encode(plain, "webpsave", options)
    found = headers.riff_chunks(encoded)
    parts = [(name, encoded[at : at + size]) for name, at, size in found if name in (b"ALPH", b"VP8 ", b"VP8L")]
    height, width = page.pixels.shape[:2]
    return bytes(6) + _size(width, height) + bytes(3) + bytes([_DO_NOT_BLEND]) + b"".join(containers.riff(parts)[1:])


def _size(width: int, height: int) -> bytes:
    return struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]


def write_gif(image: ImageFile) -> containers.Pieces:
    """A GIF file of one frame or more, with the comments that it had."""
    encoded = _encode_frames(image, "gifsave", {"dither": 0.0, "keep_duplicate_frames": True})
    start = 13 + _colour_table(encoded[10])
    return [encoded[:start], *(data for _, data in image.encoding.chunks), encoded[start:]]


def _encode_frames(image: ImageFile, saver: str, options: dict[str, Any]) -> bytes:
    frames = [vips.lazy(page) for page in image.pages]
    return vips.encode_frames(frames, saver, options, image.encoding, image.pages[0].metadata)


def _extensions(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Comments and what programs have added, XMP say, each as it stands in a GIF file. Whether that is whole, its
    decoder tells."""
    position = 13 + _colour_table(data[10]) if len(data) > 10 else 0
    while position + 10 < len(data) and data[position] in (0x21, 0x2C):
        kind, label, start = data[position], data[position + 1], position
        position += 10 + _colour_table(data[position + 9]) + 1 if kind == 0x2C else 2
        while position < len(data) and data[position]:
            position += data[position] + 1
        position += 1
        name = data[start + 3 : start + 14]
        is_kept = label == 0xFE or (label == 0xFF and name not in (b"NETSCAPE2.0", b"ANIMEXTS1.0"))
        if kind == 0x21 and is_kept and position <= len(data):
            yield b"extension", data[start:position]


def _colour_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
