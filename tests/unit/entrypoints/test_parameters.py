import base64
import contextlib
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidCursorError, InvalidMetadataError, InvalidRegionError
from domain.geometry import BoundingBox
from domain.listing import Cursor
from entrypoints.http.contract.parameters import (
    ListedUpTo,
    encode_cursor,
    parse_cursor,
    parse_json_object,
    parse_metadata,
    parse_region,
)


@settings(deadline=None)
@given(
    st.datetimes(timezones=st.just(UTC))
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.sampled_from(["-created_at", "metadata.preis 🙂"]),
)
def test_a_cursor_comes_back(value: float | datetime, id_: UUID, order: str) -> None:
    place = ListedUpTo(order, Cursor(value, id_))
    text = encode_cursor(place)
    assert parse_cursor(text) == place
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
        *(
            base64.urlsafe_b64encode(content).decode()
            for content in (
                b"0" * 24,
                b"[]",
                b"{}",
                b'["a", 1]',
                b'[1, 1, "00000000000000000000000000000000"]',
                *(
                    b'["a", %b, "00000000000000000000000000000000"]' % value
                    for value in (
                        b"null",
                        b"true",
                        b'"x"',
                        b'"2026-01-01"' * 2,
                        b"NaN",
                        b"1e999",
                        b"1" * 400,
                        b"[]",
                        b'"9999-12-31T23:59:59-23:00"',
                    )
                ),
                b'["a", 1, "0"]',
                b'["a", 1, null]',
                b"[" * 100_000,
            )
        ),
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
