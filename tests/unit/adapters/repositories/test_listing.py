import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from adapters.repositories.qdrant.listing import keyset_page
from domain.filters import AnyOf, Field, Filter
from domain.images import Cursor, ImageRecord
from tests.builders import EPOCH, a_record

EVEN = Filter(all=(AnyOf(Field("metadata.even"), (True,)),))


class TimeOrderedBackend:
    """Orders by time, and ties as it likes at the moment."""

    def __init__(self, records: list[ImageRecord]) -> None:
        self.records = records
        self.chance = random.Random(3)

    async def newest(self, where: Filter, limit: int) -> Sequence[ImageRecord]:
        self.chance.shuffle(self.records)
        matching = [record for record in self.records if where.matches(record)]
        return sorted(matching, key=lambda record: record.created_at, reverse=True)[:limit]


def numbered(number: int, second: int) -> ImageRecord:
    scattered = UUID(int=number * 7919 % 1009)
    return a_record(
        number, id=scattered, created_at=EPOCH + timedelta(seconds=second), metadata={"even": number % 2 == 0}
    )


async def all_pages(backend: TimeOrderedBackend, limit: int, where: Filter) -> list[tuple[ImageRecord, ...]]:
    pages, cursor = [], None
    while True:
        page, cursor = await keyset_page(backend.newest, limit=limit, after=cursor, where=where)
        pages.append(page)
        if cursor is None:
            return pages


@given(
    seconds=st.lists(st.integers(0, 4), max_size=40), limit=st.integers(1, 9), where=st.sampled_from([Filter(), EVEN])
)
async def test_pages_together_are_the_listing(seconds: list[int], limit: int, where: Filter) -> None:
    records = [numbered(number, second) for number, second in enumerate(seconds)]
    expected = sorted((record for record in records if where.matches(record)), key=Cursor.after, reverse=True)

    pages = await all_pages(TimeOrderedBackend(records), limit, where)

    assert [record for page in pages for record in page] == expected
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1] or not expected  # an empty page only where there is nothing


async def test_more_ties_than_one_fetch_holds() -> None:
    records = [numbered(number, 0) for number in range(900)]
    page, cursor = await keyset_page(TimeOrderedBackend(records).newest, limit=5, after=None, where=Filter())

    assert [record.id.int for record in page] == sorted((record.id.int for record in records), reverse=True)[:5]
    assert cursor == Cursor.after(page[-1])
