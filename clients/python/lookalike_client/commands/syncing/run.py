"""Do what has to be done so that a service has what a folder has."""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from lookalike_client import (
    AsyncLookalike,
    InvalidRequestError,
    NewPicture,
    Outcome,
    PictureError,
    PictureFileError,
    Renaming,
)
from lookalike_client.commands.indexing import Tally, sent
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.progress import Show
from lookalike_client.commands.selection import passed_over_text
from lookalike_client.commands.state import Remembered, State
from lookalike_client.commands.syncing.folder import Folder
from lookalike_client.commands.syncing.look import Look, scope_in
from lookalike_client.commands.syncing.plan import NOT_SENT, File, Move, Stored
from lookalike_client.pictures import chunks, name_of

REMEMBERED_AT_ONCE = 200
"""Outcomes that are written down together: a crash loses so many at most, and costs reading those files again."""

CHANGED_AT_ONCE = 200
"""Pictures that are renamed or removed together: before each removal, it is looked whether the folder is there."""

OUTCOMES = {
    "unsupported_image_format": "no picture inside",
    "image_unreadable": "damaged",
    "image_too_large": "too large",
    "body_too_large": "too large",
}
"""What a summary calls a failure, by its code."""


@dataclass(slots=True, kw_only=True)
class SyncTally(Tally):
    """Outcomes of files, and what is to be remembered of them."""

    look: Look
    renamed: int = 0
    removed: int = 0
    failed_before: Counter[str] = field(default_factory=Counter)
    files: dict[Path, File] = field(default_factory=dict)
    """Those that are sent, by their paths."""
    remembered: list[Remembered] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with what is known without sending anything."""
        self.existed = self.look.plan.existed
        self.failed_before += self.look.plan.failed_before
        self.files |= {file.found.path: file for file in self.look.plan.send}
        for folder in self.look.contents.unreadable:
            self.failures.append((folder.path, f"The folder cannot be read: {folder.unreadable}."))
        for file, taken in self.look.refused:
            self._fail(file, NOT_SENT, taken)

    def add(self, outcome: Outcome) -> None:
        """Count one, and note what to remember of it. A file that has vanished meanwhile is not counted."""
        assert isinstance(outcome.picture, Path)  # noqa: S101 - as we gave it
        file, error = self.files[outcome.picture], outcome.error
        if outcome.image is not None:
            Tally.add(self, outcome)  # super() does not work in a class with slots
            self.remembered.append(file.remembered(sha256=outcome.image.sha256))
        elif isinstance(error, PictureFileError):
            if os.path.lexists(file.found.path):
                self._fail(file, NOT_SENT, str(error))
        elif isinstance(error, PictureError | InvalidRequestError):
            self._fail(file, OUTCOMES.get(error.code, "refused"), str(error))
        else:  # says nothing of the file
            Tally.add(self, outcome)  # super() does not work in a class with slots

    @property
    def has_changed_anything(self) -> bool:
        """Whether the index is not as before."""
        return bool(self.created or self.replaced or self.renamed or self.removed or self.renewed)

    def _fail(self, file: File, outcome: str, reason: str) -> None:
        failure = file.remembered(outcome=outcome, error=reason)
        if self.look.memory.get(file.name) == failure:
            self.failed_before[outcome] += 1
        else:
            self.failures.append((file.found.path, reason))
            self.remembered.append(failure)

    def __str__(self) -> str:
        counts = {
            "created": self.created,
            "replaced": self.replaced,
            "renamed": self.renamed,
            "removed": self.removed,
            "existed": self.existed,
        }
        text = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what in {"created", "existed"})
        text += f", {len(self.failures)} failed"
        if self.failed_before:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.failed_before.items()))
            text += f", {self.failed_before.total()} failed before ({reasons})"
        return text + passed_over_text(self.look.contents.passed_over)


async def carry_out(
    found: Look,
    folder: Folder,
    client: AsyncLookalike,
    state: State,
    interruption: Interruption,
    show: Show,
    tally: SyncTally,
    *,
    remove: bool,
    exif: bool | str | None = None,
) -> None:
    """Rename, send, and at last `remove` what is gone; count and remember it.

    Raises FolderAwayError as soon as the folder is no longer there, and what the client raises.
    """
    scope, plan = await scope_in(client, folder), found.plan
    total = len(plan.rename) + len(plan.send) + (len(plan.gone) if remove else 0)

    def written() -> None:
        state.remember(scope, tally.remembered)
        tally.remembered.clear()

    try:
        not_renamed = await _rename(client, plan.rename, tally, interruption)
        if total:
            show(tally.renamed, total)
        files = [*plan.send, *not_renamed]
        tally.files |= {file.found.path: file for file in files}
        pictures = [NewPicture(file.found.path, key=file.key, source=file.found.source) for file in files]
        async with aclosing(sent(client, pictures, interruption, tally, exif)) as outcomes:
            count = tally.renamed
            async for outcome in outcomes:
                count += 1
                show(count, total)
                if isinstance(outcome.error, PictureFileError):
                    await asyncio.to_thread(folder.check)
                if len(tally.remembered) >= REMEMBERED_AT_ONCE:
                    written()
        if remove and tally.stopped_by is None:
            await _remove(client, folder, plan.gone, tally, interruption)
            show(total, total)
    finally:
        written()


async def _rename(
    client: AsyncLookalike, moves: Sequence[Move], tally: SyncTally, interruption: Interruption
) -> list[File]:
    """Give pictures the keys of their files. Those that cannot be renamed are returned, to be sent."""
    failed = []
    for some in chunks(moves, CHANGED_AT_ONCE):
        if interruption.requested:
            break
        renamings = [
            Renaming(move.before, move.file.key, move.file.found.source, name_of(move.file.found.path)) for move in some
        ]
        for move, renamed in zip(some, await client.rename(renamings), strict=True):
            if renamed.status == "renamed":
                tally.renamed += 1
                tally.remembered.append(move.file.remembered(sha256=move.sha256))
            else:
                failed.append(move.file)
    return failed


async def _remove(
    client: AsyncLookalike, folder: Folder, pictures: Mapping[str, Stored], tally: SyncTally, interruption: Interruption
) -> None:
    """Remove pictures whose files are gone, if they still are. Raises FolderAwayError."""
    ours = {"field": "source", "prefix": folder.sources_begin}
    for some in chunks(pictures.items(), CHANGED_AT_ONCE):
        if interruption.requested:
            break
        keys = await asyncio.to_thread(list, folder.gone(some))
        await asyncio.to_thread(folder.check)  # afterwards: where the whole folder has gone, so has each file
        if keys:
            tally.removed += await client.delete_matching({"all": [{"field": "key", "in": keys}, ours]})
