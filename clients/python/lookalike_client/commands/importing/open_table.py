"""Which format a file has, and standard input as a file."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lookalike_client.commands.importing.csv_table import CsvTable
from lookalike_client.commands.importing.other_tables import JsonLinesTable, ParquetTable
from lookalike_client.commands.importing.rows import Table, TableError

STANDARD_INPUT = "standard input"

_OTHER_FORMATS = {
    b"PK\x03\x04": "a workbook or an archive: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook: save the sheet as CSV",
    b"\x1f\x8b": "compressed: unpack it first",
    b"[": "a JSON array: write one object on each line (JSON Lines)",
}


@contextmanager
def table_at(path: Path | None) -> Iterator[Path]:
    """The file itself, or for None what comes from standard input, kept in a file meanwhile. Raises OSError."""
    if path is not None:
        yield path
        return
    with TemporaryDirectory(prefix="lookalike-import-") as folder:
        kept = Path(folder, "table")
        with kept.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield kept


def open_table(
    path: Path, name: str, wanted: Sequence[str], *, encoding: str | None = None, delimiter: str | None = None
) -> Table:
    """The table in a file, whose format its first bytes tell; `wanted` columns help to find the delimiter of CSV.

    Raises TableError, OSError.
    """
    with path.open("rb") as file:
        head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        raise TableError(f"{name} is empty.")
    if other := next((hint for mark, hint in _OTHER_FORMATS.items() if head.startswith(mark)), None):
        raise TableError(f"{name} is {other}.")
    if head.startswith(b"PAR1"):
        return ParquetTable(path, name)
    if head.startswith(b"{"):
        return JsonLinesTable(path, name, encoding=encoding)
    return CsvTable(path, name, wanted, encoding=encoding, delimiter=delimiter)
