"""`sync --watch`: changes are followed until it is told to stop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from lookalike_client import AsyncLookalike, Key, NoServiceError
from lookalike_client.commands.connection import Purpose
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.state import open_state
from lookalike_client.commands.sync import _consents
from lookalike_client.commands.syncing import watching
from lookalike_client.commands.syncing.folder import Folder, FolderAwayError
from lookalike_client.commands.syncing.session import Session
from lookalike_client.models import Problem
from lookalike_client.outcomes import BatchItem
from tests.unit.clients.commands.syncing import Synced, write


@dataclass(kw_only=True)
class Watched:
    """A folder that is being watched."""

    synced: Synced
    client: AsyncLookalike
    interruption: Interruption
    session: Session
    task: "asyncio.Task[None]"
    errors: Callable[[], str]
    """What was said on standard error since one of these was last asked."""
    output: Callable[[], str]

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
            watched = Watched(
                synced=synced,
                client=client,
                interruption=interruption,
                session=session,
                task=task,
                errors=lambda: capsys.readouterr().err,
                output=lambda: capsys.readouterr().out,
            )
            try:
                await watched.until("photos/a.png")
                yield watched
            finally:
                interruption.requested = True
                await asyncio.wait([task])


async def test_changes_are_followed_until_an_interruption(watched: Watched) -> None:
    assert f"Watching {watched.root} until Ctrl-C." in watched.errors()
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


async def test_the_first_run_is_reported_though_it_has_nothing_to_do(watched: Watched) -> None:
    watched.interruption.requested = True
    await watched.task
    assert "1 created" in watched.output()
    watched.interruption.requested = False
    again = asyncio.create_task(watched.session.watch(watched.interruption, poll=False))
    said = ""
    while not said:
        await asyncio.sleep(0.05)
        said = watched.output()
    watched.interruption.requested = True
    await again
    assert said + watched.output() == "0 created, 1 existed, 0 failed\n"


async def test_a_service_that_is_away_is_tried_again(watched: Watched) -> None:
    failures = [NoServiceError("No service answers."), NoServiceError("No service answers.")]

    def away(path: str) -> None:
        if path == "/v1/images/batch" and failures:
            raise failures.pop()

    watched.synced.before_request = away
    write(watched.root / "b.png", 2)
    await watched.until("photos/a.png", "photos/b.png")
    assert not failures


async def test_a_service_that_is_busy_in_the_middle_is_tried_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, busy = watched.client._index_together, [Problem(status=503, code="busy", detail="The service is busy.")]

    async def busy_at_first(files: Any, fields: Any) -> list[BatchItem]:
        return [BatchItem(status="failed", problem=busy.pop())] if busy else await send(files, fields)

    monkeypatch.setattr(watched.client, "_index_together", busy_at_first)
    write(watched.root / "b.png", 2)
    await watched.until("photos/a.png", "photos/b.png")
    assert not busy
    assert "The service is busy. Trying again in" in watched.errors()


async def test_a_restless_file_does_not_keep_what_is_gone(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HOLD_SECONDS", 0.5)

    async def write_on() -> None:
        number = 0
        while True:
            number += 1
            write(watched.root / "camera.png", number)
            await asyncio.sleep(0.02)

    writing = asyncio.create_task(write_on())
    (watched.root / "a.png").unlink()
    try:
        while "photos/a.png" in await watched.keys():
            assert not watched.task.done()
            await asyncio.sleep(0.05)
    finally:
        writing.cancel()


async def test_more_than_a_tenth_is_not_removed_little_by_little(watched: Watched) -> None:
    watched.session.consent = partial(_consents, watched.root, keep_missing=False, yes=False, may_ask=False)
    names = [f"{number}.png" for number in range(39)]
    watched.synced.files(*names)
    keys = ["photos/a.png", *(f"photos/{name}" for name in names)]
    await watched.until(*keys)
    for count in range(1, 5):
        (watched.root / names[-count]).unlink()
        await watched.until(*keys[:-count])
    (watched.root / names[0]).unlink()
    write(watched.root / "b.png", 2)
    await watched.until(*keys[:-4], "photos/b.png")
    told = f"1 of the 36 pictures of {watched.root} are gone, besides 4 that were removed since the start."
    assert told in watched.errors()


async def test_it_ends_when_the_folder_is_away(watched: Watched) -> None:
    watched.root.rename(watched.root.with_name("unplugged"))
    with pytest.raises(FolderAwayError):
        await watched.task
    assert await watched.keys() == {"photos/a.png"}
