"""An index that was away and is damaged when it is back."""

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI

from application import run_service
from domain.errors import IndexDamagedError, RepositoryUnavailableError
from tests.eventually import eventually
from tests.fakes import JournalledRepository
from tests.unit.entrypoints.application import an_app, serving


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setattr(run_service, "RETRY_SECONDS", 0.001)
    return an_app(tmp_path)


@pytest.fixture
def repository(app: FastAPI) -> JournalledRepository:
    repository = app.state.container.chosen_repository()
    assert isinstance(repository, JournalledRepository)
    repository.failure = RepositoryUnavailableError("away")
    return repository


async def test_the_process_is_ended_by_whoever_can(app: FastAPI, repository: JournalledRepository) -> None:
    ended: list[bool] = []
    app.state.end = lambda: ended.append(True)
    async with serving(app):
        damage = repository.failure = IndexDamagedError("no segments")
        assert await eventually(lambda: bool(ended))
        assert app.state.start_failure is damage


async def test_a_worker_that_nobody_ends_recovers_once_it_is_mended(
    app: FastAPI, repository: JournalledRepository
) -> None:
    async with serving(app) as client:
        repository.failure = IndexDamagedError("no segments")
        async with asyncio.timeout(10):
            while "no segments" not in (await client.get("/health/ready")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)  # it goes on trying
        assert (await client.get("/health/ready")).status_code == 503
        assert app.state.start_failure is None
        repository.failure = None
        async with asyncio.timeout(10):
            while (await client.get("/health/ready")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
