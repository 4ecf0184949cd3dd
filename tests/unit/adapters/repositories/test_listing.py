import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.repositories.qdrant import listing
from adapters.repositories.qdrant.filters import image_filter
from adapters.repositories.qdrant.listing import keyset_page
from adapters.repositories.qdrant.points import OneOf, Scroll, Where
from domain.filters import EVERYTHING, Field
from domain.images import ImageRecord
from domain.listing import NEWEST_FIRST, Order
from tests.builders import EPOCH, a_record

ORDERS = [
    NEWEST_FIRST,
    Order(Field("updated_at"), is_descending=False),
    Order(Field("metadata.n"), is_of_times=False),
    Order(Field("metadata.n"), is_descending=False, is_of_times=False),
    Order(Field("metadata.t")),
]


class ByOneInteger:
    """Orders by the integer at one path, and ties as it likes at the moment."""

    def __init__(self, records: list[ImageRecord], order: Order) -> None:
        self.records = records
        self.order = order
        self.chance = random.Random(3)

    def integers(self, record: ImageRecord) -> dict[str, int]:
        if self.order.value_of(record) is None:
            return {}
        parts = listing.order_parts(self.order, self.order.after(record).value)
        return dict(zip(listing.order_paths(self.order), parts, strict=True))

    def passes(self, record: ImageRecord, where: Where) -> bool:
        for condition in where.must:
            if isinstance(condition, Where) and not self.passes(record, condition):
                return False
            if isinstance(condition, OneOf) and condition.path in listing.order_paths(self.order):
                integer = self.integers(record)[condition.path]
                if integer not in condition.values:
                    return False
        return True

    async def read(self, scroll: Scroll) -> Sequence[ImageRecord]:
        found = [record for record in self.records if self.integers(record) and self.passes(record, scroll.where)]
        path, start = scroll.order_by, scroll.start_from
        if path is None:
            rest = [record for record in found if scroll.after is None or str(record.id) >= scroll.after]
            return sorted(rest, key=lambda record: record.id)[: scroll.limit]
        self.chance.shuffle(found)
        sign = -1 if scroll.is_descending else 1
        rest = [record for record in found if start is None or sign * self.integers(record)[path] >= sign * start]
        return sorted(rest, key=lambda record: sign * self.integers(record)[path])[: scroll.limit]


def numbered(number: int, step: int) -> ImageRecord:
    moment = EPOCH + timedelta(microseconds=step)
    return a_record(
        number,
        id=UUID(int=number * 7919 % 1009),
        created_at=moment,
        updated_at=moment,
        metadata={"n": 19.99 + step * 4e-15, "t": moment.isoformat()} if number % 7 else {},
    )


async def all_pages(backend: ByOneInteger, limit: int) -> list[tuple[ImageRecord, ...]]:
    pages, cursor = [], None
    while True:
        where = image_filter(EVERYTHING)
        page, cursor = await keyset_page(backend.read, limit=limit, after=cursor, where=where, order=backend.order)
        pages.append(page)
        if cursor is None:
            return pages


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.name)
@given(steps=st.lists(st.integers(0, 4) | st.sampled_from([2047, 2048, 4096]), max_size=40), limit=st.integers(1, 9))
async def test_pages_together_are_the_listing(order: Order, steps: list[int], limit: int) -> None:
    records = [numbered(number, step) for number, step in enumerate(steps)]
    expected = order.arranged(records)

    pages = await all_pages(ByOneInteger(records, order), limit)

    assert [record for page in pages for record in page] == expected
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1] or not expected  # an empty page only where there is nothing


async def test_more_ties_than_one_fetch_holds() -> None:
    records = [numbered(number, 0) for number in range(900)]
    page, cursor = await keyset_page(
        ByOneInteger(records, NEWEST_FIRST).read, limit=5, after=None, where=Where(), order=NEWEST_FIRST
    )

    assert [record.id.int for record in page] == sorted(record.id.int for record in records)[:5]
    assert cursor == NEWEST_FIRST.after(page[-1])
