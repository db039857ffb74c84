"""Where a result goes: its name, and that it lands neither on an original nor on another file's result."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path, PurePosixPath

from .codecs.kinds import UNSUPPORTED_EXTENSIONS
from .errors import UsageError


def output_name(relative: str, suffix: str | None) -> str:
    """The path of a result below the output folder: that of the input, with the ``suffix`` (".png") it is stored as.

    Without one, or where it says the same (".jpeg" and ".jpg" are told apart by nobody), the name stays as it is.
    """
    path = PurePosixPath(relative)
    if suffix is None or path.suffix.lower() in _SPELLINGS.get(suffix, {suffix}):
        return relative
    return path.with_suffix(suffix).as_posix()


_SPELLINGS = {
    ".jpg": {".jpg", ".jpeg", ".jpe", ".jfif"},
    ".tif": {".tif", ".tiff", ".btf"},
    ".png": {".png", ".apng"},
}


class Originals:
    """Where results must not be written: into the input, but for an output folder inside it."""

    def __init__(self, source: Path, out: Path) -> None:
        self._is_file = source.is_file()
        self._source = source.parent.resolve() / source.name if self._is_file else source.resolve()
        self._out = out.resolve()
        self._is_inside = self._out.is_relative_to(self._source)
        self._folders: dict[Path, bool] = {}

    def refuse(self, output: Path) -> None:
        """Raise :class:`UsageError` if writing ``output`` may replace an original, on whatever way it gets there."""
        if self._is_file:
            # The file itself is not resolved: a rename replaces a link, it does not write through it.
            refused = output.parent.resolve() / output.name == self._source
        else:
            folder = output.parent
            if folder not in self._folders:
                real = folder.resolve()
                is_result = self._is_inside and real.is_relative_to(self._out)
                self._folders[folder] = real.is_relative_to(self._source) and not is_result
            refused = self._folders[folder]
        if refused:
            raise UsageError(f"{output}: that is among the originals, which are never overwritten. Change --out.")


class Names:
    """Which file a result belongs to: two files that would get the same one are found before either is written.

    They can where files are converted (``a.jpg`` and ``a.tif`` to ``a.png``), or on a disk that does not tell ``A``
    from ``a``. ``out`` is None for a store that does.
    """

    def __init__(self, out: Path | None, suffix: str | None) -> None:
        self._folds = out is not None and ignores_case(out)
        self._is_needed = self._folds or suffix is not None
        self._owners: dict[str, str] = {}

    def rival(self, relative: str, name: str) -> str | None:
        """The other file whose result has the name that ``relative`` would get, or None."""
        # Kinds that are never denoised have no result: a camera's a.cr2 stands beside its a.jpg.
        if not self._is_needed or PurePosixPath(relative).suffix.lower() in UNSUPPORTED_EXTENSIONS:
            return None
        owner = self._owners.setdefault(self._key(name), relative)
        return None if owner == relative else owner

    def forget(self, relative: str, name: str) -> None:
        """The file is gone; another one may have its result's name."""
        if self._owners.get(self._key(name)) == relative:
            del self._owners[self._key(name)]

    def _key(self, name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold() if self._folds else name


def ignores_case(folder: Path) -> bool:
    """Whether the disk of ``folder`` (or of the nearest folder above that is there) takes A and a for the same name.

    Found out by looking for a folder under its name in the other case; nothing is written.
    """
    for place in (folder.absolute(), *folder.absolute().parents):
        other = place.with_name(place.name.swapcase()) if place.name else place
        if place.exists() and other.name != place.name:
            return other.exists() and place.samefile(other)
    return sys.platform in ("win32", "darwin")
