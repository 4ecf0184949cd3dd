import base64
import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidCursorError, InvalidMetadataError, InvalidRegionError
from domain.geometry import BoundingBox
from domain.images import Cursor
from entrypoints.http.contract.parameters import (
    encode_cursor,
    parse_cursor,
    parse_json_object,
    parse_metadata,
    parse_region,
)


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_comes_back(created_at: datetime, id_: object) -> None:
    cursor = Cursor(created_at, id_)  # type: ignore[arg-type]
    text = encode_cursor(cursor)
    assert parse_cursor(text) == cursor
    assert text.isascii()
    assert not set(text) & set("+/&?# ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ä",
        "AAAA",
        "=" * 32,
        "A" * 1000,
        base64.urlsafe_b64encode(b"\x7f" * 24).decode(),  # a year beyond 9999
        base64.urlsafe_b64encode(b"0" * 23).decode(),
        base64.urlsafe_b64encode(b"0" * 25).decode(),
    ],
)
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        parse_cursor(text)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidCursorError):
        parse_cursor(text)


def test_a_region_is_four_numbers() -> None:
    box = BoundingBox(x_min=-1.5, y_min=0, x_max=20, y_max=1000)
    assert parse_region("-1.5,0,20,1e3") == parse_region(" -1.5 , 0 , 20 , 1000 ") == box


@pytest.mark.parametrize(
    "text", ["", ",,,", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4", "3,0,1,1", "0,0,0,0", "0,0,inf,1", "nan,0,1,1"]
)
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(InvalidRegionError):
        parse_region(text)


def test_metadata_is_a_flat_object() -> None:
    assert parse_metadata('{"brand": "acme", "price": 1.0}') == {"brand": "acme", "price": 1.0}
    assert parse_json_object('{"a.png": {"brand": "acme"}}') == {"a.png": {"brand": "acme"}}


@pytest.mark.parametrize(
    "text", ["", "brand", "[]", "null", '{"a": NaN}', '{"a": -Infinity}', "[" * 100_000, '{"a": 1' + "0" * 5000 + "}"]
)
def test_what_is_no_object(text: str) -> None:
    with pytest.raises(InvalidMetadataError):
        parse_metadata(text)
