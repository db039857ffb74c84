"""What runs on a worker: chunks of files, each through ``process_file()``."""

from __future__ import annotations

import functools
import pickle
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .errand import Errand, Finished, Item

if TYPE_CHECKING:
    from ..engine import Denoiser
    from ..pages import Settings
    from ..publish import Gate

DO_CHUNK = f"{__name__}:do_chunk"
_REMEMBERED_RUNS = 8
_course_lock = threading.Lock()
_bench_lock = threading.Lock()


def do_chunk(chunk: bytes) -> Finished:
    """Do the files of a chunk, pickled by :func:`packed`.

    What concerns the whole run is in the answer, not raised, so that finished files are not lost with it.
    """
    from distributed import get_worker

    from ..errors import AbandonedError, FolderDenoiseError

    errand, items = pickle.loads(chunk)
    here = get_worker()
    done = []
    note = None
    fatal = None
    try:
        course = _course(errand.run)
        with _bench_lock:
            bench = _bench(errand, here.state.nthreads)
        note = bench.denoiser.device_note
        with course.gate.enter():
            for item in items:
                if course.is_ending:
                    break
                done.append(item.do(bench.denoiser, bench.settings, Path(here.local_directory)))
    except AbandonedError:
        pass  # the run was interrupted; what is done counts
    except FolderDenoiseError as error:
        fatal = type(error)(f"{error} (on {_name()})")
    return Finished(tuple(done), fatal, note and f"{_name()}: {note}")


def packed(errand: Errand, items: list[Item]) -> bytes:
    """What :func:`do_chunk` takes. Bytes, so that nobody else looks into it."""
    return pickle.dumps((errand, items))


def end(run: str) -> None:
    """Begin no more files of ``run`` on this worker."""
    _course(run).is_ending = True


def abandon(run: str) -> None:
    """Let no file of ``run`` that is under way on this worker be published any more."""
    course = _course(run)
    course.is_ending = True
    course.gate.close()


@dataclass
class _Course:
    """How a run is going: whether it is ending, and what its results pass through."""

    gate: Gate
    is_ending: bool = field(default=False)


@functools.lru_cache(_REMEMBERED_RUNS)
def _courses(run: str) -> _Course:
    from ..publish import Gate

    return _Course(Gate())


def _course(run: str) -> _Course:
    # Not the other lock: a model takes seconds to compile, and the one who asks may be Dask's event loop.
    with _course_lock:
        return _courses(run)


@dataclass(frozen=True)
class _Bench:
    """What the files of a run are done with on this worker."""

    denoiser: Denoiser
    settings: Settings


# Each run checks the model anew: its files may have been replaced since the last one.
@functools.lru_cache(1)
def _bench(errand: Errand, threads: int) -> _Bench:
    """Raises ModelError for another model than the client's, UsageError where the worker does not see the folders or
    lacks the precision asked for."""
    from .. import __version__, job, resources
    from ..errors import ModelError, UsageError

    for folder in errand.folders:
        if not folder.exists():
            raise UsageError(
                f"{folder}: is not there. Every worker must see the folders under the same path as this machine: "
                "mount them there, or use URLs (s3://...)."
            )
    order = errand.order
    given = resources.choose(threads=threads, jobs=threads, tile=order.tile, memory=errand.memory)
    denoiser = job.denoiser_for(order, given)
    denoiser.check_precision()
    for channels, wanted in zip((1, 3), errand.models, strict=True):
        card = denoiser.card_for(channels)
        if card.sha256 != wanted.sha256:
            raise ModelError(
                f"The model {wanted.name} is not the same everywhere: the client has version {wanted.version} "
                f"({wanted.sha256[:12]}..., folderdenoise {errand.version}), the worker version {card.version} "
                f"({card.sha256[:12]}..., folderdenoise {__version__}). Install the same on all machines."
            )
    resources.bound_pools(given)
    return _Bench(denoiser, job.settings_for(order, given))


def _name() -> str:
    from distributed import get_worker

    return f"worker {get_worker().address} of {socket.gethostname()}"
