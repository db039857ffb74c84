"""What went wrong, in plain words of the window's language. The full message stays for the details."""

from __future__ import annotations

import re

from ..errors import (
    FolderDenoiseError,
    ModelError,
    OutputBusyError,
    OutputError,
    UnreadableImageError,
)
from .texts import text

# What messages of the rooms say -> the text for it. The first that matches counts.
_NOTES = (
    (r"the file is empty", "why_empty"),
    (r"damaged or cut off|only zeros", "why_damaged"),
    (r"raw camera files are not supported", "why_raw"),
    (r"more than the limit of ([\d,.]+)", "why_large"),
    (r"not supported|not denoised|are not numbers", "why_unsupported"),
    (r"not an image", "why_no_image"),
    (r"cannot be listed", "why_folder"),
    (r"changed while it was read", "why_changed"),
    (r"not enough memory", "why_memory"),
    (r"cannot be opened|a folder, device or pipe", "why_cannot_open"),
    (r"try another one|the result", "why_suspect"),
)
_USAGE = (
    (r"would get the same result", "why_rivals"),
    (r"is there already|is the result of another|among the originals|is a file|through a symbolic", "why_occupied"),
    (r"no such file or folder", "why_missing"),
    (r"cannot be read", "why_folder"),
)


def about_file(notes: str) -> str:
    """Why a file failed, from the notes of its row."""
    return _first(_NOTES, notes) or text("why_unknown")


def about_warning(message: str) -> str | None:
    """What a watch warned of, where it keeps pictures from being done; None where the work goes on all the same."""
    return text("why_folder") if "cannot be listed" in message else None


def about_error(error: Exception) -> str:
    """Why a run, a scan or a preview ended."""
    message = str(error)
    if isinstance(error, OutputBusyError):
        return text("why_busy")
    if isinstance(error, OutputError):
        key = "why_full" if "disk is full" in message or "no room" in message else "why_output"
        return text("why_gone" if "folder is gone" in message else key)
    if isinstance(error, ModelError):
        return text("why_model")
    if isinstance(error, UnreadableImageError):
        return _first(_NOTES, message) or text("why_cannot_open")
    if isinstance(error, FolderDenoiseError):
        return _first(_USAGE, message) or _first(_NOTES, message) or text("why_unknown")
    return text("why_memory") if isinstance(error, MemoryError) else text("why_unknown")


def _first(table: tuple[tuple[str, str], ...], message: str) -> str | None:
    for pattern, key in table:
        if found := re.search(pattern, message):
            return text(key, limit=found.group(1) if found.groups() else "")
    return None
