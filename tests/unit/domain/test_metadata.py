import json
import math
from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidMetadataError
from domain.metadata import (
    MAX_BYTES,
    MAX_INTEGER,
    MAX_KEYS,
    MetadataType,
    check_types,
    checked_metadata,
    merged,
    parsed_time,
)


def normal(text: str) -> str:
    return normalize("NFC", text)


keys = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8).map(normal)
values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10).map(normal),
    st.booleans(),
    st.integers(-MAX_INTEGER, MAX_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(normal), max_size=3),
)
metadata = st.dictionaries(keys, values, max_size=8)


@settings(deadline=None)
@given(metadata)
def test_metadata_in_normal_form_is_taken_as_it_is(candidate: dict[str, Any]) -> None:
    assert checked_metadata(candidate) == candidate


def test_text_is_kept_in_normal_form_c() -> None:
    spelt = {"cafe\u0301": "cafe\u0301", "tags": ["e\u0301", "\u212b"], "price": 1.5}
    assert checked_metadata(spelt) == {"caf\u00e9": "caf\u00e9", "tags": ["\u00e9", "\u00c5"], "price": 1.5}
    assert merged({"caf\u00e9": 1}, {"cafe\u0301": None}) == {}
    with pytest.raises(InvalidMetadataError, match="given twice"):
        checked_metadata({"e\u0301": 1, "\u00e9": 2})


ACCEPTED = {
    MetadataType.KEYWORD: ["", "acme", ["a", "b"], []],
    MetadataType.INTEGER: [0, -3],
    MetadataType.FLOAT: [0, -3, 1.5],
    MetadataType.BOOL: [True, False],
    MetadataType.DATETIME: ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.25+05:30"],
}
EVERY_VALUE = [*(value for values in ACCEPTED.values() for value in values), "2026-13-01T00:00:00Z", "2026-01-31"]


@pytest.mark.parametrize("type_", MetadataType)
def test_a_declared_key_takes_its_type_alone(type_: MetadataType) -> None:
    texts = [value for value in EVERY_VALUE if isinstance(value, str | list)]
    accepted = texts if type_ is MetadataType.KEYWORD else ACCEPTED[type_]
    for value in EVERY_VALUE:
        if any(value is each or (value == each and type(value) is type(each)) for each in accepted):
            check_types({"k": value, "other": object()}, {"k": type_})
        else:
            with pytest.raises(InvalidMetadataError, match=rf"metadata\.k is declared as {type_}: it takes .*, not"):
                check_types({"k": value}, {"k": type_})


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59-05:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("2026-01-31T17:30:00.0000019+05:30", datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)),
        ("2026-01-31T12:00:00", None),
        ("2026-01-31", None),
        ("2026-02-31T12:00:00Z", None),
        ("1767225600", None),
        ("", None),
    ],
)
def test_times_are_those_of_rfc_3339(text: str, time: datetime | None) -> None:
    assert parsed_time(text) == time


@pytest.mark.parametrize(
    "candidate",
    [
        None,
        [],
        "text",
        {"a": None},
        {"a": {}},
        {"a": [1]},
        {"a": ["x", None]},
        {"a": math.nan},
        {"a": math.inf},
        {"a": MAX_INTEGER + 1},
        {"a": -(10**400)},
        {"": 1},
        {1: 1},
        {"a\n": 1},
        {"a\ud800": 1},
        {"a": "\ud800"},
        {"a": b"bytes"},
        {str(number): 1 for number in range(MAX_KEYS + 1)},
        {"a": "ä" * (MAX_BYTES // 2)},
    ],
    ids=lambda candidate: ascii(candidate)[:30],
)
def test_anything_else_is_refused(candidate: object) -> None:
    with pytest.raises(InvalidMetadataError):
        checked_metadata(candidate)


def test_the_limit_counts_bytes_of_compact_utf_8() -> None:
    room = MAX_BYTES - len(json.dumps({"a": ""}, separators=(",", ":")))
    checked_metadata({"a": "x" * room})
    with pytest.raises(InvalidMetadataError, match=str(MAX_BYTES + 1)):
        checked_metadata({"a": "x" * (room + 1)})


@settings(deadline=None)
@given(metadata, st.dictionaries(keys, st.none() | values, max_size=8))
def test_a_merge_patch_replaces_and_removes(current: dict[str, Any], patch: dict[str, Any]) -> None:
    before = dict(current)
    result = merged(current, patch)
    assert current == before
    for key in current.keys() | patch.keys():
        if key not in patch:
            assert result[key] == current[key]
        elif patch[key] is None:
            assert key not in result
        else:
            assert result[key] == patch[key]
    assert merged(result, patch) == result


def test_a_patch_may_make_room_for_itself() -> None:
    full = {str(number): 1 for number in range(MAX_KEYS)}
    assert len(merged(full, {"0": None, "new": 1})) == MAX_KEYS
    with pytest.raises(InvalidMetadataError):
        merged(full, {"new": 1})
