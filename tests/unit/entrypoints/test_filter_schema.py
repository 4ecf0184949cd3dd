import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidFilterError
from domain.filters import EVERYTHING, AnyOf, Exists, Field, Filter, InRange
from entrypoints.http.contract.filter_schema import (
    MAX_CONDITIONS,
    MAX_VALUES,
    MAX_VALUES_ALTOGETHER,
    FilterIn,
    parse_filter,
)


def parsed(**parts: Any) -> Filter:
    return parse_filter(json.dumps(parts))


BRAND, PRICE = Field("metadata.brand"), Field("metadata.price")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"field": "metadata.brand", "eq": "acme"}, AnyOf(BRAND, ("acme",))),
        ({"field": "metadata.brand", "in": ["a", 1, True]}, AnyOf(BRAND, ("a", 1, True))),
        ({"field": "metadata.brand", "in": []}, AnyOf(BRAND, ())),
        ({"field": "metadata.brand", "eq": False}, AnyOf(BRAND, (False,))),
        ({"field": "metadata.price", "eq": 0}, AnyOf(PRICE, (0,))),
        ({"field": "metadata.price", "gte": 0}, InRange(field=PRICE, gte=0)),
        ({"field": "metadata.price", "gt": 1.5, "lt": 3}, InRange(field=PRICE, gt=1.5, lt=3)),
        ({"field": "metadata.price", "exists": False}, Exists(PRICE, expected=False)),
        ({"field": "metadata.a.b[0]", "exists": True}, Exists(Field("metadata.a.b[0]"))),
        ({"field": "labels", "in": ["dog"]}, AnyOf(Field("labels"), ("dog",))),
        ({"field": "width", "lte": 100.5}, InRange(field=Field("width"), lte=100.5)),
        (
            {"field": "created_at", "gte": "2026-01-01T05:30:00+05:30"},
            InRange(field=Field("created_at"), gte=datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        (
            {"field": "created_at", "eq": "2026-01-01T00:00:00.000001Z"},
            AnyOf(Field("created_at"), (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=1),)),
        ),
    ],
)
def test_conditions(condition: dict[str, Any], expected: object) -> None:
    for part in ("all", "any", "none"):
        found = parsed(**{part: [condition]})
        assert getattr(found, part) == (expected,)
        [compiled] = getattr(found, part)
        values = getattr(compiled, "values", ())
        assert [type(value) for value in values] == [type(value) for value in getattr(expected, "values", ())]


def test_text_is_compared_in_normal_form_c() -> None:
    found = parsed(all=[{"field": "metadata.cafe\u0301", "in": ["cafe\u0301"]}])
    assert found.all == (AnyOf(Field("metadata.caf\u00e9"), ("caf\u00e9",)),)


def test_times_are_bounds_of_metadata_too() -> None:
    found = parsed(all=[{"field": "metadata.taken_at", "gte": "2026-01-01T05:30:00+05:30"}])
    assert found.all == (InRange(field=Field("metadata.taken_at"), gte=datetime(2026, 1, 1, tzinfo=UTC)),)


def test_parts_are_optional() -> None:
    assert parsed() == parsed(all=[], any=[], none=[]) == EVERYTHING


def test_as_much_as_may_be() -> None:
    some = [{"field": "metadata.sku", "in": [number / 8 for number in range(MAX_VALUES)]}] * 2
    found = parsed(all=some, any=[{"field": "width", "eq": 1}] * (MAX_CONDITIONS - 4), none=some)
    assert (len(found.all), len(found.any), len(found.none)) == (2, MAX_CONDITIONS - 4, 2)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"every": []}, "every"),
        ({"all": [{"field": "colour", "eq": 1}]}, r"unknown field 'colour'.*metadata\.<key>"),
        ({"all": [{"field": "metadata.", "eq": 1}]}, "unknown field"),
        ({"any": [{"field": "width", "eq": 1}, {"field": "width"}]}, r"any\.1.*exactly one test"),
        ({"all": [{"field": "width", "eq": 1, "gte": 1}]}, "exactly one test"),
        ({"all": [{"field": "width", "eq": None}]}, "not null"),
        ({"all": [{"field": "width", "eq": True}]}, "number"),
        ({"all": [{"field": "width", "eq": "1"}]}, "number"),
        ({"all": [{"field": "width", "in": [1, "2"]}]}, "number"),
        ({"all": [{"field": "labels", "eq": 1}]}, "string"),
        ({"all": [{"field": "filename", "gte": "a"}]}, "no range"),
        ({"all": [{"field": "metadata.a", "gte": "a"}]}, "numbers or RFC 3339 times"),
        ({"all": [{"field": "metadata.a", "gte": 1, "lt": "2026-01-01T00:00:00Z"}]}, "numbers, or times, not both"),
        ({"all": [{"field": "metadata.a", "gte": True}]}, "gte"),
        ({"all": [{"field": "metadata.a", "eq": 2**53}]}, "2\\^53"),
        ({"all": [{"field": "metadata.a", "lt": 10**400}]}, "2\\^53"),
        ({"all": [{"field": "created_at", "gt": 1767225600}]}, "RFC 3339"),
        ({"all": [{"field": "created_at", "gt": "2026-01-01T00:00:00"}]}, "RFC 3339"),
        ({"all": [{"field": "created_at", "gt": "1767225600"}]}, "RFC 3339"),
        ({"all": [{"field": "created_at", "gt": "2026-01-01"}]}, "RFC 3339"),
        ({"all": [{"field": "width", "exists": 1}]}, "exists"),
        ({"all": [{"field": "width", "eq": 1}] * (MAX_CONDITIONS + 1)}, str(MAX_CONDITIONS)),
        (
            {part: [{"field": "width", "eq": 1}] * (MAX_CONDITIONS // 2) for part in ("all", "any", "none")},
            f"at most {MAX_CONDITIONS} conditions altogether, not {MAX_CONDITIONS // 2 * 3}",
        ),
        ({"all": [{"field": "width", "in": [1] * (MAX_VALUES + 1)}]}, str(MAX_VALUES)),
        (
            {part: [{"field": "metadata.a", "in": [1] * 600}] * 3 for part in ("all", "any", "none")},
            f"at most {MAX_VALUES_ALTOGETHER:,} values altogether, not 5,400",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_is_said(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidFilterError, match=f"(?s){says}"):
        parsed(**parts)


@pytest.mark.parametrize("text", ["", "brand", "[]", "null", "1", '"all"', "{", '{"all": [}', "{'all': []}"])
def test_what_is_no_filter(text: str) -> None:
    with pytest.raises(InvalidFilterError):
        parse_filter(text)


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff x"])
def test_what_is_no_text(text: str) -> None:
    for condition in (f'{{"field": "metadata.{text}", "exists": true}}', f'{{"field": "metadata.a", "eq": "{text}"}}'):
        body = json.loads(f'{{"all": [{condition}]}}')
        with pytest.raises(ValueError, match="Unicode"):
            FilterIn.model_validate(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
condition_like = st.dictionaries(
    st.sampled_from(["field", "eq", "in", "gt", "gte", "lt", "lte", "exists", "x"]),
    json_values | st.sampled_from(["metadata.a", "width", "created_at", "labels"]),
    max_size=4,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["all", "any", "none"]), st.lists(condition_like, max_size=3)))
def test_whatever_comes_it_is_a_filter_or_refused(body: dict[str, Any]) -> None:
    try:
        found = parse_filter(json.dumps(body))
    except InvalidFilterError:
        return
    assert isinstance(found, Filter)
