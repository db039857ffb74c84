"""Where SOURCE and DEST are: paths, or URLs (``s3://bucket/scans``). Standard library alone, for the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    _AnyPath = Path
else:
    # Path itself can be subclassed only since Python 3.12.
    _AnyPath = type(Path())

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class UrlPath(_AnyPath):
    """A URL where a path is expected: it prints as the URL, and is no file of this machine.

    Only its text counts. ``url`` has no slash at its end.
    """

    url: str

    def __str__(self) -> str:
        return self.url


def place(text: str) -> Path:
    """A path, or for a URL a :class:`UrlPath`."""
    return url_path(text) if _URL.match(text) else Path(text)


def url_path(url: str) -> UrlPath:
    """The path that stands for ``url``."""
    path = UrlPath(url)
    path.url = url.rstrip("/") if not url.endswith("://") else url
    return path


def refuse_urls(source: Path, out: Path | None, own: Mapping[str, object]) -> None:
    """Raise UsageError where a command with options of its ``own`` cannot work with URLs, or one is missing."""
    url = next((path for path in (source, out) if isinstance(path, UrlPath)), None)
    if url is not None and own.get("cluster") is None:
        how = "Add --cluster local" if "cluster" in own else "Use 'folderdenoise run' with --cluster local"
        raise UsageError(f"{url}: is a URL, which only the workers of a cluster read and write. {how}.")
    if isinstance(source, UrlPath) and out is None:
        raise UsageError(f"{source}: say with --out where the results go, a URL or a folder.")
    if url is not None and own.get("report"):
        raise UsageError(f"{url}: --report needs folders. Copy the results to one, then 'folderdenoise report' it.")
