"""From the start of the process to the first answer, and what memory it takes to get there and to index."""

import time
from dataclasses import dataclass
from statistics import median

from benchmarks.http11 import MULTIPART, call, multipart
from benchmarks.pictures import altered_photos
from benchmarks.processes import Memory, Service
from benchmarks.report import Section, Target, table
from benchmarks.workspace import BATCH, BATCH_CLIENTS, Workspace

READY_WITHIN = 6.0


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process was started, and memory when ready."""

    ready: float
    answered: float
    first_ms: float
    memory: Memory


def measure(workspace: Workspace) -> Section:
    """Some starts over each index, and how the indexes of photos were made."""
    [photo] = altered_photos(1, seed=3)
    body = multipart("file", [photo])
    sizes = workspace.sizes
    starts = {size: [_start(workspace, size, body) for _ in range(sizes.starts)] for size in sizes.indexes}
    slowest = max(median(start.ready for start in of_size) for of_size in starts.values())
    return Section(
        "Start and memory",
        [
            *table(
                ("pictures", "ready after, s", "first search answered after, s", "it took, ms", "MiB", "anonymous"),
                [_row(size, of_size) for size, of_size in starts.items()],
            ),
            f"{sizes.starts} starts each, models converted before, files in the kernel's cache. The first search comes "
            "right after readiness.",
            "",
            *_built(workspace),
        ],
        [Target("ready after start", f"<= {READY_WITHIN:g} s", f"{slowest:.1f} s", slowest <= READY_WITHIN)],
    )


def _start(workspace: Workspace, size: int, body: bytes) -> Start:
    with Service(workspace.index(size)) as service:
        memory, before = service.memory(), time.perf_counter()
        status, answer = call(service.port, "POST", "/v1/search", body, MULTIPART)
        after = time.perf_counter()
    if status != 200:
        raise RuntimeError(f"the first search answered {status}: {answer[:300]!r}")
    return Start(service.seconds_to_ready, after - service.started, (after - before) * 1000, memory)


def _row(size: int, starts: list[Start]) -> tuple[str, ...]:
    return (
        f"{size:,}",
        f"{median(start.ready for start in starts):.2f}",
        f"{median(start.answered for start in starts):.2f}",
        f"{median(start.first_ms for start in starts):.0f}",
        f"{median(start.memory.pss for start in starts):.0f}",
        f"{median(start.memory.anonymous for start in starts):.0f}",
    )


def _built(workspace: Workspace) -> list[str]:
    rows = [
        (
            f"{size:,}",
            f"{size / built.answers.seconds:.0f}",
            f"{built.cpu_seconds / size * 1000:.1f}",
            f"{built.answers.share_of_core:.1%}",
            f"{built.peak.pss:.0f}",
            f"{built.peak.anonymous:.0f}",
        )
        for size, built in workspace.built.items()
    ]
    header = ("pictures", "pictures/s", "CPU s per 1,000", "load, of a core", "peak, MiB", "peak anonymous, MiB")
    return [
        f"Making indexes of photos through HTTP, with objects, in batches of {BATCH}, {BATCH_CLIENTS} at a time:",
        "",
        *table(header, rows),
        "Memory is of the service and its index process: proportional set size, and its anonymous part. The rest are "
        "mapped files, which the kernel drops when others need room.",
    ]
