"""``folderdenoise run --cluster``: a whole run whose files are done by the workers of a Dask cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .. import __version__, job, zoo
from ..engine import Denoiser
from ..folder import Plan, Selection, Task
from ..job import Recorder, Stop
from ..order import Listener, Order
from ..publish import remove_leftovers
from . import connect
from .dispatch import Dispatch
from .errand import Errand, LocalFile, ModelName, Piece
from .places import UrlPath


def run(order: Order, selection: Selection, listener: Listener, address: str) -> int:
    """As :func:`job.run`, on the cluster at ``address``, or "local".

    Raises :class:`ClusterError`, too, when the cluster is lost, with everything finished kept.
    """
    connect.check_installed()
    if address == connect.LOCAL:
        connect.check_memory(order)
    if is_remote(order):
        from . import remote

        return remote.run(order, selection, listener, address)

    def work(tasks: Sequence[Task], record: Recorder, stop: Stop) -> None:
        workers = connect.workers_for(order, len(tasks))
        source = order.source if order.source.is_dir() else order.source.parent
        folders = [folder.absolute() for folder in (source, order.out, order.reference) if folder is not None]
        memory = connect.memory_for(order, workers) if address == connect.LOCAL else None
        errand = errand_for(order, job.denoiser_for(order), folders, memory)
        with connect.connected(address, workers, listener) as client:
            dispatch = Dispatch(client, errand, record, listener.warned, stop)
            dispatch.run(_pieces(tasks), len(tasks))
        if dispatch.has_lost_workers:
            remove_leftovers(order.out)

    return job.run(order, selection, listener, work=work)


def plan(order: Order, selection: Selection) -> Plan:
    """The plan of a run, with nothing touched. Raises UsageError, OutputError and ModelError."""
    if not is_remote(order):
        return job.plan(order, selection)
    connect.check_installed()
    from . import remote

    return remote.plan(order, selection)


def is_remote(order: Order) -> bool:
    """Whether the input or the output is a URL."""
    return isinstance(order.source, UrlPath) or isinstance(order.out, UrlPath)


def errand_for(order: Order, denoiser: Denoiser, folders: Sequence[Path], memory: int | None) -> Errand:
    """What workers are told of an order."""
    cards = [denoiser.card_for(channels) for channels in (1, 3)]
    model = order.model
    if cards[1].folder.parent not in zoo.search_path():
        # A path, which is relative to this process's folder.
        model = str(cards[1].folder.absolute())
    gray, colour = (ModelName(card.name, card.version, card.sha256) for card in cards)
    # The places are each file's own, and a URL's stand-in does not travel.
    order = replace(order, model=model, source=Path(), out=Path(), reference=None)
    return Errand(uuid.uuid4().hex, order, __version__, (gray, colour), tuple(folders), memory)


def _pieces(tasks: Sequence[Task]) -> Iterator[Piece]:
    for task in tasks:
        reference = task.reference and task.reference.absolute()
        item = Task(task.source.absolute(), task.relative, task.output.absolute(), reference)
        yield Piece(task, LocalFile(item, _size(task.source)))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # its row will say what is wrong with it
        return 0
