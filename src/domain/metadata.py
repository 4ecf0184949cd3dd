"""The caller's own facts about an image: a flat object of scalars and lists of strings."""

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import MINYEAR, UTC, datetime
from enum import StrEnum
from typing import Any, TypeGuard
from unicodedata import normalize

from domain.errors import InvalidMetadataError

MetadataValue = str | int | float | bool | list[str]
Metadata = Mapping[str, MetadataValue]

MAX_KEYS = 64
MAX_BYTES = 16 * 1024
MAX_INTEGER = 2**53 - 1
"""Larger integers are not exact in JSON readers that use doubles (RFC 8259, section 6), nor in range filters."""


class MetadataType(StrEnum):
    """What a deployment declares that a metadata key holds: filters on it get an index, other values are refused."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"

    def accepts(self, value: object) -> bool:
        """Whether a metadata value is of this type; an integer is a float too, and an array of keywords a keyword."""
        match self:
            case MetadataType.KEYWORD:
                return isinstance(value, str | list)
            case MetadataType.BOOL:
                return isinstance(value, bool)
            case MetadataType.DATETIME:
                return isinstance(value, str) and parsed_time(value) is not None
        return isinstance(value, int if self is MetadataType.INTEGER else int | float) and not isinstance(value, bool)


MetadataTypes = Mapping[str, MetadataType]
"""The declared types by metadata key."""

_ACCEPTED = {
    MetadataType.KEYWORD: "a string or an array of strings",
    MetadataType.INTEGER: "an integer",
    MetadataType.FLOAT: "a number",
    MetadataType.BOOL: "true or false",
    MetadataType.DATETIME: "an RFC 3339 time such as 2026-01-31T12:00:00Z",
}

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parsed_time(text: str) -> datetime | None:
    """The time in UTC that an RFC 3339 text says, to the microsecond; None for any other text."""
    moment = _moment(text)
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:  # in the year 10000 by UTC
        return None


def time_bound(text: str) -> datetime | None:
    """Likewise, as the bound of a range: a time beyond the years of UTC is the first or the last of these."""
    moment = _moment(text)
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:
        return (datetime.min if moment.year == MINYEAR else datetime.max).replace(tzinfo=UTC)  # type: ignore[union-attr]


def _moment(text: str) -> datetime | None:
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:  # a month of 13, say
        return None


def checked_metadata(candidate: object) -> Metadata:
    """`candidate` as metadata, its text in Unicode's normal form C.

    Raises InvalidMetadataError, naming the key, for nested objects, nulls, numbers that are not finite or not exact,
    more than 64 keys, or more than 16 KiB as JSON in UTF-8.
    """
    if not isinstance(candidate, dict):
        raise InvalidMetadataError('Metadata is a JSON object such as {"brand": "acme"}.')
    if len(candidate) > MAX_KEYS:
        raise InvalidMetadataError(f"Metadata has {len(candidate)} keys; at most {MAX_KEYS} are allowed.")
    metadata: dict[str, MetadataValue] = {}
    for key, value in candidate.items():
        _check_key(key)
        if normalize("NFC", key) in metadata:
            raise InvalidMetadataError(f"metadata.{key} is given twice, in two spellings of the same characters.")
        if not _is_value(value):
            raise InvalidMetadataError(
                f"metadata.{key} must be a string, a finite number (integers up to 2^53 - 1), a boolean or an array "
                "of strings."
            )
        metadata[normalize("NFC", key)] = _normalised(value)
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError as error:
        raise InvalidMetadataError("Metadata holds text that is not valid Unicode (a lone surrogate).") from error
    if size > MAX_BYTES:
        raise InvalidMetadataError(f"Metadata takes {size} bytes as JSON; at most {MAX_BYTES} are allowed.")
    return metadata


def fields_declared(types: MetadataTypes, kinds: Collection[MetadataType]) -> list[str]:
    """The fields, `metadata.<key>`, of keys that are declared as one of these."""
    return [f"metadata.{key}" for key, type_ in types.items() if type_ in kinds]


def check_types(metadata: Mapping[str, object], types: MetadataTypes) -> None:
    """Raise InvalidMetadataError, naming key, value and type, for a value that is not of its key's declared type."""
    for key, value in metadata.items():
        if key in types and not types[key].accepts(value):
            raise InvalidMetadataError(
                f"metadata.{key} is declared as {types[key]}: it takes {_ACCEPTED[types[key]]}, not {value!r:.100}."
            )


def merged(current: Metadata, patch: Mapping[str, Any]) -> Metadata:
    """`current` after a JSON merge patch (RFC 7396): null removes a key, anything else replaces it.

    Raises InvalidMetadataError if the result is no metadata.
    """
    result: dict[str, Any] = dict(current)
    for given, value in patch.items():
        key = normalize("NFC", given)
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return checked_metadata(result)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key or not key.isprintable():
        raise InvalidMetadataError(f"The metadata key {key!r} must be a non-empty string of printable characters.")


def _normalised(value: MetadataValue) -> MetadataValue:
    if isinstance(value, list):
        return [normalize("NFC", item) for item in value]
    return normalize("NFC", value) if isinstance(value, str) else value


def _is_value(value: object) -> TypeGuard[MetadataValue]:
    match value:
        case bool() | str():
            return True
        case int():
            return abs(value) <= MAX_INTEGER
        case float():
            return math.isfinite(value)
        case list():
            return all(isinstance(item, str) for item in value)
        case _:
            return False
