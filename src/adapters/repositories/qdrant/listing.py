"""Listing by (created_at, id), both descending, over backends that order by time alone.

Qdrant orders a scroll by one payload value and leaves ties in an order of its own, so of the last time that it answers
some records may be missing: they are passed over, and more are asked for where the page needs them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from domain.filters import Field, Filter, InRange
from domain.images import Cursor, ImageRecord

Newest = Callable[[Filter, int], Awaitable[Sequence[ImageRecord]]]
"""(where, limit): the newest `limit` records that match, newest first, those of one time in any order."""


async def keyset_page(
    newest: Newest, *, limit: int, after: Cursor | None, where: Filter
) -> tuple[tuple[ImageRecord, ...], Cursor | None]:
    """At most `limit` records right after the cursor, and the next page's cursor: None at the end.

    Each query stands alone on what it finds, so records that others add or remove meanwhile shift no other record.
    """
    if after is not None:
        where = replace(where, all=(*where.all, InRange(field=Field("created_at"), lte=after.created_at)))
    width = limit + 2  # the cursor's own record, and one that tells whether there is a next page
    while True:
        found = await newest(where, width)
        is_all = len(found) < width
        whole = found if is_all else [record for record in found if record.created_at > found[-1].created_at]
        rest = [record for record in whole if after is None or Cursor.after(record) < after]
        if is_all or len(rest) >= limit:
            break
        width *= 2
    page = tuple(sorted(rest, key=Cursor.after, reverse=True)[:limit])
    return page, None if is_all and len(rest) <= limit else Cursor.after(page[-1])
