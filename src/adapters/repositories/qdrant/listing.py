"""Listing by (created_at, id), both descending, over backends that order by time alone.

Qdrant orders a scroll by one payload value and leaves ties in an order of its own, so a page that ends amid records of
one time fetches all of that time and cuts them by id.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from domain.filters import AnyOf, Field, Filter, InRange
from domain.images import Cursor, ImageRecord

Newest = Callable[[Filter, int], Awaitable[Sequence[ImageRecord]]]
"""(where, limit): the newest `limit` records that match, newest first, those of one time in any order."""

_CREATED_AT = Field("created_at")
_FIRST_FETCH = 256


async def keyset_page(
    newest: Newest, *, limit: int, after: Cursor | None, where: Filter
) -> tuple[tuple[ImageRecord, ...], Cursor | None]:
    """At most `limit` records right after the cursor, and the next page's cursor: None at the end.

    Each query stands alone on what it finds, so records that others add or remove meanwhile shift no other record.
    """
    wanted = limit + 1  # one more tells whether there is a next page
    records: list[ImageRecord] = []
    older = where
    if after is not None:
        records = [record for record in await _all_of(newest, after.created_at, where) if record.id < after.id]
        older = replace(where, all=(*where.all, InRange(field=_CREATED_AT, lt=after.created_at)))
    if len(records) < wanted:
        rest = list(await newest(older, wanted - len(records)))
        if len(rest) == wanted - len(records) and _cuts_ties(rest):
            last = rest[-1].created_at
            rest = [record for record in rest if record.created_at > last]
            rest += await _all_of(newest, last, where)
        records += sorted(rest, key=Cursor.after, reverse=True)
    page = tuple(records[:limit])
    return page, Cursor.after(page[-1]) if len(records) > limit else None


def _cuts_ties(records: Sequence[ImageRecord]) -> bool:
    """Whether the last of these, which is the first of the next page, has the time of one of this page."""
    return len(records) > 1 and records[-1].created_at == records[-2].created_at


async def _all_of(newest: Newest, moment: datetime, where: Filter) -> list[ImageRecord]:
    """All matching records of one time, by id descending."""
    at_moment = replace(where, all=(*where.all, AnyOf(_CREATED_AT, (moment,))))
    limit = _FIRST_FETCH
    while len(found := await newest(at_moment, limit)) == limit:
        limit *= 8
    return sorted(found, key=Cursor.after, reverse=True)
