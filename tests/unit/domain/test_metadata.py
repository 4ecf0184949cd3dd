import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidMetadataError
from domain.metadata import MAX_BYTES, MAX_INTEGER, MAX_KEYS, checked_metadata, merged

keys = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.booleans(),
    st.integers(-MAX_INTEGER, MAX_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=3),
)
metadata = st.dictionaries(keys, values, max_size=8)


@settings(deadline=None)
@given(metadata)
def test_metadata_is_taken_as_it_is(candidate: dict[str, Any]) -> None:
    assert checked_metadata(candidate) is candidate


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
