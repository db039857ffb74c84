"""Which kind of file it is: by name when a folder is listed, by the first bytes when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EXTENSIONS = frozenset(
    {
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".mpo",
            ".png",
            ".apng",
            ".tif",
            ".tiff",
            ".btf",
            ".webp",
            ".avif",
        ),
        *(".bmp", ".dib", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".gif"),
    }
)
"""File-name suffixes, in lower case, that the tool takes in."""

_RAW = """3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"""
RAW_CAMERA = "raw camera"
UNSUPPORTED_EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        **{f".{suffix}": RAW_CAMERA for suffix in _RAW.split()},
        **dict.fromkeys([".ai", ".eps", ".ps"], "PostScript"),
        **dict.fromkeys([".emf", ".wmf"], "Windows metafile"),
        **dict.fromkeys([".fit", ".fits"], "FITS"),
        **dict.fromkeys([".heic", ".heif", ".hif"], "HEIC"),
        **dict.fromkeys([".j2k", ".j2c", ".jpc", ".jpx"], "JPEG 2000 (not in a .jp2 container)"),
        **dict.fromkeys([".psd", ".psb"], "Photoshop"),
        **dict.fromkeys([".svg", ".svgz"], "SVG drawing"),
        **{".dcm": "DICOM", ".djvu": "DjVu", ".exr": "OpenEXR", ".hdr": "Radiance HDR"},
        **{".ico": "icon", ".jxl": "JPEG XL", ".jxr": "JPEG XR", ".pam": "PAM", ".pcx": "PCX", ".pdf": "PDF"},
        **{".pfm": "PFM", ".tga": "Targa", ".xcf": "GIMP"},
    }
)
"""Suffixes, in lower case, of files that hold pictures but are not denoised -> what "... files" they are."""

_SIGNATURES: tuple[tuple[bytes, int, str], ...] = (
    (b"\xff\xd8\xff", 0, "jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "png"),
    (b"II*\0", 0, "tiff"),
    (b"MM\0*", 0, "tiff"),
    (b"II+\0", 0, "tiff"),
    (b"MM\0+", 0, "tiff"),
    (b"WEBP", 8, "webp"),
    (b"GIF8", 0, "gif"),
    (b"BM", 0, "bmp"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", 0, "jp2"),
)
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "Photoshop"),
    (b"SIMPLE  =", "FITS"),
    (b"PF", "PFM"),
    (b"Pf", "PFM"),
    (b"P7\n", "PAM"),
    (b"\xff\x4f\xff\x51", "JPEG 2000 (not in a .jp2 container)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"<svg", "SVG drawing"),
    (b"\0\0\1\0", "icon"),
)


def supported(start: bytes) -> str | None:
    """The format ("jpeg", "png", ...) of a file that begins with ``start``; None for any other."""
    for signature, offset, name in _SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            return name
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace():
        return "pnm"
    return "avif" if {b"avif", b"avis"} & _brands(start) else None


def foreign(start: bytes, suffix: str) -> str | None:
    """What "... files" a file is that is no supported one; None where nobody knows."""
    for signature, name in _FOREIGN:
        if start.startswith(signature):
            return name
    return "HEIC" if {b"heic", b"heix", b"mif1", b"msf1"} & _brands(start) else UNSUPPORTED_EXTENSIONS.get(suffix)


def _brands(start: bytes) -> set[bytes]:
    """The brands of an ISO media file (ISO/IEC 14496-12), the major one and the compatible ones."""
    if start[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return {start[i : i + 4] for i in range(8, end, 4)}
