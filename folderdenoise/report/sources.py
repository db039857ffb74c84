"""Where the files of a run are: results in the output folder, originals where they were."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..table import Row

_GONE = "The original was not found, so the result is shown alone."
_CHANGED = "The original has changed since, so the result is shown alone."


class RunSources:
    """The files of a run into ``out``. ``originals`` is the folder or the one file that was denoised; without it, they
    are looked for where the table says that they were, and in the folder ``beside`` the results."""

    def __init__(self, out: Path, originals: Path | None, beside: Path | None = None) -> None:
        self._out = out
        self._named = originals.parent if originals is not None and originals.is_file() else originals
        self._beside = beside

    def __call__(self, page: Row) -> tuple[Path | str, Path]:
        """The original of a page's file, or why there is none, and the result."""
        result = _below(self._out, page.file)
        if page.output:
            # Only the name is taken: the folder may have moved since, and a converted file has another suffix.
            result = result.with_name(Path(page.output).name)
        folders = (
            [self._named] if self._named else [Path(page.source_folder) if page.source_folder else None, self._beside]
        )
        found = [_below(folder, page.file) for folder in folders if folder is not None]
        original = next((path for path in found if path.is_file()), None)
        if original is None:
            return _GONE, result
        return (original if page.source_bytes in (None, original.stat().st_size) else _CHANGED), result


def find_originals(out: Path, pages: Iterable[Row]) -> Path | None:
    """The folder whose results are in ``out``, going by the default names: ``X`` beside ``X-denoised``."""
    place = out.resolve()
    name = place.name.removesuffix("-denoised")
    if name == place.name:
        return None
    if (place.parent / name).is_dir():
        return place.parent / name
    # One file that was denoised: X.jpg beside X-denoised.
    is_file = any(PurePosixPath(page.file).stem == name and _below(place.parent, page.file).is_file() for page in pages)
    return place.parent if is_file else None


def _below(folder: Path, relative: str) -> Path:
    """The path below ``folder``, and nowhere else, whatever the table says."""
    return folder.joinpath(*(part for part in PurePosixPath(relative).parts if part not in ("..", "/")))
