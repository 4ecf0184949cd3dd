"""`sync --watch`: changes are followed until it is told to stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from lookalike_client import AsyncLookalike, Key, NoServiceError
from lookalike_client.commands.connection import Purpose
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.state import open_state
from lookalike_client.commands.syncing import watching
from lookalike_client.commands.syncing.folder import Folder, FolderAwayError
from lookalike_client.commands.syncing.session import Session
from tests.unit.clients.commands.syncing import Synced, write


@dataclass(kw_only=True)
class Watched:
    """A folder that is being watched."""

    synced: Synced
    client: AsyncLookalike
    interruption: Interruption
    task: "asyncio.Task[None]"

    @property
    def root(self) -> Path:
        return self.synced.root

    async def keys(self) -> set[str]:
        return {str(image.key) async for image in self.client.images()}

    async def until(self, *expected: str) -> None:
        """Wait until these are stored."""
        while await self.keys() != set(expected):
            if self.task.done():
                await self.task
                raise AssertionError("It has ended.")
            await asyncio.sleep(0.05)


@pytest.fixture(params=[False, True], ids=["told", "polling"])
async def watched(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Watched]:
    for name, value in {"TICK_MS": 50, "SETTLE_SECONDS": 0.1, "RETRY_SECONDS": 0.1, "POLL_MS": 50}.items():
        monkeypatch.setattr(watching, name, value)
    synced, interruption = Synced(tmp_path, capsys), Interruption()
    synced.files("a.png")
    with capture_logs(), open_state(synced.state) as state:
        async with synced.connect(None, None, Purpose.INDEX) as client:
            session = Session(
                folder=Folder(synced.root),
                connect=lambda _: nullcontext(client),
                state=state,
                consent=lambda _: True,
                again=False,
            )
            task = asyncio.create_task(session.watch(interruption, poll=request.param))
            watched = Watched(synced=synced, client=client, interruption=interruption, task=task)
            try:
                await watched.until("photos/a.png")
                yield watched
            finally:
                interruption.requested = True
                await asyncio.wait([task])


async def test_changes_are_followed_until_an_interruption(watched: Watched) -> None:
    write(watched.root / "new" / "b.png", 2)
    await watched.until("photos/a.png", "photos/new/b.png")
    await watched.client.edit(Key("photos/new/b.png"), {"note": "kept"})
    (watched.root / "new").rename(watched.root / "old")
    await watched.until("photos/a.png", "photos/old/b.png")
    assert (await watched.client.get(Key("photos/old/b.png"))).metadata == {"note": "kept"}
    (watched.root / "a.png").unlink()
    await watched.until("photos/old/b.png")
    watched.interruption.requested = True
    await watched.task


async def test_a_service_that_is_away_is_tried_again(watched: Watched) -> None:
    failures = [NoServiceError("No service answers."), NoServiceError("No service answers.")]

    def away(path: str) -> None:
        if path == "/v1/images/batch" and failures:
            raise failures.pop()

    watched.synced.before_request = away
    write(watched.root / "b.png", 2)
    await watched.until("photos/a.png", "photos/b.png")
    assert not failures


async def test_it_ends_when_the_folder_is_away(watched: Watched) -> None:
    watched.root.rename(watched.root.with_name("unplugged"))
    with pytest.raises(FolderAwayError):
        await watched.task
    assert await watched.keys() == {"photos/a.png"}
