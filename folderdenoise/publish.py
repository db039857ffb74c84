"""How a result gets its name: whole and on the disk, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from .errors import OutputError
from .folder import TEMPORARY_SUFFIX


@contextlib.contextmanager
def published(output: Path) -> Iterator[Path]:
    """A temporary path beside ``output`` to write to; renamed to ``output`` if the block succeeds, else removed.

    The bytes are on the disk before the name is. Raises :class:`OutputError` when the folder cannot be written to.
    """
    # A short name of its own: adding to a name of 255 bytes would be refused.
    temporary = output.parent / f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(output)
        _sync_folder(output.parent)
    except OSError as error:
        raise OutputError(
            f"{output}: cannot be written ({error.strerror or error}). Check the permissions and the free space "
            "of the output folder; what is finished is kept, and running again goes on from there."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no such call for folders, and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
