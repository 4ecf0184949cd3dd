"""Indexing many files: take them one after another, show how far it is, and report each that failed."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

import typer

from lookalike_client import AsyncLookalike, NewPicture, Outcome, ServiceError, UnavailableError
from lookalike_client.commands.connection import NoIndexError
from lookalike_client.commands.files import Found
from lookalike_client.commands.interruption import Interruption, finish_on_interrupt, say_how_to_go_on
from lookalike_client.commands.progress import progress
from lookalike_client.models import MetadataValue
from lookalike_client.names import text_of_path

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
    exif: bool | str | None = None,
) -> int:
    """Index what was found, under `name` or as the `key` if one is given, report, and return the exit code.

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
        _refuse_two_folders(found)
    pictures = [replace(picture, metadata=metadata, key=key or picture.key) for picture in _named(found, name, tally)]
    try:
        with finish_on_interrupt() as interruption, progress("Indexing") as show:
            show(tally.done, len(found))
            unnamed = () if is_named else found
            new = await _not_stored(pictures, stored, unnamed, interruption, tally, again=again)
            if tally.existed:
                show(tally.done, len(found))
            if new and not interruption.requested:
                # Closed before this returns, whatever happens: what was begun has ended when the index is closed.
                taken = _until_stopped(new, interruption, tally)
                async with (
                    connection as client,
                    aclosing(client.index_many(taken, adopt=True, exif=exif)) as outcomes,
                ):
                    async for outcome in outcomes:
                        if isinstance(outcome.error, ServiceError) and outcome.error.code == INVALID_METADATA:
                            raise outcome.error  # every picture would meet it
                        tally.add(outcome)
                        show(tally.done, len(found))
    except typer.BadParameter:
        raise
    except Exception:
        if tally.done:
            _report(tally, metadata)
            print(f"lookalike: stopped after {tally.done} of {len(found)}. {GO_ON}", file=sys.stderr)
        raise
    _report(tally, metadata)
    if interruption.requested and tally.done < len(found):
        say_how_to_go_on(GO_ON)
        return interruption.code
    if tally.stopped_by is not None:
        print(f"lookalike: stopped after {tally.done} of {len(found)}: {tally.stopped_by} {GO_ON}", file=sys.stderr)
    return 1 if tally.failures else 0


def _named(found: Sequence[Found], name: str | None, tally: Tally) -> Iterator[NewPicture]:
    """The files with their keys. Of two that come to one key, the second fails."""
    paths: dict[str, Path] = {}
    for item in found:
        if item.unreadable is None:
            key = normalize("NFC", item.key(name))
            if (first := paths.setdefault(key, item.path)) == item.path:
                yield NewPicture(item.path, key=key, source=item.source)
            else:
                tally.failures.append((item.path, f"It comes to the key {key}, which is that of {first}."))


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
            await _refuse_taken_names(client, named_by)
            async with aclosing(client.find_stored(_until_stopped(pictures, interruption, tally))) as looked_up:
                async for picture, image, is_same in looked_up:
                    if named_by and image is not None and image.source not in (None, picture.source):
                        raise _taken(str(image.key), str(image.source))
                    if is_same and not again:
                        tally.existed += 1
                    else:
                        new.append(picture)
    except NoIndexError:
        return list(pictures)
    return new


async def _refuse_taken_names(client: AsyncLookalike, found: Sequence[Found]) -> None:
    """A name belongs to the folder that used it first: else two folders would replace each other's pictures."""
    for root, name in {item.root: item.root_name for item in found}.items():
        key = text_of_path(f"{name}/")
        taken = await client.list_images(limit=1, filter={"all": [{"field": "key", "prefix": key}]})
        for image in taken.items:
            ours = Found(root / "x", root=root).source.removesuffix("x")
            if image.source != ours + (image.key or "").removeprefix(normalize("NFC", key)):
                raise _taken(key, (image.source or "another").removesuffix((image.key or "").removeprefix(key)))


def _taken(key: str, owner: str) -> typer.BadParameter:
    """The refusal of a folder that has the name of another one, `owner`, or of a file of that."""
    name = key.partition("/")[0]
    return typer.BadParameter(
        f"{key} is that of {owner} here, which would be replaced. Choose another name with --as. If the folder has "
        f"moved, say so with --as {name}.",
        param_hint="PATH",
    )


def _refuse_two_folders(found: Sequence[Found]) -> None:
    """Raise BadParameter where two folders of one name are given."""
    roots: dict[str, Path] = {}
    for item in found:
        first = roots.setdefault(item.root_name, item.root)
        if first.resolve() != item.root.resolve():
            raise typer.BadParameter(
                f"{first} and {item.root} have the same name, so that their pictures would have the same keys. Index "
                "them one after the other, one of them with --as.",
                param_hint="PATH",
            )


def _until_stopped(pictures: Sequence[NewPicture], interruption: Interruption, tally: Tally) -> Iterator[NewPicture]:
    for picture in pictures:
        if interruption.requested or tally.stopped_by is not None:
            return
        yield picture


def _report(tally: Tally, metadata: Mapping[str, MetadataValue] | None) -> None:
    for path, reason in tally.failures:
        print(f"{path}: {reason}", file=sys.stderr)
    sys.stderr.flush()
    replaced = " (metadata replaced)" if metadata is not None and tally.renewed else ""
    changed = f", {tally.replaced} replaced" if tally.replaced else ""
    print(
        f"{tally.created} created{changed}, {tally.existed} existed{replaced}, {len(tally.failures)} failed", flush=True
    )
