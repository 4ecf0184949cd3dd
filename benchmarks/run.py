"""Measure this machine and write benchmarks/RESULTS.md: `make bench`."""

import argparse
import asyncio
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks import bare, objects, quality
from benchmarks.load import Latencies, multipart, post_all
from benchmarks.pictures import altered_photos
from benchmarks.service import Service

RESULTS = Path(__file__).parent / "RESULTS.md"
CLIENTS = (1, 4, 16)
BATCH = 64
ROUNDS = 3


def main() -> None:
    """Index, search and compare with the bare parts; a table for each question."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pictures", type=int, default=10_000, help="how many pictures the index holds")
    arguments.add_argument("--searches", type=int, default=300, help="searches a round and number of clients")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as directory:
        data_dir = Path(directory)
        lines = [
            *_heading(given.pictures),
            *_indexing(data_dir, altered_photos(given.pictures)),
            *_searching(data_dir, altered_photos(given.searches, seed=1)),
            *_objects(altered_photos(given.searches, seed=2), given.pictures),
            *_quality(data_dir),
        ]
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _heading(pictures: int) -> list[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("openvino", "qdrant-edge-py", "pillow", "fastapi"))
    return [
        "# Measured",
        "",
        "Made by `make bench`. The machine may be shared: compare rows of one run, not runs.",
        "",
        f"- {datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Python {platform.python_version()}",
        f"- lookalike {version('lookalike')}, {packages}",
        f"- default settings (embedded index, OpenVINO); {pictures:,} photos of about 400 x 533 pixels, made from the "
        "examples; the load comes from the same machine",
        "",
    ]


def _processor() -> str:
    """The processor's name, as the kernel gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _indexing(data_dir: Path, pictures: list[bytes]) -> list[str]:
    batches = [multipart("files", pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
    with Service(data_dir) as service:
        cpu = service.cpu_seconds()
        indexed = post_all("/v1/images/batch", batches, clients=2)
        cpu = service.cpu_seconds() - cpu
        seconds_to_ready, peak = service.seconds_to_ready, service.peak_mib
    return [
        "## Indexing through HTTP",
        "",
        "| pictures | pictures/s | CPU s per 1,000 | of the load generator | peak memory, MiB | ready after, s |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {len(pictures):,} | {len(pictures) / indexed.seconds:.0f} | {cpu / len(pictures) * 1000:.1f} "
        f"| {indexed.load_cpu_seconds / len(pictures) * 1000:.1f} | {peak:.0f} | {seconds_to_ready:.1f} |",
        "",
        f"Batches of {BATCH}, two at a time. Memory is the proportional set size of the service and its index process.",
        "",
    ]


def _searching(data_dir: Path, queries: list[bytes]) -> list[str]:
    bodies = [multipart("file", [query]) for query in queries]
    rounds: list[bare.BareTimes] = []
    served: dict[int, list[Latencies]] = {clients: [] for clients in CLIENTS}
    peaks = []
    for _ in range(ROUNDS):
        rounds.append(asyncio.run(bare.measure(data_dir, queries)))
        with Service(data_dir) as service:
            post_all("/v1/search", bodies[:20], clients=1)
            for clients in CLIENTS:
                served[clients].append(post_all("/v1/search", bodies, clients=clients))
            peaks.append(service.peak_mib)
    names = ("decode", "encode", "nearest", "search", "batch_per_second")
    part = {name: median(getattr(times, name) for times in rounds) for name in names}
    over = median(latencies.percentile(50) - times.search for latencies, times in zip(served[1], rounds, strict=True))
    return [
        f"## Search, {ROUNDS} rounds of service and bare parts in turn, medians",
        "",
        "| clients | p50, ms | p99, ms | searches/s |",
        "| --- | --- | --- | --- |",
        *(
            f"| {clients} | {median(run.percentile(50) for run in runs):.1f} "
            f"| {median(run.percentile(99) for run in runs):.1f} | {median(run.per_second for run in runs):.0f} |"
            for clients, runs in served.items()
        ),
        "",
        "| bare part, one picture at a time | ms |",
        "| --- | --- |",
        f"| decode | {part['decode']:.1f} |",
        f"| encode | {part['encode']:.1f} |",
        f"| nearest (k = 11) | {part['nearest']:.1f} |",
        f"| **sum** | {part['search']:.1f} |",
        "",
        f"Search at one client takes {over:.1f} ms more than the sum of its parts. The encoder alone, in batches of "
        f"16: {part['batch_per_second']:.0f} pictures/s. Peak memory while searching: {max(peaks):.0f} MiB.",
        "",
    ]


def _objects(pictures: list[bytes], images: int) -> list[str]:
    return [
        "## Objects",
        "",
        *asyncio.run(objects.detecting()),
        *asyncio.run(objects.indexing(pictures)),
        *asyncio.run(objects.searching(images, 5)),
    ]


def _quality(data_dir: Path) -> list[str]:
    return [
        "## Quality",
        "",
        f"P@5 by kind on the example photos, leave-one-out: **{asyncio.run(quality.precision_at_5(data_dir)):.3f}**",
    ]


if __name__ == "__main__":
    main()
