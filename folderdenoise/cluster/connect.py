"""Getting at a cluster: one of this machine's own processes, or one that runs already."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import machine, resources
from ..errors import UsageError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

    from ..order import Listener, Order

LOCAL = "local"
CONNECT_SECONDS = 20
# What Dask says while workers die and connections close is said by us, in other words.
_SILENT = logging.CRITICAL + 1
# One death may be anybody's doing; at the second one the chunk's files are tried one by one.
_ALLOWED_DEATHS = 1


def check_installed() -> None:
    """Raise UsageError where the extra is missing."""
    if any(importlib.util.find_spec(name) is None for name in ("distributed", "fsspec")):
        raise UsageError("--cluster needs Dask. Install it, in the folder of folderdenoise: pip install '.[cluster]'.")


def workers_for(order: Order, files: int) -> int:
    """How many workers a cluster of this machine has: one for each core, no more than asked for, of use, or than there
    is memory for."""
    room = resources.budget(order.memory_bytes) // resources.least(order.tile)
    return max(1, min(order.threads or machine.cores(), order.jobs or files, files, room))


def memory_for(order: Order, workers: int) -> int:
    """Bytes that each worker of this machine's may take."""
    # A machine with next to nothing free works on in the smallest tiles.
    return max(resources.budget(order.memory_bytes) // workers, resources.least(order.tile))


def check_memory(order: Order) -> None:
    """Raise UsageError where even one worker of this machine's takes more memory than was asked for."""
    resources.choose(tile=order.tile, memory=order.memory_bytes)


@contextlib.contextmanager
def connected(address: str, workers: int, listener: Listener) -> Iterator[Client]:
    """A client of the cluster at ``address``, or of a new one with so many ``workers`` here if that is "local".

    Raises UsageError where no scheduler answers at the address.
    """
    _silence()
    with _own_cluster(workers) if address == LOCAL else _cluster_at(address) as client:
        if client.dashboard_link and importlib.util.find_spec("bokeh"):
            listener.noted(f"Dashboard: {client.dashboard_link}")
        yield client


def _silence() -> None:
    """For good: connections that close say so when the cluster is gone already."""
    import distributed  # noqa: F401  # which sets the levels of its loggers

    for name in ["distributed", *(name for name in logging.root.manager.loggerDict if name.startswith("distributed."))]:
        logging.getLogger(name).setLevel(_SILENT)


@contextlib.contextmanager
def _own_cluster(workers: int) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    with contextlib.ExitStack() as stack:
        # What workers leave behind when they are killed goes with it.
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="folderdenoise-", ignore_cleanup_errors=True))
        settings = {"distributed.scheduler.allowed-failures": _ALLOWED_DEATHS, "temporary-directory": scratch}
        stack.enter_context(dask.config.set(settings))
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                # One large image may have what the others leave. Where all together want too much, the system ends
                # one of them, and its files are done again.
                memory_limit=MEMORY_LIMIT,
                # Without Bokeh there is no dashboard to show; port 0 is one that is free.
                dashboard_address="127.0.0.1:0",
                silence_logs=_SILENT,
                preload=[*dask.config.get("distributed.worker.preload"), "folderdenoise.cluster.own_worker"],
            )
        )
        # Asked to close, a worker would first end the tile that it is at, which may take long.
        stack.callback(_kill_workers, cluster)
        yield stack.enter_context(Client(cluster, set_as_default=False))


def _kill_workers(cluster: LocalCluster) -> None:
    import psutil

    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        with contextlib.suppress(psutil.Error):
            psutil.Process(nanny.pid).kill()


@contextlib.contextmanager
def _cluster_at(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        _check_address(address)
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--cluster {address}: no Dask scheduler answers there ({error}). Give the address that 'dask scheduler' "
            "prints, such as tcp://10.0.0.5:8786, or 'local' for this machine alone."
        ) from error
    with client:
        yield client


def _check_address(address: str) -> None:
    """Raise ValueError where no client can be made. Dask would say so, too, but then wait 40 s as the program ends, for
    the client that it has half made, and leave a traceback behind."""
    from distributed.comm import get_address_host_port
    from distributed.security import Security

    get_address_host_port(address)
    is_secret = address.startswith(("tls://", "wss://"))
    if is_secret and Security().get_connection_args("client")["ssl_context"] is None:
        raise ValueError("Dask's TLS settings are missing here: DASK_DISTRIBUTED__COMM__TLS__CA_FILE and the others")
