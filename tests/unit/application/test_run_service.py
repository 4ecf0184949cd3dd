import asyncio

import pytest

from application import run_service
from application.run_service import RunService
from domain.errors import EmbeddingSpaceError, RepositoryUnavailableError
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
    assert await service.missing() != []
    await service.open()
    assert await service.missing() == []
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
    assert any("away for lunch" in reason for reason in await service.missing())
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
        while not any("another space" in reason for reason in await service.missing()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await service.close()


async def test_without_patience_it_is_raised(service: RunService, repository: JournalledRepository) -> None:
    repository.failure = RepositoryUnavailableError("away")
    with pytest.raises(RepositoryUnavailableError):
        await service.open()


async def test_closing_ends_the_attempts(
    service: RunService, repository: JournalledRepository, journal: Journal
) -> None:
    repository.failure = RepositoryUnavailableError("away")
    await service.open(keep_trying=True)
    await service.close()
    repository.failure = None
    await asyncio.sleep(0.02)
    assert "repository open" not in journal
