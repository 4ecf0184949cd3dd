"""Pictures under keys: what they share, what they do not, and what becomes of them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from application.index_images import IfExists
from application.keyed_locks import KeyedLocks
from application.rename_images import GROUP_SIZE, Rename, RenameOutcome
from domain.embeddings import Embedding
from domain.errors import (
    EncoderUnavailableError,
    ImageExistsError,
    ImageNotFoundError,
    IndexDamagedError,
    KeyRepeatedError,
    RepositoryUnavailableError,
)
from domain.images import ImageId, IndexedImage, sha256_of
from domain.names import id_of_key
from tests.fakes import records_of
from tests.unit.application.test_index_images import statuses
from tests.unit.application.workshop import Workshop, an_upload, id_of


async def keys_of(workshop: Workshop) -> set[str | None]:
    return {record.key for record in await records_of(workshop.repository)}


async def test_the_same_bytes_under_two_keys_are_computed_and_stored_once(workshop: Workshop) -> None:
    [a] = await workshop.index(an_upload(b"hat", key="a", metadata={"sku": "a"}))
    workshop.journal.clear()
    workshop.encoder.failure = EncoderUnavailableError("away")

    [b] = await workshop.index(an_upload(b"hat", key="b", metadata={"sku": "b"}))

    assert a.image is not None
    assert b.image is not None
    assert (b.status, b.image.id, b.image.metadata) == ("created", id_of_key("b"), {"sku": "b"})
    assert b.image.created_at > a.image.created_at
    assert b.image.objects == a.image.objects
    assert workshop.journal == [f"upsert {id_of_key('b')}"], "nothing is encoded, detected or stored again"
    embeddings = await workshop.repository.embeddings([a.image.id, b.image.id])
    assert (embeddings[a.image.id] == embeddings[b.image.id]).all()


async def test_the_same_bytes_under_many_keys_at_once_are_computed_once(workshop: Workshop) -> None:
    outcomes = await workshop.index(*(an_upload(b"hat", key=f"{number}") for number in range(10)))
    assert statuses(outcomes) == ["created"] * 10
    assert sum(line.startswith("detect") for line in workshop.journal) == 1
    assert workshop.journal.count(f"put {sha256_of(b'hat')}") == 1


async def test_deleting_one_leaves_the_other_whole(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", key="a"), an_upload(b"hat", key="b"), b"hat")
    await workshop.delete.one("a")
    await workshop.delete.one(id_of(b"hat"))
    assert await keys_of(workshop) == {"b"}
    assert workshop.store.originals == {sha256_of(b"hat"): b"hat"}
    await workshop.delete.one("b")
    assert workshop.store.originals == {}
    assert workshop.store.doomed == {}


async def test_what_is_replaced_goes_unless_others_have_it(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", key="a", source="s", metadata={"n": 1}), an_upload(b"cap", key="b"))
    before = (await workshop.repository.get([id_of_key("a")]))[id_of_key("a")]

    [outcome] = await workshop.index(an_upload(b"coat", "coat.png", key="a"))

    record = outcome.image
    assert record is not None
    assert (outcome.status, record.sha256, record.filename) == ("replaced", sha256_of(b"coat"), "coat.png")
    assert (record.created_at, record.source, record.metadata) == (before.created_at, "s", {"n": 1})
    assert record.updated_at > before.updated_at
    assert set(workshop.store.originals.values()) == {b"coat", b"cap"}
    await workshop.index(an_upload(b"coat", key="b"))
    assert set(workshop.store.originals.values()) == {b"coat"}


async def test_a_key_that_comes_twice_with_other_bytes_fails_the_second(workshop: Workshop) -> None:
    outcomes = await workshop.index(an_upload(b"hat", key="a"), an_upload(b"coat", key="a"), an_upload(b"hat", key="a"))
    assert statuses(outcomes) == ["created", "failed", "exists"]
    assert isinstance(outcomes[1].error, KeyRepeatedError)
    assert set(workshop.store.originals.values()) == {b"hat"}


@pytest.mark.parametrize("content", [b"hat", b"coat"])
async def test_what_is_there_is_kept_or_makes_it_fail(workshop: Workshop, content: bytes) -> None:
    await workshop.index(an_upload(b"hat", key="a"))
    before = await records_of(workshop.repository)
    new = an_upload(content, key="a", source="new", metadata={"new": True})
    [kept] = await workshop.index(new, if_exists=IfExists.KEEP)
    [failed] = await workshop.index(new, if_exists=IfExists.FAIL)
    assert (kept.status, failed.status, type(failed.error)) == ("exists", "failed", ImageExistsError)
    assert await records_of(workshop.repository) == before == [kept.image]
    assert set(workshop.store.originals.values()) == {b"hat"}


async def test_a_picture_without_a_key_is_adopted_with_all_that_it_has(workshop: Workshop) -> None:
    [unnamed] = await workshop.index(an_upload(b"hat", metadata={"n": 1}))
    workshop.encoder.failure = EncoderUnavailableError("away")
    [named, again] = await workshop.index(
        an_upload(b"hat", key="a", source="s", adopt=True), an_upload(b"hat", key="b", adopt=True)
    )
    assert unnamed.image is not None
    assert named.image is not None
    assert (named.status, again.status) == ("exists", "created"), "the second is another picture of the same bytes"
    assert (named.image.metadata, named.image.source) == ({"n": 1}, "s")
    assert named.image.created_at == unnamed.image.created_at
    assert await keys_of(workshop) == {"a", "b"}


async def test_a_crash_after_adoption_is_finished_by_sending_it_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"hat")

    async def away(ids: object) -> None:
        raise RepositoryUnavailableError("away")

    monkeypatch.setattr(workshop.repository, "delete", away)
    [failed] = await workshop.index(an_upload(b"hat", key="a", adopt=True))
    assert failed.status == "failed"
    monkeypatch.undo()
    assert set(workshop.store.originals.values()) == {b"hat"}
    [again] = await workshop.index(an_upload(b"hat", key="a", adopt=True))
    assert again.status == "exists"
    assert await keys_of(workshop) == {"a"}


async def test_two_writers_of_one_key_one_wins_whole(workshop: Workshop) -> None:
    pictures = {f"picture {number}".encode() for number in range(10)}
    await asyncio.gather(
        *(workshop.index(an_upload(each, key="a", metadata={"of": each.decode()})) for each in pictures)
    )
    [record] = await records_of(workshop.repository)
    [(sha256, content)] = workshop.store.originals.items()
    assert (record.sha256, record.metadata) == (sha256, {"of": content.decode()})


async def renamed(workshop: Workshop, *pairs: tuple[str, str]) -> list[RenameOutcome]:
    return await workshop.rename([Rename(before=before, after=after) for before, after in pairs])


async def test_a_renamed_picture_keeps_all_but_its_name(workshop: Workshop) -> None:
    [before] = await workshop.index(an_upload(b"hat", key="a", source="s", metadata={"n": 1}))
    workshop.encoder.failure = EncoderUnavailableError("away")
    [outcome] = await renamed(workshop, ("a", "b"))
    assert outcome.error is None
    [record] = await records_of(workshop.repository)
    assert before.image is not None
    assert (record.id, record.key, record.created_at) == (id_of_key("b"), "b", before.image.created_at)
    assert (record.source, record.metadata, record.objects) == ("s", {"n": 1}, before.image.objects)
    assert workshop.store.originals == {sha256_of(b"hat"): b"hat"}


async def test_many_are_renamed_in_their_order(workshop: Workshop) -> None:
    count = 2 * GROUP_SIZE + 1
    await workshop.index(*(an_upload(f"picture {n}".encode(), key=f"a{n}") for n in range(count)))
    outcomes = await renamed(workshop, *((f"a{n}", f"b{n}") for n in range(count)), ("b0", "c"), ("c", "d"))
    assert [outcome.error for outcome in outcomes] == [None] * (count + 2)
    assert await keys_of(workshop) == {"d", *(f"b{n}" for n in range(1, count))}


async def test_what_cannot_be_renamed_is_told(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", key="a"), an_upload(b"coat", key="b"))
    taken, unknown, same = await renamed(workshop, ("a", "b"), ("c", "d"), ("a", "a"))
    assert (type(taken.error), type(unknown.error), same.error) == (ImageExistsError, ImageNotFoundError, None)
    assert await keys_of(workshop) == {"a", "b"}


async def test_a_renaming_that_was_cut_short_is_finished_by_the_same(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(an_upload(b"hat", key="a"))

    async def away(ids: object) -> None:
        raise RepositoryUnavailableError("away")

    monkeypatch.setattr(workshop.repository, "delete", away)
    [failed] = await renamed(workshop, ("a", "b"))
    assert isinstance(failed.error, RepositoryUnavailableError)
    assert await keys_of(workshop) == {"a", "b"}
    monkeypatch.undo()
    [again] = await renamed(workshop, ("a", "b"))
    assert again.error is None
    assert await keys_of(workshop) == {"b"}


async def test_what_others_delete_before_it_has_its_new_name_is_gone(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(an_upload(b"hat", key="a"))
    upsert = workshop.repository.upsert

    async def after_a_deletion(images: Sequence[IndexedImage]) -> None:
        await workshop.repository.delete([id_of_key("a")])  # by another process, whose locks are not ours
        await workshop.originals.purge([sha256_of(b"hat")])
        await upsert(images)

    monkeypatch.setattr(workshop.repository, "upsert", after_a_deletion)
    [outcome] = await renamed(workshop, ("a", "b"))
    assert isinstance(outcome.error, ImageNotFoundError)
    assert await keys_of(workshop) == set()


async def test_a_rename_leaves_what_others_put_under_the_old_key_meanwhile(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(an_upload(b"hat", key="a"))
    upsert, other = workshop.repository.upsert, KeyedLocks()

    async def after_a_replacement(images: Sequence[IndexedImage]) -> None:
        monkeypatch.undo()
        await upsert(images)
        in_another_process = replace(workshop.index_images, locks=other)
        await in_another_process.one(an_upload(b"coat", key="a"))

    monkeypatch.setattr(workshop.repository, "upsert", after_a_replacement)
    [outcome] = await renamed(workshop, ("a", "b"))
    assert outcome.error is None
    records = {record.key: record.sha256 for record in await records_of(workshop.repository)}
    assert records == {"a": sha256_of(b"coat"), "b": sha256_of(b"hat")}
    assert set(workshop.store.originals.values()) == {b"hat", b"coat"}


async def test_a_picture_whose_original_is_lost_is_not_renamed(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", key="a"))
    workshop.store.originals.clear()
    [outcome] = await renamed(workshop, ("a", "b"))
    assert isinstance(outcome.error, IndexDamagedError)
    assert await keys_of(workshop) == {"a"}


async def test_vectors_of_a_twin_that_is_replaced_meanwhile_are_not_taken(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(an_upload(b"hat", key="a"))
    embeddings = workshop.repository.embeddings

    async def after_a_replacement(ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        monkeypatch.undo()
        await replace(workshop.index_images, locks=KeyedLocks()).one(an_upload(b"coat", key="a"))
        return await embeddings(ids)

    monkeypatch.setattr(workshop.repository, "embeddings", after_a_replacement)
    [outcome] = await workshop.index(an_upload(b"hat", key="b"))
    [alone] = await workshop.index(b"hat")
    assert outcome.image is not None
    assert alone.image is not None
    stored = await embeddings([outcome.image.id, alone.image.id, id_of_key("a")])
    assert (stored[outcome.image.id] == stored[alone.image.id]).all()
    assert not (stored[outcome.image.id] == stored[id_of_key("a")]).all()


async def test_a_purge_that_cannot_count_leaves_no_mark(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    await workshop.index(an_upload(b"hat", key="a"))

    async def away(sha256s: Collection[str]) -> Collection[str]:
        raise RepositoryUnavailableError("away")

    monkeypatch.setattr(workshop.repository, "named", away)
    await workshop.delete.one("a")
    assert workshop.store.doomed == {}
    assert set(workshop.store.originals.values()) == {b"hat"}, "which a sweep removes later"
