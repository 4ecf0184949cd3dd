import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from domain.callers import Deadline, raise_if_over, within
from domain.errors import DeadlinePassedError, ImageNotFoundError, InvalidFilterError, InvalidMetadataError
from domain.filters import AnyOf, Field, Filter
from domain.images import sha256_of
from tests.fakes import records_of
from tests.unit.application.workshop import Workshop, an_upload, id_of

ACME = Filter(all=(AnyOf(Field("metadata.brand"), ("acme",)),))


async def test_the_record_goes_before_the_files(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    workshop.journal.clear()
    await workshop.delete.one(id_of(b"hat"))
    assert workshop.journal == [f"delete {id_of(b'hat')}", f"remove files {sha256_of(b'hat')}"]
    assert await records_of(workshop.repository) == []
    assert workshop.store.originals == {}


async def test_an_unknown_image_cannot_be_deleted(workshop: Workshop) -> None:
    with pytest.raises(ImageNotFoundError):
        await workshop.delete.one(id_of(b"hat"))


async def test_of_two_who_delete_one_is_told_that_it_was_gone(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    results = await asyncio.gather(
        workshop.delete.one(id_of(b"hat")), workshop.delete.one(id_of(b"hat")), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["ImageNotFoundError", "NoneType"]


async def test_all_that_match_are_deleted_over_many_pages(workshop: Workshop) -> None:
    await workshop.index(*(an_upload(f"acme {n}".encode(), metadata={"brand": "acme"}) for n in range(450)))
    await workshop.index(b"other")
    assert await workshop.delete.matching(ACME) == 450
    assert [record.id for record in await records_of(workshop.repository)] == [id_of(b"other")]
    assert set(workshop.store.originals) == {sha256_of(b"other")}
    assert await workshop.delete.matching(ACME) == 0


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (Filter(), "names nothing"),
        (Filter(none=(AnyOf(Field("labels"), ()),)), "labels with an empty `in`.*would mean everything"),
        (Filter(all=ACME.all, any=(AnyOf(Field("metadata.price"), ()),)), "metadata.price with an empty `in`"),
    ],
)
async def test_a_filter_that_names_all_by_mistake_deletes_nothing(workshop: Workshop, where: Filter, says: str) -> None:
    await workshop.index(an_upload(b"hat", metadata={"brand": "acme"}))
    with pytest.raises(InvalidFilterError, match=says):
        await workshop.delete.matching(where)
    assert [record.id for record in await records_of(workshop.repository)] == [id_of(b"hat")]


async def test_a_patch_is_merged_and_returned(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", metadata={"brand": "acme", "price": 1}))
    record = await workshop.edit(id_of(b"hat"), {"price": None, "new": True})
    assert record.metadata == {"brand": "acme", "new": True}
    assert await records_of(workshop.repository) == [record]


async def test_patches_at_once_are_all_applied(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    await asyncio.gather(*(workshop.edit(id_of(b"hat"), {f"key{number}": number}) for number in range(20)))
    [record] = await records_of(workshop.repository)
    assert record.metadata == {f"key{number}": number for number in range(20)}


async def test_a_bad_patch_changes_nothing(workshop: Workshop) -> None:
    await workshop.index(an_upload(b"hat", metadata={"brand": "acme"}))
    with pytest.raises(InvalidMetadataError):
        await workshop.edit(id_of(b"hat"), {"brand": None, "size": {"eu": 42}})
    [record] = await records_of(workshop.repository)
    assert record.metadata == {"brand": "acme"}
    with pytest.raises(ImageNotFoundError):
        await workshop.edit(id_of(b"other"), {})


async def test_a_write_that_has_begun_is_finished_though_the_deadline_passes(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.index(b"hat")
    deadline = Deadline()

    def deadline_passing_before(write: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def late(*arguments: object) -> object:
            deadline.at = 0.0
            raise_if_over()
            return await write(*arguments)

        return late

    for name in ("update", "delete"):
        monkeypatch.setattr(workshop.repository, name, deadline_passing_before(getattr(workshop.repository, name)))
    with within(deadline):
        assert (await workshop.edit(id_of(b"hat"), {"new": True})).metadata == {"new": True}
        with pytest.raises(DeadlinePassedError):
            await workshop.delete.one(id_of(b"hat"))
        deadline.at = None
        await workshop.delete.one(id_of(b"hat"))
    assert workshop.store.originals == {}


async def test_a_declared_key_takes_its_type_alone(workshop: Workshop) -> None:
    [wrong, right] = await workshop.index(
        an_upload(b"hat", metadata={"price": "cheap"}), an_upload(b"cap", metadata={"price": 5, "note": 1})
    )
    assert isinstance(wrong.error, InvalidMetadataError)
    assert "metadata.price is declared as float: it takes a number, not 'cheap'" in str(wrong.error)
    assert (wrong.status, right.status) == ("failed", "created")
    for patch in ({"price": True}, {"taken_at": "yesterday"}):
        with pytest.raises(InvalidMetadataError, match="is declared as"):
            await workshop.edit(id_of(b"cap"), patch)
    edited = await workshop.edit(id_of(b"cap"), {"price": None, "taken_at": "2026-01-31T12:00:00Z", "note": "x"})
    assert edited.metadata == {"note": "x", "taken_at": "2026-01-31T12:00:00Z"}


async def test_a_value_from_before_its_key_was_declared_does_not_hinder_other_edits(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    [hat] = await records_of(workshop.repository)
    await workshop.repository.update([replace(hat, metadata={"price": "cheap", "note": 1})])
    assert (await workshop.edit(id_of(b"hat"), {"note": 2})).metadata == {"price": "cheap", "note": 2}


async def test_many_are_edited_and_each_that_cannot_be_is_told(workshop: Workshop) -> None:
    await workshop.index(*(f"hat {number}".encode() for number in range(450)))
    ids = [id_of(f"hat {number}".encode()) for number in range(450)]
    patches = [(id_, {"price": number}) for number, id_ in enumerate(ids)]
    patches[3] = (id_of(b"unknown"), {"price": 3})
    patches[5] = (ids[5], {"price": "cheap"})
    patches.append((ids[7], {"price": 7.5, "note": 1}))
    patches.append((ids[7], {"note": None}))

    outcomes = await workshop.edit.many(patches)

    assert [outcome.name for outcome in outcomes] == [id_ for id_, _ in patches]
    failed = {place: type(outcome.error) for place, outcome in enumerate(outcomes) if outcome.error is not None}
    assert (len(outcomes), failed) == (452, {3: ImageNotFoundError, 5: InvalidMetadataError})
    records = await workshop.repository.get(ids)
    expected = {id_: {"price": number} for number, id_ in enumerate(ids)}
    expected |= {ids[3]: {}, ids[5]: {}, ids[7]: {"price": 7.5}}
    assert {id_: record.metadata for id_, record in records.items()} == expected


async def test_all_that_match_are_edited_though_they_match_no_more(workshop: Workshop) -> None:
    await workshop.index(*(an_upload(f"acme {n}".encode(), metadata={"brand": "acme"}) for n in range(450)))
    await workshop.index(b"other")
    assert await workshop.edit.matching(ACME, {"brand": "zara"}) == 450
    assert await workshop.edit.matching(ACME, {"brand": "zara"}) == 0
    brands = [record.metadata.get("brand") for record in await records_of(workshop.repository)]
    assert (brands.count("zara"), brands.count(None)) == (450, 1)
    with pytest.raises(InvalidFilterError, match="names nothing"):
        await workshop.edit.matching(Filter(), {"brand": "x"})
    with pytest.raises(InvalidMetadataError):
        await workshop.edit.matching(Filter(all=(AnyOf(Field("metadata.brand"), ("zara",)),)), {"price": "cheap"})
