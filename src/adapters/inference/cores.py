"""How many cores this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""The environment of a process that computes nothing with NumPy: its library would start a thread for each core, which
takes a tenth of a second."""


def available_cores(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Cores by the scheduler's affinity, and no more than the control groups' quota of processor time, rounded up.

    A container with `--cpus 2` on a machine of 64 cores sees all 64, but threads for 64 would only take turns.
    """
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _groups(cgroup, membership) if (quota := _quota(group)) is not None]
    return max(1, min(present, math.ceil(min(quotas, default=present))))


def _groups(cgroup: Path, membership: Path) -> Iterator[Path]:
    """The mounted group, a container's own as a rule; by version 2 also this process's group and those that hold it."""
    yield cgroup
    try:
        [own] = [line[3:] for line in membership.read_text().splitlines() if line.startswith("0::")]
    except (OSError, ValueError):
        return
    group = cgroup / own.strip("/")
    while group != cgroup and group.is_relative_to(cgroup):
        yield group
        group = group.parent


def _quota(group: Path) -> float | None:
    """Cores' worth of time in each period, by version 2 or 1 of control groups; None where there is no limit."""
    try:
        limit, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit, period = ((group / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        quota = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return quota if quota > 0 else None
