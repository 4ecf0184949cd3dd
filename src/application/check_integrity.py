"""Verify originals, thumbnails, records, vectors and objects against each other, and mend what can be mended."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from application.index_pages import pages_of
from application.shared_originals import SharedOriginals
from domain.embeddings import Embedding, Embeddings
from domain.errors import ImageError, ImageNotFoundError, Remedy
from domain.images import ImageId, ImageRecord, sha256_of
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_store import FileSizes
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE, ThumbnailRenderer, thumbnail_source_side

GROUP_SIZE = 200
"""Images that are looked at together."""

LOOK_AGAIN_SECONDS = 1.0
"""After which what seems wrong is looked at once more: others may have been changing it."""

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
    id: ImageId | str
    """Of files that no record names, their SHA-256."""
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

    Others may write meanwhile, so an image that looks wrong is looked at once more. What a crash has left is no
    finding: files that no record names are one only when a sweep should have removed them.
    """

    repository: SimilarityRepository
    originals: SharedOriginals
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
        done = 0
        async for page in pages_of(self.repository, page_size=GROUP_SIZE):
            suspects = {record.id for record, _ in await self._examined(page.items, deep=deep)}
            done += len(page.items)
            yield CheckStep(
                done,
                max(page.total, done),
                await self._certain(suspects, deep=deep, repair=repair, forget_lost=repair and forget_lost),
            )
        yield CheckStep(done, done, await self._files_without_record(repair=repair))
        yield CheckStep(done, done, await self._objects_without_image())

    # Records and what belongs to them

    async def _certain(
        self, suspects: Collection[ImageId], *, deep: bool, repair: bool, forget_lost: bool
    ) -> list[Finding]:
        """What is wrong with these images for certain, mended where that is asked for and possible."""
        if not suspects:
            return []
        await self.originals.sleep(LOOK_AGAIN_SECONDS)
        found = await self._examined(list((await self.repository.get(suspects)).values()), deep=deep)
        lost = {record.id: record for record, finding in found if finding.kind in LOST} if forget_lost else {}
        if lost:
            await self.repository.delete(lost)
            await self.originals.purge({record.sha256 for record in lost.values()})
        findings: list[Finding] = []
        for record, finding in found:
            mended = record.id in lost
            if not mended and repair and finding.kind in RENDERED:
                mended = await self._render_anew(record)
            findings.append(replace(finding, mended=mended))
        return findings

    async def _examined(self, records: Sequence[ImageRecord], *, deep: bool) -> list[tuple[ImageRecord, Finding]]:
        ids = [record.id for record in records]
        sizes = await self.originals.store.sizes({record.sha256 for record in records})
        vectors, objects = await self.repository.embeddings(ids), await self.repository.object_embeddings(ids)
        findings: list[tuple[ImageRecord, Finding]] = []
        for record in records:
            of_files = sizes[record.sha256]
            found = self._wrong_files(record, of_files)
            found += self._wrong_vectors(record, vectors.get(record.id), objects.get(record.id))
            if deep and of_files.original == record.size_bytes:
                found += await self._wrong_content(record)
            if deep:
                found += await self._wrong_thumbnails(
                    record, [side for side, size in of_files.thumbnails.items() if size]
                )
            findings += [(record, finding) for finding in found]
        return findings

    @staticmethod
    def _wrong_files(record: ImageRecord, sizes: FileSizes) -> list[Finding]:
        findings = []
        if sizes.original is None:
            findings.append(_original_finding(FindingKind.ORIGINAL_MISSING, record, "is missing"))
        elif sizes.original != record.size_bytes:
            what = f"has {sizes.original:,} bytes instead of {record.size_bytes:,}"
            findings.append(_original_finding(FindingKind.ORIGINAL_ALTERED, record, what))
        if not sizes.thumbnails.get(DEFAULT_THUMBNAIL_SIDE):
            findings.append(_thumbnail_finding(FindingKind.THUMBNAIL_MISSING, record, "is missing"))
        return findings

    async def _wrong_content(self, record: ImageRecord) -> list[Finding]:
        try:
            content = await self.originals.store.original(record.sha256)
        except ImageNotFoundError:
            return [_original_finding(FindingKind.ORIGINAL_MISSING, record, "is missing")]
        if await asyncio.to_thread(sha256_of, content) == record.sha256:
            return []
        return [_original_finding(FindingKind.ORIGINAL_ALTERED, record, "has other bytes than were indexed")]

    async def _wrong_thumbnails(self, record: ImageRecord, sides: Sequence[int]) -> list[Finding]:
        try:
            for side in sides:
                thumbnail = await self.originals.store.thumbnail(record.sha256, side)
                async with self.decoder.decoded(thumbnail, sufficient_side=1):
                    pass
        except ImageNotFoundError:
            return [_thumbnail_finding(FindingKind.THUMBNAIL_MISSING, record, "is missing")]
        except ImageError:
            return [_thumbnail_finding(FindingKind.THUMBNAIL_DAMAGED, record, "is damaged")]
        return []

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

    async def _render_anew(self, record: ImageRecord) -> bool:
        """Whether that was possible: only from the picture that was indexed."""
        side, store = DEFAULT_THUMBNAIL_SIDE, self.originals.store
        try:
            content = await store.original(record.sha256)
            if await asyncio.to_thread(sha256_of, content) != record.sha256:
                return False
            async with self.decoder.decoded(content, sufficient_side=thumbnail_source_side(side)) as picture:
                thumbnail = await self.thumbnails.render(picture.raster, side)
        except (ImageNotFoundError, ImageError):
            return False
        await store.delete_thumbnails(record.sha256)  # those of other sides are rendered when they are asked for
        await store.put(record.sha256, thumbnails={side: thumbnail})
        return True

    # What belongs to no record

    async def _files_without_record(self, *, repair: bool) -> list[Finding]:
        left_over = await self.originals.left_over()
        repair &= not left_over.is_doubtful
        if repair:
            await self.originals.purge(left_over.sha256s)
        return [
            Finding(
                kind=FindingKind.FILES_WITHOUT_RECORD,
                id=sha256,
                reason="no record names these stored files",
                remedy=Remedy.FIND_THE_RIGHT_INDEX if left_over.is_doubtful else Remedy.REMOVE_WHAT_IS_LEFT_OVER,
                mended=repair,
            )
            for sha256 in left_over.sha256s
        ]

    async def _objects_without_image(self) -> list[Finding]:
        """These are removed without being asked: no search finds them, and every interrupted write leaves some."""
        orphans = await self.repository.orphaned_objects()
        await self.repository.sweep_objects(list(orphans))
        return [
            Finding(
                kind=FindingKind.OBJECTS_WITHOUT_IMAGE,
                id=id_,
                reason=f"{count} of its stored objects belong to no image as it is now",
                remedy=Remedy.REMOVE_WHAT_IS_LEFT_OVER,
                mended=True,
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
