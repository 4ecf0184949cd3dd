"""Indexing many files: take them one after another, show how far it is, and report each that failed."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Literal

from application.index_images import Upload
from domain.errors import (
    BodyTooLargeError,
    ImageUnreadableError,
    StorageFullError,
    UnavailableError,
)
from domain.metadata import Metadata
from entrypoints.cli.deployment import open_service
from entrypoints.cli.interruption import Interruption, finish_on_interrupt, say_how_to_go_on
from entrypoints.cli.pictures import Found, open_picture, stored_name
from entrypoints.cli.progress import progress

GO_ON = "Run the same command again to go on; what is indexed is kept."


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What became of one file; `reason` if it failed. `hopeless` if the files after it would fail as well."""

    path: Path
    status: Literal["created", "exists", "failed"]
    reason: str = ""
    hopeless: bool = False


Source = Callable[[Iterator[Path]], AsyncGenerator[FileResult]]
"""Indexes files, taken when their turn comes, and yields a result for each in order."""


@dataclass(slots=True)
class Tally:
    """Results so far."""

    created: int = 0
    existed: int = 0
    failures: list[FileResult] = field(default_factory=list)

    def add(self, result: FileResult) -> None:
        """Count one."""
        if result.status == "created":
            self.created += 1
        elif result.status == "exists":
            self.existed += 1
        else:
            self.failures.append(result)

    @property
    def done(self) -> int:
        """How many files have a result."""
        return self.created + self.existed + len(self.failures)


async def run_index(found: Sequence[Found], source: Source, *, replaces_metadata: bool = False) -> int:
    """Index what was found, report, and return the exit code. Raises what `source` raises, after the report.

    The report tells of metadata that is replaced where pictures existed.
    """
    tally = Tally()
    for item in found:
        if item.unreadable is not None:
            tally.add(
                FileResult(path=item.path, status="failed", reason=f"The folder cannot be read: {item.unreadable}.")
            )
    files = [item.path for item in found if item.unreadable is None]
    stopped = None
    try:
        with finish_on_interrupt() as interruption, progress("Indexing") as show:
            show(tally.done, len(found))
            # Closed before this returns, whatever happens: the generator has the index open.
            async with aclosing(source(_until_interrupted(files, interruption))) as results:
                async for result in results:
                    tally.add(result)
                    show(tally.done, len(found))
                    if result.hopeless:
                        stopped = result
                        break
    except Exception:
        if tally.done:
            _report(tally, replaces_metadata=replaces_metadata)
            print(f"lookalike: stopped after {tally.done} of {len(found)}. {GO_ON}", file=sys.stderr)
        raise
    _report(tally, replaces_metadata=replaces_metadata)
    if interruption.requested and tally.done < len(found):
        say_how_to_go_on(GO_ON)
        return interruption.code
    if stopped is not None:
        print(f"lookalike: stopped after {tally.done} of {len(found)}: {stopped.reason} {GO_ON}", file=sys.stderr)
    return 1 if tally.failures else 0


def index_here(metadata: Metadata | None) -> Source:
    """Indexing in this process, which opens the index."""

    async def index(files: Iterator[Path]) -> AsyncGenerator[FileResult]:
        async with open_service() as container:
            max_bytes = container.settings().http.max_upload_bytes
            taken: deque[Path] = deque()

            def uploads() -> Iterable[Upload]:
                for path in files:
                    taken.append(path)
                    yield Upload(filename=stored_name(path), read=_reader(path, max_bytes), metadata=metadata)

            async for outcome in container.index_images()(uploads()):
                yield FileResult(
                    path=taken.popleft(),
                    status=outcome.status,
                    reason=str(outcome.error or ""),
                    hopeless=isinstance(outcome.error, StorageFullError | UnavailableError),
                )

    return index


def _until_interrupted(files: Sequence[Path], interruption: Interruption) -> Iterator[Path]:
    for path in files:
        if interruption.requested:
            return
        yield path


def _reader(path: Path, max_bytes: int) -> Callable[[], Awaitable[bytes]]:
    return lambda: asyncio.to_thread(read_picture, path, max_bytes)


def read_picture(path: Path, max_bytes: int) -> bytes:
    """A file's bytes. Raises BodyTooLargeError without reading it whole, ImageUnreadableError."""
    try:
        with BufferedReader(open_picture(path)) as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise ImageUnreadableError(f"The file cannot be read: {error.strerror or error}.") from error
    if len(content) > max_bytes:
        raise BodyTooLargeError(
            f"The file has more than {max_bytes:,} bytes, what LOOKALIKE_HTTP__MAX_UPLOAD_BYTES allows a picture."
        )
    return content


def _report(tally: Tally, *, replaces_metadata: bool) -> None:
    for failure in tally.failures:
        print(f"{failure.path}: {failure.reason}", file=sys.stderr)
    sys.stderr.flush()
    replaced = " (metadata replaced)" if replaces_metadata and tally.existed else ""
    print(f"{tally.created} created, {tally.existed} existed{replaced}, {len(tally.failures)} failed", flush=True)
