from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from application.check_integrity import CheckIntegrity, Finding, FindingKind
from application.shared_originals import SWEEP_AFTER
from domain.embeddings import Embedding, Embeddings
from domain.errors import Remedy
from domain.images import ImageId, sha256_of
from domain.ports.thumbnail_renderer import THUMBNAIL_SIDES
from tests.builders import an_object
from tests.fakes import UNREADABLE, FakeThumbnails, records_of
from tests.unit.application.workshop import Workshop, an_upload, id_of

HAT, HAT_SHA256 = id_of(b"hat"), sha256_of(b"hat")
STRAY = sha256_of(b"stray")


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    workshop = await Workshop().open()
    workshop.detector.found = (an_object("dog"), an_object("cat"))
    await workshop.index(b"hat", b"coat", b"shoe")
    yield workshop
    await workshop.repository.close()


async def check(
    workshop: Workshop, *, deep: bool = False, repair: bool = False, forget_lost: bool = False
) -> list[Finding]:
    async def at_once(seconds: float) -> None: ...

    check_integrity = CheckIntegrity(
        repository=workshop.repository,
        originals=replace(workshop.originals, sleep=at_once),
        decoder=workshop.decoder,
        thumbnails=FakeThumbnails(),
    )
    steps = [step async for step in check_integrity(deep=deep, repair=repair, forget_lost=forget_lost)]
    assert steps[-1].done == steps[-1].total
    return [finding for step in steps for finding in step.findings]


def kinds(findings: list[Finding]) -> list[tuple[ImageId | str, FindingKind, bool]]:
    return [(finding.id, finding.kind, finding.mended) for finding in findings]


async def test_a_whole_index_is_whole(workshop: Workshop) -> None:
    originals, thumbnails = dict(workshop.store.originals), dict(workshop.store.thumbnails)
    assert await check(workshop, deep=True, repair=True, forget_lost=True) == []
    assert (workshop.store.originals, workshop.store.thumbnails) == (originals, thumbnails)
    assert len(await records_of(workshop.repository)) == 3


async def test_a_lost_original_is_told_and_its_record_stays(workshop: Workshop) -> None:
    await workshop.store.delete(HAT_SHA256)
    for repair in (False, True):
        assert kinds(await check(workshop, repair=repair)) == [
            (HAT, FindingKind.ORIGINAL_MISSING, False),
            (HAT, FindingKind.THUMBNAIL_MISSING, False),
        ]
    assert len(await records_of(workshop.repository)) == 3


async def test_what_others_were_just_putting_again_is_no_finding(workshop: Workshop) -> None:
    original = workshop.store.originals.pop(HAT_SHA256)

    async def meanwhile(seconds: float) -> None:
        await workshop.store.put(HAT_SHA256, original=original)

    check_integrity = CheckIntegrity(
        repository=workshop.repository,
        originals=replace(workshop.originals, sleep=meanwhile),
        decoder=workshop.decoder,
        thumbnails=FakeThumbnails(),
    )
    steps = [step async for step in check_integrity(repair=True, forget_lost=True)]
    assert not [finding for step in steps for finding in step.findings]
    assert len(await records_of(workshop.repository)) == 3


async def test_a_lost_original_is_forgotten_where_that_is_asked_for(workshop: Workshop) -> None:
    await workshop.store.delete(HAT_SHA256)
    assert all(finding.mended for finding in await check(workshop, repair=True, forget_lost=True))
    assert {record.id for record in await records_of(workshop.repository)} == {id_of(b"coat"), id_of(b"shoe")}
    assert await check(workshop) == []


async def test_nothing_is_forgotten_without_repair(workshop: Workshop) -> None:
    await workshop.store.delete(HAT_SHA256)
    assert not any(finding.mended for finding in await check(workshop, forget_lost=True))
    assert len(await records_of(workshop.repository)) == 3


async def test_an_original_that_another_image_shares_is_lost_to_both(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", key="hats/1"))
    await workshop.store.delete(HAT_SHA256)
    assert len(await check(workshop)) == 4
    assert all(finding.mended for finding in await check(workshop, repair=True, forget_lost=True))
    assert await check(workshop) == []


async def test_a_missing_thumbnail_is_rendered_anew(workshop: Workshop) -> None:
    thumbnails = workshop.store.thumbnails.pop(HAT_SHA256)
    assert kinds(await check(workshop)) == [(HAT, FindingKind.THUMBNAIL_MISSING, False)]
    assert kinds(await check(workshop, repair=True)) == [(HAT, FindingKind.THUMBNAIL_MISSING, True)]
    assert workshop.store.thumbnails[HAT_SHA256] == thumbnails
    assert await check(workshop) == []


@pytest.mark.parametrize("side", THUMBNAIL_SIDES)
async def test_a_damaged_thumbnail_is_seen_when_it_is_read_and_rendered_anew(workshop: Workshop, side: int) -> None:
    thumbnails = dict(workshop.store.thumbnails[HAT_SHA256])
    workshop.store.thumbnails[HAT_SHA256][side] = UNREADABLE
    assert await check(workshop) == []
    assert kinds(await check(workshop, deep=True)) == [(HAT, FindingKind.THUMBNAIL_DAMAGED, False)]
    assert kinds(await check(workshop, deep=True, repair=True)) == [(HAT, FindingKind.THUMBNAIL_DAMAGED, True)]
    assert workshop.store.thumbnails[HAT_SHA256] == thumbnails


async def test_an_altered_original_is_seen_by_its_size_or_when_it_is_read(workshop: Workshop) -> None:
    workshop.store.originals[HAT_SHA256] = b"ha"
    assert kinds(await check(workshop)) == [(HAT, FindingKind.ORIGINAL_ALTERED, False)]
    workshop.store.originals[HAT_SHA256] = b"hut"
    assert await check(workshop) == []
    assert kinds(await check(workshop, deep=True)) == [(HAT, FindingKind.ORIGINAL_ALTERED, False)]


async def test_no_thumbnail_is_rendered_from_another_picture(workshop: Workshop) -> None:
    workshop.store.originals[HAT_SHA256] = b"hut"
    del workshop.store.thumbnails[HAT_SHA256]
    assert kinds(await check(workshop, repair=True)) == [(HAT, FindingKind.THUMBNAIL_MISSING, False)]
    assert HAT_SHA256 not in workshop.store.thumbnails


async def test_old_files_without_a_record_are_told_and_removed(workshop: Workshop) -> None:
    await workshop.store.put(STRAY, original=b"stray", thumbnails={384: b"small"})
    assert await check(workshop, repair=True) == []  # a record may still come, and a sweep will look
    workshop.store.written[STRAY] -= SWEEP_AFTER + timedelta(seconds=1)
    assert kinds(await check(workshop)) == [(STRAY, FindingKind.FILES_WITHOUT_RECORD, False)]
    assert STRAY in workshop.store.originals
    assert kinds(await check(workshop, repair=True)) == [(STRAY, FindingKind.FILES_WITHOUT_RECORD, True)]
    assert STRAY not in workshop.store.originals


async def test_the_originals_of_a_lost_index_are_not_removed(workshop: Workshop) -> None:
    await workshop.repository.delete([record.id for record in (await records_of(workshop.repository))[1:]])
    for sha256 in workshop.store.written:
        workshop.store.written[sha256] -= 2 * SWEEP_AFTER
    [first, second] = await check(workshop, repair=True)
    assert not first.mended
    assert not second.mended
    assert first.remedy is Remedy.FIND_THE_RIGHT_INDEX
    assert len(workshop.store.originals) == 3


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        pytest.param(None, "missing", id="missing"),
        pytest.param(np.zeros(16, np.float32), "length 0", id="zero"),
        pytest.param(np.full(16, np.nan, np.float32), "length nan", id="not a number"),
        pytest.param(np.ones(8, np.float32), "shape", id="another dimension"),
    ],
)
async def test_an_unfit_vector(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, altered: Embedding | None, said: str
) -> None:
    read = workshop.repository.embeddings

    async def embeddings(ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        found = {id_: vector for id_, vector in (await read(ids)).items() if id_ != HAT}
        return found if altered is None else found | {HAT: altered}

    monkeypatch.setattr(workshop.repository, "embeddings", embeddings)
    [finding] = await check(workshop, repair=True)
    assert (finding.id, finding.kind, finding.mended) == (HAT, FindingKind.VECTOR_UNFIT, False)
    assert said in finding.reason


async def test_missing_objects_are_of_the_image_that_lacks_them(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = workshop.repository.object_embeddings

    async def object_embeddings(ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings | None]:
        return {**await read(ids), HAT: None}

    monkeypatch.setattr(workshop.repository, "object_embeddings", object_embeddings)
    assert kinds(await check(workshop)) == [(HAT, FindingKind.OBJECTS_UNFIT, False)]


async def test_orphaned_objects_are_told_and_swept(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    orphans = {id_of(b"gone"): 3}

    async def orphaned_objects() -> Mapping[ImageId, int]:
        return dict(orphans)

    async def sweep_objects(ids: Collection[ImageId]) -> int:
        return sum(orphans.pop(id_, 0) for id_ in ids)

    monkeypatch.setattr(workshop.repository, "orphaned_objects", orphaned_objects)
    monkeypatch.setattr(workshop.repository, "sweep_objects", sweep_objects)
    assert kinds(await check(workshop)) == [(id_of(b"gone"), FindingKind.OBJECTS_WITHOUT_IMAGE, True)]
    assert await check(workshop) == []
