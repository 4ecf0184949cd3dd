"""Tables whose cells have types: JSON Lines, and Parquet."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from typing import IO

from lookalike_client.commands.importing.rows import BYTE_ORDER_MARK, REASON, Row, TableError, Write

ROWS_AT_ONCE = 1000
"""Of Parquet."""


class JsonLinesTable:
    """A JSON object on each line. Blank lines are passed over, but counted; objects may leave out columns."""

    has_types = True
    suffix = ".jsonl"

    def __init__(self, path: Path, name: str, *, encoding: str | None = None) -> None:
        """Reads all of it for its columns. Raises TableError, OSError."""
        self.name = name
        self.encoding = encoding or "utf-8"
        self.kind = f"JSON Lines in {self.encoding}"
        self._path = path
        self.columns: Sequence[str] = list(dict.fromkeys(column for row in self.rows() for column in row.cells))

    def rows(self) -> Iterator[Row]:
        """All of them, from the first. Raises TableError where it cannot be read on."""
        number = 0
        try:
            with self._path.open(encoding=self.encoding) as file:
                for number, line in enumerate(file, 1):
                    text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                    if text.strip():
                        yield Row(number, self._object(number, text))
        except UnicodeError as error:
            raise TableError(
                f"{self.name} is no text in {self.encoding} from line {number + 1} on ({error}). Name another by "
                "--encoding."
            ) from error

    def writer(self, file: IO[str]) -> Write:
        """Begins a table of the same form."""
        return json_lines_writer(file)

    def _object(self, number: int, line: str) -> dict[str, object]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TableError(f"Line {number} of {self.name} is no JSON: {error}.") from error
        if not isinstance(value, dict):
            raise TableError(f"Line {number} of {self.name} is no JSON object: write each row as one, on a line.")
        return value


class ParquetTable:
    """A file of Apache Parquet, a few rows at a time."""

    has_types = True
    suffix = ".jsonl"
    encoding = "utf-8"
    kind = "Parquet"

    def __init__(self, path: Path, name: str) -> None:
        """Reads the columns. Raises TableError, OSError."""
        try:
            from pyarrow import ArrowException
            from pyarrow.parquet import ParquetFile
        except ModuleNotFoundError as error:
            raise TableError(
                f"{name} is Parquet, which pyarrow reads. It comes with the extra [parquet]: pip install '.[parquet]' "
                "in the clone, or pyarrow alone."
            ) from error
        self.name = name
        self._open = partial(ParquetFile, path)
        self._errors = ArrowException
        try:
            with self._open() as file:
                self.columns: Sequence[str] = file.schema_arrow.names
        except self._errors as error:
            raise self._unreadable(error) from error

    def rows(self) -> Iterator[Row]:
        """All of them, from the first. Raises TableError where it cannot be read on."""
        try:
            with self._open() as file:
                batches = file.iter_batches(batch_size=ROWS_AT_ONCE)
                cells = chain.from_iterable(batch.to_pylist() for batch in batches)
                yield from starmap(Row, enumerate(cells, 1))
        except self._errors as error:
            raise self._unreadable(error) from error

    def writer(self, file: IO[str]) -> Write:
        """Begins a table of JSON Lines."""
        return json_lines_writer(file)

    def _unreadable(self, error: Exception) -> TableError:
        return TableError(f"{self.name} cannot be read as Parquet: {error}.")


def json_lines_writer(file: IO[str]) -> Write:
    """Writes rows as objects, what JSON does not have (a time) as text."""

    def write(row: Row, reason: str) -> None:
        cells = {column: cell for column, cell in row.cells.items() if column != REASON}
        file.write(json.dumps({REASON: reason, **cells}, ensure_ascii=False, default=str) + "\n")

    return write
