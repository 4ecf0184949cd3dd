import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from adapters.decoding.pillow_image_decoder import PillowImageDecoder
from adapters.detectors.null_object_detector import NullObjectDetector
from application.describe_again import DescribeAgain
from application.describe_pictures import DescribePictures
from application.reindex_objects import GROUP_SIZE, ReindexObjects
from domain.errors import DetectorUnavailableError, ImageUnreadableError, IndexDamagedError
from domain.images import DetectedObject, sha256_of
from domain.raster import RasterImage
from tests.builders import an_object
from tests.fakes import UNREADABLE, FakeDetector, records_of
from tests.pictures import a_picture
from tests.unit.application.workshop import Workshop, an_upload, id_of

CAT, CUP = an_object("cat", score=0.9), an_object("cup", score=0.5)


def reindexing(workshop: Workshop) -> ReindexObjects:
    describe_again = DescribeAgain(
        store=workshop.store, decoder=workshop.decoder, describe=workshop.describe, repository=workshop.repository
    )
    return ReindexObjects(
        describe_again=describe_again,
        originals=workshop.originals,
        describe=workshop.describe,
        repository=workshop.repository,
        locks=workshop.locks,
    )


async def run(workshop: Workshop) -> list:
    return [step async for step in reindexing(workshop)()]


def detected(workshop: Workshop) -> int:
    return sum(int(line.removeprefix("detect in ")) for line in workshop.journal if line.startswith("detect in "))


def disabled(workshop: Workshop) -> DescribePictures:
    """By a policy that finds no objects."""
    return replace(workshop.describe, policy=replace(workshop.describe.policy, enabled=False))


async def without_objects(workshop: Workshop, *uploads: bytes) -> None:
    """Index by another policy, which finds none."""
    describe = workshop.describe
    workshop.describe_by(disabled(workshop))
    await workshop.index(*(an_upload(content, metadata={"of": content.decode()}) for content in uploads))
    workshop.describe_by(describe)
    workshop.journal.clear()


async def test_objects_are_found_and_everything_else_is_kept(workshop: Workshop) -> None:
    contents = [f"picture {number}".encode() for number in range(GROUP_SIZE + 4)]
    await without_objects(workshop, *contents)
    before = await records_of(workshop.repository)
    embeddings = await workshop.repository.embeddings([record.id for record in before])
    workshop.detector.found = (CAT, CUP)

    steps = await run(workshop)

    assert [(step.done, step.total) for step in steps] == [(GROUP_SIZE, GROUP_SIZE + 4), (GROUP_SIZE + 4,) * 2]
    detection = workshop.describe.detection
    after = await records_of(workshop.repository)
    assert after == [replace(record, objects=(CAT, CUP), detection=detection) for record in before]
    now = await workshop.repository.embeddings(list(embeddings))
    assert all(np.allclose(now[id_], embeddings[id_], atol=1e-6) for id_ in embeddings)
    fresh = await Workshop().open()
    fresh.detector.found = (CAT, CUP)
    await fresh.index(*contents)
    theirs = await fresh.repository.object_embeddings(list(embeddings))
    ours = await workshop.repository.object_embeddings(list(embeddings))
    assert all(np.allclose(ours[id_], theirs[id_], atol=1e-6) for id_ in embeddings)
    await fresh.repository.close()


async def test_what_is_done_is_passed_over(workshop: Workshop) -> None:
    workshop.detector.found = (CAT,)
    await without_objects(workshop, b"old")
    await workshop.index(b"new")
    workshop.journal.clear()

    assert [step.done for step in await run(workshop)] == [2]
    assert detected(workshop) == 1
    assert [step.done for step in await run(workshop)] == [2]
    assert detected(workshop) == 1
    assert workshop.journal.count(f"upsert {id_of(b'old')}") == 1


async def test_an_interrupted_run_goes_on_where_it_stopped(workshop: Workshop) -> None:
    await without_objects(workshop, *(f"picture {number}".encode() for number in range(2 * GROUP_SIZE + 3)))
    first = reindexing(workshop)()
    await anext(first)
    await first.aclose()  # type: ignore[attr-defined]
    assert detected(workshop) == GROUP_SIZE

    await run(workshop)

    assert detected(workshop) == 2 * GROUP_SIZE + 3
    assert {record.detection for record in await records_of(workshop.repository)} == {workshop.describe.detection}


async def test_another_policy_replaces_and_none_removes_what_was_found(workshop: Workshop) -> None:
    workshop.detector.found = (CAT, CUP)
    await workshop.index(b"hat")
    describe = workshop.describe
    workshop.describe = replace(describe, policy=replace(describe.policy, min_score=0.8))
    await run(workshop)
    assert [record.objects for record in await records_of(workshop.repository)] == [(CAT,)]
    workshop.describe = replace(describe, policy=replace(describe.policy, enabled=False))
    await run(workshop)
    [record] = await records_of(workshop.repository)
    assert (record.objects, record.detection) == ((), "")
    assert (await workshop.repository.status()).objects == 0


async def test_pictures_that_fill_the_memory_take_turns(workshop: Workshop) -> None:
    pictures = [a_picture(number) for number in range(GROUP_SIZE)]
    workshop.describe_by(disabled(workshop))
    await workshop.index(*pictures)
    workshop.detector.found = (CAT,)
    workshop.decoder = PillowImageDecoder(threads=2, max_bytes_at_once=1, max_bytes_in_flight=1)  # type: ignore[assignment]
    await asyncio.wait_for(run(workshop), 20)
    assert all(record.objects == (CAT,) for record in await records_of(workshop.repository))
    await workshop.decoder.close()  # type: ignore[attr-defined]


class Interrupting(FakeDetector):
    """Lets others work while it does."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__(journal=workshop.journal)
        self.found = (CAT,)
        self.interrupted = False
        self.workshop = workshop

    async def detect(self, images: Sequence[RasterImage], **options: object) -> Sequence[Sequence[DetectedObject]]:  # type: ignore[override]
        if not self.interrupted:  # while it looks at the first picture
            self.interrupted = True
            await self.workshop.edit(id_of(b"patched"), {"price": 7})
            await self.workshop.delete.one(id_of(b"deleted"))
        return await super().detect(images, **options)  # type: ignore[arg-type]


async def test_what_others_do_meanwhile_is_kept(workshop: Workshop) -> None:
    await without_objects(workshop, b"patched", b"deleted", b"other")
    workshop.describe = replace(workshop.describe, detector=Interrupting(workshop))

    await run(workshop)

    found = {record.id: record for record in await records_of(workshop.repository)}
    assert found.keys() == {id_of(b"patched"), id_of(b"other")}
    assert found[id_of(b"patched")].metadata == {"of": "patched", "price": 7}
    assert all(record.objects == (CAT,) for record in found.values())


async def test_a_picture_that_is_replaced_meanwhile_keeps_its_own_objects(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.describe_by(disabled(workshop))
    await workshop.index(an_upload(b"hat", key="hats/1"))
    workshop.detector.found = (CAT,)
    original = workshop.store.original

    async def amid_a_replacement(sha256: str) -> bytes:
        content = await original(sha256)
        await workshop.index(an_upload(b"another hat", key="hats/1"))
        return content

    monkeypatch.setattr(workshop.store, "original", amid_a_replacement)
    await run(workshop)
    [record] = await records_of(workshop.repository)
    assert (record.sha256, record.objects) == (sha256_of(b"another hat"), ())


async def test_an_image_that_is_deleted_before_its_original_is_read_is_passed_over(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await without_objects(workshop, b"kept", b"deleted")
    workshop.detector.found = (CAT,)
    original = workshop.store.original

    async def amid_a_deletion(sha256: str) -> bytes:
        if sha256 == sha256_of(b"deleted"):
            await workshop.delete.one(id_of(b"deleted"))
        return await original(sha256)

    monkeypatch.setattr(workshop.store, "original", amid_a_deletion)
    assert [(step.done, step.total) for step in await run(workshop)] == [(2, 2)]
    assert [(record.id, record.objects) for record in await records_of(workshop.repository)] == [
        (id_of(b"kept"), (CAT,))
    ]


@pytest.mark.parametrize("fault", ["missing", "unreadable"])
async def test_a_bad_original_is_named_and_leaves_its_image_as_it_was(workshop: Workshop, fault: str) -> None:
    await without_objects(workshop, b"hat")
    before = await records_of(workshop.repository)
    if fault == "missing":
        await workshop.store.delete(sha256_of(b"hat"))
    else:
        workshop.store.originals[sha256_of(b"hat")] = UNREADABLE

    with pytest.raises(
        (IndexDamagedError, ImageUnreadableError), match=f"stored original of {id_of(b'hat')} (is missing|cannot)"
    ):
        await run(workshop)
    assert await records_of(workshop.repository) == before


async def test_an_empty_index_has_nothing_to_detect_in(workshop: Workshop) -> None:
    assert await run(workshop) == []


async def test_without_a_detector_the_objects_stay(workshop: Workshop) -> None:
    workshop.detector.found = (CAT,)
    await workshop.index(b"a")
    before = await records_of(workshop.repository)
    workshop.describe = replace(workshop.describe, detector=NullObjectDetector())
    with pytest.raises(DetectorUnavailableError, match="stay"):
        await run(workshop)
    assert await records_of(workshop.repository) == before
    assert before[0].objects == (CAT,)
