import random
from datetime import datetime, timedelta

import pytest

from domain.errors import InvalidOrderError
from domain.filters import Field
from domain.listing import NEWEST_FIRST, Cursor, Order
from domain.metadata import MetadataType
from tests.builders import EPOCH, a_record, an_id

TYPES = {
    "price": MetadataType.FLOAT,
    "stock": MetadataType.INTEGER,
    "taken": MetadataType.DATETIME,
    "brand": MetadataType.KEYWORD,
}


@pytest.mark.parametrize(
    "text", ["created_at", "-created_at", "-updated_at", "metadata.price", "-metadata.stock", "metadata.taken"]
)
def test_an_order_is_read_and_named(text: str) -> None:
    order = Order.parsed(text, TYPES)
    assert order.name == text
    assert order.is_descending == text.startswith("-")
    assert order.is_of_times == (text.endswith(("_at", "taken")))


def test_newest_first_is_an_order() -> None:
    assert Order.parsed("-created_at", {}) == NEWEST_FIRST


@pytest.mark.parametrize(
    "text", ["", "-", "width", "--created_at", "metadata.brand", "metadata.other", "metadata.", "x"]
)
def test_what_is_no_order_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(
        InvalidOrderError, match=r"created_at, updated_at, metadata\.price, metadata\.stock, metadata\.taken"
    ):
        Order.parsed(text, TYPES)


def test_a_value_is_a_number_or_a_time() -> None:
    def values(**order: bool) -> list[object]:
        given = [1, 2.5, True, "2026-01-01T00:00:00Z", "soon", ["x"]]
        by_x = Order(Field("metadata.x"), **order)
        return [by_x.value_of(a_record(metadata={"x": value})) for value in given]

    assert values(is_of_times=False) == [1, 2.5, None, None, None, None]
    assert values(is_of_times=True) == [None, None, None, EPOCH, None, None]
    assert NEWEST_FIRST.value_of(a_record(3)) == EPOCH + timedelta(seconds=3)
    with pytest.raises(ValueError, match=r"no metadata\.x"):
        Order(Field("metadata.x")).after(a_record())


@pytest.mark.parametrize("is_descending", [False, True])
def test_equal_values_are_in_the_order_of_ids(is_descending: bool) -> None:
    order = Order(Field("updated_at"), is_descending)
    records = [a_record(number, updated_at=EPOCH + timedelta(seconds=number % 3)) for number in range(20)]
    random.Random(1).shuffle(records)
    sign = -1 if is_descending else 1

    def place(moment: datetime, id_: object) -> tuple[float, object]:
        return sign * moment.timestamp(), id_

    arranged = order.arranged(records)
    assert arranged == sorted(records, key=lambda record: place(record.updated_at, record.id))
    for index, record in enumerate(arranged):
        assert order.arranged(records, order.after(record)) == arranged[index + 1 :]
    nowhere = Cursor(EPOCH + timedelta(seconds=1), an_id(500))
    rest = [
        record
        for record in arranged
        if place(record.updated_at, record.id) > place(EPOCH + timedelta(seconds=1), nowhere.id)
    ]
    assert order.arranged(records, nowhere) == rest
