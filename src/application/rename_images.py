"""Give images other keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from application.begun_work import committed
from application.keyed_locks import KeyedLocks
from application.shared_originals import SharedOriginals
from domain.callers import raise_if_over
from domain.errors import ImageExistsError, ImageNotFoundError, IndexDamagedError, LookalikeError
from domain.images import Clock, ImageId, ImageRecord, IndexedImage
from domain.names import id_of_key
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 100
"""Images that are renamed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """An image's key, and the one that it is to have."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RenameOutcome:
    """What became of one renaming: `error` if it failed."""

    rename: Rename
    error: LookalikeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameImages:
    """Store images anew under other keys, with the vectors and objects that they have, then remove the old ones.

    A crash in between leaves both. The same renaming finishes it.
    """

    repository: SimilarityRepository
    originals: SharedOriginals
    clock: Clock
    locks: KeyedLocks

    async def __call__(self, renames: Sequence[Rename]) -> list[RenameOutcome]:
        """What became of each, in the order given; none that fails stops the others."""
        outcomes: list[RenameOutcome] = []
        for group in _independent(renames):
            ids = [(id_of_key(rename.before), id_of_key(rename.after)) for rename in group]
            try:
                async with self.locks.hold(id_ for pair in ids for id_ in pair):
                    raise_if_over()
                    errors = await committed(self._renamed(group, ids))
            except LookalikeError as error:
                errors = [error] * len(group)
            outcomes += [RenameOutcome(rename, error) for rename, error in zip(group, errors, strict=True)]
        return outcomes

    async def _renamed(
        self, renames: Sequence[Rename], ids: Sequence[tuple[ImageId, ImageId]]
    ) -> list[LookalikeError | None]:
        sources = [before for before, _ in ids]
        records = await self.repository.get({id_ for pair in ids for id_ in pair})
        embeddings = await self.repository.embeddings(sources)
        objects = await self.repository.object_embeddings(sources)
        images: list[IndexedImage] = []
        errors: list[LookalikeError | None] = []
        for rename, (before, after) in zip(renames, ids, strict=True):
            try:
                record = _to_rename(rename, records.get(before), records.get(after))
                vectors = objects.get(before)
                if before not in embeddings or vectors is None:
                    raise IndexDamagedError(f"Objects of image {before} are missing. Delete it and index it again.")
            except LookalikeError as error:
                errors.append(error)
                continue
            errors.append(None)
            if rename.before != rename.after:
                named = replace(record, id=after, key=rename.after, updated_at=self.clock.now())
                images.append(IndexedImage(record=named, embedding=embeddings[before], object_embeddings=vectors))
        if images:
            await self.repository.upsert(images)
            lost = await self.originals.confirm({image.record.sha256: None for image in images})
            # Others had deleted the image before it had its new key.
            gone = {image.record.id for image in images if image.record.sha256 in lost}
            await self.repository.delete(gone)
            renamed = {image.record.id for image in images} - gone
            await self.repository.delete([before for before, after in ids if after in renamed])
            errors = [
                ImageNotFoundError([rename.before]) if error is None and after in gone else error
                for rename, (_, after), error in zip(renames, ids, errors, strict=True)
            ]
        return errors


def _to_rename(rename: Rename, before: ImageRecord | None, after: ImageRecord | None) -> ImageRecord:
    """The image that is to have another key. Raises ImageNotFoundError, ImageExistsError."""
    if before is None:
        raise ImageNotFoundError([rename.before])
    is_interrupted = after is not None and (after.sha256, after.created_at) == (before.sha256, before.created_at)
    if after is not None and not is_interrupted:
        raise ImageExistsError(rename.after)
    return before


def _independent(renames: Sequence[Rename]) -> list[list[Rename]]:
    """In groups in which no key comes twice: `a` to `b` and `b` to `c` are done one after the other."""
    groups: list[list[Rename]] = []
    keys: set[str] = set()
    for rename in renames:
        pair = {rename.before, rename.after}
        if not groups or len(groups[-1]) == GROUP_SIZE or keys & pair:
            groups.append([])
            keys = set()
        groups[-1].append(rename)
        keys |= pair
    return groups
