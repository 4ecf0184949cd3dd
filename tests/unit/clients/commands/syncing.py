"""`sync` and `index` on the application in this process, with fakes for its models."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from dependency_injector import providers

from lookalike_client import AsyncLookalike, Image, Key
from lookalike_client.commands import register
from lookalike_client.commands.connection import NoIndexError, Program, Purpose, address_of_index
from lookalike_client.commands.program import new_app, run
from tests.fakes import JournalledRepository
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app


def write(path: Path, number: int) -> Path:
    """Picture `number` as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(a_picture(number, width=32, height=24))
    return path


class Synced:
    """A folder of pictures, a service, and the commands on both."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str], name: str = "photos") -> None:
        self.root = directory / name
        self.state = directory / "state"
        self.requests: list[str] = []
        """Since the last command began: what was asked, and by which purpose the service was opened."""
        self.before_request: Callable[[str], Awaitable[None] | None] = lambda path: None
        self._capsys = capsys
        self._directory = directory / "service"
        self.repository = JournalledRepository()
        self._is_made = False

    def files(self, *names: str) -> None:
        """Write pictures, all different."""
        for name in names:
            write(self.root / name, sum(map(ord, name)) * 31 + len(list(self.root.rglob("*"))))

    def begin_anew(self) -> None:
        """Another service, with nothing in it."""
        self._directory = self._directory.with_name("another service")
        self.repository = JournalledRepository()
        self._is_made = False

    def __call__(self, *arguments: str | Path) -> tuple[int | str | None, str, str]:
        """Exit code, standard output and standard error of a command."""
        app = new_app("lookalike")
        register(app)
        self.requests = []
        program = Program(self.connect, lambda: self.state)
        with pytest.raises(SystemExit) as ended:
            run(lambda: app(args=[*map(str, arguments)], obj=program))
        output, errors = self._capsys.readouterr()
        return ended.value.code, output, " ".join(errors.replace("│", " ").split())

    def sync(self, *options: str | Path) -> tuple[int | str | None, str, str]:
        return self("sync", self.root, *options)

    @asynccontextmanager
    async def connect(self, _url: str | None, _key: str | None, purpose: Purpose) -> AsyncIterator[AsyncLookalike]:
        async def note(request: httpx.Request) -> None:
            self.requests.append(f"{request.method} {request.url.path}")
            if (waiting := self.before_request(request.url.path)) is not None:
                await waiting

        if purpose is Purpose.INDEX:
            self.requests.append("models loaded")
            self._is_made = True
        elif not self._is_made:
            raise NoIndexError("There is no index.")
        self.repository.turn = asyncio.Lock()  # each command has an event loop of its own
        app = an_app(self._directory)
        app.state.container.chosen_repository.override(providers.Object(self.repository))
        service = app.state.container.run_service()
        await (service.open_index() if purpose is Purpose.RECORDS else service.open())
        try:
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            address = address_of_index(self.repository.identity)
            async with AsyncLookalike(address, transport=transport, retries=0) as client:
                client._http.event_hooks["request"] = [note]
                yield client
        finally:
            await service.close()

    async def images(self) -> dict[str, Image]:
        """What is stored, by key."""
        async with self.connect(None, None, Purpose.RECORDS) as client:
            return {str(image.key): image async for image in client.images()}

    async def edit(self, key: str, **metadata: Any) -> None:
        async with self.connect(None, None, Purpose.RECORDS) as client:
            await client.edit(Key(key), metadata)

    @property
    def sent(self) -> int:
        """How many batches were sent by the last command."""
        return self.requests.count("POST /v1/images/batch")
