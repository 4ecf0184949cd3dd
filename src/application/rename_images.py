"""Give images other keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from application.begun_work import committed
from application.indexed_images import indexed_images
from application.keyed_locks import KeyedLocks
from application.shared_originals import SharedOriginals
from domain.callers import raise_if_over
from domain.errors import ImageExistsError, ImageNotFoundError, IndexDamagedError, LookalikeError, Remedy
from domain.images import Clock, ImageId, ImageRecord, IndexedImage
from domain.names import id_of_key
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 100
"""Images that are renamed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """An image's key, and the one that it is to have; its new source and filename too, where they change."""

    before: str
    after: str
    source: str | None = None
    filename: str | None = None

    def renamed(self, record: ImageRecord, at: datetime) -> ImageRecord:
        """The record under its new names."""
        return replace(
            record,
            id=id_of_key(self.after),
            key=self.after,
            source=record.source if self.source is None else self.source,
            filename=record.filename if self.filename is None else self.filename,
            updated_at=at,
        )


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
        records = await self.repository.get({id_ for pair in ids for id_ in pair})
        indexed = await indexed_images(self.repository, [records[before] for before, _ in ids if before in records])
        images: dict[ImageId, IndexedImage] = {}
        copied: dict[ImageId, ImageRecord] = {}
        errors: list[LookalikeError | None] = []
        for rename, (before, after) in zip(renames, ids, strict=True):
            try:
                image = _to_rename(rename, indexed.get(before), before in indexed, records.get(after))
            except LookalikeError as error:
                errors.append(error)
                continue
            errors.append(None)
            if rename.before != rename.after:
                named = rename.renamed(image.record, self.clock.now())
                images[before], copied[before] = replace(image, record=named), image.record
        if images:
            await self.repository.upsert(list(images.values()))
            lost = await self.originals.confirm({image.record.sha256: None for image in images.values()})
            now = await self.repository.get(images)
            gone = {before for before, image in images.items() if image.record.sha256 in lost}
            await self.repository.delete([images[before].record.id for before in gone])
            # What others have changed under the old key meanwhile stays there.
            unchanged = [id_ for id_, record in now.items() if record == copied[id_] and id_ not in gone]
            await self.repository.delete(unchanged)
            errors = [
                _lost(rename, now.get(before)) if error is None and before in gone else error
                for rename, (before, _), error in zip(renames, ids, errors, strict=True)
            ]
        return errors


def _to_rename(rename: Rename, image: IndexedImage | None, is_there: bool, taken: ImageRecord | None) -> IndexedImage:
    """The image that is to have another key. Raises ImageNotFoundError, ImageExistsError, IndexDamagedError."""
    if image is None:
        if not is_there:
            raise ImageNotFoundError([rename.before])
        raise IndexDamagedError(f"Objects of {rename.before} are missing.", remedy=Remedy.INDEX_THE_IMAGE_AGAIN)
    record = image.record
    is_interrupted = taken is not None and (taken.sha256, taken.created_at) == (record.sha256, record.created_at)
    if taken is not None and not is_interrupted:
        raise ImageExistsError(rename.after)
    return image


def _lost(rename: Rename, now: ImageRecord | None) -> LookalikeError:
    """Why there is no original: others had deleted the image before it had its new key, or a disk has lost it."""
    if now is None:
        return ImageNotFoundError([rename.before])
    return IndexDamagedError(
        f"The stored original of {rename.before} is missing.", remedy=Remedy.RESTORE_OR_FORGET_THE_IMAGE
    )


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
