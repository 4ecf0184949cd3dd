"""Listing by an order's value and then id, over backends that order by one integer and leave ties as they like.

An order has one integer or two (see scalars.py), the first of which decides. Of the last integer that a page reaches,
some points may be missing: these ties are asked for by themselves, by the next integer, and at last by their ids.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from adapters.repositories.qdrant import layout, scalars
from adapters.repositories.qdrant.points import OneOf, Scroll, Where
from domain.images import ImageRecord
from domain.listing import Cursor, Order, OrderValue

Read = Callable[[Scroll], Awaitable[Sequence[ImageRecord]]]
"""The records of the points that a scroll finds."""


async def keyset_page(
    read: Read, *, limit: int, after: Cursor | None, where: Where, order: Order
) -> tuple[tuple[ImageRecord, ...], Cursor | None]:
    """At most `limit` records right after the cursor, and the next page's cursor: None at the end.

    Each query stands alone on what it finds, so records that others add or remove meanwhile shift no other record.
    """
    found = await _found(read, order, order_paths(order), where, limit=limit + 1, after=after)
    page = tuple(found[:limit])
    return page, order.after(page[-1]) if len(found) > limit else None


async def _found(
    read: Read, order: Order, paths: Sequence[str], where: Where, *, limit: int, after: Cursor | None
) -> list[ImageRecord]:
    """The first `limit` of those that pass, which differ in nothing but these paths of the order's and in their ids."""
    if limit <= 0:
        return []
    if not paths:
        scroll = Scroll(
            where=where, limit=limit + 1, fields=layout.RECORD_FIELDS, after=str(after.id) if after else None
        )
        return [record for record in await read(scroll) if after is None or record.id > after.id][:limit]
    path, *others = paths
    place = -len(paths)  # of the path's integer among all

    def ties(integer: int) -> Where:
        return Where(must=[where, OneOf(path, [integer])])

    found: list[ImageRecord] = []
    start: int | None = None
    if after is not None:
        integer = order_parts(order, after.value)[place]
        found = await _found(read, order, others, ties(integer), limit=limit, after=after)
        start = integer - 1 if order.is_descending else integer + 1
    scroll = Scroll(
        where=where,
        limit=limit,
        fields=layout.RECORD_FIELDS,
        order_by=path,
        is_descending=order.is_descending,
        start_from=start,
    )
    while (missing := limit - len(found)) > 0:
        more = await read(replace(scroll, limit=missing + 1, start_from=start))
        integers = [order_parts(order, order.after(record).value)[place] for record in more]
        if len(more) <= missing:
            return found + order.arranged(more)
        last = integers[-1]
        whole = [record for record, integer in zip(more, integers, strict=True) if integer != last]
        found += order.arranged(whole)
        found += await _found(read, order, others, ties(last), limit=limit - len(found), after=None)
        start = last - 1 if order.is_descending else last + 1
    return found


def order_paths(order: Order) -> tuple[str, ...]:
    """The JSON paths of the integers that order by one after the other as `order` does, without the ids."""
    key = order.field.metadata_key
    return (order.field.name,) if key is None else scalars.parts_paths(key, is_of_times=order.is_of_times)


def order_presence(key: str, *, is_of_times: bool) -> tuple[str, str]:
    """The path of a list, and what is in it where the metadata has a number under `key`, or a time."""
    return layout.METADATA_TIMED if is_of_times else layout.METADATA_NUMERIC, scalars.escaped(key)


def order_parts(order: Order, value: OrderValue) -> tuple[int, ...]:
    """What is at the `order_paths` of a record with this value."""
    place = scalars.microseconds(value) if isinstance(value, datetime) else scalars.number_place(value)
    return (place,) if order.field.metadata_key is None else scalars.parts(place)
