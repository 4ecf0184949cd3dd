"""The engine's shard, in the process that owns it. Every call holds the GIL until it is done."""

import shutil
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from uuid import UUID

import numpy as np
import qdrant_edge as engine

from adapters.repositories.edge.dialect import create_index, images_with_objects, objects_of_other_generations
from adapters.repositories.edge.records import ImageHit
from adapters.repositories.edge.requests import (
    Change,
    Delete,
    Failure,
    FailureKind,
    Figures,
    Nearest,
    SetMetadata,
    Upsert,
)
from adapters.repositories.edge.shard_reads import ShardReads
from adapters.repositories.object_payload import OBJECT_VECTOR_NAME, Generation, object_payloads
from adapters.repositories.payload import VECTOR_NAME, PayloadIndex, metadata_payload, payload_of

MAX_SEGMENT_KILOBYTES = 100_000
"""Bounds how long one optimization takes, and with it how long a search may wait for it: 4 to 9 s on
two busy cores, where twice the size took 27 s. It is 20,000 points with vectors of 1280; a search visits each
segment."""

INDEXING_THRESHOLD_KILOBYTES = 10_000
"""Segments below this are searched by brute force, which is fast enough at that size (2,000 vectors of 1280)."""

IDLE_CHANGES = 1_000
"""Optimizing fewer changes than this is not worth the wait it may cause."""

LOCK_PATIENCE_SECONDS = 10.0
"""How long to wait for a predecessor that is still dying to let go of the shard."""


class Shard:
    """One shard with its payload indexes. Raises the engine's exceptions, which are plain `Exception`s of text."""

    def __init__(self, shard: engine.EdgeShard, directory: Path, *, reserve_bytes: int) -> None:
        self._shard = shard
        self.reads = ShardReads(shard)
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        # The engine does not tell what there is to do: it counts deleted points as indexed until it removes them. So
        # the first idle moment tries, a tenth of a millisecond where it is nothing, and no burst does before.
        self.unoptimized = min(shard.info().points_count, IDLE_CHANGES)
        """Points that came or went since the last optimization."""
        self._optimizations = 0
        self._optimize_seconds = self._longest_optimize_seconds = 0.0

    @classmethod
    def create(cls, directory: Path, dimension: int, indexes: Sequence[PayloadIndex], *, reserve_bytes: int) -> "Shard":
        """A new empty shard in `directory`, which must not hold one; durable on return."""
        directory.mkdir(parents=True, exist_ok=True)
        shard = cls(engine.EdgeShard.create(str(directory), _config(dimension)), directory, reserve_bytes=reserve_bytes)
        shard._create(indexes)
        return shard

    @classmethod
    def load(cls, directory: Path, dimension: int, indexes: Sequence[PayloadIndex], *, reserve_bytes: int) -> "Shard":
        """The shard in `directory`, with those of `indexes` added that it lacks."""
        if not any((directory / "segments").glob("*")):
            # The engine would begin an empty shard in its place, and nobody would notice the loss.
            raise FileNotFoundError(f"there are no segments in {directory}")
        # A killed optimization leaves half-built segments, which the engine would keep for ever.
        for leftover in (directory / "temp_segments").glob("*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        shard = cls(_load_patiently(directory, _config(dimension)), directory, reserve_bytes=reserve_bytes)
        shard._create(indexes)
        return shard

    def _create(self, indexes: Sequence[PayloadIndex]) -> None:
        for index in indexes:
            self._shard.update(create_index(index))  # does nothing where there is one
        self._shard.flush()

    def write(self, changes: Sequence[Change]) -> list[Failure | None]:
        """Apply changes in order and flush once, so that what is answered survives. A failure for each, or None."""
        outcomes: list[Failure | None] = []
        room = shutil.disk_usage(self._directory).free - self._reserve_bytes
        # The engine dies of a full disk (SIGBUS in its mapped files): refuse before. Deleting must stay possible.
        full = Failure(
            FailureKind.STORAGE_FULL,
            f"No room is left to store images: {self._directory} has less than the reserve of "
            f"{self._reserve_bytes / 1e6:.0f} MB free. Delete images or make room.",
        )
        for kind, group in groupby(changes, key=type):
            of_kind = list(group)
            if room < 0 and kind is not Delete:
                outcomes += [full] * len(of_kind)
            elif kind is Upsert:
                outcomes += self._upsert([change for change in of_kind if isinstance(change, Upsert)])
            else:
                outcomes += [self._change(change) for change in of_kind]
        try:
            self._shard.flush()
        except Exception as error:  # the engine raises nothing more specific
            return [Failure(FailureKind.ENGINE, f"The index could not be flushed: {error}")] * len(changes)
        return outcomes

    def _upsert(self, upserts: Sequence[Upsert]) -> list[Failure | None]:
        """Many small upserts together; the last one of an id wins.

        Each step is one operation of the engine, hence one entry of its log: objects first, then the images, which
        commit them, then away with what the images had before. A crash leaves orphans at most.
        """
        images: dict[UUID, engine.Point] = {}
        objects: dict[UUID, list[engine.Point]] = {}
        generations: dict[UUID, Generation] = {}
        for upsert in upserts:
            vectors = np.frombuffer(upsert.vectors, dtype=np.float32).reshape(len(upsert.records), -1)
            of_objects = iter(np.frombuffer(upsert.object_vectors, np.float32).reshape(-1, vectors.shape[1]).tolist())
            for record, generation, vector in zip(upsert.records, upsert.generations, vectors.tolist(), strict=True):
                generations[record.id] = generation
                images[record.id] = engine.Point(record.id, {VECTOR_NAME: vector}, payload_of(record, generation.name))
                objects[record.id] = [
                    engine.Point(id_, {OBJECT_VECTOR_NAME: next(of_objects)}, payload)
                    for id_, payload in zip(generation.point_ids, object_payloads(record, generation), strict=True)
                ]
        failure = (
            self._store([point for points in objects.values() for point in points])
            or self._store(list(images.values()))
            or self._delete(objects_of_other_generations(generations, generations.values()))
        )
        return [failure] * len(upserts)

    def _store(self, points: list[engine.Point]) -> Failure | None:
        self.unoptimized += len(points)
        return self._update(engine.UpdateOperation.upsert_points(points)) if points else None

    def _delete(self, which: engine.Filter) -> Failure | None:
        count = self._count(which)
        self.unoptimized += count
        return self._update(engine.UpdateOperation.delete_points_by_filter(which)) if count else None

    def _count(self, which: engine.Filter) -> int:
        return self._shard.count(engine.CountRequest(exact=True, filter=which))

    def _change(self, change: Change) -> Failure | None:
        match change:
            case SetMetadata(id_, metadata):
                generation = self.reads.generations([id_]).get(id_)
                if generation is None:
                    return Failure(FailureKind.NOT_FOUND, ids=(id_,))
                # The engine moves the points, with their vectors, to a segment that has no index yet.
                self.unoptimized += 1 + generation.object_count
                # One entry of the log for the image and its objects, so that no crash leaves them apart.
                which, payload = images_with_objects([id_]), metadata_payload(metadata)
                return self._update(engine.UpdateOperation.set_payload_by_filter(which, payload))
            case Delete(ids):
                return self._delete(images_with_objects(ids))
            case Upsert():
                raise AssertionError("upserts are applied together")

    def _update(self, operation: engine.UpdateOperation) -> Failure | None:
        try:
            self._shard.update(operation)
        except Exception as error:  # the engine raises nothing more specific
            return Failure(FailureKind.ENGINE, f"The index refused a change: {error}")
        return None

    def nearest_objects(self, request: Nearest) -> list[ImageHit]:
        """Hits, best first, each image once by its best object. Orphans on the way are deleted."""
        hits, orphans = self.reads.nearest_objects(request)
        if orphans:
            # Only a crash leaves them, and whoever repeats the write that it interrupted writes them anew. A deletion
            # that fails or is lost is made up for by the next search that meets them.
            self.unoptimized += len(orphans)
            self._update(engine.UpdateOperation.delete_points(list(orphans)))
        return hits

    def sweep_objects(self, images: Sequence[UUID]) -> int | Failure:
        """Delete the orphans among the objects of these images, there or not; how many that was."""
        orphans = objects_of_other_generations(images, self.reads.generations(images).values())
        count = self._count(orphans)
        failure = self._delete(orphans)
        self._shard.flush()
        return count if failure is None else failure

    def figures(self) -> Figures:
        """How many there are, and the engine's own."""
        info = self._shard.info()
        images, objects = self.reads.counts()
        return {
            "images": images,
            "objects": objects,
            "points": info.points_count,
            "segments": info.segments_count,
            "indexed_vectors": info.indexed_vectors_count,
            "payload_indexes": len(info.payload_schema),
            "optimizations": self._optimizations,
            "optimize_seconds": round(self._optimize_seconds, 3),
            "longest_optimize_seconds": round(self._longest_optimize_seconds, 3),
        }

    def optimize(self) -> None:
        """Build and merge indexes. Without room for the copies that it makes, leave everything as it is."""
        self.unoptimized = 0
        if shutil.disk_usage(self._directory).free < self._reserve_bytes:
            return
        began = time.monotonic()
        if not self._shard.optimize():
            return  # there was nothing to do
        self._optimizations += 1
        seconds = time.monotonic() - began
        self._optimize_seconds += seconds
        self._longest_optimize_seconds = max(self._longest_optimize_seconds, seconds)

    def close(self) -> None:
        """Make everything durable and let go of the files."""
        self._shard.flush()
        self._shard.close()


def is_lock_error(error: BaseException) -> bool:
    """Whether the engine says that another process holds the shard. It has no typed errors."""
    return "WouldBlock" in str(error)


def _config(dimension: int) -> engine.EdgeConfig:
    """Originals on disk and int8 copies in memory: what bounds memory at scale, and rescoring makes up for it.

    The engine keeps room for each of the two vectors in every point, though no point has both. With one vector for both
    kinds and a filter on the kind, 10,000 images with 50,000 objects took half the disk and 15 % less memory, but
    recall@10 of images fell from 1.0 to .90.
    """
    return engine.EdgeConfig(
        vectors={
            name: engine.EdgeVectorParams(
                size=dimension,
                distance=engine.Distance.Cosine,
                memory=engine.Memory.Cold,
                quantization_config=engine.ScalarQuantizationConfig(
                    engine.ScalarType.Int8, quantile=0.99, memory=engine.Memory.Pinned
                ),
            )
            for name in (VECTOR_NAME, OBJECT_VECTOR_NAME)
        },
        hnsw_config=engine.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
        optimizers=engine.EdgeOptimizersConfig(
            max_segment_size=MAX_SEGMENT_KILOBYTES,
            indexing_threshold=INDEXING_THRESHOLD_KILOBYTES,
            default_segment_number=2,
        ),
    )


def _load_patiently(directory: Path, config: engine.EdgeConfig) -> engine.EdgeShard:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            return engine.EdgeShard.load(str(directory), config)
        except Exception as error:
            if not is_lock_error(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
