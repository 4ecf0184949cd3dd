"""The rows that failed: told, and kept in a file that can be imported itself once they are mended."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lookalike_client import LookalikeError
from lookalike_client.commands.importing.rows import REASON, Row, Table, Write

TOLD = 20
"""Rows that are named on standard error; the file has all."""


def failure_line(row: Row, reason: str) -> str:
    """A line on standard error: what would steer a terminal is replaced."""
    line = f"row {row.number}: {reason}"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


def rows_named(numbers: Sequence[int]) -> str:
    """Such as "rows 2, 5 and 7", or the first of many."""
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    first, more = numbers[:TOLD], len(numbers) - TOLD
    *most, last = [f"{number}" for number in first] + [f"{more:,} more"] * (more > 0)
    return f"rows {', '.join(most)} and {last}"


class FailureFileError(LookalikeError):
    """The file of failed rows cannot be written."""


class FailureFile:
    """Takes its place at the end, if a row failed: in the place of one that an earlier run left, which is else removed.

    No other file is touched.
    """

    def __init__(self, path: Path, table: Table) -> None:
        """Nothing is written yet. Raises FailureFileError for a file that is none of failed rows."""
        self.path = path
        self.count = 0
        self.told: list[str] = []
        """Of the first rows, what to say."""
        self._table = table
        self._file: IO[str] | None = None
        self._write: Write | None = None
        self._place = path.resolve()  # where a link leads, rather than the link
        self._new = self._place.with_name(f"{path.name}.{os.getpid()}.new")
        with self._named():
            if path.exists() and not _has_reasons(path):
                raise FailureFileError(
                    f"{path} is there and has no column {REASON}, so that it is no file of failed rows, and is not "
                    "replaced. Name another by --failures, or move it away."
                )

    def add(self, row: Row, reason: str) -> None:
        """Keep a row. Raises FailureFileError."""
        self.count += 1
        if self.count <= TOLD:
            self.told.append(failure_line(row, reason))
        with self._named():
            if self._file is None or self._write is None:
                self._file = self._new.open("w", encoding=self._table.encoding, errors="backslashreplace", newline="")
                self._write = self._table.writer(self._file)
            self._write(row, reason)
            self._file.flush()  # so that a full disk is noticed at this row

    def close(self) -> None:
        """Put the file in its place. Raises FailureFileError."""
        with self._named():
            if self._file is not None and not self._file.closed:
                self._file.close()
                self._new.replace(self._place)

    def remove_old(self) -> None:
        """Remove what an earlier run has left, since no row has failed in this one. Raises FailureFileError."""
        with self._named():
            if self.count == 0:
                self.path.unlink(missing_ok=True)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with suppress(OSError):  # what could not be written is still in its buffer
                if self._file is not None:
                    self._file.close()
            with suppress(OSError):
                self._new.unlink(missing_ok=True)
            raise FailureFileError(
                f"{self.path}, the file of failed rows, cannot be written: {error.strerror or error}. Name another by "
                "--failures."
            ) from error


def _has_reasons(path: Path) -> bool:
    """Whether the first line of a file, in whatever encoding, has the column of reasons. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return re.search(rb"\b%b\b" % REASON.encode(), file.readline(64 * 1024).replace(b"\0", b"")) is not None
