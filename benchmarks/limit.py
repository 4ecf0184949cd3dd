"""The limit of this machine: each stage bare, without a service around it, one picture at a time and on all cores.

`python -m benchmarks.limit PICTURES [--index DATA_DIR] [--objects]` prints JSON, a `Stage` by name. A process of its
own, so that its CPU seconds are the stages' and nothing else's.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

from benchmarks import bare
from benchmarks.processes import output_of

T = TypeVar("T")
R = TypeVar("R")

ENCODING = ("decode", "preprocess", "forward")
SEARCH = (*ENCODING, "query")
INDEXING = ENCODING
INDEXING_OBJECTS = (*ENCODING, "detect", "crops")
LOOP = "loop"
"""Decode, preprocess and forward once more, overlapping: what the limit comes to in practice, on a busy machine too."""

STORING = ("thumbnail", "files", "upsert")
"""What indexing cannot do without either, though the limit that the targets speak of leaves it out."""

CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Stage:
    """Milliseconds a picture: alone, and CPU while all cores do the same."""

    alone: float
    cpu: float


Stages = Mapping[str, Stage]


def latency(stages: Stages, names: Sequence[str]) -> float:
    """Milliseconds that one picture takes through these stages."""
    return sum(stages[name].alone for name in names)


def per_second(stages: Stages, names: Sequence[str]) -> float:
    """What the cores, kept busy with these stages and nothing else, get through."""
    return CORES / sum(stages[name].cpu for name in names) * 1000


def measure(pictures: Path, *, index: Path | None = None, objects: bool = False) -> dict[str, Stage]:
    """Measure in a process of its own. Nothing else may have `index` open."""
    options = [*(("--index", str(index)) if index else ()), *(("--objects",) if objects else ())]
    command = [sys.executable, "-m", "benchmarks.limit", str(pictures), *options]
    return {name: Stage(**stage) for name, stage in json.loads(output_of(command)).items()}


def main() -> None:
    """Measure every stage that is asked for."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("pictures", type=Path)
    arguments.add_argument("--index", type=Path)
    arguments.add_argument("--objects", action="store_true")
    given = arguments.parse_args()
    contents = [path.read_bytes() for path in sorted(given.pictures.glob("*.jpg"))]
    encoder = bare.Encoder()
    stages: dict[str, Stage] = {}
    stages["decode"], rasters = _on_threads(bare.decode, contents)
    stages["preprocess"], inputs = _on_threads(encoder.fit, rasters)
    stages["forward"], vectors = _on_graph(encoder.one, encoder.many, inputs)
    stages[LOOP] = _loop(encoder, contents)
    if given.index is not None:
        stages["query"], _ = _in_turn(bare.Index.of(given.index).query, vectors)
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as directory:
        stages["thumbnail"], thumbnails = _on_threads(bare.thumbnail, rasters)
        files = bare.Files(Path(directory))
        stages["files"], _ = _on_threads(files.put, list(zip(contents, thumbnails, strict=True)))
        groups = [np.stack(vectors[at : at + bare.GROUP]) for at in range(0, len(vectors), bare.GROUP)]
        of_group, _ = _in_turn(bare.Index.new(Path(directory) / "shard").upsert, groups)
        share = len(groups) / len(vectors)
        stages["upsert"] = Stage(of_group.alone * share, of_group.cpu * share)
    if given.objects:
        stages |= _objects(encoder, rasters)
    print(json.dumps({name: asdict(stage) for name, stage in stages.items()}))


def _loop(encoder: bare.Encoder, contents: Sequence[bytes]) -> Stage:
    """Milliseconds a picture takes when the stages overlap: threads prepare what the streams take."""
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(CORES) as threads:
        encoder.many(threads.map(lambda content: encoder.fit(bare.decode(content)), contents))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Stage(seconds / len(contents) * 1000, cpu / len(contents) * 1000)


def _objects(encoder: bare.Encoder, rasters: Sequence[bare.Pixels]) -> dict[str, Stage]:
    """Finding objects, and encoding what of them is indexed."""
    detector = bare.Detector()
    fitting, inputs = _on_threads(detector.fit, rasters)
    finding, _ = _on_graph(detector.one, detector.many, inputs)
    crops = asyncio.run(bare.crops(rasters))
    share = len(crops) / len(rasters)
    stages = {"detect": Stage(fitting.alone + finding.alone, fitting.cpu + finding.cpu), "crops": Stage(0, 0)}
    if crops:
        preparing, fitted = _on_threads(encoder.fit, crops)
        forward, _ = _on_graph(encoder.one, encoder.many, fitted)
        stages["crops"] = Stage((preparing.alone + forward.alone) * share, (preparing.cpu + forward.cpu) * share)
    return stages


def _on_threads(call: Callable[[T], R], items: Sequence[T]) -> tuple[Stage, list[R]]:
    """Alone, then on as many threads as there are cores."""
    alone, results = _one_by_one(call, items)
    with ThreadPoolExecutor(CORES) as threads:
        cpu = time.process_time()
        for _ in threads.map(call, items):
            pass
        cpu = time.process_time() - cpu
    return Stage(alone, cpu / len(items) * 1000), results


def _on_graph(
    one: Callable[[T], R], many: Callable[[Sequence[T]], object], items: Sequence[T]
) -> tuple[Stage, list[R]]:
    """One at a time on all cores, then as many at a time as the graph has streams."""
    alone, results = _one_by_one(one, items)
    many(items[: 2 * CORES])
    cpu = time.process_time()
    many(items)
    return Stage(alone, (time.process_time() - cpu) / len(items) * 1000), results


def _in_turn(call: Callable[[T], R], items: Sequence[T]) -> tuple[Stage, list[R]]:
    """One after another: what has one owner is not called twice at once."""
    cpu = time.process_time()
    alone, results = _one_by_one(call, items)
    return Stage(alone, (time.process_time() - cpu) / len(items) * 1000), results


def _one_by_one(call: Callable[[T], R], items: Sequence[T]) -> tuple[float, list[Any]]:
    milliseconds, results = [], []
    for item in items:
        started = time.perf_counter()
        results.append(call(item))
        milliseconds.append((time.perf_counter() - started) * 1000)
    return median(milliseconds), results


if __name__ == "__main__":
    main()
