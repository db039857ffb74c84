"""What the machine has to give: processor cores and memory, less where a container has only a part of them."""

from __future__ import annotations

import contextlib
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
    for group in _groups("cpu"):
        quota, period = _words(group, "cpu.max") or [
            *(_words(group, "cpu.cfs_quota_us") or ["-1"]),
            *(_words(group, "cpu.cfs_period_us") or ["1"]),
        ]
        if quota not in ("max", "-1"):
            allowed = min(allowed, max(1, round(int(quota) / int(period))))
    return allowed


def free_memory() -> int:
    """How many bytes of memory can be had without swapping."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for group in _groups("memory"):
        limit = _words(group, "memory.max") or _words(group, "memory.limit_in_bytes")
        used = _words(group, "memory.current") or _words(group, "memory.usage_in_bytes")
        if limit and used and limit != ["max"]:
            free = min(free, max(0, int(limit[0]) - int(used[0]) + _cached(group)))
    return free


def _cached(group: Path) -> int:
    """Bytes of a group's memory that hold what was read from and written to files: they are given back when needed."""
    words = _words(group, "memory.stat")
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    # Version 1 counts the groups within apart, and with "total_".
    return sum(counts.get(f"total_{name}", counts.get(name, 0)) for name in ("active_file", "inactive_file"))


def _words(group: Path, name: str) -> list[str]:
    """What a group's control file says; nothing if there is no such file."""
    with contextlib.suppress(OSError):
        return (group / name).read_text().split()
    return []


def _groups(controller: str) -> Iterator[Path]:
    """Linux's control groups that this process is in, from the innermost outwards; nothing anywhere else.

    Their version 2 has one tree for all that is controlled, version 1 one for each ``controller``.
    """
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        tree = _CGROUPS / controller if controllers else _CGROUPS
        group = tree / own.strip("/")
        # Inside a container the path may be the host's: the container's own group is then the root.
        for folder in (group, *group.parents):
            yield folder
            if folder == tree:
                break
