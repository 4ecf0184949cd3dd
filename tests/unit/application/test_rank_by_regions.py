"""Ranking by several regions, against every assignment of every picture tried out."""

import itertools
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.repositories.in_memory import InMemorySimilarityRepository
from application.rank_by_regions import FIRST_DEPTH, rank_by_regions
from application.search_result import SearchOptions
from domain.embeddings import Embeddings, normalised
from domain.filters import Field, Filter, InRange
from domain.geometry import BoundingBox
from domain.images import ImageId, IndexedImage, Match
from domain.search import NearestQuery
from tests.builders import a_space, an_image, an_object, some_embeddings

DIMENSION = 4
"""So few that some similarities are negative and some high."""


def regions(count: int) -> list[BoundingBox]:
    return [BoundingBox(x_min=10 * n, y_min=0, x_max=10 * n + 9, y_max=9) for n in range(count)]


def pictures(objects_of_each: Sequence[int], *, seed: int = 0) -> list[IndexedImage]:
    return [
        an_image(
            number,
            dimension=DIMENSION,
            object_embeddings=some_embeddings(count, seed=1000 * seed + number, dimension=DIMENSION),
            objects=tuple(an_object(f"label {index}", x=float(index)) for index in range(count)),
        )
        for number, count in enumerate(objects_of_each)
    ]


class Watched(InMemorySimilarityRepository):
    """Notes how deep it was asked to look."""

    def __init__(self) -> None:
        super().__init__()
        self.depths: list[int] = []
        self.asked_now = 0
        self.asked_at_once = 0

    async def nearest_objects(self, query: NearestQuery) -> Sequence[Match]:
        self.depths.append(query.limit)
        self.asked_now += 1
        self.asked_at_once = max(self.asked_at_once, self.asked_now)
        matches = await super().nearest_objects(query)  # type: ignore[arg-type]
        self.asked_now -= 1
        return matches


@asynccontextmanager
async def holding(images: Sequence[IndexedImage]) -> AsyncIterator[Watched]:
    repository = Watched()
    await repository.open(a_space(DIMENSION))
    try:
        await repository.upsert(images)
        yield repository
    finally:
        await repository.close()


def best_mean(queries: Embeddings, objects: Embeddings) -> float:
    """Every way to give each region an object of its own, or none."""
    gains = np.maximum(queries @ objects.T, 0.0)
    none = [None] * len(queries)
    return max(
        sum(gains[row, column] for row, column in enumerate(choice) if column is not None) / len(queries)
        for choice in itertools.permutations([*range(len(objects)), *none], len(queries))
    )


def ranking(images: Sequence[IndexedImage], queries: Embeddings) -> list[float]:
    return sorted((best_mean(queries, i.object_embeddings) for i in images if len(i.record.objects)), reverse=True)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), max_size=30), st.integers(2, 3), st.integers(1, 12), st.integers(0, 10_000))
async def test_the_best_are_those_of_brute_force(each: list[int], count: int, wanted: int, seed: int) -> None:
    images = pictures(each, seed=seed)
    queries = some_embeddings(count, seed=seed + 1, dimension=DIMENSION)
    async with holding(images) as repository:
        found = await rank_by_regions(repository, regions(count), queries, SearchOptions(), wanted=wanted)
    assert [match.score for match in found] == pytest.approx(ranking(images, queries)[:wanted], abs=1e-5)
    assert len({match.image.id for match in found}) == len(found)


@settings(deadline=None, max_examples=8)
@given(st.integers(2, 8), st.integers(1, 100), st.integers(0, 10_000))
async def test_lists_are_deepened_until_no_picture_outside_them_could_be_better(
    count: int, wanted: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    images = pictures(chance.integers(1, 3, 4 * FIRST_DEPTH).tolist(), seed=seed)
    queries = some_embeddings(count, seed=seed + 1, dimension=DIMENSION)
    async with holding(images) as repository:
        found = await rank_by_regions(repository, regions(count), queries, SearchOptions(), wanted=wanted)
    best = sorted((assigned_mean(queries, image.object_embeddings) for image in images), reverse=True)
    assert [match.score for match in found] == pytest.approx(best[:wanted], abs=1e-5)


def assigned_mean(queries: Embeddings, objects: Embeddings) -> float:
    """As `best_mean`, for one or two objects."""
    gains = np.maximum(queries @ objects.T, 0.0)
    if len(objects) == 1:
        return float(gains.max()) / len(queries)
    rows = itertools.permutations(range(len(queries)), 2)
    return max(float(gains[one, 0] + gains[other, 1]) for one, other in rows) / len(queries)


async def test_more_is_asked_for_only_where_it_is_needed() -> None:
    one_way = np.eye(DIMENSION, dtype=np.float32)
    # The first FIRST_DEPTH of either list match one region alone; those that match both come deeper in both.
    halves = [
        an_image(
            number,
            dimension=DIMENSION,
            object_embeddings=one_way[[number % 2]],
            objects=(an_object(),),
        )
        for number in range(4 * FIRST_DEPTH)
    ]
    slanted = normalised(np.array([[0.9, 0, 0.4, 0], [0, 0.9, 0, 0.4]]))
    both = an_image(
        9999, dimension=DIMENSION, object_embeddings=slanted, objects=(an_object("chair"), an_object("lamp"))
    )
    async with holding([*halves, both]) as repository:
        [found] = await rank_by_regions(repository, regions(2), one_way[:2], SearchOptions(), wanted=1)
        assert found.image == both.record
        assert max(repository.depths) > FIRST_DEPTH

        repository.depths.clear()
        await rank_by_regions(repository, regions(2), slanted, SearchOptions(), wanted=1)
        assert set(repository.depths) == {FIRST_DEPTH}


async def test_each_region_is_paired_with_an_object_of_its_own() -> None:
    one_way = np.eye(DIMENSION, dtype=np.float32)
    near = normalised(np.array([[0.8, 0.6, 0, 0], [1, 0, 0.1, 0]]))
    image = an_image(
        dimension=DIMENSION, object_embeddings=near, objects=(an_object("chair"), an_object("lamp", x=300.0))
    )
    async with holding([image]) as repository:
        [match] = await rank_by_regions(repository, regions(3), one_way[[0, 1, 3]], SearchOptions(), wanted=10)

    assert match.regions is not None
    assert match.region is None
    assert [pair.query_region for pair in match.regions] == regions(3)
    assert [pair.object for pair in match.regions] == [image.record.objects[1], image.record.objects[0], None]
    assert [pair.score for pair in match.regions] == pytest.approx([float(near[1, 0]), 0.6, 0.0], abs=1e-6)
    assert match.score == pytest.approx((float(near[1, 0]) + 0.6) / 3, abs=1e-6)


async def test_an_object_that_is_unlike_a_region_is_no_counterpart() -> None:
    one_way = np.eye(DIMENSION, dtype=np.float32)
    image = an_image(dimension=DIMENSION, object_embeddings=-one_way[:2], objects=(an_object("a"), an_object("b")))
    async with holding([image]) as repository:
        [match] = await rank_by_regions(repository, regions(2), one_way[:2], SearchOptions(), wanted=10)
    assert match.score == 0.0
    assert [(pair.object, pair.score) for pair in match.regions or []] == [(None, 0.0)] * 2


async def test_a_threshold_and_a_filter_keep_the_best_that_pass() -> None:
    images = pictures([2] * 40)
    queries = some_embeddings(2, seed=5, dimension=DIMENSION)
    scores = ranking(images, queries)
    between = (scores[6] + scores[7]) / 2
    narrow = Filter(all=(InRange(field=Field("width"), lt=660),))
    async with holding(images) as repository:
        cut = await rank_by_regions(repository, regions(2), queries, SearchOptions(score_threshold=between), wanted=20)
        few = await rank_by_regions(repository, regions(2), queries, SearchOptions(where=narrow), wanted=50)
    assert [match.score for match in cut] == pytest.approx(scores[:7], abs=1e-5)
    assert [match.score for match in few] == pytest.approx(ranking(images[:20], queries), abs=1e-5)


async def test_without_objects_nothing_is_found() -> None:
    async with holding(pictures([0, 0])) as repository:
        queries = some_embeddings(2, dimension=DIMENSION)
        assert await rank_by_regions(repository, regions(2), queries, SearchOptions(), wanted=10) == []


async def test_regions_are_asked_one_after_the_other_so_that_others_get_in_between() -> None:
    async with holding(pictures([2] * 40)) as repository:
        await rank_by_regions(
            repository, regions(3), some_embeddings(3, dimension=DIMENSION), SearchOptions(), wanted=5
        )
    assert len(repository.depths) >= 3
    assert repository.asked_at_once == 1


async def test_an_image_that_lost_objects_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images, queries = pictures([2] * (2 * FIRST_DEPTH)), some_embeddings(2, seed=7, dimension=DIMENSION)
    intact = ranking([image for number, image in enumerate(images) if number not in {3, 50}], queries)
    lost = {images[3].record.id, images[50].record.id}
    async with holding(images) as repository:
        read = repository.object_embeddings

        async def object_embeddings(ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings | None]:
            return {id_: None if id_ in lost else of_image for id_, of_image in (await read(ids)).items()}

        monkeypatch.setattr(repository, "object_embeddings", object_embeddings)
        matches = await rank_by_regions(repository, regions(2), queries, SearchOptions(limit=200), wanted=200)
    assert not lost.intersection(match.image.id for match in matches)
    assert [match.score for match in matches] == pytest.approx(intact, abs=1e-6)
    assert sorted(record.getMessage() for record in caplog.records) == sorted(
        f"Image {id_} is left out of a search, since objects of it are missing: delete it and index it again. "
        "An integrity check finds all such images."
        for id_ in lost
    )
