"""What the machine has to give: processor cores and memory, less where a container has only a part of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def all_cores() -> int:
    """How many processor cores the machine has."""
    return os.cpu_count() or 1


def cores() -> int:
    """How many of them this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else all_cores()
    for limit in _limits("cpu.max"):
        quota, period = limit.split()
        if quota != "max":
            allowed = min(allowed, max(1, round(int(quota) / int(period))))
    return allowed


def free_memory() -> int:
    """How many bytes of memory can be had without swapping."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in zip(_limits("memory.max"), _limits("memory.current"), strict=False):
        if limit != "max":
            free = min(free, max(0, int(limit) - int(used)))
    return free


def _limits(name: str) -> Iterator[str]:
    """What the control file ``name`` says for each group that this process is in, from the innermost outwards.

    Linux's control groups, version 2; nothing anywhere else.
    """
    try:
        own = next(line for line in _OWN_GROUPS.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return
    group = _CGROUPS / own.removeprefix("0::").strip("/")
    # Inside a container the path may be the host's: the container's own group is then the root.
    for folder in (group, *group.parents):
        if (folder / name).is_file():
            yield (folder / name).read_text().strip()
        if folder == _CGROUPS:
            return
