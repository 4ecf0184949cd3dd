"""Change what is said about an image."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from application.begun_work import committed
from application.keyed_locks import KeyedLocks
from domain.callers import raise_if_over
from domain.errors import ImageNotFoundError
from domain.images import ImageId, ImageRecord
from domain.metadata import MetadataTypes, check_types, merged
from domain.ports.similarity_repository import SimilarityRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class EditMetadata:
    """Apply a JSON merge patch (RFC 7396) to an image's metadata; its embedding stays as it is."""

    repository: SimilarityRepository
    locks: KeyedLocks
    types: MetadataTypes

    async def __call__(self, id_: ImageId, patch: Mapping[str, Any]) -> ImageRecord:
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
