"""A first reading of the whole table, before anything is sent: how much there is, and which row has which key."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lookalike_client.commands.importing.products import Claims, Product, ProductReader
from lookalike_client.commands.importing.rows import Table


@dataclass(slots=True)
class Survey:
    """What there is."""

    claims: Claims
    rows: int = 0
    pictures: int = 0
    unclear_rows: list[int] = field(default_factory=list)
    """The numbers of those whose keys cannot be told."""


def survey(table: Table, reader: ProductReader) -> Survey:
    """Read all of it. Raises TableError, OSError."""
    found = Survey(Claims())
    for product in products(table, reader, found.claims):
        found.rows += 1
        found.pictures += len(product.pictures)
        if product.key is None:
            found.unclear_rows.append(product.row.number)
    return found


def products(table: Table, reader: ProductReader, claims: Claims) -> Iterator[Product]:
    """The products of all rows. Of two that have a key in common the second has a problem."""
    for row in table.rows():
        yield claims.checked(reader.product(row))
