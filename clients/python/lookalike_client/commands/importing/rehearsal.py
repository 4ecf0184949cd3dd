"""What an import would do, without doing it: nothing is fetched, sent or remembered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lookalike_client import AsyncLookalike, PictureFileError
from lookalike_client.commands.importing.failures import TOLD, failure_line
from lookalike_client.commands.importing.pictures import look_at, standings_of
from lookalike_client.commands.importing.products import Product
from lookalike_client.commands.state import State


@dataclass(slots=True)
class Rehearsal:
    """Pictures by what would become of them."""

    new: int = 0
    asked_after: int = 0
    """URLs whose pictures are there: the far side would be asked whether they have changed."""
    replaced: int = 0
    updated: int = 0
    """Those whose metadata would change."""
    failed_rows: int = 0
    told: list[str] = field(default_factory=list)
    """Of the first rows that would fail, what to say."""

    def fail(self, product: Product, reason: str) -> None:
        """Count a row."""
        self.failed_rows += 1
        if self.failed_rows <= TOLD:
            self.told.append(failure_line(product.row, reason))

    def __str__(self) -> str:
        parts = [f"{self.new} new"]
        parts += [f"{self.replaced} replaced"] * bool(self.replaced)
        parts += [f"{self.asked_after} asked after at their URLs"] * bool(self.asked_after)
        return ", ".join([*parts, f"{self.updated} with other metadata", f"{self.failed_rows} rows failed"])


async def rehearse(
    groups: Iterable[Sequence[Product]],
    client: AsyncLookalike | None,
    state: State,
    scope: str,
    *,
    service_fetches: bool,
) -> Rehearsal:
    """Go through all products; without a client, as on an empty index. Files are read."""
    found = Rehearsal()
    for products in groups:
        unreadable: dict[str, str] = {}
        for standing in await standings_of(client, state, scope, products):
            picture = standing.picture
            found.updated += bool(standing.patch)
            if picture.is_url and not service_fetches:
                found.new += standing.image is None
                found.asked_after += standing.image is not None
                continue
            try:
                looked = await look_at(standing, None)
            except PictureFileError as error:
                unreadable[picture.key] = f"{picture.place}: {error}"
            else:
                found.new += standing.image is None
                found.replaced += standing.image is not None and looked.new is not None
        for product in products:
            reasons = filter(None, (unreadable.get(picture.key) for picture in product.pictures))
            if reason := product.problem or " ".join(reasons):
                found.fail(product, reason)
    return found
