"""Objects in the embedded repository: crashes amid their writes, orphans, and searches of optimized segments."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as engine

from adapters.repositories.edge import shard_reads
from adapters.repositories.edge.edge_similarity_repository import QdrantEdgeSimilarityRepository
from adapters.repositories.edge.owner import IDLE_SECONDS
from adapters.repositories.edge.requests import Delete, Failure, FailureKind, Nearest, SetMetadata, Upsert
from adapters.repositories.edge.shard import IDLE_CHANGES, Shard
from adapters.repositories.edge.shard_reads import MissingObjectsError, ShardReads
from adapters.repositories.edge.upserts import upserts_of
from adapters.repositories.payload import RECORD_FIELDS, payload_indexes
from domain.embeddings import Embedding
from domain.filters import EVERYTHING, AnyOf, Field, Filter
from domain.images import ImageId, IndexedImage, Match
from domain.ports.similarity_repository import MAX_WINDOW, SimilarityRepository
from tests.builders import a_space, an_embedding, an_id, an_image, an_object, some_embeddings

SPACE = a_space(16)


def with_objects(number: int, turn: int = 0, *, count: int | None = None) -> IndexedImage:
    """Image `number` as its `turn`-th version shows it: objects, labels and metadata tell the versions apart."""
    count = (number + turn) % 4 if count is None else count
    return an_image(
        number,
        objects=tuple(an_object(f"turn {turn}", x=float(place)) for place in range(count)),
        object_embeddings=some_embeddings(count, seed=1_000 * number + turn),
        metadata={"turn": turn},
    )


async def assert_stored_whole(repository: SimilarityRepository, images: Sequence[IndexedImage]) -> None:
    """The repository holds exactly these images, by every way of reading them."""
    stored = {image.record.id: image for image in images}
    assert {record.id: record for record in (await repository.list(limit=10_000)).items} == {
        id_: image.record for id_, image in stored.items()
    }
    status = await repository.status()
    assert (status.images, status.objects) == (len(images), sum(len(image.record.objects) for image in images))
    vectors = await repository.object_embeddings(list(stored))
    for id_, image in stored.items():
        np.testing.assert_allclose(vectors[id_], image.object_embeddings, atol=1e-6)
    turns: set[int | None] = {int(str(image.record.metadata["turn"])) for image in images}
    for turn in turns | {None}:
        where = EVERYTHING if turn is None else Filter(all=(AnyOf(Field("metadata.turn"), (turn,)),))
        expected = {
            id_: max(float(vector @ an_embedding(7)) for vector in image.object_embeddings)
            for id_, image in stored.items()
            if image.record.objects and where.matches(image.record)
        }
        matches = await repository.nearest_objects(an_embedding(7), limit=MAX_WINDOW, exact=True, where=where)
        assert {match.image.id: match.score for match in matches} == pytest.approx(expected, abs=1e-5)
        for match in matches:
            assert match.image == stored[match.image.id].record
            assert match.region in match.image.objects


async def test_a_killed_owner_leaves_every_image_with_its_objects(tmp_path: Path) -> None:
    repository = QdrantEdgeSimilarityRepository(tmp_path / "index", reserve_bytes=0)
    await repository.open(SPACE)
    acknowledged: dict[int, IndexedImage | None] = {}
    writes = 0

    async def write(writer: int) -> None:
        """Create, replace, edit and delete images of its own, one write after the other."""
        nonlocal writes
        chance = random.Random(writer)
        for turn in itertools.count():
            number = 100 * writer + chance.randrange(8)
            before = acknowledged.get(number)
            match chance.choice(["upsert", "upsert", "metadata", "delete"]):
                case "metadata" if before is not None:
                    after: IndexedImage | None = with_metadata(before, turn)
                    await repository.set_metadata(an_id(number), {"turn": turn})
                case "delete":
                    after = None
                    await repository.delete([an_id(number)])
                case _:
                    after = with_objects(number, turn)
                    await repository.upsert([after])
            acknowledged[number] = after
            writes += 1
            if done.is_set():
                return

    done = asyncio.Event()
    writers = [asyncio.create_task(write(writer)) for writer in range(8)]
    for round_ in range(8):
        already = writes
        while writes < already + 30 + 7 * round_:  # noqa: ASYNC110 - amid the writing, not after a write
            await asyncio.sleep(0.003)
        os.kill(int((await repository.status()).details["owner_pid"]), signal.SIGKILL)
    done.set()
    await asyncio.gather(*writers)

    expected = [image for image in acknowledged.values() if image is not None]
    assert expected
    await assert_stored_whole(repository, expected)
    await repository.close()
    await repository.open(SPACE)
    await assert_stored_whole(repository, expected)
    await repository.close()


def with_metadata(image: IndexedImage, turn: int) -> IndexedImage:
    number = int(image.record.filename[:5])
    return IndexedImage(
        record=an_image(number, objects=image.record.objects, metadata={"turn": turn}).record,
        embedding=image.embedding,
        object_embeddings=image.object_embeddings,
    )


WRITER = """
import asyncio, itertools, sys
from pathlib import Path
from adapters.repositories.edge.edge_similarity_repository import QdrantEdgeSimilarityRepository
from domain.images import IndexedImage
from tests.builders import a_space
from tests.integration.test_edge_objects import with_objects

async def main():
    repository = QdrantEdgeSimilarityRepository(Path(sys.argv[1]), reserve_bytes=0)
    await repository.open(a_space(16))
    for turn in itertools.count():
        await repository.upsert([with_objects(number, turn) for number in range(10)])
        print(turn, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("turns", [3, 7, 12])
async def test_a_killed_parent_leaves_every_image_with_its_objects(
    tmp_path: Path, pytestconfig: pytest.Config, turns: int
) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs meanwhile
        [sys.executable, "-c", WRITER, str(tmp_path / "index")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pytestconfig.rootpath,
    ) as parent:
        assert parent.stdout is not None
        acknowledged = [int(parent.stdout.readline()) for _ in range(turns)]
        parent.kill()
        acknowledged += map(int, parent.stdout.read().split("\n")[:-1])

    repository = QdrantEdgeSimilarityRepository(tmp_path / "index", reserve_bytes=0)
    await repository.open(SPACE)
    stored = [record.metadata["turn"] for record in (await repository.list(limit=100)).items]
    assert len(stored) == 10
    assert set(stored) <= {acknowledged[-1], acknowledged[-1] + 1}
    turns_of = {record.id: int(str(record.metadata["turn"])) for record in (await repository.list(limit=100)).items}
    await assert_stored_whole(repository, [with_objects(number, turns_of[an_id(number)]) for number in range(10)])
    await repository.close()


class CrashError(Exception):
    """Stands for the end of the process at this point."""


class Crashing(Shard):
    """A shard whose process ends after a number of the engine's operations."""

    operations_left = 10**9

    def _update(self, operation: object) -> Failure | None:
        if self.operations_left == 0:
            raise CrashError
        self.operations_left -= 1
        return super()._update(operation)  # type: ignore[arg-type]


@pytest.fixture
def shard(tmp_path: Path) -> Crashing:
    created = Crashing.create(tmp_path / "shard", 16, payload_indexes({}), reserve_bytes=0)
    assert isinstance(created, Crashing)
    return created


def stored(shard: Shard, images: Sequence[IndexedImage]) -> Upsert:
    [upsert] = upserts_of(images, SPACE)
    assert shard.write([upsert]) == [None]
    return upsert


def crash(shard: Crashing, change: Upsert | Delete, *, after: int) -> None:
    """End amid the writing of `change`; then open again."""
    shard.operations_left = after
    with pytest.raises(CrashError):
        shard.write([change])
    shard.operations_left = 10**9


def a_search(query: Embedding, *, limit: int = 100, offset: int = 0) -> Nearest:
    return Nearest(
        vector=query.tobytes(),
        limit=limit,
        offset=offset,
        score_threshold=None,
        where=EVERYTHING,
        leave_out=frozenset(),
        exact=False,
    )


def found(shard: Shard, query: Embedding, *, limit: int = 100, offset: int = 0) -> list[Match]:
    return [hit.match() for hit in shard.nearest_objects(a_search(query, limit=limit, offset=offset))]


def every_orphan(shard: Shard) -> dict[ImageId, int]:
    """In steps of two objects, of which none may be missed."""
    found: dict[ImageId, int] = {}
    after = None
    while True:
        some, after = shard.reads.orphans(after, 2)
        found |= {id_: found.get(id_, 0) + count for id_, count in some.items()}
        if after is None:
            return found


def regions(matches: Sequence[Match]) -> Mapping[ImageId, str]:
    return {match.image.id: match.region.label for match in matches if match.region is not None}


class TestCrashAmidAWrite:
    @pytest.mark.parametrize(("after", "turn", "orphans"), [(0, 0, 0), (1, 0, 2), (2, 1, 3)])
    def test_a_replaced_image_has_its_old_objects_or_its_new_ones(
        self, shard: Crashing, after: int, turn: int, orphans: int
    ) -> None:
        stored(shard, [with_objects(1, 0, count=3), with_objects(2, 0, count=1)])
        [upsert] = upserts_of([with_objects(1, 1, count=2)], SPACE)

        crash(shard, upsert, after=after)

        assert shard.figures()["points"] == 2 + (3 if turn == 0 else 2) + 1 + orphans
        assert shard.figures()["objects"] == (3 if turn == 0 else 2) + 1
        assert regions(found(shard, an_embedding(7))) == {an_id(1): f"turn {turn}", an_id(2): "turn 0"}
        assert len(shard.reads.object_vectors([an_id(1)])[an_id(1)]) == 16 * 4 * (3 if turn == 0 else 2)
        assert shard.figures()["points"] == 2 + (3 if turn == 0 else 2) + 1, "a search sweeps the orphans it meets"

    @pytest.mark.parametrize("after", [0, 1, 2])
    def test_the_same_write_again_completes_it(self, shard: Crashing, after: int) -> None:
        stored(shard, [with_objects(1, 0, count=3)])
        [upsert] = upserts_of([with_objects(1, 1, count=2)], SPACE)
        crash(shard, upsert, after=after)

        for _ in range(2):
            assert shard.write([upsert]) == [None]

        assert shard.figures()["points"] == 1 + 2
        assert regions(found(shard, an_embedding(7))) == {an_id(1): "turn 1"}

    def test_a_new_image_without_its_commit_is_not_there(self, shard: Crashing) -> None:
        [upsert] = upserts_of([with_objects(1, count=2)], SPACE)
        crash(shard, upsert, after=1)
        assert shard.figures()["points"] == 2
        assert shard.reads.count(EVERYTHING) == 0
        assert found(shard, an_embedding(7)) == []
        assert shard.figures()["points"] == 0

    @pytest.mark.parametrize(("after", "orphans"), [(0, 0), (1, 2), (2, 3)])
    def test_orphans_are_counted_by_image_and_swept(self, shard: Crashing, after: int, orphans: int) -> None:
        stored(shard, [with_objects(1, 0, count=3), with_objects(2, 0, count=1)])
        [upsert] = upserts_of([with_objects(1, 1, count=2)], SPACE)
        crash(shard, upsert, after=after)

        assert every_orphan(shard) == ({an_id(1): orphans} if orphans else {})
        assert shard.sweep_objects([an_id(2), an_id(3)]) == 0
        assert shard.sweep_objects([an_id(1), an_id(2)]) == orphans
        assert every_orphan(shard) == {}
        assert shard.figures()["points"] == 2 + (3 if after < 2 else 2) + 1

    def test_orphans_of_an_image_that_never_was_are_swept(self, shard: Crashing) -> None:
        [upsert] = upserts_of([with_objects(1, count=2)], SPACE)
        crash(shard, upsert, after=1)
        assert every_orphan(shard) == {an_id(1): 2}
        assert shard.sweep_objects([an_id(1)]) == 2
        assert shard.figures()["points"] == 0

    def test_a_deleted_image_is_there_whole_or_gone_whole(self, shard: Crashing) -> None:
        stored(shard, [with_objects(1, count=2), with_objects(2, count=1)])
        crash(shard, Delete([an_id(1)]), after=0)
        assert (shard.figures()["images"], shard.figures()["points"]) == (2, 5)
        assert shard.write([Delete([an_id(1)])]) == [None]
        assert (shard.figures()["images"], shard.figures()["points"]) == (1, 2)

    def test_pages_are_whole_though_orphans_rank_first(self, shard: Crashing) -> None:
        query = an_embedding(7)
        stored(shard, [with_objects(number, count=1) for number in range(20)])
        crowd = np.repeat(query[np.newaxis], 100, axis=0)
        objects = tuple(an_object("orphan", x=float(place)) for place in range(100))
        images = [an_image(number, objects=objects, object_embeddings=crowd) for number in (3, 30, 31)]
        for upsert in upserts_of(images, SPACE):
            crash(shard, upsert, after=1)
        expected = sorted(
            range(20), key=lambda number: -float(with_objects(number, count=1).object_embeddings[0] @ query)
        )

        page = found(shard, query, limit=5, offset=5)

        assert [match.image.id for match in page] == [an_id(number) for number in expected[5:10]]
        assert found(shard, query, limit=1)[0].image.id == an_id(expected[0])
        assert set(regions(found(shard, query)).values()) == {"turn 0"}
        assert shard.figures()["points"] == 40


class TestShard:
    def test_an_object_that_is_missing_is_named_by_its_image(self, shard: Crashing) -> None:
        upsert = stored(shard, [with_objects(1, count=2), with_objects(2, count=1)])
        shard._update(engine.UpdateOperation.delete_points([upsert.generations[0].point_ids[0]]))
        with pytest.raises(MissingObjectsError, match=str(an_id(1))):
            shard.reads.object_vectors([an_id(2), an_id(1)])

    def test_an_objects_point_is_no_image(self, shard: Crashing) -> None:
        upsert = stored(shard, [with_objects(1, count=2)])
        object_ids = list(upsert.generations[0].point_ids)
        assert [image.id for image in shard.reads.get([an_id(1), *object_ids])] == [an_id(1)]
        assert shard.reads.vectors([an_id(1), *object_ids]).keys() == {an_id(1)}
        assert shard.reads.object_vectors([an_id(1), *object_ids]).keys() == {an_id(1)}
        assert shard.write([Delete(object_ids)]) == [None]
        [failure] = shard.write([SetMetadata(object_ids[0], {"x": 1})])
        assert failure == Failure(FailureKind.NOT_FOUND, ids=(object_ids[0],))
        assert len(found(shard, an_embedding(7))) == 1
        assert shard.figures()["points"] == 3

    def test_optimizing_is_due_by_what_objects_came_and_went_too(self, shard: Crashing) -> None:
        stored(shard, [with_objects(1, count=3)])
        assert shard.unoptimized == 4
        stored(shard, [with_objects(1, count=1)])
        assert shard.unoptimized == 4 + 2 + 3
        shard.write([Delete([an_id(1), an_id(2)])])
        assert shard.unoptimized == 9 + 2

    def test_optimizing_is_due_by_what_metadata_took_out_of_the_index_too(self, shard: Crashing) -> None:
        stored(shard, [with_objects(1, count=3)])
        shard.write([SetMetadata(an_id(1), {"x": 1}), SetMetadata(an_id(2), {"x": 1})])
        assert shard.unoptimized == 4 + 4

    def test_what_is_due_is_known_after_deletions_and_a_restart_too(self, tmp_path: Path) -> None:
        dimension = 20_000  # so that few vectors are above the engine's indexing threshold
        shard = Shard.create(tmp_path / "shard", dimension, payload_indexes({}), reserve_bytes=0)
        images = [an_image(number, dimension=dimension) for number in range(140)]
        for upsert in upserts_of(images, a_space(dimension)):
            shard.write([upsert])
        shard.optimize()
        assert (shard.figures()["indexed_vectors"], shard.figures()["optimizations"]) == (140, 1)
        shard.write([Delete([image.record.id for image in images[:130]])])
        shard.close()

        again = Shard.load(tmp_path / "shard", dimension, payload_indexes({}), reserve_bytes=0)
        assert again.figures()["indexed_vectors"] == 140  # the engine keeps the deleted ones a while
        assert again.unoptimized == 10
        again.optimize()
        assert (again.figures()["optimizations"], again.unoptimized) == (0, 0)  # there was nothing to do
        again.close()

    def test_copies_that_the_graph_does_not_reach_are_found(self, tmp_path: Path) -> None:
        dimension = 20_000  # so that few vectors are above the engine's indexing threshold
        shard = Shard.create(tmp_path / "shard", dimension, payload_indexes({}), reserve_bytes=0)
        images = [
            an_image(number, embedding=an_embedding(number if number % 5 else 0, dimension=dimension))
            for number in range(400)
        ]
        for upsert in upserts_of(images, a_space(dimension)):
            shard.write([upsert])
        shard.optimize()
        assert shard.figures()["indexed_vectors"] == 400
        copies = sorted(image.record.id for image in images[::5])
        for query in (an_embedding(0, dimension=dimension), an_embedding(1, dimension=dimension)):
            pages = [shard.reads.nearest(a_search(query, limit=30, offset=offset)) for offset in range(0, 400, 30)]
            found = [hit.id for page in pages for hit in page]
            assert len(found) == len(set(found)) == 400
            assert [id_ for id_ in found if id_ in set(copies)] == copies
        shard.close()

    def test_in_a_large_index_they_are_not_looked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[bool] = []

        class Noting(ShardReads):
            def _query(self, *given: Any, exact: bool, **options: Any) -> Any:
                asked.append(exact)
                return super()._query(*given, exact=exact, **options)

        shard = Shard.create(tmp_path / "shard", 16, payload_indexes({}), reserve_bytes=0)
        for upsert in upserts_of([an_image(number, embedding=an_embedding(0)) for number in range(30)], SPACE):
            shard.write([upsert])
        reads = Noting(shard.reads._shard)
        for bound, expected in ((30, [False, True]), (29, [False, False])):
            monkeypatch.setattr(shard_reads, "COMPARED_UP_TO", bound)
            asked.clear()
            assert len(reads.nearest(a_search(an_embedding(0), limit=10))) == 10
            assert asked == expected
        shard.close()

    def test_an_index_that_opens_is_not_optimized_before_it_is_idle(self, tmp_path: Path) -> None:
        shard = Shard.create(tmp_path / "shard", 16, payload_indexes({}), reserve_bytes=0)
        for upsert in upserts_of([an_image(number) for number in range(IDLE_CHANGES + 1)], SPACE):
            shard.write([upsert])
        shard.close()
        again = Shard.load(tmp_path / "shard", 16, payload_indexes({}), reserve_bytes=0)
        assert again.unoptimized == IDLE_CHANGES
        again.close()

    def test_of_a_payload_only_what_a_record_needs_is_read(self, shard: Crashing) -> None:
        stored(shard, [with_objects(1, count=3)])
        [hit] = shard.reads.nearest(a_search(an_embedding(1)))
        assert hit.payload.keys() == set(RECORD_FIELDS)
        assert hit.match().image == with_objects(1, count=3).record

    def test_without_room_images_go_with_their_objects_and_none_come(self, tmp_path: Path) -> None:
        indexes = payload_indexes({})
        roomy = Shard.create(tmp_path / "shard", 16, indexes, reserve_bytes=0)
        stored(roomy, [with_objects(1, count=3), with_objects(2, count=1)])
        roomy.close()
        full = Shard.load(tmp_path / "shard", 16, indexes, reserve_bytes=10**18)
        [upsert] = upserts_of([with_objects(3, count=2)], SPACE)
        refused, deleted = full.write([upsert, Delete([an_id(1)])])
        assert refused is not None
        assert (refused.kind, deleted) == (FailureKind.STORAGE_FULL, None)
        assert full.figures()["points"] == 2


async def test_optimized_objects_are_found_like_unoptimized_ones(tmp_path: Path) -> None:
    """Above the engine's indexing threshold, where points without the vector must not show up."""
    repository = QdrantEdgeSimilarityRepository(tmp_path / "index", reserve_bytes=0)
    await repository.open(a_space(1280))
    images = [
        an_image(
            number,
            dimension=1280,
            objects=tuple(an_object(f"label {number % 7}", x=float(place)) for place in range(4)),
            object_embeddings=some_embeddings(4, seed=number, dimension=1280),
        )
        for number in range(600)
    ]
    await repository.upsert(images)
    while not (status := await repository.status()).details["indexed_vectors"]:  # noqa: ASYNC110 - it is another process that ends
        await asyncio.sleep(IDLE_SECONDS + 0.01)  # it waits until nobody asks
    assert (status.images, status.objects) == (600, 2_400)

    wanted = images[77].object_embeddings[2]
    [best] = await repository.nearest_objects(wanted, limit=1)
    assert (best.image.id, best.region) == (an_id(77), images[77].record.objects[2])
    assert best.score == pytest.approx(1.0, abs=1e-5)
    assert len(await repository.nearest_objects(wanted, limit=2_000)) == 600
    assert len(await repository.nearest(wanted, limit=2_000)) == 600
    labelled = Filter(all=(AnyOf(Field("labels"), ("label 3",)),))
    approximate = await repository.nearest_objects(wanted, limit=50, where=labelled)
    truth = {
        image.record.id: float(np.max(image.object_embeddings @ wanted))
        for image in images
        if "label 3" in image.record.labels
    }
    best_of_all = sorted(truth.values(), reverse=True)[:50]
    assert {match.image.id for match in approximate} <= truth.keys()
    assert [match.score for match in approximate] == pytest.approx(best_of_all, abs=0.01)
    for match in approximate:
        assert match.score == pytest.approx(truth[match.image.id], abs=1e-5)
    await repository.close()
