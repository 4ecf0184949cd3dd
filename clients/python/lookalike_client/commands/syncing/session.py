"""One run of `sync`, or many: look, do, report."""

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from lookalike_client import AsyncLookalike
from lookalike_client.commands.connection import Purpose
from lookalike_client.commands.indexing import tell_failures
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.progress import progress
from lookalike_client.commands.state import State
from lookalike_client.commands.syncing.folder import Folder, deletion
from lookalike_client.commands.syncing.look import InterruptedLookError, Look, look
from lookalike_client.commands.syncing.run import SyncTally, carry_out
from lookalike_client.commands.syncing.watching import Settling, watch


@dataclass(slots=True, kw_only=True)
class Session:
    """What runs have in common."""

    folder: Folder
    connect: Callable[[Purpose], AbstractAsyncContextManager[AsyncLookalike]]
    state: State
    consent: Callable[[Look], bool]
    """Whether to remove what is gone."""
    again: bool
    """Whether the next look believes nothing that is remembered."""
    exif: bool | str | None = None
    removed: int = 0
    """How many pictures all runs have removed."""
    told: Counter[str] = field(default_factory=Counter)
    """What the last look has found left behind, so that it is told once."""

    async def look(self, interruption: Interruption, settling: Settling | None = None) -> Look:
        """See what has to be done. Raises as `look`."""
        stored = self.connect(Purpose.RECORDS)
        with progress("Reading") as show:
            found = await look(self.folder, stored, self.state, interruption, show, again=self.again, settled=settling)
        self.again = False
        found.plan.removed_before = self.removed
        for begin in found.left_behind - self.told:
            print(_left_behind_text(self.folder, begin, found.left_behind[begin]), file=sys.stderr, flush=True)
        self.told = found.left_behind
        return found

    async def carry_out(self, found: Look, interruption: Interruption, *, remove: bool) -> SyncTally:
        """Do it, and report. Raises as `carry_out`, after the report of what was done."""
        tally, plan = SyncTally(look=found), found.plan
        try:
            if plan.send or plan.rename or (plan.gone and remove) or (tally.remembered and found.index_is_there):
                # What cannot be renamed is sent, and encoded if need be.
                purpose = Purpose.INDEX if plan.send or plan.rename else Purpose.RECORDS
                with progress("Syncing") as show:
                    async with self.connect(purpose) as client:
                        await carry_out(
                            found,
                            self.folder,
                            client,
                            self.state,
                            interruption,
                            show,
                            tally,
                            remove=remove,
                            exif=self.exif,
                        )
        except Exception:
            if tally.has_changed_anything:
                _report(tally)
            raise
        finally:
            self.removed += tally.removed
        _report(tally)
        return tally

    async def watch(self, interruption: Interruption, *, poll: bool) -> None:
        """Look and do at once, and after each change, until an interruption. Raises as `watch`."""
        print(f"Watching {self.folder.root} until Ctrl-C.", file=sys.stderr, flush=True)
        is_first = True

        async def run(settling: Settling) -> None:
            nonlocal is_first
            try:
                found = await self.look(interruption, settling)
            except InterruptedLookError:
                return
            found.plan.gone = settling.without_moving(found.plan.gone)
            if found.plan.is_empty and not (is_first and not settling.is_waiting):
                return
            is_first = False
            tally = await self.carry_out(found, interruption, remove=self.consent(found))
            if tally.stopped_by is not None:
                raise tally.stopped_by  # as where the service was busy from the beginning

        await watch(self.folder, run, interruption, poll=poll)


def _report(tally: SyncTally) -> None:
    tell_failures(tally)
    print(tally, flush=True)


def _left_behind_text(folder: Folder, begin: str, count: int) -> str:
    return (
        f"{count} pictures of {folder.keys_begin} come from {begin}, a folder that is not here, and stay. If it is "
        f"gone for good, remove them: {deletion(begin, folder.keys_begin)}"
    )
