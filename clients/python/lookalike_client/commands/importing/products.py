"""What the rows of a table mean: products, the pictures of each with their keys, and what is said of them."""

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

from lookalike_client.commands.importing.rows import REASON, Row, Table, TableError
from lookalike_client.commands.importing.values import has_surrogates, is_empty, metadata_value, shown, text_of
from lookalike_client.models import MetadataType, MetadataValue

PRODUCT = "product"
"""The metadata key that has the row's key, by which searches can be grouped. A column of that name takes its place."""

EVERY_COLUMN = "*"
MAX_NAME_BYTES = 2048
"""Of a key and of a source, as the service takes them."""
MAX_METADATA_BYTES = 16 * 1024
MAX_METADATA_KEYS = 64

_BETWEEN_PICTURES = re.compile(r"\s*\|\s*|[\s,;]+(?=https?://)", re.IGNORECASE)
_NUMBERED = re.compile(r"/\d+$")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

Patch = Mapping[str, MetadataValue | None]
"""By key; None for an empty cell, which removes it."""


@dataclass(frozen=True, slots=True)
class TablePicture:
    """One picture of a row."""

    key: str
    place: str
    """An URL, or the absolute path of a file."""
    is_url: bool


@dataclass(frozen=True, slots=True)
class Product:
    """A row and its pictures; `problem` says why none of them can be imported. Without a key, none can be read."""

    row: Row
    key: str | None = None
    pictures: Sequence[TablePicture] = ()
    metadata: Patch = field(default_factory=dict)
    problem: str | None = None

    @property
    def names(self) -> Iterator[str]:
        """The keys that no other row may have."""
        if self.key is not None:
            yield self.key
        yield from (picture.key for picture in self.pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductReader:
    """Makes products of rows."""

    images: Sequence[str]
    """The columns of pictures."""
    key: str
    metadata: Sequence[str]
    """Further columns."""
    base: Path
    """Where relative paths begin."""
    types: Mapping[str, MetadataType] = field(default_factory=dict)
    """Those that the service declares."""

    @classmethod
    def of(
        cls, table: Table, *, images: Sequence[str], key: str, metadata: Sequence[str], base: Path
    ) -> "ProductReader":
        """For a table that has the columns. Raises TableError."""
        for column in (key, *images, *metadata):
            if column != EVERY_COLUMN and column not in table.columns:
                raise _no_column(table, column)
        others = [name for name in table.columns if name and name not in {key, *images, REASON}]
        chosen = list(dict.fromkeys(others if EVERY_COLUMN in metadata else metadata))
        for column in (key, *images, *chosen):
            if [*table.columns].count(column) > 1:
                raise TableError(f"{table.name} has more than one column {column}. Give each a name of its own.")
        if unfit := next((column for column in chosen if not column.isprintable()), None):
            raise TableError(f"The column {unfit!r} of {table.name} has control characters in its name.")
        if len({*chosen, PRODUCT}) > MAX_METADATA_KEYS:
            raise TableError(
                f"{len({*chosen, PRODUCT})} columns are too many for metadata, which has {MAX_METADATA_KEYS} keys at "
                f"most, {PRODUCT} among them. Name those that matter by --metadata."
            )
        return cls(images=images, key=key, metadata=chosen, base=base)

    def typed(self, types: Mapping[str, MetadataType]) -> "ProductReader":
        """For a service that declares these."""
        return replace(self, types=types)

    def product(self, row: Row) -> Product:
        """What a row means. Without a problem it may have no picture: then no cell for one says anything."""
        if row.problem is not None:
            return Product(row, problem=row.problem)
        try:
            key = self._key(row)
        except ValueError as error:
            return Product(row, problem=str(error))
        pictures: list[TablePicture] = []
        try:
            pictures = list(self._pictures(row, key))
            return Product(row, key, pictures, self._metadata(row, key))
        except ValueError as error:
            return Product(row, key, pictures, problem=str(error))

    def _key(self, row: Row) -> str:
        cell = row.cells.get(self.key)
        if is_empty(cell):
            raise ValueError(f"{self.key} is empty, which is to be its key")
        try:
            key = text_of(cell)
        except ValueError as error:
            raise ValueError(f"{self.key} {error}") from None
        return _checked_name(key, self.key)

    def _pictures(self, row: Row, key: str) -> Iterator[TablePicture]:
        places: list[str] = []
        is_list = len(self.images) > 1
        for column in self.images:
            listed, several = _places(row.cells.get(column), column)
            places += listed or [""]  # so that those of further columns keep their numbers
            is_list |= several
        for number, place in enumerate(places, 1):
            if place:
                yield self._picture(_checked_name(f"{key}/{number}", self.key) if is_list else key, place)

    def _picture(self, key: str, place: str) -> TablePicture:
        if "\0" in place or has_surrogates(place):
            raise ValueError(f"{shown(place)} has what neither an URL nor a path can have")
        scheme = _SCHEME.match(place)
        if scheme is None:
            return TablePicture(key, os.path.abspath(self.base / place), is_url=False)  # noqa: PTH100 - resolve would follow links
        if scheme[1].lower() not in {"http", "https"}:
            raise ValueError(f"{shown(place)} is neither an http:// or https:// URL nor a path")
        return TablePicture(key, place, is_url=True)

    def _metadata(self, row: Row, key: str) -> Patch:
        metadata: dict[str, MetadataValue | None] = {}
        for column, cell in {PRODUCT: key, **{name: row.cells.get(name) for name in self.metadata}}.items():
            name = normalize("NFC", column)
            try:
                metadata[name] = metadata_value(cell, self.types.get(name))
            except ValueError as error:
                raise ValueError(f"{column} {error}") from None
        size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"its metadata takes {size:,} bytes as JSON; at most {MAX_METADATA_BYTES:,} are taken")
        return metadata


class Claims:
    """Which row has which key: the first one that has it. It contains the keys of which there may be a picture."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._pictures: set[str] = set()
        self._unclear: set[str] = set()
        """The keys of rows whose pictures cannot be told."""

    def __contains__(self, key: str) -> bool:
        return key in self._pictures or key in self._unclear or _NUMBERED.sub("", key) in self._unclear

    def checked(self, product: Product) -> Product:
        """The product, with a problem if a row before it has its key or that of one of its pictures.

        Also if that was so in the table from whose failed rows it comes: that row would take the place of a good one.
        """
        self._pictures.update(picture.key for picture in product.pictures)
        if product.key is not None and product.problem is not None and not product.pictures:
            self._unclear.add(product.key)
        before = str(product.row.cells.get(REASON))
        repeated: list[str] = []
        for name in product.names:
            first = self._rows.setdefault(name, product.row.number)
            if first != product.row.number:
                repeated.append(f"{_repeated(name)} {first} already")
            elif before.startswith(_repeated(name)):
                repeated.append(before)
        # Rather than another problem of it: once that was mended, nothing would tell of this one.
        return replace(product, problem=repeated[0]) if repeated else product


def _repeated(name: str) -> str:
    return f"its key {name} is that of row"


def _no_column(table: Table, column: str) -> TableError:
    there = {name.lower(): name for name in table.columns if name}
    nearest = difflib.get_close_matches(column.lower(), there, n=1)
    hint = f" Did you mean {there[nearest[0]]}?" if nearest else ""
    columns = ", ".join(there.values())[:500]
    return TableError(f"{table.name} ({table.kind}) has no column {column}.{hint} It has {columns}.")


def _places(cell: object, column: str) -> tuple[list[str], bool]:
    """Where the pictures of a cell are, and whether it is a list: of the table's own, a JSON array, or separated."""
    if is_empty(cell):
        return [], False
    listed: object = cell
    if isinstance(cell, str):
        if not cell.lstrip().startswith("["):
            places = [place for place in _BETWEEN_PICTURES.split(cell.strip()) if place]
            return places, len(places) > 1
        try:
            listed = json.loads(cell)
        except ValueError as error:
            raise ValueError(f"{column} begins like a JSON array and is none: {error}") from None
    if not isinstance(listed, list) or not all(isinstance(place, str) for place in listed):
        raise ValueError(f"{column} takes an URL, a path, or a list of such, not {shown(cell)}")
    return [place.strip() for place in listed if place.strip()], True


def _checked_name(name: str, column: str) -> str:
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise ValueError(f"{column} is longer than {MAX_NAME_BYTES:,} bytes, which no key may be: {shown(name)}")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise ValueError(f"{column} has control characters, which no key may have: {shown(name)}")
    return name
