"""Minutes of mixed load: does memory grow, does anything fail, how long do answers take."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np

from benchmarks.load import OK
from benchmarks.mixed_load import CLIENTS, WEIGHTS
from benchmarks.processes import Memory, Service
from benchmarks.report import Section, Target, table
from benchmarks.workspace import Workspace

SAMPLE_SECONDS = 1.0
WARMING = 0.1
"""The part of the run that the slope leaves out: caches fill, threads get their memory."""


def measure(workspace: Workspace) -> Section:
    """One service, one run."""
    size, seconds = workspace.sizes.photos[0], workspace.sizes.soak_seconds
    data_dir = workspace.fresh("soak")
    shutil.copytree(workspace.index(size), data_dir)
    samples: list[tuple[float, float, Memory]] = []
    with Service(data_dir) as service:
        command = [
            sys.executable,
            "-m",
            "benchmarks.mixed_load",
            str(service.port),
            str(workspace.photos(100, seed=2)),
            str(seconds),
        ]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout is not None
            while load.poll() is None and time.perf_counter() - started < seconds:
                samples.append((time.perf_counter() - started, service.rss_mib(), service.memory()))
                time.sleep(SAMPLE_SECONDS)
            done = json.loads(load.stdout.read())
    answers: dict[str, tuple[list[float], list[int]]] = done["answers"]
    failed = sum(status not in OK for _, statuses in answers.values() for status in statuses)
    kept = [sample for sample in samples if sample[0] >= WARMING * seconds]
    rss = _slope([(at, rss) for at, rss, _ in kept])
    anonymous = _slope([(at, memory.anonymous) for at, _, memory in kept])
    return Section(
        "Soak",
        [
            f"{seconds / 60:.1f} minutes of {CLIENTS} clients over {size:,} pictures; as many come as go.",
            "",
            *table(("", "answers", "p50, ms", "p99, ms", "statuses"), [_row(name, *answers[name]) for name in WEIGHTS]),
            f"Memory's slope, by least squares over {len(kept)} samples after the first {WARMING:.0%}: "
            f"RSS **{rss:+.2f} MiB/min**, anonymous {anonymous:+.2f} MiB/min. RSS was {kept[0][1]:.0f} MiB at first, "
            f"{kept[-1][1]:.0f} at last. The load took {done['cpu_seconds'] / seconds:.1%} of a core.",
        ],
        [Target("soak: failed requests", "0", str(failed), failed == 0)],
    )


def _row(name: str, milliseconds: list[float], statuses: list[int]) -> tuple[str, ...]:
    if not milliseconds:
        return name, "0", "", "", ""
    p50, p99 = np.percentile(milliseconds, [50, 99])
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    return name, str(len(milliseconds)), f"{p50:.1f}", f"{p99:.1f}", json.dumps(counts)


def _slope(points: list[tuple[float, float]]) -> float:
    """MiB a minute."""
    seconds, mib = zip(*points, strict=True)
    return float(np.polyfit(np.array(seconds) / 60, mib, 1)[0])
