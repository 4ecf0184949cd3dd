"""Indexing many files: take them one after another, show how far it is, and report each that failed."""

import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from pathlib import Path

import typer

from lookalike_client import AsyncLookalike, NewPicture, Outcome, ServiceError, UnavailableError
from lookalike_client.commands.connection import NoIndexError
from lookalike_client.commands.files import Found
from lookalike_client.commands.interruption import Interruption, finish_on_interrupt, say_how_to_go_on
from lookalike_client.commands.ownership import refuse_taken_key, refuse_taken_names, refuse_two_folders, with_keys
from lookalike_client.commands.progress import progress
from lookalike_client.commands.selection import passed_over_text
from lookalike_client.models import MetadataValue

GO_ON = "Run the same command again to go on; what is indexed is kept."
INVALID_METADATA = "invalid_metadata"


@dataclass(slots=True)
class Tally:
    """Outcomes so far."""

    created: int = 0
    replaced: int = 0
    existed: int = 0
    renewed: int = 0
    """How many of those that existed took something up: new metadata, a key, another source."""
    failures: list[tuple[Path, str]] = field(default_factory=list)
    """Each file that failed, with the reason."""
    stopped_by: UnavailableError | None = None
    """A failure that files after it would meet as well: no more are taken, and those that have begun are finished."""

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.created += outcome.status == "created"
        self.replaced += outcome.status == "replaced"
        self.existed += outcome.status == "exists"
        self.renewed += outcome.status == "exists"
        if outcome.status == "failed":
            assert isinstance(outcome.picture, Path)  # noqa: S101 - as we gave it
            self.failures.append((outcome.picture, str(outcome.error)))
        if isinstance(outcome.error, UnavailableError):
            self.stopped_by = outcome.error

    @property
    def done(self) -> int:
        """How many files have an outcome."""
        return self.created + self.replaced + self.existed + len(self.failures)


async def index_found(
    found: Sequence[Found],
    stored: AbstractAsyncContextManager[AsyncLookalike],
    connection: AbstractAsyncContextManager[AsyncLookalike],
    *,
    metadata: Mapping[str, MetadataValue] | None,
    name: str | None,
    key: str | None = None,
    again: bool = False,
    passed_over: Counter[str] | None = None,
    exif: bool | str | None = None,
) -> int:
    """Index what was found, under `name` or as the `key` if one is given, report, and return the exit code.

    `passed_over` says how many files were not taken, by reason.

    `stored` tells what is there already, and is not sent unless `again`. `connection`, for which models are loaded, is
    opened where that is not all.
    Raises what they raise, after the report; BadParameter where another folder has the name of one of these.
    """
    tally = Tally(
        failures=[
            (item.path, f"The folder cannot be read: {item.unreadable}.")
            for item in found
            if item.unreadable is not None
        ]
    )
    is_named = name is not None or key is not None
    if not is_named:
        refuse_two_folders(found)
    pictures = []
    for item, its_key, taken in with_keys(found, name):
        if taken is None:
            pictures.append(NewPicture(item.path, key=key or its_key, source=item.source, metadata=metadata))
        else:
            tally.failures.append((item.path, taken))
    try:
        with finish_on_interrupt() as interruption, progress("Indexing") as show:
            show(tally.done, len(found))
            unnamed = () if is_named else found
            new = await _not_stored(pictures, stored, unnamed, interruption, tally, again=again)
            if tally.existed:
                show(tally.done, len(found))
            if new and not interruption.requested:
                async with connection as client, aclosing(sent(client, new, interruption, tally, exif)) as outcomes:
                    async for _ in outcomes:
                        show(tally.done, len(found))
    except typer.BadParameter:
        raise
    except Exception:
        if tally.done:
            _report(tally, metadata, passed_over)
            print(f"lookalike: stopped after {tally.done} of {len(found)}. {GO_ON}", file=sys.stderr)
        raise
    _report(tally, metadata, passed_over)
    if interruption.requested and tally.done < len(found):
        say_how_to_go_on(GO_ON)
        return interruption.code
    if tally.stopped_by is not None:
        print(f"lookalike: stopped after {tally.done} of {len(found)}: {tally.stopped_by} {GO_ON}", file=sys.stderr)
    return 1 if tally.failures else 0


async def sent(
    client: AsyncLookalike,
    pictures: Sequence[NewPicture],
    interruption: Interruption,
    tally: Tally,
    exif: bool | str | None = None,
) -> AsyncGenerator[Outcome]:
    """Index pictures, and count each outcome. No more are taken after an interruption or where there is no room.

    To be closed before the client is: what was begun has ended then. Raises what concerns all pictures.
    """
    taken = _until_stopped(pictures, interruption, tally)
    async with aclosing(client.index_many(taken, adopt=True, exif=exif)) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome.error, ServiceError) and outcome.error.code == INVALID_METADATA:
                raise outcome.error  # every picture would meet it
            tally.add(outcome)
            yield outcome


async def _not_stored(
    pictures: Sequence[NewPicture],
    stored: AbstractAsyncContextManager[AsyncLookalike],
    named_by: Sequence[Found],
    interruption: Interruption,
    tally: Tally,
    *,
    again: bool,
) -> list[NewPicture]:
    """Those that are not there as they are, or all `again`; the others are counted."""
    new = []
    try:
        async with stored as client:
            await refuse_taken_names(client, [item.root for item in named_by])
            async with aclosing(client.find_stored(_until_stopped(pictures, interruption, tally))) as looked_up:
                async for picture, image, is_same in looked_up:
                    if named_by and image is not None:
                        refuse_taken_key(str(image.key), image.source, str(picture.source))
                    if is_same and not again:
                        tally.existed += 1
                    else:
                        new.append(picture)
    except NoIndexError:
        return list(pictures)
    return new


def _until_stopped(pictures: Sequence[NewPicture], interruption: Interruption, tally: Tally) -> Iterator[NewPicture]:
    for picture in pictures:
        if interruption.requested or tally.stopped_by is not None:
            return
        yield picture


def tell_failures(tally: Tally) -> None:
    """Name each file that failed, with the reason."""
    for path, reason in tally.failures:
        print(f"{path}: {reason}", file=sys.stderr)
    sys.stderr.flush()


def _report(tally: Tally, metadata: Mapping[str, MetadataValue] | None, passed_over: Counter[str] | None) -> None:
    tell_failures(tally)
    replaced = " (metadata replaced)" if metadata is not None and tally.renewed else ""
    changed = f", {tally.replaced} replaced" if tally.replaced else ""
    skipped = passed_over_text(passed_over or Counter())
    print(
        f"{tally.created} created{changed}, {tally.existed} existed{replaced}, {len(tally.failures)} failed{skipped}",
        flush=True,
    )
