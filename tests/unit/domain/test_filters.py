from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.errors import InvalidFilterError
from domain.filters import EVERYTHING, AnyOf, Condition, Exists, Field, Filter, HasWords, InRange, StartsWith
from domain.metadata import MetadataType
from tests.builders import EPOCH, a_record, an_object

RECORD = a_record(
    1,
    key="Holidays/2019/Strand.jpg",
    metadata={
        "brand": "acme",
        "price": 10,
        "ratio": 0.5,
        "sale": True,
        "tags": ["red", "1"],
        "none": [],
        "empty": "",
        "taken_at": "2026-01-01T05:30:00+05:30",
    },
    objects=(an_object("dog"), an_object("dog"), an_object("cat")),
)


def m(key: str) -> Field:
    return Field(f"metadata.{key}")


HOLD: list[Condition] = [
    InRange(field=m("taken_at"), gte=EPOCH, lte=EPOCH),
    AnyOf(m("brand"), ("acme",)),
    AnyOf(m("brand"), ("x", "acme")),
    AnyOf(m("price"), (10.0,)),
    AnyOf(m("sale"), (True,)),
    AnyOf(m("tags"), ("red",)),
    AnyOf(m("empty"), ("",)),
    AnyOf(Field("labels"), ("cat", "bird")),
    AnyOf(Field("filename"), ("00001.jpg",)),
    AnyOf(Field("width"), (641,)),
    AnyOf(Field("created_at"), (EPOCH + timedelta(seconds=1),)),
    AnyOf(Field("created_at"), (datetime(2026, 1, 1, 5, 30, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),)),
    InRange(field=m("price"), gte=10, lt=10.5),
    InRange(field=m("ratio"), gt=0.25, lte=0.5),
    InRange(field=Field("created_at"), gt=EPOCH, lt=EPOCH + timedelta(seconds=2)),
    Exists(m("none")),
    Exists(m("empty")),
    Exists(m("absent"), expected=False),
    Exists(Field("labels")),
    Exists(Field("key")),
    Exists(Field("source"), expected=False),
    AnyOf(Field("key"), ("Holidays/2019/Strand.jpg",)),
    InRange(field=Field("size_bytes"), gt=10_000, lte=10_001),
    InRange(field=Field("updated_at"), lt=EPOCH + timedelta(seconds=2)),
    StartsWith(Field("key"), "Holidays/"),
    StartsWith(Field("key"), ""),
    StartsWith(Field("filename"), "00001"),
    StartsWith(m("brand"), "ac"),
    StartsWith(m("tags"), "re"),
    HasWords(()),
    HasWords(("strand", "2019")),
    HasWords(("str", "0")),
    HasWords(("jpg", "jp")),
]

FAIL: list[Condition] = [
    AnyOf(m("brand"), ("Acme",)),
    AnyOf(m("brand"), ()),
    AnyOf(m("price"), ("10",)),
    AnyOf(m("price"), (True,)),
    AnyOf(m("sale"), (1,)),
    AnyOf(m("sale"), ("true",)),
    AnyOf(m("tags"), (1,)),
    AnyOf(m("none"), ("",)),
    AnyOf(m("absent"), ("",)),
    AnyOf(Field("labels"), ("Dog",)),
    InRange(field=m("price"), gt=10),
    InRange(field=m("taken_at"), gt=EPOCH),
    InRange(field=m("taken_at"), gte=0),
    InRange(field=m("brand"), gte=EPOCH),
    InRange(field=m("price"), gte=EPOCH),
    InRange(field=m("price"), gte=20, lt=5),
    InRange(field=m("sale"), gte=0),
    InRange(field=m("brand"), gte=0),
    InRange(field=m("absent"), lt=100),
    InRange(field=Field("created_at"), gt=EPOCH + timedelta(seconds=1)),
    Exists(m("absent")),
    Exists(m("brand"), expected=False),
    StartsWith(Field("key"), "holidays/"),
    StartsWith(Field("source"), ""),
    StartsWith(m("price"), ""),
    StartsWith(m("none"), ""),
    StartsWith(m("tags"), "ed"),
    HasWords(("trand",)),
    HasWords(("strand", "2020")),
]


@pytest.mark.parametrize("condition", HOLD, ids=str)
def test_what_holds(condition: Condition) -> None:
    assert condition.matches(RECORD)
    assert Filter(all=(condition,)).matches(RECORD)
    assert Filter(any=(condition,)).matches(RECORD)
    assert not Filter(none=(condition,)).matches(RECORD)


@pytest.mark.parametrize("condition", FAIL, ids=str)
def test_what_fails(condition: Condition) -> None:
    assert not condition.matches(RECORD)
    assert not Filter(all=(condition,)).matches(RECORD)
    assert not Filter(any=(condition,)).matches(RECORD)
    assert Filter(none=(condition,)).matches(RECORD)


def test_parts_are_combined() -> None:
    yes, no = HOLD[0], FAIL[0]
    assert Filter(all=(yes, yes), any=(no, yes), none=(no,)).matches(RECORD)
    assert not Filter(all=(yes, no), any=(yes,)).matches(RECORD)
    assert not Filter(all=(yes,), any=(no, no)).matches(RECORD)
    assert not Filter(any=(yes,), none=(no, yes)).matches(RECORD)


def test_only_everything_names_nothing() -> None:
    assert not EVERYTHING
    assert EVERYTHING.matches(RECORD)
    for part in ("all", "any", "none"):
        assert Filter(**{part: (HOLD[0],)})


def test_without_objects_there_are_no_labels() -> None:
    bare = a_record(2, created_at=datetime.now(UTC))
    assert Exists(Field("labels"), expected=False).matches(bare)
    assert not AnyOf(Field("labels"), ("dog",)).matches(bare)


@pytest.mark.parametrize("part", ["all", "any", "none"])
def test_prefixes_are_of_declared_keywords(part: str) -> None:
    types = {"brand": MetadataType.KEYWORD, "price": MetadataType.FLOAT}
    for field in (m("brand"), Field("key")):
        Filter(**{part: (StartsWith(field, "a"), HasWords(("a",)))}).check_prefixes(types)
    for field in (m("price"), m("other")):
        with pytest.raises(InvalidFilterError, match=f"{field.name} is not declared as keyword"):
            Filter(**{part: (AnyOf(field, ("a",)), StartsWith(field, "a"))}).check_prefixes(types)
