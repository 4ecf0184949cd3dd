"""Take images out of the index."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.begun_work import all_of, committed
from application.index_pages import pages_of
from application.keyed_locks import KeyedLocks
from domain.errors import ImageNotFoundError, InvalidFilterError
from domain.filters import EVERYTHING, AnyOf, Filter
from domain.images import ImageId
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 200
"""Images that are deleted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImages:
    """Remove record and vector first, then the files: what a crash leaves is never searchable.

    It is gone after the next start (`SettleInterrupted`).
    """

    repository: SimilarityRepository
    store: ImageStore
    locks: KeyedLocks

    async def one(self, id_: ImageId) -> None:
        """Delete one image. Raises ImageNotFoundError."""
        if await self._delete([id_]) == 0:
            raise ImageNotFoundError([id_])

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
            present = [id_ for id_, record in (await self.repository.get(ids)).items() if where.matches(record)]
            if present:
                async with self.store.changing(present):
                    await committed(self._remove(present))
        return len(present)

    async def _remove(self, ids: Sequence[ImageId]) -> None:
        await self.repository.delete(ids)
        await all_of(self.store.delete(id_) for id_ in ids)


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
