"""The wrappers change nothing, which the contract suites see to, and count exactly what was called."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from adapters.repositories.in_memory import InMemorySimilarityRepository
from adapters.stores.file_system_image_store import FileSystemImageStore
from adapters.telemetry.measured_ports import (
    MeasuredImageDecoder,
    MeasuredImageEncoder,
    MeasuredImageStore,
    MeasuredObjectDetector,
    MeasuredSimilarityRepository,
    MeasuredThumbnailRenderer,
)
from adapters.telemetry.metrics import Metrics
from adapters.telemetry.stages import Stages
from domain.callers import Deadline, within
from domain.errors import (
    DeadlinePassedError,
    EncoderUnavailableError,
    ImageNotFoundError,
    ImageUnreadableError,
    StorageFullError,
    UnsupportedImageError,
)
from domain.filters import Field
from domain.metadata import MetadataType
from domain.raster import RasterImage
from tests.builders import a_query, a_record, an_embedding, an_id, an_image, an_object
from tests.contracts.image_store import ImageStoreContract, a_sha256
from tests.contracts.repository_cases import DECLARED
from tests.contracts.similarity_repository import SPACE, SimilarityRepositoryContract
from tests.decoding import decode
from tests.fakes import UNREADABLE, FakeDecoder, FakeDetector, FakeEncoder, FakeStore, FakeThumbnails
from tests.unit.adapters.telemetry.readings import by, read, value

RASTER = RasterImage(pixels=np.zeros((24, 32, 3), dtype=np.uint8), width=32, height=24)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1")


@pytest.fixture
def stages(metrics: Metrics) -> Stages:
    return Stages(metrics)


def calls(metrics: Metrics) -> dict[str, float]:
    return by(read(metrics.exposition()), "lookalike_stage_seconds_count", "stage")


def failures(metrics: Metrics, stage: str) -> dict[str, float]:
    name = "lookalike_stage_failures_total"
    found = {k: v for k, v in read(metrics.exposition()).items() if k[0] == name and ("stage", stage) in k[1]}
    return {dict(labels)["code"]: count for (_, labels), count in found.items()}


class TestRepository(SimilarityRepositoryContract):
    score_tolerance = 1e-5
    deep_images = 600

    @pytest.fixture
    def fresh(self) -> MeasuredSimilarityRepository:
        metrics = Metrics(version="1")
        return MeasuredSimilarityRepository(InMemorySimilarityRepository(DECLARED), Stages(metrics), metrics)


class TestStore(ImageStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path, stages: Stages) -> MeasuredImageStore:
        store = MeasuredImageStore(FileSystemImageStore(tmp_path / "images", reserve_bytes=0), stages)
        await store.open()
        return store


async def test_models_answer_as_they_do_unmeasured_and_each_call_is_counted(metrics: Metrics, stages: Stages) -> None:
    decoder, plain_encoder, plain_detector = MeasuredImageDecoder(FakeDecoder(), stages), FakeEncoder(), FakeDetector()
    plain_detector.found = [an_object("dog", score=0.9), an_object("cat", score=0.8)]
    encoder = MeasuredImageEncoder(plain_encoder, stages)
    detector = MeasuredObjectDetector(plain_detector, stages)
    await asyncio.gather(encoder.open(), detector.open())
    assert (encoder.space, encoder.description) == (plain_encoder.space, plain_encoder.description)
    assert (detector.labels, detector.description) == (["cat", "dog"], plain_detector.description)

    raster = (await decode(decoder, b"hat", sufficient_side=8)).raster
    assert np.array_equal(raster.pixels, (await decode(FakeDecoder(), b"hat", sufficient_side=8)).raster.pixels)
    assert np.array_equal(await encoder.encode([raster, RASTER]), await plain_encoder.encode([raster, RASTER]))
    [found] = await detector.detect([raster], score_threshold=0.5, labels={"dog", "cat"}, max_detections=1)
    assert [item.label for item in found] == ["dog"]
    renderer = MeasuredThumbnailRenderer(FakeThumbnails(), stages)
    assert await renderer.render(raster, 384) == await FakeThumbnails().render(raster, 384)
    await asyncio.gather(encoder.close(), detector.close())

    assert calls(metrics) == {"decode": 1, "encode": 1, "detect": 1, "thumbnail": 1}


async def test_every_call_of_the_index_is_a_read_or_a_write_but_for_its_status(
    metrics: Metrics, stages: Stages
) -> None:
    repository = MeasuredSimilarityRepository(InMemorySimilarityRepository(), stages, metrics)
    await repository.open(SPACE)
    dimension = SPACE.dimension
    await repository.upsert([an_image(number, dimension=dimension) for number in range(3)])
    await repository.update([a_record(0, metadata={"a": 1})])
    await repository.delete([an_id(1)])
    assert calls(metrics) == {"index_write": 3}
    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: repository.get([an_id(0)]),
        lambda: repository.named([a_record(0).sha256]),
        lambda: repository.embeddings([an_id(0)]),
        lambda: repository.object_embeddings([an_id(0)]),
        lambda: repository.list(limit=5),
        lambda: repository.nearest(a_query(an_embedding(dimension=dimension), limit=5)),
        lambda: repository.nearest_objects(a_query(an_embedding(dimension=dimension), limit=5)),
        repository.count,
        lambda: repository.facet(Field("labels"), MetadataType.KEYWORD),
    ]
    for number, call in enumerate(reads, start=1):
        await call()
        assert calls(metrics)["index_read"] == number
    assert (await repository.status()).images == 2
    assert calls(metrics) == {"index_write": 3, "index_read": len(reads)}
    assert value(read(metrics.exposition()), "lookalike_images_written_total") == 3
    await repository.close()


async def test_files_are_counted(metrics: Metrics, stages: Stages) -> None:
    plain = FakeStore()
    store = MeasuredImageStore(plain, stages)
    await store.put(a_sha256(1), original=b"one", thumbnails={384: b"small"})
    assert (await store.original(a_sha256(1)), await store.thumbnail(a_sha256(1), 384)) == (b"one", b"small")
    async with store.opened_original(a_sha256(1)) as original:
        assert await original.read(10) == b"one"
    with pytest.raises(ImageNotFoundError):
        async with store.opened_original(a_sha256(2)):
            pytest.fail("there is none")
    plain.full = True
    with pytest.raises(StorageFullError):
        await store.put(a_sha256(2), original=b"two")
    await store.delete(a_sha256(1))
    assert calls(metrics) == {"store_write": 3, "store_read": 5}
    assert failures(metrics, "store_read") == {"image_not_found": 1}
    assert failures(metrics, "store_write") == {"storage_full": 1}


async def test_failures_are_counted_by_their_code(metrics: Metrics, stages: Stages) -> None:
    decoder, plain = MeasuredImageDecoder(FakeDecoder(), stages), FakeEncoder()
    encoder = MeasuredImageEncoder(plain, stages)
    with pytest.raises(ImageUnreadableError):
        await decode(decoder, UNREADABLE, sufficient_side=8)
    for _ in range(2):
        with pytest.raises(UnsupportedImageError):
            await decode(decoder, b"", sufficient_side=8)
    with within(Deadline(0.0)), pytest.raises(DeadlinePassedError):
        await decode(decoder, b"late", sufficient_side=8)
    plain.failure = EncoderUnavailableError("away")
    with pytest.raises(EncoderUnavailableError):
        await encoder.encode([RASTER])
    assert failures(metrics, "decode") == {
        "image_unreadable": 1,
        "unsupported_image_format": 2,
        "deadline_passed": 1,
    }
    assert failures(metrics, "encode") == {"encoder_unavailable": 1}
    assert calls(metrics) == {"decode": 4, "encode": 1}


async def test_what_has_no_name_and_who_goes_away_are_counted_too(metrics: Metrics, stages: Stages) -> None:
    class Broken(FakeThumbnails):
        async def render(self, image: RasterImage, side: int) -> bytes:
            raise RuntimeError("out of ink")

    class Endless(FakeThumbnails):
        async def render(self, image: RasterImage, side: int) -> bytes:
            await asyncio.Event().wait()
            return b""

    with pytest.raises(RuntimeError, match="out of ink"):
        await MeasuredThumbnailRenderer(Broken(), stages).render(RASTER, 384)
    going = asyncio.create_task(MeasuredThumbnailRenderer(Endless(), stages).render(RASTER, 384))
    await asyncio.sleep(0)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert failures(metrics, "thumbnail") == {"unexpected": 1, "cancelled": 1}
