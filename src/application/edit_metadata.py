"""Change what is said about images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from application.begun_work import committed
from application.delete_images import refuse_unmeant
from application.index_pages import pages_of
from application.keyed_locks import KeyedLocks
from domain.callers import raise_if_over
from domain.errors import ImageNotFoundError, IndexDamagedError, LookalikeError
from domain.filters import EVERYTHING, Filter
from domain.images import Clock, ImageId, ImageRecord
from domain.metadata import MetadataTypes, check_types, merged
from domain.names import ImageName, id_of
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 200
"""Images that are changed at the same time: their writes are made durable together."""

Patch = Mapping[str, Any]
"""A JSON merge patch (RFC 7396): null removes a key."""


@dataclass(frozen=True, slots=True)
class EditOutcome:
    """What became of one image that was to be changed: `image` as it is now, or `error` if that failed."""

    name: ImageName
    image: ImageRecord | None = None
    error: LookalikeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EditMetadata:
    """Apply merge patches to the metadata of images; nothing is encoded again."""

    repository: SimilarityRepository
    clock: Clock
    locks: KeyedLocks
    types: MetadataTypes

    async def __call__(self, name: ImageName, patch: Patch) -> ImageRecord:
        """The image after the patch. Raises ImageNotFoundError, InvalidMetadataError, StorageFullError."""
        [outcome] = await self.many([(name, patch)])
        if outcome.error is not None:
            raise outcome.error
        assert outcome.image is not None  # noqa: S101 - there is one of the two
        return outcome.image

    async def many(self, patches: Sequence[tuple[ImageName, Patch]]) -> list[EditOutcome]:
        """Change many images, and say what became of each, in the order given; none that fails stops the others.

        Patches of one image are applied in their order.
        """
        outcomes: list[EditOutcome] = []
        for first in range(0, len(patches), GROUP_SIZE):
            outcomes += await self._edited(patches[first : first + GROUP_SIZE])
        return outcomes

    async def matching(self, where: Filter, patch: Patch) -> int:
        """Change every image that matches; how many those were. What is deleted meanwhile is passed over.

        Raises InvalidFilterError for a filter that names all by mistake, and the first failure, having changed some.
        """
        refuse_unmeant(where)
        updated = 0
        async for page in pages_of(self.repository, page_size=GROUP_SIZE, where=where):
            outcomes = await self._edited([(record.id, patch) for record in page.items], where)
            errors = [outcome.error for outcome in outcomes]
            for error in errors:
                if error is not None and not isinstance(error, ImageNotFoundError):
                    raise error
            updated += errors.count(None)
        return updated

    async def _edited(
        self, patches: Sequence[tuple[ImageName, Patch]], where: Filter = EVERYTHING
    ) -> list[EditOutcome]:
        """A group, with one write for all of it; images that do not match, or no more, are not found."""
        ids = [id_of(name) for name, _ in patches]
        outcomes: list[EditOutcome] = []
        async with self.locks.hold(ids):
            found = await self.repository.get(ids)
            records = {id_: record for id_, record in found.items() if where.matches(record)}
            changed: dict[ImageId, ImageRecord] = {}
            for id_, (name, patch) in zip(ids, patches, strict=True):
                try:
                    patched = self._patched(name, records.get(id_), patch)
                except LookalikeError as error:
                    outcomes.append(EditOutcome(name, error=error))
                    continue
                outcomes.append(EditOutcome(name, image=patched))
                if patched != records[id_]:
                    records[id_] = changed[id_] = patched
            failures = await self._store(list(changed.values()))
        failed = [failures.get(id_) for id_ in ids]
        return [
            outcome if error is None or outcome.error is not None else EditOutcome(outcome.name, error=error)
            for outcome, error in zip(outcomes, failed, strict=True)
        ]

    def _patched(self, name: ImageName, record: ImageRecord | None, patch: Patch) -> ImageRecord:
        if record is None:
            raise ImageNotFoundError([name])
        metadata = merged(record.metadata, patch)
        if metadata == record.metadata:
            return record
        check_types({key: value for key, value in metadata.items() if value != record.metadata.get(key)}, self.types)
        return replace(record, metadata=metadata, updated_at=self.clock.now())

    async def _store(self, records: Sequence[ImageRecord]) -> dict[ImageId, LookalikeError]:
        """Write them, and say which could not be."""
        if not records:
            return {}
        try:
            raise_if_over()
            missing = await committed(self.repository.update(records))
        except IndexDamagedError as error:  # of one of them: the others are not to suffer
            if len(records) == 1:
                return {records[0].id: error}
            each = [await self._store([record]) for record in records]
            return {id_: failure for failures in each for id_, failure in failures.items()}
        except LookalikeError as error:
            return {record.id: error for record in records}
        return {id_: ImageNotFoundError([id_]) for id_ in missing}
