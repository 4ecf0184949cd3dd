"""Stored originals that several records may share: when they may go, without locks."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from application.begun_work import all_of
from domain.errors import BusyError, StorageFullError
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository

log = logging.getLogger(__name__)

DELETE_WITHIN_SECONDS = 60.0
"""Of making a mark; after that, its owner leaves it alone. Far less than `TAKE_OVER_AFTER`, so that no owner whose mark
was taken over still deletes, or removes the mark of the next one."""

TAKE_OVER_AFTER = timedelta(minutes=15)
"""The age at which a mark's owner counts as dead. No request to delete outlives it."""

SWEEP_AFTER = timedelta(days=7)
"""The age at which files without a record are left over: no upload takes so long, and an operator has time to notice
that the index is the wrong one."""

WAIT_SECONDS = 10.0
"""How long a writer waits for a mark to go. A purge takes less than a second, unless its owner is dead."""

GROUP_SIZE = 200
"""Files that are purged together: they are counted in one request."""

_POLL_SECONDS = 0.05
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts the time that the machine was suspended too, where the system can tell it."""


@dataclass(frozen=True, slots=True)
class LeftOver:
    """Originals, or thumbnails of them, that no record has named for `SWEEP_AFTER`."""

    sha256s: Sequence[str]
    is_doubtful: bool
    """More files lack a record than have one: the index may be the wrong one, or lost, and they may be all that is left
    to build it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOriginals:
    """Keeps every original that some record names, and removes the others.

    A writer puts the files into the store, commits the record, and then calls `confirm` before it acknowledges. Others
    that remove a record call `purge` after it. A purge marks the file first and counts the records that name it after
    that; the writer commits first and looks for marks after that. So either the purge counts the record, or the writer
    sees the mark and waits, or the purge is over and the writer puts the file again.
    """

    store: ImageStore
    repository: SimilarityRepository
    seconds: Callable[[], float] = lambda: time.clock_gettime(_ELAPSED)
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def confirm(self, originals: Mapping[str, bytes | None]) -> Collection[str]:
        """Make sure, once their records are committed, that these originals are there, by SHA-256, and stay.

        Those that have gone are put again. Answers those that are gone and for which no bytes are given. Raises
        StorageFullError, and BusyError if a purge does not end for long.
        """
        await self._wait_for_purges(originals)
        sizes = await self.store.sizes(originals)
        gone: list[str] = []
        lost: dict[str, bytes] = {}
        for sha256, content in originals.items():
            size = sizes[sha256].original
            if content is None and size is None:
                gone.append(sha256)
            elif content is not None and size != len(content):
                lost[sha256] = content
        await all_of(self.store.put(sha256, original=content) for sha256, content in lost.items())
        return gone

    async def purge(self, sha256s: Collection[str]) -> None:
        """Remove the files of those that no record names any more.

        Raises nothing, since their records are gone already: what fails is left to a take-over or a sweep.
        """
        try:
            for group in _groups(sha256s):
                await self._purge(group, self._mark)
        except Exception:
            log.exception("Stored pictures that no record names are left to a later sweep")

    async def take_over(self, *, older_than: timedelta = TAKE_OVER_AFTER) -> int:
        """Finish what others began to purge, and died; how many those were. Raises UnavailableError."""
        marks = await self.store.marks(older_than=older_than)
        for group in _groups(marks):
            await self._purge(group, lambda sha256: self.store.remark(sha256, marks[sha256]))
        return len(marks)

    async def sweep(self) -> int:
        """Remove what is left over, unless that is doubtful; how much that was. Raises UnavailableError."""
        found = await self.left_over()
        if found.is_doubtful:
            log.warning(
                "More stored pictures lack a record than have one, so none is removed. Is this the right index?"
            )
            return 0
        await self.purge(found.sha256s)
        return len(found.sha256s)

    async def left_over(self) -> LeftOver:
        """What no record names. Takes a request for each 200 stored pictures. Raises UnavailableError."""
        latest = self.now() - SWEEP_AFTER
        old: list[str] = []
        named = unnamed = 0
        async for stored in self.store.stored():
            for group in _groups(stored):
                known = await self.repository.named(group)
                named += len(known)
                unnamed += len(group) - len(known)
                old += [sha256 for sha256 in group if sha256 not in known and stored[sha256] <= latest]
        return LeftOver(old, is_doubtful=unnamed > named)

    async def _wait_for_purges(self, sha256s: Collection[str]) -> None:
        give_up = self.seconds() + WAIT_SECONDS
        while await self.store.marked(sha256s):
            if self.seconds() > give_up:
                raise BusyError(f"Others have been removing the same picture for {WAIT_SECONDS:g} s. Send it again.")
            await self.sleep(_POLL_SECONDS)

    async def _purge(self, sha256s: Sequence[str], mark: Callable[[str], Awaitable[bool]]) -> None:
        """Remove, of those that `mark` makes ours, the files that no record names; then the marks."""
        marked_at = self.seconds()
        ours: list[str] = []

        async def mark_one(sha256: str) -> None:
            if await mark(sha256):
                ours.append(sha256)

        try:
            await all_of(map(mark_one, sha256s))
            named = await self.repository.named(ours) if ours else ()
        except Exception:
            # Nothing is deleted yet. A mark that stays would keep writers waiting.
            await all_of(self._finish(sha256, marked_at, is_named=True) for sha256 in ours)
            raise
        await all_of(self._finish(sha256, marked_at, is_named=sha256 in named) for sha256 in ours)

    async def _finish(self, sha256: str, marked_at: float, *, is_named: bool) -> None:
        if not is_named and self._is_in_time(marked_at):
            await self.store.delete(sha256)
        if self._is_in_time(marked_at):
            await self.store.unmark(sha256)

    def _is_in_time(self, marked_at: float) -> bool:
        return self.seconds() - marked_at <= DELETE_WITHIN_SECONDS

    async def _mark(self, sha256: str) -> bool:
        try:
            return await self.store.mark(sha256)
        except StorageFullError:
            # Deleting must stay possible. Thumbnails can go at any time, since they are rendered anew when they are
            # asked for, and leave room for a mark.
            await self.store.delete_thumbnails(sha256)
        try:
            return await self.store.mark(sha256)
        except StorageFullError as error:
            log.warning("A stored picture that no record names is left to a later sweep: %s", error)
            return False


def _groups(sha256s: Collection[str]) -> Sequence[Sequence[str]]:
    all_ = list(sha256s)
    return [all_[first : first + GROUP_SIZE] for first in range(0, len(all_), GROUP_SIZE)]
