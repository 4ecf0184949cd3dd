"""Indexing many files: take them one after another, show how far it is, and report each that failed."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from pathlib import Path

from domain.metadata import Metadata
from entrypoints.cli.interruption import Interruption, finish_on_interrupt, say_how_to_go_on
from entrypoints.cli.pictures import Found
from entrypoints.cli.progress import progress
from lookalike_client import AsyncLookalike, Outcome, UnavailableError

GO_ON = "Run the same command again to go on; what is indexed is kept."


@dataclass(slots=True)
class Tally:
    """Outcomes so far."""

    created: int = 0
    existed: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)
    """Each file that failed, with the reason."""
    stopped_by: UnavailableError | None = None
    """A failure that files after it would meet as well: no more are taken, and those that have begun are finished."""

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.created += outcome.status == "created"
        self.existed += outcome.status == "exists"
        if outcome.status == "failed":
            assert isinstance(outcome.picture, Path)  # noqa: S101 - as we gave it
            self.failures.append((outcome.picture, str(outcome.error)))
        if isinstance(outcome.error, UnavailableError):
            self.stopped_by = outcome.error

    @property
    def done(self) -> int:
        """How many files have an outcome."""
        return self.created + self.existed + len(self.failures)


async def index_found(
    found: Sequence[Found], connection: AbstractAsyncContextManager[AsyncLookalike], metadata: Metadata | None
) -> int:
    """Index what was found, report, and return the exit code. Raises what `connection` raises, after the report."""
    tally = Tally(
        failures=[
            (item.path, f"The folder cannot be read: {item.unreadable}.")
            for item in found
            if item.unreadable is not None
        ]
    )
    files = [item.path for item in found if item.unreadable is None]
    try:
        with finish_on_interrupt() as interruption, progress("Indexing") as show:
            show(tally.done, len(found))
            # Closed before this returns, whatever happens: what was begun has ended when the index is closed.
            async with (
                connection as client,
                aclosing(client.index_many(_until_stopped(files, interruption, tally), metadata=metadata)) as outcomes,
            ):
                async for outcome in outcomes:
                    tally.add(outcome)
                    show(tally.done, len(found))
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


def _until_stopped(files: Sequence[Path], interruption: Interruption, tally: Tally) -> Iterator[Path]:
    for path in files:
        if interruption.requested or tally.stopped_by is not None:
            return
        yield path


def _report(tally: Tally, metadata: Metadata | None) -> None:
    for path, reason in tally.failures:
        print(f"{path}: {reason}", file=sys.stderr)
    sys.stderr.flush()
    replaced = " (metadata replaced)" if metadata is not None and tally.existed else ""
    print(f"{tally.created} created, {tally.existed} existed{replaced}, {len(tally.failures)} failed", flush=True)
