"""The embedded engine: the verbs of `Points` on its shard, in the process that owns it.

Run as `python -m adapters.repositories.qdrant.embedded.engine FD`, with a socket's number. The engine holds the GIL in
every call, seconds long when it optimizes, so it must not live where an event loop runs. The process ends when the
socket closes, and on Linux is killed with its parent even amid an engine call, so that no orphan keeps the shard's
lock. A kill loses nothing that was acknowledged: every write is flushed first.
"""

import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import qdrant_edge as edge

from adapters.processes.beginning import begin
from adapters.repositories.qdrant import points as words
from adapters.repositories.qdrant.dialect import Dialect
from adapters.repositories.qdrant.embedded.manifest import ShardLayout, cannot_be_opened, in_use
from adapters.repositories.qdrant.points import Delete, FoundPoint, PointId, VectorQuery, Where
from domain.errors import LookalikeError, RepositoryUnavailableError, StorageFullError

HNSW_EF = 256
OVERSAMPLING = 4.0
"""Recall@10 of 10,000 vectors of 1280 numbers, more than the packaged encoder's 512: 1.0 for queries like the stored
ones, .96 for random directions, in 0.9 ms; with 128 and 2.0 it was .996 and .89 in 0.7 ms."""

MAX_SEGMENT_KILOBYTES = 100_000
"""Bounds how long one optimization takes, and with it how long a search may wait for it: 4 to 9 s on
two busy cores, where twice the size took 27 s. It is 50,000 points with vectors of 512; a search visits each
segment."""

INDEXING_THRESHOLD_KILOBYTES = 10_000
"""Segments below this are searched by brute force, which is fast enough at that size (5,000 vectors of 512)."""

IDLE_CHANGES = 1_000
"""Optimizing fewer changes than this is not worth the wait it may cause."""

IDLE_SECONDS = 1.0
"""After so long without a request no caller is likely to wait for an optimization."""

BUSY_CHANGES = 4_000
"""So many changes are optimized between two requests of a burst, before searches slow down and the work piles up."""

NEVER_IDLE_SECONDS = 300.0
"""A service that is asked something every second has no idle moment: it optimizes so often between two requests."""

LOCK_PATIENCE_SECONDS = 10.0
"""How long to wait for a predecessor that is still dying to let go of the shard."""

_HITS_PER_GROUP = 3
"""So many points are fetched for each group wanted: enough in one go where the points of a group rank apart."""
_GROWTH = 4
"""And so many times more whenever those were of too few groups."""

_FIRST_FACETS = 4096

_SCHEMAS: Mapping[str, edge.PayloadSchemaType | edge.KeywordIndexParams | edge.IntegerIndexParams] = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "prefix": edge.KeywordIndexParams(prefix=True),
    "integer": edge.PayloadSchemaType.Integer,
    "words": edge.KeywordIndexParams(prefix=True, enable_hnsw=False),
    "order": edge.IntegerIndexParams(lookup=True, range=True, enable_hnsw=False),
}


class Engine:
    """One shard with its payload indexes. Raises the engine's exceptions, which are plain `Exception`s of text."""

    def __init__(self, shard: edge.EdgeShard, directory: Path, layout: ShardLayout) -> None:
        self._shard = shard
        self._directory = directory
        self._reserve_bytes = layout.reserve_bytes
        # The engine does not tell what there is to do: it counts deleted points as indexed until it removes them. So
        # the first idle moment tries, a tenth of a millisecond where it is nothing, and no burst does before.
        self.unoptimized = min(shard.info().points_count, IDLE_CHANGES)
        """Points that came or went since the last optimization."""
        self.optimized_at = time.monotonic()
        self._optimizations = 0
        self._optimize_seconds = self._longest_optimize_seconds = 0.0
        for path, kind in layout.indexes.items():  # does nothing where there is one
            self._shard.update(edge.UpdateOperation.create_field_index(path, _SCHEMAS[kind]))
        self._shard.flush()

    @classmethod
    def create(cls, directory: Path, layout: ShardLayout) -> "Engine":
        """A new empty shard in `directory`, which must not hold one; durable on return."""
        directory.mkdir(parents=True, exist_ok=True)
        return cls(edge.EdgeShard.create(str(directory), _config(layout)), directory, layout)

    @classmethod
    def load(cls, directory: Path, layout: ShardLayout) -> "Engine":
        """The shard in `directory`, with those of the layout's indexes added that it lacks."""
        if not any((directory / "segments").glob("*")):
            # The engine would begin an empty shard in its place, and the loss would go unnoticed.
            raise FileNotFoundError(f"there are no segments in {directory}")
        # A killed optimization leaves half-built segments, which the engine would keep for ever.
        for leftover in (directory / "temp_segments").glob("*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                return cls(edge.EdgeShard.load(str(directory), _config(layout)), directory, layout)
            except Exception as error:
                if not is_lock_error(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    # Reading

    def count(self, where: Where, *, exact: bool = True) -> int:
        """See `Points`."""
        if not exact:
            return self._shard.info().points_count
        return self._shard.count(edge.CountRequest(exact=True, filter=_filter(where)))

    def facet(self, path: str, where: Where) -> Mapping[str | int, int]:
        """See `Points`."""
        limit, compiled = _FIRST_FACETS, _filter(where)
        while True:
            hits = self._shard.facet(edge.FacetRequest(path, limit=limit, exact=True, filter=compiled)).hits
            if len(hits) < limit:
                return {hit.value: hit.count for hit in hits if hit.count}  # values of before come with 0
            limit *= 8

    def query(self, query: VectorQuery) -> list[FoundPoint]:
        """See `Points`. Scores are cosines of the original vectors, though int8 copies find the candidates."""
        if query.group_by is not None:
            return self._query_groups(query, query.group_by)
        return self._hits(query)

    def _hits(self, query: VectorQuery) -> list[FoundPoint]:
        hits = self._shard.query(
            edge.QueryRequest(
                limit=query.limit,
                query=edge.Query.Nearest(query.vector.tolist(), using=query.using),
                filter=_filter(query.where),
                score_threshold=query.score_threshold,
                with_payload=_only(query.fields),
                params=_DIALECT.search_params(exact=query.exact, hnsw_ef=HNSW_EF, oversampling=OVERSAMPLING),
            )
        )
        return _DIALECT.found(hits)

    def _query_groups(self, query: VectorQuery, by: str) -> list[FoundPoint]:
        """The engine has no groups of its own."""
        asked = replace(query, limit=_HITS_PER_GROUP * query.limit, fields=(*query.fields, by), group_by=None)
        while True:
            hits, best = self._hits(asked), dict[str, FoundPoint]()
            for hit in hits:
                best.setdefault(hit.payload[by], hit)
            if len(best) >= query.limit or len(hits) < asked.limit:
                return list(best.values())[: query.limit]
            asked = replace(asked, limit=_GROWTH * asked.limit)

    def retrieve(
        self, ids: Collection[PointId], *, fields: Sequence[str] = (), vector: str | None = None
    ) -> list[FoundPoint]:
        """See `Points`."""
        points = self._shard.retrieve(list(ids), _only(fields), [vector] if vector else False)
        return [point for point in _DIALECT.found(points) if vector is None or point.vector is not None]

    def scroll(self, scroll: words.Scroll) -> tuple[list[FoundPoint], PointId | None]:
        """See `Points`."""
        order = None
        if scroll.order_by is not None:
            direction = edge.Direction.Desc if scroll.is_descending else edge.Direction.Asc
            order = edge.OrderBy(scroll.order_by, direction, scroll.start_from)
        points, rest = self._shard.scroll(
            edge.ScrollRequest(
                limit=scroll.limit,
                offset=scroll.after,
                filter=_filter(scroll.where),
                with_payload=_only(scroll.fields),
                with_vector=False,
                order_by=order,
            )
        )
        return _DIALECT.found(points), None if rest is None else str(rest)

    # Writing

    def write(self, writes: Sequence[words.Write]) -> list[LookalikeError | None]:
        """Apply writes in order, then flush once, so that they survive a kill. The failure of each write, or None.

        Where that fails they are applied one by one, so that only those fail which cannot be done.
        """
        try:
            self._apply([operation for write in writes for operation in write])
        except Exception as error:  # the engine raises nothing more specific
            if len(writes) > 1:
                return [outcome for write in writes for outcome in self.write([write])]
            refused = RepositoryUnavailableError(f"The index refused a change: {error}")
            return [error if isinstance(error, LookalikeError) else refused]
        return [None] * len(writes)

    def _apply(self, operations: words.Write) -> None:
        # The engine dies of a full disk (SIGBUS in its mapped files): refuse before. Deleting must stay possible.
        is_full = shutil.disk_usage(self._directory).free < self._reserve_bytes
        for operation in _merged(operations):
            if is_full and not isinstance(operation, Delete):
                raise StorageFullError(
                    f"No room is left to store images: {self._directory} has less than the reserve of "
                    f"{self._reserve_bytes / 1e6:.0f} MB free. Delete images or make room."
                )
            self._update(operation)
        try:
            self._update(Delete([id_ for each in operations if isinstance(each, words.Discard) for id_ in each.ids]))
        except Exception as error:  # the engine raises nothing more specific
            print(f"lookalike: objects that were replaced are left in the index: {error}", file=sys.stderr)  # noqa: T201
        self._shard.flush()

    def _update(self, operation: words.Operation) -> None:
        match operation:
            case words.Upsert(points):
                last_of_each = {each.id: each for each in points}.values()
                stored = [
                    edge.Point(each.id, {each.vector_name: each.vector.tolist()}, each.payload) for each in last_of_each
                ]
                self._change(len(stored), edge.UpdateOperation.upsert_points(stored))
            case Delete(ids):
                self._change(len(ids), edge.UpdateOperation.delete_points(list(ids)))
            case words.SetPayload(payload, ids):
                # The engine moves the points, with their vectors, to a segment that has no index yet.
                which = _filter(operation.which) or edge.Filter()
                self._change(len(ids), edge.UpdateOperation.set_payload_by_filter(which, payload))

    def _change(self, points: int, operation: edge.UpdateOperation) -> None:
        if points:
            self._shard.update(operation)
            self.unoptimized += points

    # The shard itself

    def details(self) -> dict[str, int | float]:
        """The engine's own figures."""
        info = self._shard.info()
        return {
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
        self.unoptimized, self.optimized_at = 0, time.monotonic()
        if shutil.disk_usage(self._directory).free < self._reserve_bytes:
            return
        began = time.monotonic()
        if self._shard.optimize():  # else there was nothing to do
            seconds = time.monotonic() - began
            self._optimizations += 1
            self._optimize_seconds += seconds
            self._longest_optimize_seconds = max(self._longest_optimize_seconds, seconds)

    def close(self) -> None:
        """Make everything durable and let go of the files."""
        self._shard.flush()
        self._shard.close()


def _merged(operations: words.Write) -> list[words.Operation]:
    """The operations without the discards, in their order.

    Upserts that follow each other are one, hence one entry of the engine's log: many times as fast as one by one, and
    no crash comes in between.
    """
    merged: list[words.Operation] = []
    for operation in operations:
        before = merged[-1] if merged else None
        if isinstance(operation, words.Upsert) and isinstance(before, words.Upsert):
            merged[-1] = words.Upsert([*before.points, *operation.points])
        elif not isinstance(operation, words.Discard):
            merged.append(operation)
    return merged


def is_lock_error(error: BaseException) -> bool:
    """Whether the engine says that another process holds the shard. It has no typed errors."""
    return "WouldBlock" in str(error)


def _config(layout: ShardLayout) -> edge.EdgeConfig:
    """Originals on disk and int8 copies in memory: what bounds memory at scale, and rescoring makes up for it.

    The engine keeps room for each of the vectors in every point, though no point has two. With one vector for images
    and objects and a filter on the kind, 10,000 images with 50,000 objects took half the disk and 15 % less memory, but
    recall@10 of images fell from 1.0 to .90.
    """
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                size=layout.dimension,
                distance=edge.Distance.Cosine,
                memory=edge.Memory.Cold,
                quantization_config=edge.ScalarQuantizationConfig(
                    edge.ScalarType.Int8, quantile=0.99, memory=edge.Memory.Pinned
                ),
            )
            for name in layout.vectors
        },
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
        optimizers=edge.EdgeOptimizersConfig(
            max_segment_size=MAX_SEGMENT_KILOBYTES,
            indexing_threshold=INDEXING_THRESHOLD_KILOBYTES,
            default_segment_number=2,
        ),
    )


# Our words in the engine's

_DIALECT = Dialect(edge, edge.RangeFloat, edge.IsEmptyCondition, lambda ids: edge.HasIdCondition(set(ids)))
_filter = _DIALECT.filter


def _only(fields: Sequence[str]) -> edge.PayloadSelector | bool:
    return edge.PayloadSelector.Include(list(fields)) if fields else False


# The process


def serve(pipe: Connection) -> None:
    """Open a shard and answer requests one after the other, until the parent closes the pipe or is gone.

    Optimizes when idle, and between two requests where changes pile up. The first message is what to open; each other
    names a method of the engine, what it takes, and whether more requests come right after. The answer is what it
    returns, or a LookalikeError.
    """
    engine: Engine | None = None
    try:
        engine, failure = _opened(*pipe.recv())
        pipe.send(failure)
        while engine is not None:
            if engine.unoptimized >= IDLE_CHANGES and not pipe.poll(IDLE_SECONDS):
                _optimize(engine)
            verb, args, kwargs, others_wait = pipe.recv()
            try:
                answer = getattr(engine, verb)(*args, **kwargs)
            except Exception as error:  # the engine raises nothing more specific
                answer = RepositoryUnavailableError(f"The index failed: {error}")
            pipe.send(answer)
            never_idle = time.monotonic() - engine.optimized_at > NEVER_IDLE_SECONDS
            enough = IDLE_CHANGES if never_idle else BUSY_CHANGES
            if engine.unoptimized >= (2 * BUSY_CHANGES if others_wait else enough):
                _optimize(engine)
    except (EOFError, OSError):
        pass
    if engine is not None:
        engine.close()


def _opened(directory: Path, layout: ShardLayout, create: bool) -> tuple[Engine | None, LookalikeError | None]:
    try:
        return (Engine.create if create else Engine.load)(directory, layout), None
    except BaseException as error:  # the engine raises nothing more specific, and its panics are no `Exception`s
        if is_lock_error(error):
            return None, in_use(directory.parent)
        if shutil.disk_usage(directory.parent).free < layout.reserve_bytes:  # opening may be for reading only
            return None, RepositoryUnavailableError(
                f"The index in {directory} cannot be opened while less than the reserve of "
                f"{layout.reserve_bytes / 1e6:.0f} MB is free: {error}. Make room."
            )
        return None, cannot_be_opened(directory, str(error))


def _optimize(engine: Engine) -> None:
    try:
        engine.optimize()
    except Exception as error:  # the engine raises nothing more specific
        # The index stays whole and serves, slower; the next round of changes tries again.
        print(f"lookalike: the index could not be optimized: {error}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    begin(end_with_parents_thread=True)
    serve(Connection(int(sys.argv[1])))
