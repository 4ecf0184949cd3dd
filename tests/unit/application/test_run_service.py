import asyncio
from collections.abc import Collection, Mapping

import pytest

from application import run_service
from application.run_service import RunService
from domain.errors import (
    ConfigurationError,
    EmbeddingSpaceError,
    IndexDamagedError,
    LookalikeError,
    RepositoryUnavailableError,
)
from domain.images import ImageId, ImageRecord
from domain.models import RepositoryStatus
from tests.builders import an_id
from tests.eventually import eventually
from tests.fakes import FakeDecoder, FakeDetector, FakeEncoder, FakeStore, Journal, JournalledRepository


@pytest.fixture
def journal() -> Journal:
    return []


@pytest.fixture
def repository(journal: Journal) -> JournalledRepository:
    return JournalledRepository(journal=journal)


@pytest.fixture
def service(journal: Journal, repository: JournalledRepository, monkeypatch: pytest.MonkeyPatch) -> RunService:
    monkeypatch.setattr(run_service, "RETRY_SECONDS", 0.001)
    return RunService(
        decoder=FakeDecoder(),
        encoder=FakeEncoder(journal=journal),
        detector=FakeDetector(journal=journal),
        store=FakeStore(journal=journal),
        repository=repository,
    )


async def test_the_repository_is_opened_last_and_closed_first(service: RunService, journal: Journal) -> None:
    assert await service.missing()
    await service.open()
    assert not await service.missing()
    service.require_open()
    await service.close()
    assert set(journal[:3]) == {"store open", "encoder open", "detector open"}
    assert journal[3:] == ["repository open", "repository close", "detector close", "encoder close"]
    with pytest.raises(RepositoryUnavailableError):
        service.require_open()


async def test_what_runs_is_described(service: RunService) -> None:
    await service.open()
    description = await service.describe()
    assert (description.encoder.model, description.space.dimension) == ("test-model", 16)
    assert (description.repository.backend, description.repository.images) == ("memory", 0)
    await service.close()


async def test_a_mistake_in_the_deployment_is_raised_and_all_is_closed(
    service: RunService, repository: JournalledRepository, journal: Journal
) -> None:
    repository.failure = EmbeddingSpaceError("another space")
    with pytest.raises(EmbeddingSpaceError):
        await service.open(keep_trying=True)
    assert journal[-3:] == ["repository close", "detector close", "encoder close"]


async def test_a_repository_that_is_away_is_opened_when_it_is_back(
    service: RunService, repository: JournalledRepository
) -> None:
    repository.failure = RepositoryUnavailableError("away for lunch")
    await service.open(keep_trying=True)
    assert "away for lunch" in str((await service.missing())["repository"])
    with pytest.raises(RepositoryUnavailableError, match="away for lunch"):
        service.require_open()

    repository.failure = None
    async with asyncio.timeout(10):
        while await service.missing():  # noqa: ASYNC110 - there is no event to wait for from outside
            await asyncio.sleep(0.001)
    service.require_open()
    await service.close()


async def test_what_is_wrong_when_it_is_back_is_told(service: RunService, repository: JournalledRepository) -> None:
    repository.failure = RepositoryUnavailableError("away")
    await service.open(keep_trying=True)
    repository.failure = EmbeddingSpaceError("another space")
    async with asyncio.timeout(10):
        while "another space" not in str((await service.missing())["repository"]):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await service.close()


async def test_who_waits_hears_of_a_damage_that_shows_late(
    service: RunService, repository: JournalledRepository
) -> None:
    heard: list[ConfigurationError] = []
    service.on_hopeless = heard.append
    repository.failure = RepositoryUnavailableError("away")
    await service.open(keep_trying=True)
    damage = repository.failure = IndexDamagedError("no segments")
    assert await eventually(lambda: bool(heard))
    await asyncio.sleep(0.01)
    assert heard == [damage]  # and nobody tries again
    assert "no segments" in str((await service.missing())["repository"])
    await service.close()


async def test_where_nobody_ends_the_process_a_damage_may_be_mended(
    service: RunService, repository: JournalledRepository
) -> None:
    repository.failure = RepositoryUnavailableError("away")
    await service.open(keep_trying=True)
    repository.failure = IndexDamagedError("no segments")
    async with asyncio.timeout(10):
        while "no segments" not in str((await service.missing())["repository"]):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    repository.failure = None
    async with asyncio.timeout(10):
        while await service.missing():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await service.close()


async def test_without_patience_it_is_raised(service: RunService, repository: JournalledRepository) -> None:
    repository.failure = RepositoryUnavailableError("away")
    with pytest.raises(RepositoryUnavailableError):
        await service.open()


async def test_closing_at_once_ends_the_attempt_that_is_under_way(
    service: RunService, repository: JournalledRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_service, "PATIENCE_SECONDS", 0.001)
    ended: list[str] = []

    async def open_slowly(_: object) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("attempt")

    monkeypatch.setattr(repository, "open", open_slowly)
    await service.open(keep_trying=True)
    await service.close()
    assert ended == ["attempt"]


async def test_closing_ends_the_attempts(
    service: RunService, repository: JournalledRepository, journal: Journal
) -> None:
    repository.failure = RepositoryUnavailableError("away")
    await service.open(keep_trying=True)
    await service.close()
    repository.failure = None
    await asyncio.sleep(0.02)
    assert "repository open" not in journal


async def test_what_was_cut_short_is_settled_before_anyone_is_served(service: RunService) -> None:
    store = service.store
    assert isinstance(store, FakeStore)
    await store.put(an_id(1), original=b"one", thumbnail=b"small one")
    store.noted_ids.append(an_id(1))
    await service.open()
    assert (store.files, store.noted_ids) == ({}, [])
    await service.close()


async def test_what_is_cut_short_meanwhile_is_settled_now_and_then(
    service: RunService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_service, "SETTLE_SECONDS", 0.001)
    store = service.store
    assert isinstance(store, FakeStore)
    await service.open()
    await store.put(an_id(1), original=b"one", thumbnail=b"small one")
    store.noted_ids.append(an_id(1))
    assert await eventually(lambda: not store.noted_ids)
    assert store.files == {}
    await service.close()


async def test_settling_goes_on_whatever_has_stopped_it_once(
    service: RunService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_service, "SETTLE_SECONDS", 0.001)
    store, delete = service.store, service.store.delete
    assert isinstance(store, FakeStore)
    failures = [RuntimeError("a bug"), OSError("a disk")]

    async def fail_twice(id_: ImageId) -> None:
        if failures:
            raise failures.pop()
        await delete(id_)

    monkeypatch.setattr(store, "delete", fail_twice)
    store.noted_ids.append(an_id(1))
    await service.open()
    assert await eventually(lambda: not store.noted_ids)
    assert "a disk" in caplog.text
    assert "a bug" in caplog.text
    await service.close()


async def test_a_repository_that_goes_away_amid_settling_stops_no_start(
    service: RunService, repository: JournalledRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        raise RepositoryUnavailableError("away")

    store = service.store
    assert isinstance(store, FakeStore)
    store.noted_ids.append(an_id(1))
    monkeypatch.setattr(repository, "get", away)
    await service.open()
    service.require_open()
    await service.close()


@pytest.mark.parametrize("failure", [RepositoryUnavailableError("away"), EmbeddingSpaceError("another space")])
async def test_whatever_keeps_the_index_from_working_makes_the_service_unready(
    service: RunService, repository: JournalledRepository, failure: LookalikeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.open()

    async def fails() -> RepositoryStatus:
        raise failure

    monkeypatch.setattr(repository, "status", fails)
    assert await service.missing() == {"repository": failure}
    await service.close()


async def test_readiness_does_not_wait_for_long(
    service: RunService, repository: JournalledRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_service, "PROBE_SECONDS", 0.01)
    await service.open()
    monkeypatch.setattr(repository, "status", asyncio.Event().wait)
    missing = await service.missing()
    assert str(missing["repository"]) == "The index has not answered within 0.01 s."
    await service.close()
