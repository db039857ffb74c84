"""What Dask runs first in each worker process of a cluster of our own."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Called by Dask. Ctrl-C reaches all processes of a terminal, and a service that is stopped is told process by
    process: workers leave it to the client, which ends them, or to its death, which they notice."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
