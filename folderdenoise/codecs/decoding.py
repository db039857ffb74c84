"""What the readers of all formats that libvips decodes share."""

from __future__ import annotations

from pathlib import Path

from folderdenoise.codecs import tiff, tiffpage, vips
from folderdenoise.codecs.picture import Limits, Metadata, Picture

LOSSY_QUALITY = 90
NO_QUALITY = f"it does not say with what quality it was compressed: stored with quality {LOSSY_QUALITY}"


def decode(
    path: Path,
    loader: str,
    metadata: Metadata,
    limits: Limits,
    data: bytes | None = None,
    **options: object,
) -> Picture:
    """One picture by libvips' ``loader``, of the file or of ``data`` out of it. Raises UnreadableImageError."""
    try:
        image = vips.opened(path, loader, data, **options)
        vips.guard(path, image.width, image.height, image.width * image.height / 1e6, limits.megapixels)
        return vips.picture(path, image, metadata, limits.scratch)
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error


def camera_block(block: bytes | None) -> tuple[bytes | None, int, tuple[tuple[float, float] | None, str | None]]:
    """The block without thumbnail, the orientation and the resolution in it."""
    if not block:
        return None, 1, (None, None)
    block = tiff.without_thumbnail(block)
    fields = tiff.exif_fields(block)
    return block, tiffpage.orientation(fields), tiffpage.resolution(fields)
