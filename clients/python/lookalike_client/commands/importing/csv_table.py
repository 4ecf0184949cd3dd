"""Tables of comma-separated values and their like."""

import csv
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

from lookalike_client.commands.importing.rows import BYTE_ORDER_MARK, REASON, Row, TableError, Write

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

SAMPLE_BYTES = 256 * 1024
"""Around the first byte that is not UTF-8: enough to guess an encoding by the lines that are not ASCII."""

ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp932", "gb18030", "big5", "cp949")
"""In which spreadsheets save outside of UTF-8: western, central and eastern Europe, Greece, Japan, China, Korea."""

MAX_MESS = 0.05
"""charset-normalizer's measure of a wrong reading, 0 to 1: right ones have less than this, wrong ones mostly more."""

_CHUNK_BYTES = 1024 * 1024


class CsvTable:
    """Text with a header. Blank lines are passed over, but counted; rows may leave out empty cells at their end."""

    has_types = False
    suffix = ".csv"

    def __init__(
        self,
        path: Path,
        name: str,
        wanted: Sequence[str],
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
    ) -> None:
        """Encoding and delimiter are found out unless given, the latter by the `wanted` columns.

        Raises TableError, OSError.
        """
        self.name = name
        self._path = path
        self.encoding = encoding or _encoding_of(path)
        headers = self._headers([delimiter] if delimiter else DELIMITERS)

        def fit(delimiter: str) -> tuple[int, int]:
            return len({*wanted} & {*_names(headers[delimiter])}), len(headers[delimiter])

        self._delimiter = max(headers, key=fit)
        self._raw_header = headers[self._delimiter]
        self.columns: Sequence[str] = _names(self._raw_header)
        separators = DELIMITERS.get(self._delimiter, repr(self._delimiter))
        self.kind = f"CSV in {self.encoding}, separated by {separators}"

    def rows(self) -> Iterator[Row]:
        """All of them, from the first. Raises TableError where it cannot be read on."""
        width = len(self.columns)
        records = ((number, record) for number, record in self._records(self._delimiter) if record)
        next(records, None)  # the header
        for number, record in records:
            problem = None
            if any(record[width:]):
                problem = f"it has {len(record)} cells, and the header {width}"
            yield Row(number, dict(zip(self.columns, record, strict=False)), record, problem)

    def writer(self, file: IO[str]) -> Write:
        """Begins a table of the same form, with the reason in the first column: cells in excess stay at the end."""
        kept = csv.writer(file, delimiter=self._delimiter)
        kept.writerow([REASON, *self._without_reason(self._raw_header)])
        return lambda row, reason: kept.writerow([reason, *self._without_reason(row.raw)])

    def _without_reason(self, record: Sequence[str]) -> Iterator[str]:
        place = self.columns.index(REASON) if REASON in self.columns else len(record)
        return chain(record[:place], record[place + 1 :])

    def _headers(self, delimiters: Iterable[str]) -> dict[str, list[str]]:
        """By the delimiters that can be: a quoted name ends before the right one. Raises TableError if none can."""
        headers = {}
        failure = None
        for delimiter in delimiters:
            try:
                headers[delimiter] = next((record for _, record in self._records(delimiter) if record), [])
            except TableError as error:
                failure = failure or error
        if failure is not None and not headers:
            raise failure
        return headers

    def _records(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        with self._path.open(encoding=self.encoding, newline="") as file, self._decoding():
            if file.read(1) != BYTE_ORDER_MARK:  # which stays where the encoding was given
                file.seek(0)
            # Strict: a quotation mark that is never closed would take the rest of the table into one cell.
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                yield from enumerate(reader, 1)
            except csv.Error as error:
                raise TableError(f"{self.name} cannot be read on from line {reader.line_num}: {error}.") from error

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise TableError(
                f"{self.name} is no text in {self.encoding} ({error}). Name another by --encoding."
            ) from error


def _names(header: Sequence[str]) -> list[str]:
    return [name.strip() for name in header]


def _encoding_of(path: Path) -> str:
    """By the mark at the beginning, else UTF-8 if all of it is that, else a guess by the bytes that are not."""
    decoder = getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        head = file.read(3)
        if head.startswith(BOM_UTF8):
            return "utf-8-sig"
        if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            return "utf-16"
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                file.seek(max(0, file.tell() - len(chunk) + error.start - SAMPLE_BYTES // 2))
                lines = file.read(SAMPLE_BYTES).splitlines()
                return _guessed(b"\n".join(line for line in lines if not line.isascii()))
    return "utf-8"


def _guessed(sample: bytes) -> str:
    """The first of ENCODINGS that makes sense of it. Short texts leave several, so that their order matters."""
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(ENCODINGS))
    likely = {name for match in found if match.chaos <= MAX_MESS for name in match.could_be_from_charset}
    return next((name for name in ENCODINGS if name in likely), ENCODINGS[0])
