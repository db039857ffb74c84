"""Putting originals away when they are dealt with."""

from __future__ import annotations

import errno
import os
import shutil
from itertools import count
from pathlib import Path

from .errors import OutputError
from .publish import published


def put_away(source: Path, relative: str, shelf: Path) -> Path:
    """Move ``source`` to ``relative`` below ``shelf``; where it is now.

    Nothing is replaced: a name that is taken gets a number. Raises :class:`OutputError` if it cannot be moved; it is
    then where it was.
    """
    target = _free(shelf / relative)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise OutputError(f"{source}: cannot be moved to {target} ({error.strerror}). It stays.") from error
        # Another disk: copied whole before the first is removed.
        with published(target) as temporary:
            shutil.copyfile(source, temporary)
            shutil.copystat(source, temporary)
        try:
            source.unlink()
        except OSError as stuck:
            # Else each start of a watch would leave one more copy.
            target.unlink()
            raise OutputError(f"{source}: cannot be moved to {target} ({stuck.strerror}). It stays.") from stuck
    return target


def _free(path: Path) -> Path:
    if not os.path.lexists(path):
        return path
    numbered = (path.with_name(f"{path.stem} ({number}){path.suffix}") for number in count(2))
    return next(candidate for candidate in numbered if not os.path.lexists(candidate))
