import asyncio
from collections.abc import Collection, Mapping

import pytest

from application.settle_interrupted import SettleInterrupted
from domain.errors import RepositoryUnavailableError, StorageFullError
from domain.images import ImageId, ImageRecord
from tests.contracts.image_store import NotedChangesContract
from tests.fakes import FakeStore, records_of
from tests.unit.application.workshop import Workshop, id_of


async def settle(workshop: Workshop) -> int:
    return await SettleInterrupted(repository=workshop.repository, store=workshop.store)()


async def cut_short(workshop: Workshop, content: bytes) -> None:
    """As if the process had died between files and record."""
    workshop.repository.failure = RepositoryUnavailableError("away")
    await workshop.index(content)
    workshop.repository.failure = None
    assert id_of(content) in workshop.store.files


class TestFakeStore(NotedChangesContract):
    @pytest.fixture
    async def store(self) -> FakeStore:
        return FakeStore()


async def test_files_that_got_no_record_are_removed(workshop: Workshop) -> None:
    await workshop.index(b"hat")
    await cut_short(workshop, b"coat")
    assert await settle(workshop) == 1
    assert set(workshop.store.files) == {id_of(b"hat")}
    assert await settle(workshop) == 0


async def test_a_record_keeps_its_files(workshop: Workshop) -> None:
    await cut_short(workshop, b"hat")
    await workshop.index(b"hat")
    assert await settle(workshop) == 1
    assert set(workshop.store.files) == {id_of(b"hat")}
    assert [record.id for record in await records_of(workshop.repository)] == [id_of(b"hat")]


async def test_a_deletion_is_completed(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    await workshop.index(b"hat", b"coat")

    async def die(id_: ImageId) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(workshop.store, "delete", die)
    with pytest.raises(asyncio.CancelledError):
        await workshop.delete.one(id_of(b"hat"))
    monkeypatch.undo()
    assert set(workshop.store.files) == {id_of(b"hat"), id_of(b"coat")}
    assert await settle(workshop) == 1
    assert set(workshop.store.files) == {id_of(b"coat")}


async def test_nothing_is_forgotten_while_the_index_is_away(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cut_short(workshop, b"hat")

    async def away(ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        raise RepositoryUnavailableError("away")

    monkeypatch.setattr(workshop.repository, "get", away)
    with pytest.raises(RepositoryUnavailableError):
        await settle(workshop)
    monkeypatch.undo()
    assert id_of(b"hat") in workshop.store.files
    assert await settle(workshop) == 1


async def test_a_full_index_leaves_no_files_to_settle(workshop: Workshop) -> None:
    workshop.repository.failure = StorageFullError("no room")
    outcomes = await workshop.index(b"hat", b"coat")
    assert [type(outcome.error) for outcome in outcomes] == [StorageFullError] * 2
    assert workshop.store.files == {}
    assert await settle(workshop) == 0


async def test_what_ended_well_leaves_nothing_to_settle(workshop: Workshop) -> None:
    await workshop.index(b"hat", b"coat")
    await workshop.delete.one(id_of(b"hat"))
    assert await settle(workshop) == 0


async def test_where_nothing_was_cut_short_the_index_is_not_asked(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(ids: Collection[ImageId]) -> None:
        pytest.fail("the index was asked")

    await workshop.index(b"hat")
    monkeypatch.setattr(workshop.repository, "get", asked)
    monkeypatch.setattr(workshop.repository, "sweep_objects", asked)
    assert await settle(workshop) == 0
