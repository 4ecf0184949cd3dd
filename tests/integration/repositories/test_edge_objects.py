"""Objects in the embedded repository: crashes amid their writes, orphans, and searches of optimized segments."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.repositories.qdrant import ranking
from adapters.repositories.qdrant import repository as qdrant
from adapters.repositories.qdrant.embedded import repository as embedded
from adapters.repositories.qdrant.embedded.engine import IDLE_CHANGES, IDLE_SECONDS, Engine
from adapters.repositories.qdrant.embedded.manifest import ShardLayout
from adapters.repositories.qdrant.layout import (
    RECORD_FIELDS,
    Generation,
    image_point,
    object_points,
    record_of,
)
from adapters.repositories.qdrant.points import ANY_POINT, Delete, Point, PointId, SetPayload, Upsert
from adapters.stores.directory_backup_archive import DirectoryBackupArchive
from adapters.stores.file_system_image_store import FileSystemImageStore
from application.back_up import BackUp
from domain.embeddings import Embedding
from domain.errors import IndexDamagedError, RepositoryUnavailableError, StorageFullError
from domain.filters import EVERYTHING, AnyOf, Field, Filter
from domain.images import ImageId, IndexedImage, Match
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import MAX_WINDOW
from tests.builders import a_query, a_record, a_space, an_embedding, an_id, an_image, an_object, some_embeddings
from tests.repositories import embedded_repository

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
        matches = await repository.nearest_objects(a_query(an_embedding(7), limit=MAX_WINDOW, exact=True, where=where))
        assert {match.image.id: match.score for match in matches} == pytest.approx(expected, abs=1e-5)
        for match in matches:
            assert match.image == stored[match.image.id].record
            assert match.region in match.image.objects


async def test_a_killed_owner_leaves_every_image_with_its_objects(tmp_path: Path) -> None:
    repository = embedded_repository(tmp_path / "index")
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
                    await repository.update([a_record(number, metadata={"turn": turn})])
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
from tests.builders import a_record, a_space
from tests.integration.repositories.test_edge_objects import with_objects
from tests.repositories import embedded_repository

async def main():
    repository = embedded_repository(Path(sys.argv[1]))
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

    repository = embedded_repository(tmp_path / "index")
    await repository.open(SPACE)
    stored = [record.metadata["turn"] for record in (await repository.list(limit=100)).items]
    assert len(stored) == 10
    assert set(stored) <= {acknowledged[-1], acknowledged[-1] + 1}
    turns_of = {record.id: int(str(record.metadata["turn"])) for record in (await repository.list(limit=100)).items}
    await assert_stored_whole(repository, [with_objects(number, turns_of[an_id(number)]) for number in range(10)])
    await repository.close()


class CrashError(BaseException):
    """Stands for the end of the process at this point."""


class Crashing(Engine):
    """An engine whose process ends after a number of its operations."""

    operations_left = 10**9

    def _update(self, operation: Any) -> None:
        if self.operations_left == 0:
            raise CrashError
        self.operations_left -= 1
        super()._update(operation)


class ProcessHere:
    """Stands for the engine's process: has the engine in this one, and notes what is asked of it."""

    pid = restarts = 0
    longest_wait_seconds = 0.0

    def __init__(self, directory: Path, layout: ShardLayout, *, timeout_seconds: float) -> None:
        del timeout_seconds
        self._directory = directory
        self._layout = layout
        self.asked: list[tuple[str, Any, Any]] = []
        """Verbs, what they were asked with, and what the answer was."""

    async def start(self, *, create: bool) -> None:
        self.engine = (Crashing.create if create else Crashing.load)(self._directory, self._layout)

    async def ask(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        self.asked.append((verb, args, None))
        try:
            answer = getattr(self.engine, verb)(*args, **kwargs)
        except CrashError as error:
            raise RepositoryUnavailableError("The process died over it.") from error
        self.asked[-1] = (verb, args, answer)
        return answer

    async def stop(self) -> None:
        self.engine.close()


class Here:
    """A repository whose engine is in this process, where it can be looked into and ends amid a write when told to."""

    def __init__(self, directory: Path, *, dimension: int = 16) -> None:
        self._directory = directory
        self.space = a_space(dimension)
        self._died_over: Any = None

    async def open(self, *, reserve_bytes: int = 0) -> None:
        self.repository = embedded_repository(self._directory, reserve_bytes=reserve_bytes)
        await self.repository.open(self.space)

    async def open_again(self, *, reserve_bytes: int = 0) -> None:
        await self.repository.close()
        await self.open(reserve_bytes=reserve_bytes)

    @property
    def process(self) -> ProcessHere:
        process: Any = self.repository.points.process
        assert isinstance(process, ProcessHere)
        return process

    @property
    def engine(self) -> Any:
        return self.process.engine

    async def crash(self, write: Coroutine[Any, Any, None], *, after: int) -> bool:
        """End amid the write, after so many of its operations, and open again. False if it has no more than these."""
        self.engine.operations_left = after
        try:
            await write
        except RepositoryUnavailableError:
            self._died_over = self.process.asked[-1]
            await self.open_again()
            return True
        self.engine.operations_left = 10**9
        return False

    async def ask_again(self) -> None:
        """What the process died over is asked again of its successor."""
        verb, args, _ = self._died_over
        assert (verb, await self.process.ask(verb, *args)) == ("write", [None])

    async def leave_orphans(self, image: IndexedImage) -> None:
        """Store the image's objects without what commits them."""
        points = object_points(image.record, Generation.new(image.record), image.object_embeddings, self.space)
        await self.repository.points.write([Upsert(points)])

    @property
    def point_count(self) -> int:
        return int(self.engine.details()["points"])

    async def ids_of_objects(self, number: int) -> Sequence[PointId]:
        """The ids of the points of an image's objects."""
        [generation] = (await self.repository._generations([str(an_id(number))])).values()
        return generation.point_ids

    async def found(self, query: Embedding, *, limit: int = 100, offset: int = 0) -> Sequence[Match]:
        """With the orphans gone that the search has met, for which it does not wait itself."""
        matches = await self.repository.nearest_objects(a_query(query, limit=limit, offset=offset))
        await self.swept()
        return matches

    async def swept(self) -> None:
        await self.repository.points.finish()


@pytest.fixture
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    monkeypatch.setattr(embedded, "EngineProcess", ProcessHere)
    here = Here(tmp_path / "index")
    await here.open()
    yield here
    await here.repository.close()


@pytest.fixture
async def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    """With vectors so long that few are above the engine's indexing threshold."""
    monkeypatch.setattr(embedded, "EngineProcess", ProcessHere)
    here = Here(tmp_path / "index", dimension=20_000)
    await here.open()
    yield here
    await here.repository.close()


def regions(matches: Sequence[Match]) -> Mapping[ImageId, str]:
    return {match.image.id: match.region.label for match in matches if match.region is not None}


BEFORE = [with_objects(1, 0, count=3), with_objects(2, 0, count=1), with_objects(3, 0, count=0)]
WRITES: Mapping[str, tuple[Callable[[SimilarityRepository], Coroutine[Any, Any, None]], list[IndexedImage]]] = {
    "a new image": (
        lambda repository: repository.upsert([with_objects(9, 1, count=2)]),
        [*BEFORE, with_objects(9, 1, count=2)],
    ),
    "other objects": (
        lambda repository: repository.upsert([with_objects(1, 1, count=2)]),
        [with_objects(1, 1, count=2), *BEFORE[1:]],
    ),
    "no objects any more": (
        lambda repository: repository.upsert([with_objects(1, 1, count=0)]),
        [with_objects(1, 1, count=0), *BEFORE[1:]],
    ),
    "objects where there were none": (
        lambda repository: repository.upsert([with_objects(3, 1, count=2)]),
        [*BEFORE[:2], with_objects(3, 1, count=2)],
    ),
    "other metadata": (
        lambda repository: repository.update([a_record(1, metadata={"turn": 1})]),
        [with_metadata(BEFORE[0], 1), *BEFORE[1:]],
    ),
    "a deletion": (lambda repository: repository.delete([an_id(1), an_id(2)]), BEFORE[2:]),
}


def count_points(images: Sequence[IndexedImage]) -> int:
    return sum(1 + len(image.record.objects) for image in images)


class TestCrashAmidAWrite:
    @pytest.mark.parametrize("afterwards", ["a search", "a sweep", "the same again"])
    @pytest.mark.parametrize("name", WRITES)
    async def test_it_has_happened_or_not_wherever_it_is_cut_short(
        self, here: Here, monkeypatch: pytest.MonkeyPatch, name: str, afterwards: str
    ) -> None:
        monkeypatch.setattr(qdrant, "SCROLLED_AT_ONCE", 2)  # of which no step may miss any
        write, after = WRITES[name]
        for operations in itertools.count():
            await here.repository.delete([record.id for record in (await here.repository.list(limit=100)).items])
            await here.repository.upsert(BEFORE)
            assert here.point_count == count_points(BEFORE)
            if not await here.crash(write(here.repository), after=operations):
                break
            records = {record.id: record for record in (await here.repository.list(limit=100)).items}
            [whole] = [
                images for images in (BEFORE, after) if records == {image.record.id: image.record for image in images}
            ]
            orphans = here.point_count - count_points(whole)
            assert sum((await here.repository.orphaned_objects()).values()) == orphans
            match afterwards:
                case "a search":  # sweeps the orphans that it meets
                    for image in (*BEFORE, *after):
                        for vector in image.object_embeddings:
                            await here.found(vector, limit=1)
                case "a sweep":
                    assert await here.repository.sweep_objects([an_id(number) for number in (1, 2, 3, 9)]) == orphans
                case "the same again":
                    await here.ask_again()
                    await here.ask_again()
                    whole = after
            assert await here.repository.orphaned_objects() == {}
            assert here.point_count == count_points(whole)
            await assert_stored_whole(here.repository, whole)
        assert operations >= 1
        assert here.point_count == count_points(after)
        await assert_stored_whole(here.repository, after)

    async def test_objects_of_an_image_that_is_not_there_are_not_there(self, here: Here) -> None:
        await here.leave_orphans(with_objects(1, count=2))
        assert here.point_count == 2
        assert await here.repository.count() == 0
        assert (await here.repository.status()).objects == 0
        assert await here.found(an_embedding(7)) == []
        assert here.point_count == 0

    async def test_objects_of_before_the_last_write_are_not_there(self, here: Here) -> None:
        await here.leave_orphans(with_objects(1, 0, count=3))
        await here.repository.upsert([with_objects(1, 1, count=2)])
        await here.leave_orphans(with_objects(1, 2, count=1))
        assert here.point_count == 1 + 2 + 3 + 1
        assert (await here.repository.status()).objects == 2
        for left_by in (with_objects(1, 0, count=3), with_objects(1, 2, count=1)):
            assert regions(await here.found(left_by.object_embeddings[-1])) == {an_id(1): "turn 1"}
        assert here.point_count == 1 + 2

    async def test_orphans_are_counted_by_image_and_swept(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(qdrant, "SCROLLED_AT_ONCE", 2)
        await here.repository.upsert([with_objects(1, count=3), with_objects(2, count=1)])
        await here.leave_orphans(with_objects(1, 1, count=2))
        await here.leave_orphans(with_objects(4, 1, count=3))

        assert await here.repository.orphaned_objects() == {an_id(1): 2, an_id(4): 3}
        assert await here.repository.sweep_objects([an_id(2), an_id(3)]) == 0
        assert await here.repository.sweep_objects([an_id(1), an_id(2)]) == 2
        assert await here.repository.orphaned_objects() == {an_id(4): 3}
        assert await here.repository.sweep_objects([an_id(4)]) == 3
        assert here.point_count == 2 + 3 + 1

    async def test_pages_are_whole_though_orphans_rank_first(self, here: Here) -> None:
        query = an_embedding(7)
        await here.repository.upsert([with_objects(number, count=1) for number in range(20)])
        crowd = np.repeat(query[np.newaxis], 100, axis=0)
        crowded = tuple(an_object("orphan", x=float(place)) for place in range(100))
        for number in (3, 30, 31):
            await here.leave_orphans(an_image(number, objects=crowded, object_embeddings=crowd))
        expected = sorted(
            range(20), key=lambda number: -float(with_objects(number, count=1).object_embeddings[0] @ query)
        )

        page = await here.found(query, limit=5, offset=5)

        assert [match.image.id for match in page] == [an_id(number) for number in expected[5:10]]
        assert (await here.found(query, limit=1))[0].image.id == an_id(expected[0])
        assert set(regions(await here.found(query)).values()) == {"turn 0"}
        assert here.point_count == 40


class TestEngine:
    async def test_an_image_that_has_lost_an_object_is_known(self, here: Here, tmp_path: Path) -> None:
        await here.repository.upsert([with_objects(1, count=2), with_objects(2, count=1)])
        assert here.engine.write([[Delete((await here.ids_of_objects(1))[:1])]]) == [None]
        vectors = await here.repository.object_embeddings([an_id(2), an_id(1)])
        assert {id_: None if vectors[id_] is None else len(vectors[id_]) for id_ in vectors} == {
            an_id(1): None,
            an_id(2): 1,
        }
        store = FileSystemImageStore(tmp_path / "images", reserve_bytes=0)
        back_up = BackUp(repository=here.repository, store=store)
        with pytest.raises(IndexDamagedError, match=f"Objects of image {an_id(1)} are missing"):
            await anext(back_up(DirectoryBackupArchive(tmp_path / "backup")))

    async def test_an_objects_point_is_no_image(self, here: Here) -> None:
        await here.repository.upsert([with_objects(1, count=2)])
        object_ids = list(map(ImageId, await here.ids_of_objects(1)))
        both = [an_id(1), *object_ids]
        assert (await here.repository.get(both)).keys() == {an_id(1)}
        assert (await here.repository.embeddings(both)).keys() == {an_id(1)}
        assert (await here.repository.object_embeddings(both)).keys() == {an_id(1)}
        await here.repository.delete(object_ids)
        assert await here.repository.update([a_record(id=object_ids[0], metadata={"x": 1})]) == [object_ids[0]]
        assert len(await here.found(an_embedding(7))) == 1
        assert here.point_count == 3

    async def test_optimizing_is_due_by_what_objects_came_and_went_too(self, here: Here) -> None:
        await here.repository.upsert([with_objects(1, count=3)])
        assert here.engine.unoptimized == 4
        await here.repository.upsert([with_objects(1, count=1)])
        assert here.engine.unoptimized == 4 + 2 + 3
        await here.repository.delete([an_id(1), an_id(2)])
        assert here.engine.unoptimized == 9 + 2

    async def test_optimizing_is_due_by_what_metadata_took_out_of_the_index_too(self, here: Here) -> None:
        await here.repository.upsert([with_objects(1, count=3)])
        await here.repository.update([a_record(1, metadata={"x": 1})])
        await here.repository.update([a_record(2, metadata={"x": 1})])
        assert here.engine.unoptimized == 4 + 4

    async def test_what_is_due_is_known_after_deletions_and_a_restart_too(self, large: Here) -> None:
        images = [an_image(number, dimension=20_000) for number in range(140)]
        await large.repository.upsert(images)
        large.engine.optimize()
        assert (large.engine.details()["indexed_vectors"], large.engine.details()["optimizations"]) == (140, 1)
        await large.repository.delete([image.record.id for image in images[:130]])

        await large.open_again()
        assert large.engine.details()["indexed_vectors"] == 140  # the engine keeps the deleted ones a while
        assert large.engine.unoptimized == 10
        large.engine.optimize()
        assert large.engine.details()["optimizations"] == large.engine.unoptimized == 0  # there was nothing to do

    async def test_copies_that_the_graph_does_not_reach_are_found(self, large: Here) -> None:
        images = [
            an_image(number, embedding=an_embedding(number if number % 5 else 0, dimension=20_000))
            for number in range(400)
        ]
        await large.repository.upsert(images)
        large.engine.optimize()
        assert large.engine.details()["indexed_vectors"] == 400
        copies = sorted(image.record.id for image in images[::5])
        for query in (an_embedding(0, dimension=20_000), an_embedding(1, dimension=20_000)):
            pages = [
                await large.repository.nearest(a_query(query, limit=30, offset=offset)) for offset in range(0, 400, 30)
            ]
            found = [match.image.id for page in pages for match in page]
            assert len(found) == len(set(found)) == 400
            assert [id_ for id_ in found if id_ in set(copies)] == copies

    async def test_in_a_large_index_they_are_not_looked_for(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        await here.repository.upsert([an_image(number, embedding=an_embedding(0)) for number in range(30)])
        for bound, expected in ((30, [False, True]), (29, [False, False])):
            monkeypatch.setattr(ranking, "COMPARED_UP_TO", bound)
            here.process.asked.clear()
            assert len(await here.repository.nearest(a_query(an_embedding(0), limit=10))) == 10
            assert [args[0].exact for verb, args, _ in here.process.asked if verb == "query"] == expected

    async def test_an_index_that_opens_is_not_optimized_before_it_is_idle(self, here: Here) -> None:
        await here.repository.upsert([an_image(number) for number in range(IDLE_CHANGES + 1)])
        await here.open_again()
        assert here.engine.unoptimized == IDLE_CHANGES

    async def test_of_a_payload_only_what_a_record_needs_is_read(self, here: Here) -> None:
        stored = with_objects(1, count=3)
        await here.repository.upsert([stored])
        here.process.asked.clear()
        [match] = await here.repository.nearest(a_query(an_embedding(1), limit=10))
        [(verb, _, [point])] = here.process.asked
        assert (verb, point.payload.keys()) == ("query", set(RECORD_FIELDS))
        assert record_of(point) == match.image == stored.record

    async def test_without_room_images_go_with_their_objects_and_none_come(self, here: Here) -> None:
        stored = [with_objects(1, count=3), with_objects(2, count=1)]
        await here.repository.upsert(stored)
        await here.open_again(reserve_bytes=10**18)
        with pytest.raises(StorageFullError, match="Delete images or make room"):
            await here.repository.upsert([with_objects(3, count=2)])
        with pytest.raises(StorageFullError):
            await here.repository.upsert([with_objects(1, 1, count=2)])
        with pytest.raises(StorageFullError):
            await here.repository.update([a_record(2, metadata={"turn": 1})])
        await assert_stored_whole(here.repository, stored)
        await here.repository.delete([an_id(1)])
        await assert_stored_whole(here.repository, stored[1:])
        assert here.point_count == 2

    async def test_each_write_of_a_batch_has_an_outcome_of_its_own(self, here: Here) -> None:
        point = of_turn(1, 0, here)
        here.engine.write([[Upsert([point])]])
        await here.open_again(reserve_bytes=10**18)
        refused, deleted = here.engine.write([[Upsert([of_turn(2, 0, here)])], [Delete([point.id])]])
        assert (type(refused), deleted) == (StorageFullError, None)
        assert here.point_count == 0

    async def test_what_is_not_stored_is_not_acknowledged(self, here: Here) -> None:
        """Though it would have gone with what another write, which has failed by then, was to store next."""
        await here.open_again(reserve_bytes=10**18)
        failing = [SetPayload({"x": 1}, [str(an_id(1))], ANY_POINT), Upsert([of_turn(1, 0, here)])]
        outcomes = here.engine.write([failing, [Upsert([of_turn(2, 0, here)])]])
        assert [type(outcome) for outcome in outcomes] == [StorageFullError] * 2
        assert here.point_count == 0

    async def test_of_a_batch_the_last_write_of_an_image_counts(self, here: Here) -> None:
        one, other = (an_image(number).record.id for number in (1, 2))
        batch = [[Upsert([of_turn(number, turn, here)])] for turn in range(3) for number in (1, 2)]
        assert here.engine.write([*batch, [Delete([str(other)])]]) == [None] * 7
        assert {id_: record.metadata for id_, record in (await here.repository.get([one, other])).items()} == {
            one: {"turn": 2}
        }
        assert here.engine.unoptimized <= 7


def of_turn(number: int, turn: int, here: Here) -> Point:
    """The point of an image without objects, in its `turn`-th version."""
    image = with_objects(number, turn, count=0)
    return image_point(image.record, Generation.new(image.record), image.embedding, here.space)


async def test_optimized_objects_are_found_like_unoptimized_ones(tmp_path: Path) -> None:
    """Above the engine's indexing threshold, where points without the vector must not show up."""
    repository = embedded_repository(tmp_path / "index")
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
    [best] = await repository.nearest_objects(a_query(wanted, limit=1))
    assert (best.image.id, best.region) == (an_id(77), images[77].record.objects[2])
    assert best.score == pytest.approx(1.0, abs=1e-5)
    assert len(await repository.nearest_objects(a_query(wanted, limit=2_000))) == 600
    assert len(await repository.nearest(a_query(wanted, limit=2_000))) == 600
    labelled = Filter(all=(AnyOf(Field("labels"), ("label 3",)),))
    approximate = await repository.nearest_objects(a_query(wanted, limit=50, where=labelled))
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


async def test_a_search_neither_waits_for_the_sweep_of_orphans_nor_fails_with_it(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.repository.upsert([with_objects(1, count=2)])
    await here.leave_orphans(with_objects(2, count=3))
    update = type(here.engine)._update

    def refuse_deletions(engine: Engine, operation: Any) -> None:
        if isinstance(operation, Delete):
            raise OSError("refused")
        update(engine, operation)

    with monkeypatch.context() as refusing:
        refusing.setattr(type(here.engine), "_update", refuse_deletions)
        assert regions(await here.found(an_embedding(7))).keys() == {an_id(1)}
        await here.repository.upsert([with_objects(1, 1, count=2)])  # committed, though what it replaced stays
    assert regions(await here.found(an_embedding(7))) == {an_id(1): "turn 1"}
    await here.repository.sweep_objects([an_id(1), an_id(2)])
    assert here.point_count == 1 + 2


@pytest.mark.parametrize("search", ["nearest", "nearest_objects"])
async def test_an_image_that_changes_amid_a_search_is_not_found_by_what_it_was(
    here: Here, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    await here.repository.upsert([with_objects(number, count=1) for number in range(4)])
    where = Filter(all=(AnyOf(Field("metadata.turn"), (0,)),))
    ask, changed = ProcessHere.ask, False

    async def change_before_the_records_are_read(process: ProcessHere, verb: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal changed
        if verb == "retrieve" and not changed:
            changed = True
            await here.repository.update([a_record(2, metadata={"turn": 9})])
        return await ask(process, verb, *args, **kwargs)

    monkeypatch.setattr(ProcessHere, "ask", change_before_the_records_are_read)
    query = a_query(an_embedding(7), limit=3, offset=1 if search == "nearest" else 0, where=where)
    matches = await getattr(here.repository, search)(query)
    assert changed
    assert an_id(2) not in [match.image.id for match in matches]
    assert len(matches) == (2 if search == "nearest" else 3)
    assert all(match.image.metadata == {"turn": 0} for match in matches)
