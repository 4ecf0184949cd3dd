"""Keep a folder current as it changes."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

from watchfiles import awatch
from watchfiles.main import FileChange

from lookalike_client import LookalikeError, NoServiceError, UnavailableError
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.syncing.folder import Folder
from lookalike_client.commands.syncing.plan import File, Stored

TICK_MS = 1000
"""How often it is looked whether anything is due: files that were not complete, a service that was away, Ctrl-C."""

SETTLE_SECONDS = 2.0
"""A file is complete when its size and time have not changed for so long."""

HOLD_SECONDS = 30.0
"""A picture whose file is gone is held so long while any file is not complete: the file may have moved there. Without
this bound, a file that is written to all the time would keep all pictures."""

RETRY_SECONDS = 30.0
"""Between attempts while the service is busy or away."""

REVISIT_SECONDS = 3600.0
"""After so long, the folder is looked at even without a change: of those behind symbolic links, no system tells."""

POLL_MS = 5000
"""How often a folder is looked at where nothing tells of changes."""


class Settling:
    """Files that have changed, until they are complete."""

    def __init__(self) -> None:
        self._since: dict[File, float] = {}
        self._gone_since: dict[str, float] = {}
        self.is_waiting = False
        """Whether some were not complete when last asked."""

    def __call__(self, changed: Sequence[File]) -> set[File]:
        """Those that were the same `SETTLE_SECONDS` ago."""
        now = time.monotonic()
        self._since = {file: self._since.get(file, now) for file in changed}
        complete = {file for file, since in self._since.items() if now - since >= SETTLE_SECONDS}
        self.is_waiting = len(complete) < len(self._since)
        return complete

    def without_moving(self, gone: Mapping[str, Stored]) -> dict[str, Stored]:
        """Of the pictures whose files are gone, those whose files cannot have moved to where one is not complete."""
        now = time.monotonic()
        self._gone_since = {key: self._gone_since.get(key, now) for key in gone}
        return {
            key: image
            for key, image in gone.items()
            if not self.is_waiting or now - self._gone_since[key] >= HOLD_SECONDS
        }


class WatchError(LookalikeError):
    """The system does not tell of changes in the folder."""


async def watch(
    folder: Folder,
    run: Callable[[Settling], Awaitable[None]],
    interruption: Interruption,
    *,
    poll: bool,
) -> None:
    """Call `run` at once, and again after each change, until an interruption.

    With `poll`, or where watchfiles says so, the folder is looked at every few seconds, instead of waiting for the
    system to tell. Where the service is away or busy, it is tried again later. Raises FolderAwayError, WatchError,
    and what else `run` does.
    """
    settling, due = Settling(), 0.0
    ticks = awatch(
        folder.root,
        watch_filter=lambda _, path: folder.looks_into(path),
        rust_timeout=TICK_MS,
        yield_on_timeout=True,
        force_polling=poll or None,
        poll_delay_ms=POLL_MS,
        ignore_permission_denied=True,
    )
    async with aclosing(ticks):
        while not interruption.requested:
            changes = await _next(ticks, folder)
            await asyncio.to_thread(folder.check)
            if interruption.requested or (not changes and time.monotonic() < due):
                continue
            try:
                await run(settling)
                due = time.monotonic() + (SETTLE_SECONDS if settling.is_waiting else REVISIT_SECONDS)
            except (UnavailableError, NoServiceError) as error:
                print(f"lookalike: {error} Trying again in {RETRY_SECONDS:.0f} s.", file=sys.stderr, flush=True)
                due = time.monotonic() + RETRY_SECONDS


async def _next(ticks: AsyncGenerator[set[FileChange]], folder: Folder) -> set[FileChange]:
    try:
        return await anext(ticks)
    except (OSError, RuntimeError) as error:
        await asyncio.to_thread(folder.check)
        raise WatchError(f"{folder.root} cannot be watched: {error}. Look at it now and then with --poll.") from error
