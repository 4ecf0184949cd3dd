"""Take images out of the index."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.begun_work import committed
from application.index_pages import pages_of
from application.keyed_locks import KeyedLocks
from application.shared_originals import SharedOriginals
from domain.callers import raise_if_over
from domain.errors import ImageNotFoundError, InvalidFilterError
from domain.filters import EVERYTHING, AnyOf, Filter
from domain.images import ImageId, ImageRecord
from domain.names import ImageName, id_of
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 200
"""Images that are deleted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImages:
    """Remove record and vector first, then those files that no other record names.

    What a crash leaves is never searchable, and swept later.
    """

    repository: SimilarityRepository
    originals: SharedOriginals
    locks: KeyedLocks

    async def one(self, name: ImageName) -> None:
        """Delete one image, by its id or key. Raises ImageNotFoundError."""
        if await self._delete([id_of(name)]) == 0:
            raise ImageNotFoundError([name])

    async def matching(self, where: Filter) -> int:
        """Delete every image that matches, and count them. Images that are indexed meanwhile stay.

        Raises InvalidFilterError, as `refuse_unmeant` does.
        """
        refuse_unmeant(where)
        deleted = 0
        async for page in pages_of(self.repository, page_size=GROUP_SIZE, where=where):
            deleted += await self._delete([record.id for record in page.items], where)
        return deleted

    async def _delete(self, ids: Sequence[ImageId], where: Filter = EVERYTHING) -> int:
        async with self.locks.hold(ids):
            present = [record for record in (await self.repository.get(ids)).values() if where.matches(record)]
            if present:
                raise_if_over()
                await committed(self._remove(present))
        return len(present)

    async def _remove(self, records: Sequence[ImageRecord]) -> None:
        await self.repository.delete([record.id for record in records])
        await self.originals.purge({record.sha256 for record in records})


def refuse_unmeant(where: Filter) -> None:
    """Refuse to delete or change by a filter that probably names all images by a program's mistake.

    Raises InvalidFilterError if it has no condition, or compares a field with an empty list.
    """
    if not where:
        raise InvalidFilterError('The filter names nothing. To mean all: {"all": [{"field": "width", "gte": 1}]}.')
    for condition in (*where.all, *where.any, *where.none):
        if isinstance(condition, AnyOf) and not condition.values:
            raise InvalidFilterError(
                f"The filter compares {condition.field.name} with an empty `in`, which nothing is in; in `none`, that "
                "would mean everything. Leave the condition out if it is not meant."
            )
