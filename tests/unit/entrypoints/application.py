"""The HTTP application on fakes, in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from dependency_injector import providers
from fastapi import FastAPI

from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from tests.fakes import FakeDetector, FakeEncoder, JournalledRepository


def an_app(directory: Path, **sections: Any) -> FastAPI:
    app = create_app(
        Settings(data_dir=directory, repository={"backend": "memory"}, storage={"reserve_bytes": 0}, **sections)
    )
    app.state.container.chosen_encoder.override(providers.Object(FakeEncoder()))
    app.state.container.chosen_detector.override(providers.Object(FakeDetector()))
    app.state.container.chosen_repository.override(providers.Object(JournalledRepository()))
    return app


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application between its startup and shutdown."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client
