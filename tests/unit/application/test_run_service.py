import asyncio
from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.sources.null_picture_source import NullPictureSource
from application import run_service
from application.run_service import RunService
from application.shared_originals import SWEEP_AFTER, TAKE_OVER_AFTER, SharedOriginals
from domain.errors import (
    ConfigurationError,
    EmbeddingSpaceError,
    IndexDamagedError,
    LookalikeError,
    RepositoryUnavailableError,
)
from domain.images import ImageId, sha256_of
from domain.models import RepositoryStatus
from tests.builders import an_id, an_image
from tests.eventually import eventually
from tests.fakes import FakeDecoder, FakeDetector, FakeEncoder, FakeStore, Journal, JournalledRepository

SHA256 = sha256_of(b"one")


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
        originals=SharedOriginals(store=FakeStore(journal=journal), repository=repository),
        pictures=NullPictureSource(),
        repository=repository,
        types={},
        take_over_at_start=timedelta(0),
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


@pytest.fixture
def store(service: RunService) -> FakeStore:
    assert isinstance(service.originals.store, FakeStore)
    return service.originals.store


async def interrupted(store: FakeStore) -> None:
    """As if the process had died amid a deletion."""
    await store.put(SHA256, original=b"one", thumbnails={384: b"small one"})
    await store.mark(SHA256)


async def test_deletions_that_were_cut_short_are_finished_before_anyone_is_served(
    service: RunService, store: FakeStore
) -> None:
    await interrupted(store)
    await service.open()
    assert (store.originals, store.doomed) == ({}, {})
    await service.close()


async def test_where_another_process_may_be_at_it_they_have_their_time(service: RunService, store: FakeStore) -> None:
    service.take_over_at_start = TAKE_OVER_AFTER
    await interrupted(store)
    await service.open()
    assert store.doomed.keys() == {SHA256}
    await service.close()


async def test_files_of_another_index_are_refused(
    service: RunService, store: FakeStore, repository: JournalledRepository, journal: Journal
) -> None:
    await store.claim(UUID(int=1))
    with pytest.raises(ConfigurationError, match="another index"):
        await service.open()
    assert not repository.is_open
    with pytest.raises(ConfigurationError, match="another index"):
        await service.open_index()
    await service.close()


async def test_what_no_image_needs_is_removed_now_and_then(
    service: RunService, store: FakeStore, repository: JournalledRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_service, "TIDY_SECONDS", 0.001)
    swept: list[ImageId] = []

    async def orphaned_objects() -> Mapping[ImageId, int]:
        return {an_id(1): 2}

    async def sweep_objects(ids: Collection[ImageId]) -> int:
        swept.extend(ids)
        return 2

    monkeypatch.setattr(repository, "orphaned_objects", orphaned_objects)
    monkeypatch.setattr(repository, "sweep_objects", sweep_objects)
    await service.open()
    await repository.upsert([an_image(number) for number in range(2)])
    for sha256 in (SHA256, *(an_image(number).record.sha256 for number in range(2))):
        await store.put(sha256, original=b"one")
        store.written[sha256] -= 2 * SWEEP_AFTER
    assert await eventually(lambda: bool(swept))
    assert swept == [an_id(1)]
    assert SHA256 not in store.originals
    await interrupted(store)
    store.doomed[SHA256] -= TAKE_OVER_AFTER
    assert await eventually(lambda: not store.doomed)
    assert len(store.originals) == 2
    await service.close()


async def test_tidying_goes_on_whatever_has_stopped_it_once(
    service: RunService, store: FakeStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_service, "TIDY_SECONDS", 0.001)
    delete = store.delete
    failures = [RuntimeError("a bug"), OSError("a disk"), RepositoryUnavailableError("away")]

    async def fail(sha256: str) -> None:
        if failures:
            store.doomed[sha256] -= TAKE_OVER_AFTER
            raise failures.pop()
        await delete(sha256)

    monkeypatch.setattr(store, "delete", fail)
    await interrupted(store)
    await service.open()
    assert await eventually(lambda: not store.doomed)
    assert all(reason in caplog.text for reason in ("a disk", "a bug", "away"))
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
