"""What the tags of one TIFF page say about how it is stored, and its resolution."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from fractions import Fraction

from folderdenoise.codecs.tiff import WORDS, Directory, Field, places, swapped

_RGB_FIRST = "convert it to 8- or 16-bit RGB or grayscale first"
COMPRESSIONS = {
    1: "none",
    5: "lzw",
    7: "jpeg",
    8: "deflate",
    32946: "deflate",
    32773: "packbits",
    34925: "lzma",
    50000: "zstd",
}
"""TIFF compression numbers that can be read and written -> names, libvips' where it has one."""
OVERVIEWS_NOTE = "smaller copies of the picture (overviews, thumbnails) were dropped"
BILEVEL_NOTE = "bilevel (black and white only), where there is no noise to remove: copied as it is"
BILEVEL_PAGES_NOTE = "its bilevel pages (black and white only), where there is no noise to remove, stay as they are"
_LONGEST = 2**32 - 1  # number in a fraction
_NO_NUMBERS = (2, 7, 129)  # field types: text, and bytes of no known meaning
_LONGEST_DESCRIPTION = 1 << 16  # bytes that are looked through
_SAMPLES = {(1, 2), (1, 4), (1, 8), (1, 16), (2, 8), (2, 16), (3, 16), (3, 32), (4, 8), (4, 16)}
"""Kinds of samples (TIFF's SampleFormat, bits) that can be denoised."""
_KNOWN = {6: "old-style JPEG", 34887: "LERC", 50001: "WebP", 50002: "JPEG XL"}

_COLOURS = {8: "in Lab colours", 9: "in Lab colours", 10: "in Lab colours",
            32803: "raw camera data", 34892: "raw camera data",
            32844: "in LogLuv colours", 32845: "in LogLuv colours"}  # fmt: skip


@dataclass(frozen=True)
class PageKind:
    """The storage tags of one page, with the defaults of TIFF 6.0. ``bits`` and ``sample_formats`` are per
    channel."""

    width: int
    height: int
    bits: tuple[int, ...]
    sample_formats: tuple[int, ...]
    photometric: int
    extra: tuple[int, ...]
    compression: int
    predictor: int
    planar: bool
    tile: tuple[int, int] | None
    orientation: int
    reduced: bool
    mask: bool
    raw_camera: bool
    layers: bool
    copies: bool
    ink_set: int
    subsampling: tuple[int, ...]
    jpeg_tables: bytes
    depth: int

    @staticmethod
    def of(directory: Directory) -> PageKind:
        """Read the tags of one directory."""

        def numbers(tag: int, *default: int) -> tuple[int, ...]:
            return (directory[tag].integers if tag in directory else ()) or default

        channels = numbers(277, 1)[0]
        subfile = numbers(254, 0)[0]
        tile = (numbers(322, 0)[0], numbers(323, 0)[0])
        return PageKind(
            width=numbers(256, 0)[0],
            height=numbers(257, 0)[0],
            bits=numbers(258, 1),
            sample_formats=numbers(339, 1),
            photometric=numbers(262, 1)[0],
            extra=numbers(338),
            compression=numbers(259, 1)[0],
            predictor=numbers(317, 1)[0],
            planar=numbers(284, 1)[0] == 2 and channels > 1,
            tile=tile if all(tile) else None,
            orientation=orientation(directory),
            reduced=bool(subfile & 1),
            mask=bool(subfile & 4),
            raw_camera=50706 in directory,
            layers=37724 in directory,
            copies=330 in directory,
            ink_set=numbers(332, 1)[0],
            subsampling=numbers(530, 2, 2),
            depth=numbers(32997, 1)[0],
            jpeg_tables=directory[347].data if 347 in directory else b"",
        )

    @property
    def channels(self) -> int:
        """Colour channels and extra ones (alpha)."""
        return len(self.bits)

    @property
    def premultiplied(self) -> bool:
        """The colours are multiplied by the alpha (ExtraSamples 1)."""
        return self.extra[:1] == (1,)

    @property
    def colours(self) -> int | None:
        """How many channels the colours take, in the file; None where nobody knows."""
        return {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}.get(self.photometric)

    @property
    def bilevel(self) -> bool:
        """One bit a pixel."""
        return self.bits == (1,)

    @property
    def white_is_zero(self) -> bool:
        """Gray with 0 for white, to be stored so again. Integers that are multiplied by alpha are not: they are turned
        round before they are divided, as libvips reads them."""
        return self.photometric == 0 and not self.bilevel and (self.sample_formats[0] == 3 or not self.premultiplied)

    @property
    def unnamed_channel(self) -> bool:
        """The channel behind the colours is not said to be alpha (ExtraSamples 0, or missing)."""
        return self.extra[:1] not in ((1,), (2,))

    @property
    def keeps_jpeg(self) -> bool:
        """Compressed as JPEG, of a kind that can be written so again."""
        return self.compression == 7 and self.channels == self.colours and self.bits[0] == 8

    @property
    def keeps_ycbcr(self) -> bool:
        """Of JPEG's YCbCr with chroma halved both ways, which libvips writes below a quality of 90."""
        return self.photometric == 6 and self.subsampling == (2, 2)

    @property
    def is_half(self) -> bool:
        """Of 16-bit floats."""
        return self.sample_formats[0] == 3 and self.bits[0] == 16

    def problem(self) -> tuple[str, str] | None:
        """(what it is, what to do) for a page that cannot be denoised; None for one that can."""
        bits, form = self.bits[0], self.sample_formats[0]
        colours = self.colours
        if self.raw_camera or self.photometric in _COLOURS:
            what = "raw camera data" if self.raw_camera else _COLOURS[self.photometric]
            return what, "develop it to 16-bit RGB first" if what == "raw camera data" else _RGB_FIRST
        if self.depth > 1:
            return "a volume (tiles with a depth)", "save it with a page for each layer first"
        if self.mask:
            return "a transparency mask", "save the picture with an alpha channel first"
        if self.bilevel and self.photometric in (0, 1, 3):
            return None
        if self.photometric == 5 and self.ink_set != 1:
            return "made of inks other than CMYK", _RGB_FIRST
        if len(set(self.bits)) > 1 or len(set(self.sample_formats)) > 1:
            return "of channels with different depths", _RGB_FIRST
        if form in (5, 6):
            return "made of complex numbers", _RGB_FIRST
        if (form, bits) not in _SAMPLES or (self.is_half and self.predictor == 3):
            name = {2: " (signed)", 3: " (float)"}.get(form, "")
            return f"stored with {bits} bits a sample{name}", "convert it to 16 bits or to 32-bit float first"
        if (form == 2 or self.is_half) and (self.photometric not in (1, 2) or self.channels != colours):
            return "stored in a rare way (signed or 16-bit float, with more than plain gray or RGB)", _RGB_FIRST
        if colours is None:
            return f"in colours of an unknown kind (photometric {self.photometric})", _RGB_FIRST
        if self.channels - colours > 1 or self.channels < colours:
            return f"made of {self.channels} channels", "split it into grayscale or RGB pages first"
        if self.compression not in COMPRESSIONS:
            name = _KNOWN.get(self.compression, f"number {self.compression}")
            return (
                f"compressed in a way that cannot be read ({name})",
                "save it with LZW or Deflate compression first",
            )
        return None

    def notes(self) -> list[str]:
        """What its new file will not have, in plain words."""
        notes = []
        if self.bilevel:
            notes.append(BILEVEL_NOTE)
        elif self.photometric == 3:
            notes.append("its palette was replaced by plain RGB values")
        elif self.bits[0] < 8:
            notes.append(f"stored with 8 bits a sample in place of {self.bits[0]}")
        if self.photometric == 6 and self.compression != 7:
            notes.append("its YCbCr colours were stored as RGB")
        if self.compression == 7 and not self.keeps_jpeg:
            notes.append("its JPEG compression, which would lose its extra channel, was replaced by Deflate")
        if self.photometric == 0 and self.premultiplied and not self.white_is_zero:
            notes.append("its gray values, of which 0 is white, were stored with 0 for black")
        if self.planar:
            notes.append("its separate colour planes were stored interleaved")
        if self.copies:
            notes.append(OVERVIEWS_NOTE)
        if self.layers:
            notes.append("its Photoshop layers were dropped")
        return notes


def further_images(directory: Directory, pages: int, file_size: int) -> int:
    """How many images stand behind the first one of a file that has no pages for them: ImageJ's stacks beyond 4 GiB,
    tifffile's with ``truncate``, MetaMorph's. ``pages`` are those of the file, and ``directory`` is that of the first.

    A description that has outlived its stack (after the pages were parted) counts only where there are bytes for it.
    """
    kind = PageKind.of(directory)
    text = directory[270].data[:_LONGEST_DESCRIPTION] if 270 in directory else b""
    count = 1
    if found := re.match(rb"ImageJ=.*?\simages=(\d{1,9})\s", text, re.DOTALL):
        count = int(found[1])
    elif found := re.match(rb'\{"shape": \[([\d, ]+)\].*"truncated": true', text):
        samples = math.prod(int(side) for side in re.findall(rb"\d{1,9}", found[1]))
        count = samples // max(1, kind.width * kind.height * kind.channels)
    elif 33629 in directory:  # MetaMorph: six numbers an image, told as rationals
        count = len(directory[33629].data) // 8
    if count <= pages or kind.compression != 1:
        return 0
    start = min((offset for offset, _ in places(directory)), default=0)
    size = (kind.width * sum(kind.bits) + 7) // 8 * kind.height
    return count - pages if start + count * size <= file_size else 0


def orientation(directory: Directory) -> int:
    """The orientation tag, 1 to 8; 1 where it is missing or nonsense."""
    values = directory[274].integers if 274 in directory else ()
    return values[0] if values and 1 <= values[0] <= 8 else 1


def iptc(directory: Directory) -> bytes | None:
    """The IPTC block. Some writers call it four-byte numbers, and a file of the other byte order then has it swapped;
    every record begins with 0x1C."""
    if 33723 not in directory:
        return None
    data = directory[33723].data
    return swapped(data, 4) if data[:1] != b"\x1c" and data[3:4] == b"\x1c" else data


def resolution_fields(resolution: tuple[float, float] | None, unit: str | None) -> dict[int, Field]:
    """The tags XResolution, YResolution and ResolutionUnit for a resolution in pixels per millimetre (or a
    ratio)."""
    if resolution is None:
        return {}
    scale, code = {"in": (25.4, 2), "cm": (10.0, 3)}.get(unit or "", (1.0, 1))
    fields = {296: Field(3, struct.pack("<H", code))}
    for tag, value in zip((282, 283), resolution, strict=True):
        exact = min(value * scale, float(_LONGEST))
        # The simplest fraction that comes as near as it can: 72 where the sum is 71.99999999999999.
        nearest = Fraction(exact).limit_denominator(_LONGEST // max(1, math.ceil(exact)))
        fields[tag] = Field(5, struct.pack("<II", nearest.numerator, nearest.denominator))
    return fields


def resolution(directory: Directory) -> tuple[tuple[float, float] | None, str | None]:
    """(x, y) in pixels per millimetre and the unit ("in", "cm"), or the plain ratio and None; None where not
    given. One that is given for a single direction holds for both."""
    given = [_number(directory[tag]) for tag in (282, 283) if tag in directory]
    if not given or not all(math.isfinite(value) and value > 0 for value in given):
        return None, None
    code = directory[296].integers[0] if 296 in directory and directory[296].integers else 2
    unit, scale = {2: ("in", 25.4), 3: ("cm", 10.0)}.get(code, (None, 1.0))
    return (given[0] / scale, given[-1] / scale), unit


def _number(field: Field) -> float:
    """The first number of a field of any type, where TIFF asks for a fraction; NaN where there is none."""
    values = field.values if field.kind not in _NO_NUMBERS else ()
    if field.kind in WORDS:
        return values[0] / values[1] if len(values) > 1 and values[1] else math.nan
    return values[0] if values else math.nan
