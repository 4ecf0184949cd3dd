from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from adapters.repositories.in_memory import InMemorySimilarityRepository
from application.describe_again import DescribeAgain
from application.indexed_images import indexed_images
from application.reindex_embeddings import GROUP_SIZE, ReindexEmbeddings
from domain.embeddings import EmbeddingSpace
from domain.errors import BusyError, ImageUnreadableError, IndexDamagedError
from domain.images import ImageId, ImageRecord, sha256_of
from domain.listing import ImagePage
from tests.builders import a_space, an_object
from tests.fakes import UNREADABLE, FakeEncoder, records_of
from tests.unit.application.workshop import Workshop, an_upload, id_of

NEW = replace(a_space(dimension=24), model="another-model")


async def reindexing(workshop: Workshop, space: EmbeddingSpace = NEW) -> ReindexEmbeddings:
    encoder = FakeEncoder(space=space, journal=workshop.journal)
    await encoder.open()
    describe = replace(workshop.describe, encoder=encoder)
    describe_again = DescribeAgain(
        store=workshop.store, decoder=workshop.decoder, describe=describe, repository=workshop.repository
    )
    return ReindexEmbeddings(describe_again=describe_again, describe=describe, repository=workshop.repository)


async def reopened(workshop: Workshop, space: EmbeddingSpace) -> list[ImageRecord]:
    await workshop.repository.open(space)
    return await records_of(workshop.repository)


async def test_everything_is_encoded_anew_and_keeps_its_record(workshop: Workshop) -> None:
    workshop.detector.found = (an_object("dog"), an_object("cat"))
    await workshop.index(*(an_upload(f"picture {n}".encode(), metadata={"n": n}) for n in range(20)))
    before = await records_of(workshop.repository)
    image = (await indexed_images(workshop.repository, before[:1]))[before[0].id]
    assert image  # as it comes from an older backup:
    await workshop.repository.upsert([replace(image, record=replace(image.record, appearance=None))])

    reindex = await reindexing(workshop)
    progress = [step async for step in reindex()]

    assert (progress[0].total, progress[-1].done) == (20, 20)
    after = await reopened(workshop, NEW)
    assert after == before
    assert [record.appearance for record in after] == [record.appearance for record in before]
    vectors = await workshop.repository.embeddings([record.id for record in before])
    assert all(vector.shape == (24,) for vector in vectors.values())
    vectors = await workshop.repository.object_embeddings([record.id for record in before])
    assert all(of_objects.shape == (2, 24) for of_objects in vectors.values())


async def test_passes_repeat_until_nothing_changed_meanwhile(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"kept", metadata={"n": 1}), b"deleted")
    reindex = await reindexing(workshop)
    passed = 0
    async for _ in reindex():
        if passed == 0:  # as another process would
            await workshop.index(b"new")
            await workshop.delete.one(id_of(b"deleted"))
            await workshop.edit(id_of(b"kept"), {"n": 2})
        passed += 1

    assert passed > 1
    found = {record.id: record.metadata for record in await reopened(workshop, NEW)}
    assert found == {id_of(b"kept"): {"n": 2}, id_of(b"new"): {}}


async def add(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"new", metadata={"n": 3}))


async def delete(workshop: Workshop) -> None:
    await workshop.delete.one(id_of(b"second"))


async def patch(workshop: Workshop) -> None:
    await workshop.edit(id_of(b"first"), {"n": 2})


async def add_and_delete(workshop: Workshop) -> None:
    await add(workshop)
    await delete(workshop)


async def replace_under_another_name(workshop: Workshop) -> None:
    await delete(workshop)
    await workshop.index(an_upload(b"second", "renamed.png"))


@pytest.mark.parametrize("write", [add, delete, patch, add_and_delete, replace_under_another_name])
@pytest.mark.parametrize("moment", [0, 1])
async def test_what_others_write_after_a_pass_has_gone_by_is_carried_over(
    workshop: Workshop, write: Callable[[Workshop], Awaitable[None]], moment: int
) -> None:
    await workshop.index(an_upload(b"first", metadata={"n": 1}), b"second")
    reindex, steps = await reindexing(workshop), 0
    async for _ in reindex():
        if steps == moment:  # the pass has looked at every image: the first found all of them new, the second nothing
            await write(workshop)
            before = await records_of(workshop.repository)
        steps += 1
    assert await reopened(workshop, NEW) == before


async def test_one_that_is_added_and_one_that_is_deleted_amid_the_last_comparison_are_noticed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"first", b"second")
    get, compared = InMemorySimilarityRepository.get, 0

    async def others_write_after(
        repository: InMemorySimilarityRepository, ids: Collection[ImageId]
    ) -> Mapping[ImageId, ImageRecord]:
        nonlocal compared
        found = await get(repository, ids)
        if repository is workshop.repository and len(ids) == 2:
            compared += 1
            if compared == 2:  # the second pass, which has found nothing new, has compared all: the counts stay equal
                await add_and_delete(workshop)
        return found

    monkeypatch.setattr(InMemorySimilarityRepository, "get", others_write_after)
    _ = [step async for step in (await reindexing(workshop))()]
    assert {record.id for record in await reopened(workshop, NEW)} == {id_of(b"first"), id_of(b"new")}


async def test_an_image_that_is_deleted_before_its_original_is_read_is_passed_over(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"kept", b"deleted")
    original = workshop.store.original

    async def amid_a_deletion(sha256: str) -> bytes:
        if sha256 == sha256_of(b"deleted"):
            await workshop.delete.one(id_of(b"deleted"))
        return await original(sha256)

    monkeypatch.setattr(workshop.store, "original", amid_a_deletion)
    _ = [step async for step in (await reindexing(workshop))()]
    assert [record.id for record in await reopened(workshop, NEW)] == [id_of(b"kept")]


async def test_an_interrupted_run_goes_on_where_it_stopped(workshop: Workshop) -> None:
    await workshop.index(*(f"picture {n}".encode() for n in range(40)))
    run = (await reindexing(workshop))()
    for _ in range(2):
        await anext(run)
    await run.aclose()
    await workshop.repository.open(None)
    workshop.journal.clear()

    _ = [step async for step in (await reindexing(workshop))()]

    encoded = sum(
        int(line.split()[1]) for line in workshop.journal if line.startswith("encode ") and line[7:].isdigit()
    )
    assert 0 < encoded <= 40 - 16
    assert len(await reopened(workshop, NEW)) == 40


@pytest.mark.parametrize("fault", ["missing", "unreadable"])
async def test_a_bad_original_leaves_the_index_as_it_was(workshop: Workshop, fault: str) -> None:
    await workshop.index(b"hat", b"coat")
    if fault == "missing":
        await workshop.store.delete(sha256_of(b"hat"))
    else:
        workshop.store.originals[sha256_of(b"hat")] = UNREADABLE
    before = await records_of(workshop.repository)

    with pytest.raises(
        (IndexDamagedError, ImageUnreadableError), match=f"stored original of {id_of(b'hat')} (is missing|cannot)"
    ):
        _ = [step async for step in (await reindexing(workshop))()]

    assert await reopened(workshop, a_space()) == before


async def test_an_empty_index_only_changes_its_space(workshop: Workshop) -> None:
    assert [step async for step in (await reindexing(workshop))()] == []
    assert await reopened(workshop, NEW) == []
    assert isinstance(workshop.repository, InMemorySimilarityRepository)
    assert workshop.repository.space == NEW


async def test_an_index_that_never_holds_still_is_not_replaced(workshop: Workshop) -> None:
    await workshop.index(b"first")
    reindex = await reindexing(workshop)

    async def amid_writes() -> None:
        async for step in reindex():
            await workshop.index(f"another {step.total}".encode())  # as another process would

    with pytest.raises(BusyError, match="pause"):
        await amid_writes()
    assert await reopened(workshop, workshop.encoder.space) != []


async def test_a_pass_reads_large_pages_and_encodes_small_groups(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(*(f"picture {n}".encode() for n in range(2 * GROUP_SIZE + 1)))
    read, pages = workshop.repository.list, 0

    async def counted(**options: Any) -> ImagePage:
        nonlocal pages
        pages += 1
        return await read(**options)

    monkeypatch.setattr(workshop.repository, "list", counted)
    steps = [step.done async for step in (await reindexing(workshop))()]
    assert steps == [GROUP_SIZE, 2 * GROUP_SIZE, 2 * GROUP_SIZE + 1] * 2
    assert pages == 4, "the second pass finds nothing; both read one page, and look at the newest again"
