"""The rows that failed: told, and kept in a file that can be imported itself once they are mended."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lookalike_client import LookalikeError
from lookalike_client.commands.importing.rows import Row, Table, Write

TOLD = 20
"""Rows that are named on standard error; the file has all."""


def told(row: Row, reason: str) -> str:
    """A line on standard error: what would steer a terminal is replaced."""
    line = f"row {row.number}: {reason}"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


class FailureFileError(LookalikeError):
    """The file of failed rows cannot be written."""


class FailureFile:
    """Made when the first row fails. One that an earlier run has left is replaced, or removed if no row fails."""

    def __init__(self, path: Path, table: Table) -> None:
        """Nothing is touched yet."""
        self.path = path
        self.count = 0
        self.told: list[str] = []
        """Of the first rows, what to say."""
        self._table = table
        self._file: IO[str] | None = None
        self._write: Write | None = None

    def add(self, row: Row, reason: str) -> None:
        """Keep a row. Raises FailureFileError."""
        self.count += 1
        if self.count <= TOLD:
            self.told.append(told(row, reason))
        with self._named():
            if self._file is None or self._write is None:
                self._file = self.path.open("w", encoding=self._table.encoding, errors="backslashreplace", newline="")
                self._write = self._table.writer(self._file)
            self._write(row, reason)
            self._file.flush()  # so that what is told is there, and that a full disk is noticed at this row

    def close(self) -> None:
        """End the file. Raises FailureFileError."""
        with self._named():
            if self._file is not None:
                self._file.close()

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
            if self._file is not None:
                with suppress(OSError):  # what could not be written is still in its buffer
                    self._file.close()
            raise FailureFileError(
                f"{self.path}, the file of failed rows, cannot be written: {error.strerror or error}. Name another by "
                "--failures."
            ) from error
