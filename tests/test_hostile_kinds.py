"""Intact files that break a rule, and damaged parts that must not take the rest along."""

from __future__ import annotations

import errno
import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from folderdenoise import images
from folderdenoise.batch import Settings
from folderdenoise.codecs import multipicture, tiffimage, vips
from folderdenoise.codecs.containers import chunk, segment
from folderdenoise.errors import OutputError, SuspectResultError, UnreadableImageError, UnsupportedImageError

from .cases import GRAY, RGB, pillow, wide_gamut_avif
from .processed import denoised, done

pytestmark = pytest.mark.usefixtures("zoo_dir")

HEIGHT, WIDTH = GRAY.shape
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF></x:xmpmeta>'


# What an encoder refuses, and what a disk does


def bits_with_transparent_black(path: Path) -> None:
    """A gray PNG of one bit a pixel."""
    rows = np.packbits(GRAY > 128, axis=1)
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 1, 0, 0, 0, 0)) + chunk(b"tRNS", b"\0\0")
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def test_one_bit_with_a_transparent_colour_becomes_a_tiff_with_alpha(tmp_path: Path) -> None:
    source = tmp_path / "bits.png"
    bits_with_transparent_black(source)
    stored = tifffile.imread(done(source, Settings(format="tiff"), "bits.tif"))
    white = (GRAY > 128).astype(np.uint8) * 255
    np.testing.assert_array_equal(stored, np.dstack([white, white]))


def test_what_an_encoder_refuses_is_a_fault_of_that_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fax = {"compression": "ccittfax4", "bitdepth": 1}
    monkeypatch.setattr(tiffimage, "_options", lambda *_: fax)
    source = tmp_path / "bits.png"
    bits_with_transparent_black(source)
    outcome, result = denoised(source, Settings(format="tiff"), "bits.tif")
    assert outcome.status == "failed"
    assert "could not be encoded as TIFF" in outcome.notes
    assert "Group 3/4" in outcome.notes
    assert "--format" in outcome.notes
    assert "disk" not in outcome.notes
    assert list(result.parent.iterdir()) == []


def test_a_picture_too_wide_for_its_encoder_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    wide = images.Picture(np.zeros((8, 20_000, 3), np.uint8))
    file = images.ImageFile((wide,), images.Encoding("webp", lossless=True))
    with pytest.raises(SuspectResultError, match="could not be encoded as WEBP"):
        images.write(file, tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_of_a_full_disk_the_system_s_own_word_is_told(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "in"
    pillow(RGB, kind)(source)
    with pytest.raises(OutputError) as caught:
        images.write(images.read(source), Path("/dev/full"))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_a_disk_that_was_full_for_a_moment_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise vips.Error("unable to call tiffsave_target\n  x.tif: write error\nsystem error: No space left on device")

    monkeypatch.setattr(vips, "encode", full)
    source = tmp_path / "in"
    pillow(RGB, "tiff")(source)
    with pytest.raises(OutputError, match="free space"):
        images.write(images.read(source), tmp_path / "out")


# WebP: an alpha that hides nothing


def _opaque_webp(path: Path, kind: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "webp", quality=80, lossless=kind == "lossless")
    pixels = bytearray(stream.getvalue()[12:])
    if kind == "lossless":
        assert pixels[:4] == b"VP8L"
        pixels[12] |= 0x10  # alpha_is_used, behind two sizes of 14 bits
        chunks = bytes(pixels)
    else:
        size = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
        chunks = struct.pack("<4sII", b"VP8X", 10, 0x10) + size
        if kind == "all 255":
            plane = b"\0" + b"\xff" * (WIDTH * HEIGHT)
            chunks += struct.pack("<4sI", b"ALPH", len(plane)) + plane + b"\0" * (len(plane) & 1)
        chunks += pixels
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WEBP") + chunks)


@pytest.mark.parametrize("kind", ["announced", "all 255", "lossless"])
def test_an_alpha_that_hides_nothing_does_not_fail_a_webp(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "opaque.webp"
    _opaque_webp(source, kind)
    with Image.open(source) as image:
        assert image.mode == "RGBA"
    with Image.open(done(source, Settings(strength=0.0))) as image:
        difference = np.abs(np.asarray(image.convert("RGB")).astype(int) - RGB)
        assert image.size == (WIDTH, HEIGHT)
    assert difference.mean() < (0.1 if kind == "lossless" else 6)


# EXIF: one part outside the block


def exif_block(*, maker_note: bool = True, directory: bool = True) -> bytes:
    """Artist, orientation 6 and 300 dots an inch, then a maker note in the EXIF directory, or that directory itself,
    beyond the end."""
    artist, count = b"Jane Doe Photographer\0", 6
    artist_at = 8 + 2 + 12 * count + 4
    ratios_at = artist_at + len(artist)
    exif_at = ratios_at + 16
    first = [
        struct.pack("<HHIHH", 274, 3, 1, 6, 0),
        struct.pack("<HHII", 282, 5, 1, ratios_at),
        struct.pack("<HHII", 283, 5, 1, ratios_at + 8),
        struct.pack("<HHIHH", 296, 3, 1, 2, 0),
        struct.pack("<HHII", 315, 2, len(artist), artist_at),
        struct.pack("<HHII", 34665, 4, 1, exif_at if directory else 99999),
    ]
    block = b"II*\0" + struct.pack("<IH", 8, count) + b"".join(first) + bytes(4)
    block += artist + struct.pack("<4I", 300, 1, 300, 1)
    note = struct.pack("<HHII", 37500, 7, 90, 99999 if maker_note else exif_at)
    return block + struct.pack("<H", 2) + struct.pack("<HHIHH", 34855, 3, 1, 6400, 0) + note + bytes(4)


HOPELESS = b"II*\0" + struct.pack("<I", 99999) + bytes(30)


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")
@pytest.mark.parametrize("directory", [True, False], ids=["a maker note outside", "a directory outside"])
@pytest.mark.parametrize("target", [None, "webp", "tiff", "png", "jpeg"])
def test_a_part_outside_the_exif_block_does_not_cost_the_others(
    target: str | None, directory: bool, tmp_path: Path
) -> None:
    source = tmp_path / ("photo.png" if target == "jpeg" else "photo.jpg")
    Image.fromarray(RGB).save(source, exif=b"Exif\0\0" + exif_block(directory=directory))
    with Image.open(done(source, Settings(format=target), f"out.{target or 'jpg'}")) as image:
        exif = image.getexif()
        assert exif[315].rstrip("\0") == "Jane Doe Photographer"
        assert exif[274] == 6
        assert exif[282] == 300
        assert exif.get_ifd(34665).get(34855) == (6400 if directory else None)


def test_a_page_is_still_damaged_where_one_of_its_tags_lies_outside(tmp_path: Path) -> None:
    source = tmp_path / "page.tif"
    tifffile.imwrite(source, GRAY, photometric="minisblack", description="x" * 100)
    with tifffile.TiffFile(source) as file:
        place = file.pages[0].tags["ImageDescription"].offset + 8
    data = bytearray(source.read_bytes())
    data[place : place + 4] = struct.pack("<I", 2**31)
    source.write_bytes(data)
    with pytest.raises(UnreadableImageError, match="damaged"):
        images.read(source)


@pytest.mark.parametrize("target", ["webp", "png"])
def test_an_exif_block_that_nobody_can_read_is_not_replaced(target: str, tmp_path: Path) -> None:
    source = tmp_path / "photo.jpg"
    Image.fromarray(RGB).save(source, exif=b"Exif\0\0" + HOPELESS, dpi=(300, 300))
    outcome, result = denoised(source, Settings(format=target), f"out.{target}")
    assert HOPELESS in result.read_bytes()
    assert ("its resolution could not be kept" in outcome.notes) == (target == "webp")  # which has no other place


def test_an_exif_block_that_nobody_can_read_is_missed_where_it_cannot_be(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(RGB).save(source, exif=HOPELESS + bytes(70_000))
    outcome, result = denoised(source, Settings(format="jpeg"), "out.jpg")
    assert outcome.status == "done", outcome.notes
    assert "its EXIF block, which is damaged and too long for a JPEG, was dropped" in outcome.notes
    with Image.open(result) as image:
        assert "exif" not in image.info
    outcome, _ = denoised(source, Settings(format="tiff"), "out.tif")
    assert "its EXIF block could not be kept" in outcome.notes


def _crowded(path: Path, count: int, size: int, offset: int) -> None:
    """A picture whose EXIF block says that each of its first entries has ``size`` bytes at ``offset``, and that ends
    ``size`` bytes behind them."""
    tags = (number + (number >= 274) for number in range(count))
    entries = b"".join(struct.pack("<HHII", tag, 7, size, offset) for tag in tags)
    entries += struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    block = b"II*\0" + struct.pack("<IH", 8, count + 1) + entries + bytes(size)
    Image.fromarray(RGB).save(path, exif=block)


def test_many_entries_outside_a_long_exif_block_take_no_time(tmp_path: Path) -> None:
    _crowded(tmp_path / "photo.png", 65_534, 1 << 22, 1 << 20)
    started = time.process_time()
    assert images.read(tmp_path / "photo.png").pages[0].metadata.orientation == 6
    assert time.process_time() - started < 3


def test_entries_over_each_other_take_no_memory(tmp_path: Path) -> None:
    _crowded(tmp_path / "photo.png", 1000, 1 << 20, 1 << 12)
    tracemalloc.start()
    orientation = images.read(tmp_path / "photo.png").pages[0].metadata.orientation
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert orientation == 6
    assert most < 100 << 20


# JPEG: what stands behind the picture, and XMP


class _Counted(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_many_segments_in_a_picture_are_walked_over_once() -> None:
    data = b"\xff\xfe\0\2" * 400_000 + b"\xff\xd9"
    file = _Counted(data)
    assert multipicture.end_of_picture(file) == len(data)
    assert file.count < 2 * len(data)


STREAM = (
    b"\1\2\3\xff\0\4\xff\xd0\5\xff\xff\xfe\0\x07\xff\xd9\xff\xd9\6"
    + b"\xff\xc4\0\2\xff\xda\0\0\7\xff\xdd\0\4\xff\xd9\xff\xff\xff\xe0\0\x20"
    + bytes(29)
    + b"\xd9\x08\x09\xff\xd7\xff\xd9"
)


@pytest.mark.parametrize("block", [4, 5, 6, 7, 8, 9, 11, 16, 31, 1000])
def test_the_end_is_found_wherever_the_blocks_of_the_file_end(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipicture, "_BLOCK", block)
    for lead in range(block):
        file = io.BytesIO(bytes(lead) + STREAM + b"more")
        file.seek(min(lead, 3))
        assert multipicture.end_of_picture(file) == lead + len(STREAM)
    for end in range(len(STREAM)):
        assert multipicture.end_of_picture(io.BytesIO(STREAM[:end])) is None


def test_a_second_xmp_packet_that_is_dropped_is_noted(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "jpeg")
    data = stream.getvalue()
    packets = [segment(0xE1, XMP_PREFIX + XMP.format(f"<!-- {number} -->").encode()) for number in (1, 2)]
    credentials = segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x10jumb")
    source = tmp_path / "photo.jpg"
    source.write_bytes(data[:2] + packets[0] + data[2:])
    assert denoised(source)[0].notes == ""
    source.write_bytes(data[:2] + packets[0] + packets[1] + credentials + data[2:])
    outcome, result = denoised(source)
    assert "a second XMP block was dropped" in outcome.notes
    assert "content credentials" in outcome.notes
    assert [f"<!-- {number} -->".encode() in result.read_bytes() for number in (1, 2)] == [True, False]


# TIFF: too many pages, and pages in a circle


def _chained(path: Path, count: int, last: int = 0, colours: int = 1) -> None:
    """Pages of one row that share their strip; the last one points to the page ``last`` (0: to none)."""
    fields = {256: 8, 257: 1, 258: 8, 259: 1, 262: colours, 273: 8, 277: 1, 278: 1, 279: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    size = 2 + len(entries) + 4
    pages = [16 + size * i for i in range(count)]
    following = [*pages[1:], pages[last - 1] if last else 0]
    directories = [struct.pack("<H", len(fields)) + entries + struct.pack("<I", offset) for offset in following]
    path.write_bytes(b"II*\0" + struct.pack("<I", 16) + bytes(range(8)) + b"".join(directories))


def test_a_file_of_too_many_pages_is_not_called_damaged(tmp_path: Path) -> None:
    source = tmp_path / "stack.tif"
    _chained(source, 10_001, colours=8)  # Lab: refused without decoding any
    with pytest.raises(UnsupportedImageError, match=r"more than 10,000 pages.*split it"):
        images.read(source)


def test_pages_in_a_circle_are_told_from_many(tmp_path: Path) -> None:
    source = tmp_path / "circle.tif"
    _chained(source, 3)
    assert len(images.read(source).pages) == 3
    _chained(source, 3, last=2)
    with pytest.raises(UnreadableImageError, match="runs in a circle"):
        images.read(source)


# AVIF: pixels before the header


def _pixels_first(make: Callable[[Path], object], path: Path) -> None:
    """The file with its box of pixels before the one that says what they are."""
    make(path)
    data = path.read_bytes()
    meta, mdat = data.index(b"meta") - 4, data.index(b"mdat") - 4
    assert int.from_bytes(data[meta : meta + 4], "big") == mdat - meta
    assert int.from_bytes(data[mdat : mdat + 4], "big") == len(data) - mdat
    place = data.index(struct.pack(">I", mdat + 8), data.index(b"iloc"))
    header = data[meta:place] + struct.pack(">I", meta + 8) + data[place + 4 : mdat]
    path.write_bytes(data[:meta] + data[mdat:] + header)


def test_high_dynamic_range_is_found_behind_the_pixels(tmp_path: Path) -> None:
    source = tmp_path / "photo.avif"
    _pixels_first(wide_gamut_avif(9, 16), source)
    with pytest.raises(UnsupportedImageError, match="high dynamic range"):
        images.read(source)
    _pixels_first(pillow(RGB, "avif", quality=90, subsampling="4:2:0"), source)
    file = images.read(source)
    assert file.encoding.subsampling == "4:2:0"
    assert np.abs(file.pages[0].pixels.astype(int) - RGB).mean() < 8


def test_bytes_behind_the_boxes_of_an_avif_do_not_hide_them(tmp_path: Path) -> None:
    source = tmp_path / "photo.avif"
    wide_gamut_avif(9, 16)(source)
    source.write_bytes(source.read_bytes() + b"\xff" * 20)
    with pytest.raises(UnsupportedImageError, match="high dynamic range"):
        images.read(source)
