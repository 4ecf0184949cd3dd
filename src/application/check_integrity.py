"""Verify originals, thumbnails, records, vectors and objects against each other, and mend what can be mended."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from application.index_pages import pages_of
from application.settle_interrupted import SettleInterrupted
from domain.embeddings import Embedding, Embeddings
from domain.errors import ImageError, ImageNotFoundError, Remedy
from domain.images import ContentHash, ImageId, ImageRecord
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_store import FileSizes, ImageStore
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import THUMBNAIL_SOURCE_SIDE, ThumbnailRenderer

GROUP_SIZE = 200
"""Images that are looked at together."""

PAUSE = 20
"""Images that are looked at, and mended, while all writers wait."""

LENGTH_TOLERANCE = 1e-2
"""How far from 1 the length of a stored vector may be; int8 or half precision stay well below."""


class FindingKind(StrEnum):
    """What may be wrong."""

    ORIGINAL_MISSING = "original missing"
    ORIGINAL_ALTERED = "original altered"
    THUMBNAIL_MISSING = "thumbnail missing"
    THUMBNAIL_DAMAGED = "thumbnail damaged"
    VECTOR_UNFIT = "vector unfit"
    OBJECTS_UNFIT = "objects unfit"
    FILES_WITHOUT_RECORD = "files without record"
    OBJECTS_WITHOUT_IMAGE = "objects without image"


LOST = frozenset({FindingKind.ORIGINAL_MISSING, FindingKind.ORIGINAL_ALTERED})
"""Nothing here can mend these."""

RENDERED = frozenset({FindingKind.THUMBNAIL_MISSING, FindingKind.THUMBNAIL_DAMAGED})
"""These are rendered anew from the original."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with an image, and what to do about it unless it is `mended`."""

    kind: FindingKind
    id: ImageId
    reason: str
    remedy: Remedy
    mended: bool = False


@dataclass(frozen=True, slots=True)
class CheckStep:
    """How many images have been looked at, of how many records there are, and what has newly been found."""

    done: int
    total: int
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIntegrity:
    """Find what does not belong together: after a restored disk, a lost file, a bug.

    Settles first what was merely cut short, as every start does. Others may write meanwhile, so an image that looks
    wrong is looked at once more, and mended, while the store is paused.
    """

    repository: SimilarityRepository
    store: ImageStore
    decoder: ImageDecoder
    thumbnails: ThumbnailRenderer

    async def __call__(
        self, *, deep: bool = False, repair: bool = False, forget_lost: bool = False
    ) -> AsyncIterator[CheckStep]:
        """Steps, with findings that are still there after the repair or that it has mended.

        `deep` reads all originals and compares their SHA-256, where otherwise their size has to do, and decodes all
        thumbnails. `repair` mends what follows from something else that is there; a record whose original is lost
        stays, unless `forget_lost` asks to remove it too. Raises UnavailableError.
        """
        await SettleInterrupted(repository=self.repository, store=self.store)()
        done = 0
        async for page in pages_of(self.repository, page_size=GROUP_SIZE):
            suspects = [finding.id for finding in await self._examined(page.items, deep=deep)]
            done += len(page.items)
            yield CheckStep(
                done,
                max(page.total, done),
                await self._certain(suspects, deep=deep, repair=repair, forget_lost=repair and forget_lost),
            )
        yield CheckStep(done, done, await self._files_without_record(repair=repair, records=done))
        yield CheckStep(done, done, await self._objects_without_image(repair=repair))

    # Records and what belongs to them

    async def _certain(
        self, suspects: Collection[ImageId], *, deep: bool, repair: bool, forget_lost: bool
    ) -> list[Finding]:
        """What is wrong with these images for certain, mended where that is asked for and possible."""
        findings: list[Finding] = []
        ids = list(dict.fromkeys(suspects))
        for first in range(0, len(ids), PAUSE):
            async with self.store.paused():
                records = await self.repository.get(ids[first : first + PAUSE])
                found = await self._examined(list(records.values()), deep=deep)
                if forget_lost:
                    lost = {finding.id for finding in found if finding.kind in LOST}
                    await self._forget(lost)
                    findings += [replace(finding, mended=True) for finding in found if finding.id in lost]
                    found = [finding for finding in found if finding.id not in lost]
                for finding in found:
                    mended = repair and finding.kind in RENDERED
                    findings.append(replace(finding, mended=mended and await self._render_anew(finding.id)))
        return findings

    async def _examined(self, records: Sequence[ImageRecord], *, deep: bool) -> list[Finding]:
        ids = [record.id for record in records]
        sizes, vectors = await self.store.sizes(ids), await self.repository.embeddings(ids)
        objects = await self.repository.object_embeddings(ids)
        findings: list[Finding] = []
        for record in records:
            findings += self._wrong_files(record, sizes[record.id])
            findings += self._wrong_vectors(record, vectors.get(record.id), objects.get(record.id))
            if deep and sizes[record.id].original == record.size_bytes:
                findings += await self._wrong_content(record)
            if deep and sizes[record.id].thumbnail:
                findings += await self._wrong_thumbnail(record)
        return findings

    @staticmethod
    def _wrong_files(record: ImageRecord, sizes: FileSizes) -> list[Finding]:
        findings = []
        if sizes.original is None:
            findings.append(_original_finding(FindingKind.ORIGINAL_MISSING, record, "is missing"))
        elif sizes.original != record.size_bytes:
            what = f"has {sizes.original:,} bytes instead of {record.size_bytes:,}"
            findings.append(_original_finding(FindingKind.ORIGINAL_ALTERED, record, what))
        if not sizes.thumbnail:
            findings.append(_thumbnail_finding(FindingKind.THUMBNAIL_MISSING, record, "is missing"))
        return findings

    async def _wrong_content(self, record: ImageRecord) -> list[Finding]:
        try:
            content = await self.store.original(record.id)
        except ImageNotFoundError:
            return [_original_finding(FindingKind.ORIGINAL_MISSING, record, "is missing")]
        if (await asyncio.to_thread(ContentHash.of, content)).sha256 == record.sha256:
            return []
        return [_original_finding(FindingKind.ORIGINAL_ALTERED, record, "has other bytes than were indexed")]

    async def _wrong_thumbnail(self, record: ImageRecord) -> list[Finding]:
        try:
            async with self.decoder.decoded(await self.store.thumbnail(record.id), sufficient_side=1):
                return []
        except ImageNotFoundError:
            return [_thumbnail_finding(FindingKind.THUMBNAIL_MISSING, record, "is missing")]
        except ImageError:
            return [_thumbnail_finding(FindingKind.THUMBNAIL_DAMAGED, record, "is damaged")]

    def _wrong_vectors(
        self, record: ImageRecord, vector: Embedding | None, objects: Embeddings | None
    ) -> list[Finding]:
        findings = []
        if vector is None:
            findings.append(_vector_finding(FindingKind.VECTOR_UNFIT, record, "the vector", "is missing"))
        elif fault := _fault(vector[np.newaxis], (1, self.repository.space.dimension)):
            findings.append(_vector_finding(FindingKind.VECTOR_UNFIT, record, "the vector", fault))
        if objects is None:
            findings.append(_vector_finding(FindingKind.OBJECTS_UNFIT, record, "the vector of an object", "is missing"))
        elif fault := _fault(objects, (len(record.objects), self.repository.space.dimension)):
            findings.append(_vector_finding(FindingKind.OBJECTS_UNFIT, record, "the vector of an object", fault))
        return findings

    async def _forget(self, ids: Collection[ImageId]) -> None:
        await self.repository.delete(ids)
        for id_ in ids:
            await self.store.delete(id_)

    async def _render_anew(self, id_: ImageId) -> bool:
        """Whether that was possible: only from the picture that was indexed."""
        try:
            content = await self.store.original(id_)
            if (await asyncio.to_thread(ContentHash.of, content)).image_id != id_:
                return False
            async with self.decoder.decoded(content, sufficient_side=THUMBNAIL_SOURCE_SIDE) as picture:
                thumbnail = await self.thumbnails.render(picture.raster)
        except (ImageNotFoundError, ImageError):
            return False
        await self.store.put_thumbnail(id_, thumbnail)
        return True

    # What belongs to no record

    async def _files_without_record(self, *, repair: bool, records: int) -> list[Finding]:
        orphans = [id_ async for ids in self.store.ids() for id_ in await self._unrecorded(ids)]
        # Then the index is probably the wrong one, or was lost, and the originals are all that is left to build it
        # anew.
        doubtful = len(orphans) > records
        findings: list[Finding] = []
        for first in range(0, len(orphans), PAUSE):
            async with self.store.paused():
                # A server may still be about to write the record of one that is noted; settling looks at it later.
                noted = await self.store.noted()
                candidates = [id_ for id_ in orphans[first : first + PAUSE] if id_ not in noted]
                for id_ in await self._unrecorded(candidates):
                    if repair and not doubtful:
                        await self.store.delete(id_)
                    findings.append(
                        Finding(
                            kind=FindingKind.FILES_WITHOUT_RECORD,
                            id=id_,
                            reason="no record names these stored files",
                            remedy=Remedy.FIND_THE_RIGHT_INDEX if doubtful else Remedy.REMOVE_WHAT_IS_LEFT_OVER,
                            mended=repair and not doubtful,
                        )
                    )
        return findings

    async def _unrecorded(self, ids: Sequence[ImageId]) -> list[ImageId]:
        recorded = await self.repository.get(ids)
        return [id_ for id_ in ids if id_ not in recorded]

    async def _objects_without_image(self, *, repair: bool) -> list[Finding]:
        orphans = await self.repository.orphaned_objects()
        if repair:
            await self.repository.sweep_objects(list(orphans))
        return [
            Finding(
                kind=FindingKind.OBJECTS_WITHOUT_IMAGE,
                id=id_,
                reason=f"{count} of its stored objects belong to no image as it is now",
                remedy=Remedy.REMOVE_WHAT_IS_LEFT_OVER,
                mended=repair,
            )
            for id_, count in orphans.items()
        ]


def _original_finding(kind: FindingKind, record: ImageRecord, what: str) -> Finding:
    return Finding(
        kind=kind,
        id=record.id,
        reason=f"the original of {record.filename} {what}",
        remedy=Remedy.RESTORE_OR_FORGET_THE_IMAGE,
    )


def _thumbnail_finding(kind: FindingKind, record: ImageRecord, what: str) -> Finding:
    return Finding(
        kind=kind,
        id=record.id,
        reason=f"the thumbnail of {record.filename} {what}",
        remedy=Remedy.RENDER_THE_THUMBNAIL_ANEW,
    )


def _vector_finding(kind: FindingKind, record: ImageRecord, vector: str, fault: str) -> Finding:
    return Finding(
        kind=kind, id=record.id, reason=f"{vector} of {record.filename} {fault}", remedy=Remedy.INDEX_THE_IMAGE_AGAIN
    )


def _fault(vectors: Embeddings, shape: tuple[int, int]) -> str | None:
    """What is wrong with some of these vectors, which are to be of this shape, finite and of length 1."""
    if vectors.shape != shape:
        return f"has shape {vectors.shape}, not {shape}"
    lengths = np.linalg.norm(vectors, axis=1)
    unfit = lengths[~(np.abs(lengths - 1.0) <= LENGTH_TOLERANCE)]  # NaN fails every comparison
    return f"has length {unfit[0]:.3g}, not 1" if len(unfit) else None
