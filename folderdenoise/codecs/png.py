"""PNG files: stills, and animations (APNG) frame by frame.

libvips decodes stills only. The frames of an animation are taken out as PNG files of their own, and put together as the
PNG specification (third edition, 2025, section 13.12) says a viewer does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from folderdenoise.codecs import containers, decoding, headers, tiffpage, vips
from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.picture import Array, Encoding, ImageFile, Limits, Metadata, Picture

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CONTROL = ">IIIIHHBB"  # of a frame: width, height, left, top, delay as a fraction of a second, disposal, blending
_TO_BACKGROUND, _TO_PREVIOUS = 1, 2
_OVER = 1


def read(path: Path, limits: Limits) -> ImageFile:
    """PNG of 1 to 16 bits: gray, RGB, palette, with and without alpha; all frames of an animation."""
    with path.open("rb") as file:
        header = headers.png(file)
    exif, orientation, _ = decoding.camera_block(header.exif)
    resolution, unit = (header.density, "cm") if header.density else (None, None)
    metadata = Metadata(exif=exif, orientation=orientation, resolution=resolution, resolution_unit=unit)
    encoding = Encoding("png", header.depth, progressive=header.interlaced, chunks=tuple(header.kept))
    page = decoding.decode(path, "pngload", metadata, limits, fail_on="warning")
    notes, depth = [], header.depth
    pages: tuple[Picture, ...] = (page,)
    if header.animated:
        pages, encoding = _animation(path, page, encoding, limits)
    if depth == 1:
        pages = tuple(replace(page, bilevel=True) for page in pages)
        notes.append(tiffpage.BILEVEL_NOTE)
    elif header.colour == 3:
        pages, depth = tuple(_from_palette(page, header.palette) for page in pages), 8
        notes.append(f"its palette was replaced by plain {'gray' if pages[0].pixels.shape[2] == 1 else 'RGB'} values")
    elif depth < 8 and pages[0].alpha is not None:
        depth = 8
        notes.append(f"stored with 8 bits a sample in place of {header.depth}")
    if header.transparent_key and header.colour != 3:
        notes.append("its transparent colour was stored as an alpha channel")
    if header.profile and page.metadata.icc is None:
        notes.append("its colour profile (damaged, or made for other colours) could not be kept")
    if header.dropped:
        names = ", ".join(sorted({name.decode("ascii", "backslashreplace") for name in header.dropped}))
        notes.append(f"parts that are no pixels and may not fit them any more ({names}) were dropped")
    return ImageFile(pages, replace(encoding, bit_depth=depth), tuple(notes))


def _from_palette(page: Picture, palette: bytes) -> Picture:
    """Gray where every colour of the palette is gray; but an RGB profile fits RGB values only."""
    colours = np.frombuffer(palette[: len(palette) // 3 * 3], dtype=np.uint8).reshape(-1, 3)
    gray = bool((colours == colours[:, :1]).all()) and page.metadata.icc is None
    return replace(page, pixels=np.ascontiguousarray(page.pixels[..., :1])) if gray else page


def write(image: ImageFile) -> containers.Pieces:
    """A PNG file of the same depth: a still, or the frames of an animation, each of them whole."""
    encoding = image.encoding
    options = {"bitdepth": encoding.bit_depth, "interlace": encoding.progressive}
    # libvips would store XMP as Latin-1 text, where Adobe's programs do not look for it.
    pages = [replace(page, metadata=replace(page.metadata, xmp=None)) for page in image.pages]
    frames = [vips.encode(page, "pngsave", options) for page in pages]
    still = containers.png(frames[0], image.pages[0].metadata, encoding.chunks)
    if not encoding.frame_times:
        return still
    height, width = image.pages[0].pixels.shape[:2]
    hidden = len(image.pages) - len(encoding.frame_times)  # a first picture that is no frame
    number = 0

    def numbered(name: bytes, data: bytes) -> bytes:
        nonlocal number
        number += 1
        return containers.chunk(name, struct.pack(">I", number - 1) + data)

    controls = [struct.pack(_CONTROL, width, height, 0, 0, *time, 0, 0) for time in encoding.frame_times]
    counts = containers.chunk(b"acTL", struct.pack(">II", len(controls), encoding.loop))
    pixels = next(i for i, piece in enumerate(still) if piece[4:8] == b"IDAT")
    pieces = [still[0], counts, *still[1:pixels]]
    if not hidden:
        pieces.append(numbered(b"fcTL", controls.pop(0)))
    pieces += still[pixels:-1]
    for frame, control in zip(frames[1:], controls, strict=True):
        pieces.append(numbered(b"fcTL", control))
        pieces += [numbered(b"fdAT", data) for name, data in _chunks(frame) if name == b"IDAT"]
    return [*pieces, still[-1]]


class _Frame(NamedTuple):
    """A frame as stored: its place in the picture, how it goes in, how long it is shown (fraction of a second), and the
    chunks of its pixels."""

    width: int
    height: int
    left: int
    top: int
    numerator: int
    denominator: int
    disposal: int
    blending: int
    chunks: list[bytes]


def _animation(path: Path, first: Picture, encoding: Encoding, limits: Limits) -> tuple[tuple[Picture, ...], Encoding]:
    """The pictures that a viewer shows one after the other, behind one that it does not show where there is such."""
    data = path.read_bytes()
    start, loop, frames, is_shown = _taken_apart(data)
    height, width = first.pixels.shape[:2]
    count = len(frames) + (0 if is_shown else 1)
    vips.guard(path, width, height, width * height * count / 1e6, limits.megapixels, count)
    depth = first.pixels.dtype
    has_alpha = first.alpha is not None
    if is_shown and frames[0][:4] != (width, height, 0, 0):
        raise HeaderError("its first frame is not of its size")
    canvas = np.zeros((height, width, first.pixels.shape[2] + 1), depth)
    pages = list[Picture]()
    for number, frame in enumerate(frames):
        box = (slice(frame.top, frame.top + frame.height), slice(frame.left, frame.left + frame.width))
        if canvas[box].shape[:2] != (frame.height, frame.width):
            raise HeaderError("one of its frames lies outside the picture")
        before = canvas[box].copy()
        if number == 0 and is_shown:
            page = first
        else:
            page = decoding.decode(path, "pngload", first.metadata, limits, _as_still(start, frame), fail_on="warning")
        part = _with_alpha(page)
        canvas[box] = _over(part, before) if frame.blending == _OVER else part
        shown = limits.scratch.empty(canvas.shape, depth)
        shown[...] = canvas
        pages.append(Picture(shown[..., :-1], shown[..., -1], first.metadata))
        if frame.disposal == _TO_BACKGROUND or (frame.disposal == _TO_PREVIOUS and number == 0):
            canvas[box] = 0
        elif frame.disposal == _TO_PREVIOUS:
            canvas[box] = before
    if not is_shown:
        pages.insert(0, first)
    if not has_alpha and all((page.alpha == np.iinfo(depth).max).all() for page in pages if page.alpha is not None):
        pages = [replace(page, alpha=None) for page in pages]
    elif not has_alpha and not is_shown:
        pages[0] = replace(first, alpha=np.full((height, width), np.iinfo(depth).max, depth))
    times = tuple((frame.numerator, frame.denominator) for frame in frames)
    delays = tuple(round(1000 * top / (bottom or 100)) for top, bottom in times) if is_shown else ()
    return tuple(pages), replace(encoding, frame_times=times, delays=delays, loop=loop)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_SIGNATURE)
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        yield name, body
        position += 12 + length


def _taken_apart(data: bytes) -> tuple[bytes, int, list[_Frame], bool]:
    """What all frames begin with (without size), how often they run, the frames, and whether the still is the first."""
    start = b""
    loop, declared, number = 0, 0, 0
    frames = list[_Frame]()
    seen_pixels = is_shown = False
    for name, body in _chunks(data):
        if name == b"IHDR":
            start = body[8:]
        elif name in (b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"sRGB") and not seen_pixels:
            start += containers.chunk(name, body)
        elif name == b"acTL":
            declared, loop = struct.unpack_from(">II", body)
        elif name == b"IDAT":
            seen_pixels = True
            is_shown = bool(frames)
        elif name in (b"fcTL", b"fdAT"):
            if int.from_bytes(body[:4], "big") != number or (name == b"fdAT" and not frames):
                raise HeaderError("its frames are not in order")
            number += 1
            if name == b"fcTL":
                if len(body) < 26:
                    raise HeaderError("a frame of it is cut off")
                frames.append(_Frame._make((*struct.unpack_from(_CONTROL, body, 4), [])))
            else:
                frames[-1].chunks.append(containers.chunk(b"IDAT", body[4:]))
    if len(frames) != declared or not frames:
        raise HeaderError(f"it announces {declared} frames and holds {len(frames)}")
    return start, loop, frames, is_shown


def _as_still(start: bytes, frame: _Frame) -> bytes:
    ihdr = struct.pack(">II", frame.width, frame.height) + start[:5]
    return b"".join(
        [_SIGNATURE, containers.chunk(b"IHDR", ihdr), start[5:], *frame.chunks, containers.chunk(b"IEND", b"")]
    )


def _with_alpha(page: Picture) -> Array:
    alpha = np.full(page.pixels.shape[:2], np.iinfo(page.pixels.dtype).max, page.pixels.dtype)
    return np.dstack([page.pixels, alpha if page.alpha is None else page.alpha])


def _over(front: Array, back: Array) -> Array:
    """``front`` seen before ``back``, both (H, W, colours and alpha), not premultiplied."""
    white = np.iinfo(front.dtype).max
    a, b = front[..., -1:] / white, back[..., -1:] / white
    alpha = a + b * (1 - a)
    colours = (front[..., :-1] * a + back[..., :-1] * b * (1 - a)) / np.where(alpha == 0, 1, alpha)
    mixed = np.rint(np.dstack([colours, alpha * white])).astype(front.dtype)
    return np.where(a == 1, front, np.where(a == 0, back, mixed))
