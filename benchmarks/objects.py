"""Objects: what detecting costs, what it adds to indexing, and how fast objects are searched."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from application.begun_work import all_of
from application.prepare_pictures import Upload
from benchmarks.pictures import EXAMPLES, altered_photos
from benchmarks.report import Section, has_bf16
from benchmarks.vectors import DIMENSION, Clusters
from benchmarks.workspace import Workspace
from domain.embeddings import EmbeddingSpace
from domain.search import NearestQuery
from entrypoints.container import Container
from entrypoints.settings import DecodeSettings, DetectorSettings, ObjectSettings, Settings

SCENES = EXAMPLES.parent / "scenes"
BATCH = 16
OBJECTS_EACH = 5


def measure(workspace: Workspace) -> Section:
    """All three."""
    pictures = altered_photos(workspace.sizes.object_pictures, seed=2)
    return Section(
        "Objects",
        [
            *asyncio.run(detecting()),
            *asyncio.run(indexing(pictures, rounds=workspace.sizes.rounds)),
            *asyncio.run(searching(workspace.sizes.object_images, OBJECTS_EACH)),
        ],
    )


async def detecting() -> list[str]:
    """Milliseconds a picture, one at a time, by precision."""
    rows = []
    precisions: tuple[Literal["f32", "bf16"], ...] = ("f32", "bf16") if has_bf16() else ("f32",)
    for precision in precisions:
        container = Container(settings=Settings(detector=DetectorSettings(runtime="openvino", precision=precision)))
        detector, decoder = container.detector(), container.decoder()
        await detector.open()
        scenes = [path.read_bytes() for path in sorted(SCENES.glob("*.jpg"))] * 10
        milliseconds = []
        for scene in scenes:
            async with decoder.decoded(scene, sufficient_side=600) as picture:
                started = time.perf_counter()
                await detector.detect([picture.raster], score_threshold=0.3)
                milliseconds.append((time.perf_counter() - started) * 1000)
        running = detector.description
        assert running is not None
        rows.append(f"| {running.model} | {running.runtime} {running.precision} | {median(milliseconds):.1f} |")
        await detector.close()
        await decoder.close()
    return ["| detector | runtime | ms |", "| --- | --- | --- |", *rows, ""]


async def indexing(pictures: Sequence[bytes], *, rounds: int) -> list[str]:
    """Pictures a second with and without objects, beside decode + detect + encode in turn; rounds interleaved."""
    seconds: dict[str, list[float]] = {"in turn, without storing": [], "with objects": [], "without objects": []}
    objects = 0
    for _ in range(rounds):
        in_turn, objects = await _described(pictures)
        seconds["in turn, without storing"].append(in_turn)
        seconds["with objects"].append(await _indexed(pictures, enabled=True))
        seconds["without objects"].append(await _indexed(pictures, enabled=False))
    ratio = median(
        index / turn for index, turn in zip(seconds["with objects"], seconds["in turn, without storing"], strict=True)
    )
    return [
        f"| indexing {len(pictures)} pictures with {objects} objects, in one process | pictures/s |",
        "| --- | --- |",
        *(f"| {name} | {len(pictures) / median(values):.0f} |" for name, values in seconds.items()),
        "",
        f"Indexing with objects takes {ratio:.2f} times what decode, detect and encode (picture and crops) take "
        f"one after the other in batches of {BATCH}, without thumbnails and storing.",
        "",
    ]


async def searching(images: int, objects_each: int) -> list[str]:
    """Milliseconds of one search by object over clustered vectors put in through the port."""
    clusters = Clusters()
    space = EmbeddingSpace(
        model="benchmark", weights_digest="0", dimension=DIMENSION, preprocessing="", decode_version=1
    )
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as directory:
        repository = Container(settings=Settings(data_dir=Path(directory))).repository()
        await repository.open(space)
        started = time.perf_counter()
        for first in range(0, images, 100):
            await repository.upsert([clusters.image(first + n, objects=objects_each) for n in range(100)])
        per_second = images / (time.perf_counter() - started)
        milliseconds = []
        for query in clusters.draw(200):
            started = time.perf_counter()
            await repository.nearest_objects(NearestQuery(vector=query, limit=10))
            milliseconds.append((time.perf_counter() - started) * 1000)
        await repository.close()
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return [
        f"Search by object, {images:,} pictures with {images * objects_each:,} objects in the embedded index "
        f"(clustered vectors of {DIMENSION}): p50 {p50:.1f} ms, p99 {p99:.1f} ms. "
        f"Put in at {per_second:.0f} pictures/s.",
        "",
    ]


async def _described(pictures: Sequence[bytes]) -> tuple[float, int]:
    """Seconds of these calls in turn, and how many objects they gave."""
    container = Container(settings=Settings(decode=DecodeSettings(isolated=False)))
    encoder, detector, decoder = container.encoder(), container.detector(), container.decoder()
    await encoder.open()
    await detector.open()
    try:
        describe = container.describe()
        started, objects = time.perf_counter(), 0
        for first in range(0, len(pictures), BATCH):
            async with AsyncExitStack() as decoding:
                decoded = [
                    await decoding.enter_async_context(
                        decoder.decoded(picture, sufficient_side=describe.sufficient_side)
                    )
                    for picture in pictures[first : first + BATCH]
                ]
                objects += sum(
                    len(each.objects) for each in await all_of(describe(picture.raster) for picture in decoded)
                )
        return time.perf_counter() - started, objects
    finally:
        await detector.close()
        await encoder.close()


async def _indexed(pictures: Sequence[bytes], *, enabled: bool) -> float:
    """Seconds of indexing into a new embedded index."""

    def upload(number: int, content: bytes) -> Upload:
        async def read() -> bytes:
            return content

        return Upload(filename=f"{number}.jpg", read=read)

    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as directory:
        container = Container(settings=Settings(data_dir=Path(directory), objects=ObjectSettings(enabled=enabled)))
        service = container.run_service()
        await service.open()
        try:
            started = time.perf_counter()
            uploads = [upload(number, content) for number, content in enumerate(pictures)]
            outcomes = [outcome async for outcome in container.index_images()(uploads)]
            assert all(outcome.status == "created" for outcome in outcomes)
            return time.perf_counter() - started
        finally:
            await service.close()
