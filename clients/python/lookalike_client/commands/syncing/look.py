"""Compare a folder with what a service has of it."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from lookalike_client import AsyncLookalike
from lookalike_client.commands.connection import NoIndexError, index_id
from lookalike_client.commands.interruption import Interruption
from lookalike_client.commands.ownership import refuse_taken_key, refuse_taken_names, with_keys
from lookalike_client.commands.progress import Show
from lookalike_client.commands.state import Remembered, State, scope_of
from lookalike_client.commands.syncing.folder import Contents, Folder
from lookalike_client.commands.syncing.plan import NOT_SENT, File, Plan, Stored, make_plan

MARK = ""
"""The name under which it is remembered how the service was when a run had nothing to do. No file has it."""

NO_FILE = "It is no regular file, or a link to one that is gone."

Settled = Callable[[Sequence[File]], Collection[File]]
"""Of files that are new or have changed, those that are complete."""


class InterruptedLookError(Exception):
    """The user asked to stop while files were read, so that there is no plan."""


@dataclass(slots=True, kw_only=True)
class Look:
    """What was found, and what follows from it."""

    contents: Contents
    files: list[File]
    """Those with keys of their own, which are complete."""
    refused: list[tuple[File, str]]
    """Files that cannot be sent, such as those that come to the keys of others, and why."""
    memory: dict[str, Remembered] = field(default_factory=dict)
    """Files as they were, by name."""
    mark: str = ""
    """Tells how the service is from how it was."""
    plan: Plan = field(default_factory=Plan)
    left_behind: Counter[str] = field(default_factory=Counter)
    """How many pictures under the folder's name come from other folders that are not there, by how sources begin."""

    @property
    def index_is_there(self) -> bool:
        """Whether the service has an index, in which nothing may be yet."""
        return bool(self.mark)

    @property
    def is_all(self) -> bool:
        """Whether all that is in the folder is known and considered."""
        return len(self.files) == len(self.contents.pictures) and not self.contents.unreadable

    def is_as_remembered(self) -> bool:
        """Whether files and service are as they were when there was nothing to do."""
        mark = self.memory.get(MARK)
        if mark is None or mark.etag != self.mark or not self.is_all or len(self.memory) != len(self.files) + 1:
            return False
        before = [self.memory.get(file.name) for file in self.files]
        return all(file.is_as(was) for file, was in zip(self.files, before, strict=True)) and not any(
            was.outcome == NOT_SENT for was in before if was is not None
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do, also by a later run."""
        return self.is_all and self.plan.is_empty

    def learnt(self) -> list[Remembered]:
        """What to remember of it."""
        mark = [Remembered(name=MARK, etag=self.mark)] if self.is_idle else []
        return [each for each in (*self.plan.learnt, *mark) if each != self.memory.get(each.name)]

    def outdated(self) -> set[str]:
        """The names to forget: the mark where work is left; files that are no more, unless folders are unreadable."""
        here = {MARK, *(file.name for file in self.files), *(file.name for file, _ in self.refused)}
        gone = set() if self.contents.unreadable else self.memory.keys() - here
        return gone if self.is_idle else {*gone, MARK}


async def scope_in(client: AsyncLookalike, folder: Folder) -> str:
    """What the files of a folder are remembered under. Raises as `AsyncLookalike.models`."""
    return scope_of(await index_id(client), "folder", f"{folder.keys_begin}\n{folder.sources_begin}")


async def look(
    folder: Folder,
    stored: AbstractAsyncContextManager[AsyncLookalike],
    state: State,
    interruption: Interruption,
    show: Show,
    *,
    again: bool = False,
    settled: Settled | None = None,
) -> Look:
    """Find out what has to be done.

    Args:
        folder: What to look at.
        stored: What tells what is there already.
        state: What earlier runs remember; what this one learns is added.
        interruption: Ends it early.
        show: Takes how far the files are read, of how many.
        again: Believe nothing that is remembered.
        settled: Says which files are no longer being written; the others are left for later.

    Raises FolderAwayError, InterruptedLookError, BadParameter, and what `stored` raises.
    """
    contents = await asyncio.to_thread(folder.contents)
    keyed = [
        (File.of(found, key), NO_FILE if found.size is None else taken)
        for found, key, taken in with_keys(contents.pictures, folder.name)
    ]
    files = [file for file, taken in keyed if taken is None]
    found = Look(contents=contents, files=files, refused=[(file, taken) for file, taken in keyed if taken is not None])
    try:
        async with stored as client:
            if folder.name is None:
                await refuse_taken_names(client, [folder.root])
            scope = await scope_in(client, folder)
            found.memory = {} if again else {each.name: each for each in state.all(scope)}
            found.files = _settled(files, found.memory, settled)
            await _fill_plan(client, folder, found, interruption, show)
            state.remember(scope, found.learnt())
            state.forget(scope, found.outdated())
    except NoIndexError:
        found.files = _settled(files, {}, settled)
        found.plan = Plan(create=found.files)
    return found


def _settled(files: list[File], memory: Mapping[str, Remembered], settled: Settled | None) -> list[File]:
    """The files that have not changed, and of the others those that are complete."""
    if settled is None:
        return files
    complete = settled([file for file in files if not file.is_as(memory.get(file.name))])
    return [file for file in files if file.is_as(memory.get(file.name)) or file in complete]


async def _fill_plan(
    client: AsyncLookalike, folder: Folder, found: Look, interruption: Interruption, show: Show
) -> None:
    """Work out what has to be done. Nothing is listed or read where all is as it is remembered."""
    among = {"all": [{"field": "key", "prefix": folder.keys_begin}]}
    newest = await client.list_images(limit=1, filter=among, order_by="-updated_at")
    found.mark = " ".join([str(newest.total), *(str(image.updated_at) for image in newest.items)])
    if found.is_as_remembered():
        before = [found.memory[file.name] for file in found.files]
        failed = Counter(each.outcome or "" for each in before if each.error is not None)
        found.plan = Plan(existed=len(before) - failed.total(), failed_before=failed)
        return
    images = {
        str(image.key): Stored(image.sha256, image.size_bytes, image.source)
        async for image in client.images(filter=among)
    }
    if folder.name is None:
        for file in found.files:
            if (there := images.get(file.key)) is not None:
                refuse_taken_key(file.key, there.source, file.found.source)
    here = {item.key(folder.name) for item in found.contents.pictures}
    positions = {file: position for position, file in enumerate(found.files)}

    def digest(file: File) -> str | None:
        if interruption.requested:
            raise InterruptedLookError
        show(positions[file], len(positions))
        try:
            with file.found.path.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()
        except OSError:
            return None

    def work_out() -> Plan:
        missing = [(key, image) for key, image in images.items() if key not in here]
        gone = folder.gone(missing, found.contents.unreadable)
        found.left_behind = folder.left_behind(missing)
        return make_plan(found.files, images, gone, found.memory, digest)

    found.plan = await asyncio.to_thread(work_out)
    found.plan.ours = sum(key in here or folder.has(image) for key, image in images.items())
