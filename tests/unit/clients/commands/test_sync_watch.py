"""`sync --watch`: changes are followed until it is told to stop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from lookalike_client import NoServiceError
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.state import open_state
from lookalike_client.commands.syncing import watching
from lookalike_client.commands.syncing.folder import Folder, FolderAwayError
from lookalike_client.commands.syncing.session import Session
from tests.unit.clients.commands.syncing import Synced, write


@pytest.fixture(params=[False, True], ids=["told", "polling"])
async def watched(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Synced, "asyncio.Task[None]", Interruption]]:
    """A folder that is being watched, of one picture."""
    for name, value in {"TICK_MS": 50, "SETTLE_SECONDS": 0.1, "RETRY_SECONDS": 0.1, "POLL_MS": 50}.items():
        monkeypatch.setattr(watching, name, value)
    synced, interruption = Synced(tmp_path, capsys), Interruption()
    synced.files("a.png")
    with capture_logs(), open_state(synced.state) as state:
        session = Session(
            folder=Folder(synced.root),
            connect=partial(synced.connect, None, None),
            state=state,
            consent=lambda _: True,
            again=False,
        )
        watch = asyncio.create_task(session.watch(interruption, poll=request.param))
        try:
            await until(lambda: {"photos/a.png"}, synced, watch)
            yield synced, watch, interruption
        finally:
            interruption.requested = True
            await asyncio.wait([watch])


async def until(expected: Callable[[], set[str]], synced: Synced, watch: "asyncio.Task[None]") -> None:
    """Wait until these are stored."""
    while (await synced.images()).keys() != expected():
        if watch.done():
            await watch
            raise AssertionError("It has ended.")
        await asyncio.sleep(0.05)


async def test_changes_are_followed_until_an_interruption(
    watched: tuple[Synced, "asyncio.Task[None]", Interruption],
) -> None:
    synced, watch, interruption = watched
    write(synced.root / "new" / "b.png", 2)
    await until(lambda: {"photos/a.png", "photos/new/b.png"}, synced, watch)
    (synced.root / "new").rename(synced.root / "old")
    await until(lambda: {"photos/a.png", "photos/old/b.png"}, synced, watch)
    (synced.root / "a.png").unlink()
    await until(lambda: {"photos/old/b.png"}, synced, watch)
    interruption.requested = True
    await watch


async def test_a_service_that_is_away_is_tried_again(
    watched: tuple[Synced, "asyncio.Task[None]", Interruption], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, watch, _ = watched
    failures = [NoServiceError("No service answers."), NoServiceError("No service answers.")]

    def away(path: str) -> None:
        if path == "/v1/images/batch" and failures:
            raise failures.pop()

    synced.before_request = away
    write(synced.root / "b.png", 2)
    await until(lambda: {"photos/a.png", "photos/b.png"}, synced, watch)
    assert not failures


async def test_it_ends_when_the_folder_is_away(watched: tuple[Synced, "asyncio.Task[None]", Interruption]) -> None:
    synced, watch, _ = watched
    synced.root.rename(synced.root.with_name("unplugged"))
    with pytest.raises(FolderAwayError):
        await watch
    assert (await synced.images()).keys() == {"photos/a.png"}
