"""The caller's own facts about an image: a flat object of scalars and lists of strings."""

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeGuard

from domain.errors import InvalidMetadataError

MetadataValue = str | int | float | bool | list[str]
Metadata = Mapping[str, MetadataValue]

MAX_KEYS = 64
MAX_BYTES = 16 * 1024
MAX_INTEGER = 2**53 - 1
"""Larger integers are not exact in JSON readers that use doubles (RFC 8259, section 6), nor in range filters."""


class MetadataType(StrEnum):
    """What a deployment says that a metadata key holds, so that filters on it get an index."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"


def checked_metadata(candidate: object) -> Metadata:
    """`candidate` as metadata.

    Raises InvalidMetadataError, naming the key, for nested objects, nulls, numbers that are not finite or not exact,
    more than 64 keys, or more than 16 KiB as JSON in UTF-8.
    """
    if not isinstance(candidate, dict):
        raise InvalidMetadataError('Metadata is a JSON object such as {"brand": "acme"}.')
    if len(candidate) > MAX_KEYS:
        raise InvalidMetadataError(f"Metadata has {len(candidate)} keys; at most {MAX_KEYS} are allowed.")
    for key, value in candidate.items():
        _check_key(key)
        if not _is_value(value):
            raise InvalidMetadataError(
                f"metadata.{key} must be a string, a finite number (integers up to 2^53 - 1), a boolean or an array "
                "of strings."
            )
    try:
        size = len(json.dumps(candidate, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError as error:
        raise InvalidMetadataError("Metadata holds text that is not valid Unicode (a lone surrogate).") from error
    if size > MAX_BYTES:
        raise InvalidMetadataError(f"Metadata takes {size} bytes as JSON; at most {MAX_BYTES} are allowed.")
    return candidate


def merged(current: Metadata, patch: Mapping[str, Any]) -> Metadata:
    """`current` after a JSON merge patch (RFC 7396): null removes a key, anything else replaces it.

    Raises InvalidMetadataError if the result is no metadata.
    """
    result: dict[str, Any] = dict(current)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return checked_metadata(result)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key or not key.isprintable():
        raise InvalidMetadataError(f"The metadata key {key!r} must be a non-empty string of printable characters.")


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
