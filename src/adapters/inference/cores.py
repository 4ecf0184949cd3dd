"""How many cores this process may use."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""For the environment of a process that computes nothing with NumPy, whose library would start a thread for each core
and spend a tenth of a second on it."""


def available_cores(cgroup: Path = CGROUP) -> int:
    """Cores by the scheduler's affinity, and no more than the control group's quota of processor time, rounded up.

    A container with `--cpus 2` on a machine of 64 cores sees all 64, but threads for 64 would only take turns.
    """
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return present if quota is None else max(1, min(present, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Cores' worth of time in each period, by version 2 or 1 of control groups; None where there is no limit."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        quota = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return quota if quota > 0 else None
