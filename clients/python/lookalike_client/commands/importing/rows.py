"""What a table is to an import: columns, and rows with their numbers, which can be read more than once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from lookalike_client import LookalikeError

REASON = "import_error"
"""The column of a file of failed rows that says why; it is ignored when they come back."""


BYTE_ORDER_MARK = "\ufeff"
"""May stand before a table."""


class TableError(LookalikeError):
    """The file cannot be read as a table."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number as a spreadsheet or an editor counts, and its cells by column."""

    number: int
    cells: Mapping[str, object]
    raw: Sequence[str] = ()
    """Of CSV, the cells as they stand there, to be written again."""
    problem: str | None = None
    """Why its cells cannot be told."""


Write = Callable[[Row, str], object]
"""Writes a row, and why it failed."""


class Table(Protocol):
    """A table in a file."""

    name: str
    """What to call it in messages."""
    kind: str
    """Its format, as it is told to the user."""
    columns: Sequence[str]
    """Their names; empty for one of CSV that has none."""
    has_types: bool
    """Whether cells are more than text."""
    suffix: str
    encoding: str
    """Of a file of failed rows."""

    def rows(self) -> Iterator[Row]:
        """All of them, from the first. Raises TableError where it cannot be read on."""

    def writer(self, file: IO[str]) -> Write:
        """Begins a table in `file` of rows of this one, with the reason in a column of its own."""
