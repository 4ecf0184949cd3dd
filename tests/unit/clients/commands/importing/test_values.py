"""A table's cells as metadata."""

from datetime import date, datetime
from decimal import Decimal
from typing import get_args

import pytest

from lookalike_client.commands.importing.values import metadata_value, text_of
from lookalike_client.models import MetadataType, MetadataValue


@pytest.mark.parametrize(
    ("cell", "type_", "value"),
    [
        (" 12 ", "integer", 12),
        (12.0, "integer", 12),
        ("9.90", "float", 9.9),
        (Decimal("9.90"), "float", 9.9),
        (3, "float", 3.0),
        ("Yes", "bool", True),
        (0, "bool", False),
        (False, "bool", False),
        ("2026-01-31", "datetime", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31 12:00:00", "datetime", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31t12:00:00z", "datetime", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31T12:00:00+02:00", "datetime", "2026-01-31T12:00:00+02:00"),
        (date(2026, 1, 31), "datetime", "2026-01-31T00:00:00+00:00"),
        (datetime(2026, 1, 31, 12), "datetime", "2026-01-31T12:00:00+00:00"),
        ("007", "keyword", "007"),
        (7, "keyword", "7"),
        (7.0, "keyword", "7"),
        (True, "keyword", "true"),
        ('["red", "blue"]', "keyword", ["red", "blue"]),
        ("[sic]", "keyword", "[sic]"),
        ("[1]", "keyword", "[1]"),
        (["red"], "keyword", ["red"]),
        ("gro\u0308ße", "keyword", "größe"),
        ("9.90", None, "9.90"),
        (9.9, None, 9.9),
        (date(2026, 1, 31), None, "2026-01-31T00:00:00+00:00"),
        ("  ", "integer", None),
        (None, None, None),
        (float("nan"), "float", None),
    ],
)
def test_a_cell_becomes_its_declared_type(
    cell: object, type_: MetadataType | None, value: MetadataValue | None
) -> None:
    read = metadata_value(cell, type_)
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("cell", "type_"),
    [
        ("12.5", "integer"),
        (12.5, "integer"),
        (True, "integer"),
        (2**53, "integer"),
        ("1e400", "float"),
        ("nan", "float"),
        ("9,90", "float"),
        (True, "float"),
        ("maybe", "bool"),
        ("2026-13-01", "datetime"),
        ("soon", "datetime"),
        (5, "datetime"),
        ({"a": 1}, "keyword"),
        ([1], "keyword"),
    ],
)
def test_another_value_is_refused_with_what_would_be_right(cell: object, type_: MetadataType) -> None:
    with pytest.raises(ValueError, match=rf"is declared as {type_}: it takes .* such as|, not ") as refused:
        metadata_value(cell, type_)
    assert repr(cell) in str(refused.value)


@pytest.mark.parametrize("cell", [{"a": 1}, [1], 2**53, float("inf"), b"bytes"])
def test_what_no_metadata_holds_is_refused(cell: object) -> None:
    with pytest.raises(ValueError, match="takes text, a finite number"):
        metadata_value(cell, None)


def test_every_type_is_known() -> None:
    assert all(metadata_value("", type_) is None for type_ in get_args(MetadataType))


def test_a_key_is_text_or_a_whole_number() -> None:
    assert [text_of(cell) for cell in (" A-1 ", 17, 17.0, "007", "gro\u0308ße")] == ["A-1", "17", "17", "007", "größe"]
    for cell in (["a"], {"a": 1}, b"a"):
        with pytest.raises(ValueError, match="takes text or a whole number"):
            text_of(cell)
