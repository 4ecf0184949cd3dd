"""The HTTP application on fakes, in this process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from dependency_injector import providers
from fastapi import FastAPI
from starlette.types import ASGIApp

from entrypoints.http.app import create_app
from entrypoints.http.server.protocol import BoundedHttpProtocol
from entrypoints.settings import Settings
from tests.fakes import FakeDetector, FakeEncoder, JournalledRepository

WITHOUT_PROCESSES: dict[str, Any] = {"repository": {"backend": "memory"}, "decode": {"isolated": False}}


def an_app(directory: Path, **sections: Any) -> FastAPI:
    fixed = {"storage": {"reserve_bytes": 0}} | WITHOUT_PROCESSES
    app = create_app(Settings(data_dir=directory, **(fixed | sections)))
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


@asynccontextmanager
async def listening(app: ASGIApp, **changes: Any) -> AsyncIterator[tuple[str, int]]:
    """The address of a real server of an application, with these changes of its protocol; without its lifespan."""
    protocol = type("Protocol", (BoundedHttpProtocol,), changes)
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving_ = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            await serving_
