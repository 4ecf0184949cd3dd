"""A table's cells as metadata, by the types that the service declares."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from unicodedata import normalize

from lookalike_client.models import MetadataType, MetadataValue

MAX_INTEGER = 2**53 - 1
"""The service takes no larger ones: they are not exact in every reader of JSON."""

_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})


def metadata_value(cell: object, type_: MetadataType | None) -> MetadataValue | None:
    """What a cell says, as the declared type; as it is where none is declared. None for an empty cell.

    Text becomes a number, true or false, or a time where such a type is declared; a number becomes text for `keyword`.
    Raises ValueError saying what would be right.
    """
    if is_empty(cell):
        return None
    if type_ is not None:
        read, expected = _READ[type_]
        try:
            value = read(cell)
        except (ValueError, OverflowError):
            value = None
        if value is None:
            raise ValueError(f"is declared as {type_}: it takes {expected}, not {shown(cell)}")
    else:
        value = _as_it_is(cell)
        if value is None:
            raise ValueError(
                "takes text, a finite number (integers up to 2^53 - 1), true or false, or a list of texts, not "
                f"{shown(cell)}"
            )
    if isinstance(value, list):
        return [_whole_text(text) for text in value]
    return _whole_text(value) if isinstance(value, str) else value


def _whole_text(text: str) -> str:
    if has_surrogates(text):
        raise ValueError(f"has half of a character (an unpaired surrogate), which is no text: {shown(text)}")
    return normalize("NFC", text)


def has_surrogates(text: str) -> bool:
    """Whether it has halves of characters, which JSON can say and UTF-8 cannot."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def is_empty(cell: object) -> bool:
    """Whether nothing is there: blank text, null, or what stands for it in a column of numbers."""
    return (
        cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and math.isnan(cell))
    )


def text_of(cell: object) -> str:
    """A cell as the text of a key. Raises ValueError for one that has no such."""
    value = _keyword(cell)
    if not isinstance(value, str):
        raise ValueError(f"takes text or a whole number, not {shown(cell)}")
    return normalize("NFC", value.strip())


def shown(cell: object) -> str:
    """For messages."""
    return f"{cell!r:.100}"


def _as_it_is(cell: object) -> MetadataValue | None:
    match cell:
        case bool() | str():
            return cell
        case int():
            return cell if abs(cell) <= MAX_INTEGER else None
        case float() | Decimal():
            return float(cell) if math.isfinite(cell) else None
        case date():  # a datetime too
            return _datetime(cell)
        case list() if all(isinstance(each, str) for each in cell):
            return cell
        case _:
            return None


def _keyword(cell: object) -> MetadataValue | None:
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            listed = json.loads(cell)
        except ValueError:
            return cell
        return listed if all(isinstance(each, str) for each in listed) else cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float | Decimal) and not math.isfinite(cell):
        return None
    if isinstance(cell, int | float | Decimal):
        return str(int(cell)) if cell == int(cell) else str(cell)
    return _as_it_is(cell)


def _integer(cell: object) -> int | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal | str):
        return None
    number = int(cell)
    return number if abs(number) <= MAX_INTEGER and (isinstance(cell, str) or number == cell) else None


def _float(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal | str):
        return None
    number = float(cell)
    return number if math.isfinite(number) else None


def _bool(cell: object) -> bool | None:
    if isinstance(cell, bool):
        return cell
    text = str(cell).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _datetime(cell: object) -> str | None:
    """RFC 3339. Without a time of day it is midnight, without a zone UTC."""
    if isinstance(cell, str):
        cell = datetime.fromisoformat(cell.strip().upper())
    if not isinstance(cell, date):
        return None
    moment = cell if isinstance(cell, datetime) else datetime(cell.year, cell.month, cell.day, tzinfo=UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


_READ: Mapping[MetadataType, tuple[Callable[[object], MetadataValue | None], str]] = {
    "keyword": (_keyword, "text or a list of texts"),
    "integer": (_integer, "a whole number such as 12"),
    "float": (_float, "a number such as 12.5"),
    "bool": (_bool, "true or false, yes or no, 1 or 0"),
    "datetime": (_datetime, "a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z"),
}
