"""Change what is said about images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from application.begun_work import all_of, committed
from application.delete_images import refuse_unmeant
from application.index_pages import pages_of
from application.keyed_locks import KeyedLocks
from domain.callers import raise_if_over
from domain.errors import ImageNotFoundError, LookalikeError
from domain.filters import Filter
from domain.images import ImageId, ImageRecord
from domain.metadata import MetadataTypes, check_types, merged
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 200
"""Images that are changed at the same time: their writes are made durable together."""

Patch = Mapping[str, Any]
"""A JSON merge patch (RFC 7396): null removes a key."""


@dataclass(frozen=True, slots=True)
class EditOutcome:
    """What became of one image that was to be changed: `error` if it failed."""

    id: ImageId
    error: LookalikeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EditMetadata:
    """Apply merge patches to the metadata of images; nothing is encoded again."""

    repository: SimilarityRepository
    locks: KeyedLocks
    types: MetadataTypes

    async def __call__(self, id_: ImageId, patch: Patch) -> ImageRecord:
        """The image after the patch. Raises ImageNotFoundError, InvalidMetadataError, StorageFullError."""
        async with self.locks.hold([id_]):
            found = await self.repository.get([id_])
            if id_ not in found:
                raise ImageNotFoundError([id_])
            before = found[id_].metadata
            metadata = merged(before, patch)
            check_types({key: value for key, value in metadata.items() if value != before.get(key)}, self.types)
            raise_if_over()
            await committed(self.repository.set_metadata(id_, metadata))
            return replace(found[id_], metadata=metadata)

    async def many(self, patches: Sequence[tuple[ImageId, Patch]]) -> list[EditOutcome]:
        """Change many images, and say what became of each, in the order given; none that fails stops the others.

        Patches of one image are applied in their order.
        """
        outcomes: list[EditOutcome] = []
        for first in range(0, len(patches), GROUP_SIZE):
            outcomes += await all_of(self._edited(id_, patch) for id_, patch in patches[first : first + GROUP_SIZE])
        return outcomes

    async def matching(self, where: Filter, patch: Patch) -> int:
        """Change every image that matches; how many those were. What is deleted meanwhile is passed over.

        Raises InvalidFilterError for a filter that names all by mistake, and the first failure, having changed some.
        """
        refuse_unmeant(where)
        updated = 0
        async for page in pages_of(self.repository, page_size=GROUP_SIZE, where=where):
            errors = [outcome.error for outcome in await self.many([(record.id, patch) for record in page.items])]
            for error in errors:
                if error is not None and not isinstance(error, ImageNotFoundError):
                    raise error
            updated += errors.count(None)
        return updated

    async def _edited(self, id_: ImageId, patch: Patch) -> EditOutcome:
        try:
            await self(id_, patch)
        except LookalikeError as error:
            return EditOutcome(id_, error)
        return EditOutcome(id_)
