"""What a worker is sent: how a run treats its files, and the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..engine import Denoiser
    from ..errors import FolderDenoiseError
    from ..folder import Task
    from ..order import Order
    from ..pages import Settings
    from ..table import Row


@dataclass(frozen=True)
class ModelName:
    """A model as the client has it."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Errand:
    """How a run treats its files. ``run`` names the run, ``order`` is what the user asked for.

    ``models``: what the client has for gray and for colour images, which must be what the worker has. ``folders`` must
    be there on every worker. ``memory`` in bytes for one worker, None to find out there.
    """

    run: str
    order: Order
    version: str
    models: tuple[ModelName, ModelName]
    folders: tuple[Path, ...] = ()
    memory: int | None = None


@dataclass(frozen=True)
class Done:
    """What became of one file, as in :class:`batch.Outcome`."""

    rows: tuple[Row, ...]
    is_unreadable: bool = False


class Item(Protocol):
    """One file, as a worker does it."""

    @property
    def size(self) -> int:
        """Bytes of the file, 0 if they are not known: what stands in for its pixels, which nobody has counted yet."""
        ...

    def do(self, denoiser: Denoiser, settings: Settings, scratch: Path) -> Done:
        """Denoise it and put the result where it belongs. ``scratch`` is a folder of the worker's own.

        Raises OutputError and ModelError, which end the run.
        """
        ...


@dataclass(frozen=True)
class Piece:
    """A file as the client's listener sees it, and as a worker does it."""

    task: Task
    item: Item


@dataclass(frozen=True)
class Finished:
    """What a worker gives back for a chunk: the files that are done, in order, and what ended it before its end."""

    done: tuple[Done, ...]
    fatal: FolderDenoiseError | None = None
    note: str | None = None
    """Something to know about the worker, which stops nothing."""


@dataclass(frozen=True)
class LocalFile:
    """A file in a folder that client and workers see under the same path."""

    task: Task
    size: int

    def do(self, denoiser: Denoiser, settings: Settings, scratch: Path) -> Done:
        """See :class:`Item`."""
        from ..batch import process_file

        outcome = process_file(self.task, denoiser, settings)
        return Done(outcome.rows, outcome.is_unreadable)
