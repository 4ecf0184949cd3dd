"""The order and the groups of search results over any repository, against a plain implementation that sees all."""

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application import arrange_matches
from application.arrange_matches import ArrangeMatches, Rank
from application.search_query import SearchQuery
from application.search_result import SearchOptions, Target
from domain.appearance import colour_vectors
from domain.embeddings import Embedding, normalised
from domain.filters import EVERYTHING, Field, Filter, ShowsSame
from domain.images import ImageRecord, IndexedImage, Match
from domain.ports.similarity_repository import SimilarityRepository
from domain.scores import Band
from tests.arranging import arranging
from tests.builders import a_record, an_appearance, an_embedding, an_id, an_image, an_object
from tests.contracts.repository_cases import DECLARED, at_cosine, where

BRANDS: tuple[Any, ...] = ("acme", "Acme", "", ["acme", "zara"], ["zara", "acme"], ["acme", "acme"], [], None, "rare")
NO_COPIES = where("metadata.copy", exists=False)
REORDERED, FIRST_DEPTH = 25, 3
"""Small, so that few images show what comes beyond."""

Told = tuple[Any, Any, int, list[Any]]
"""Of a group: the id of the match that stands for it, its value, its size and the ids of the others that are named."""


def the_shelf() -> list[IndexedImage]:
    """Pictures with up to two objects; brands that are arrays, empty or missing; some copies of others."""
    images = []
    for number in range(72):
        is_copy, brand = number % 8 == 7, BRANDS[number * 5 % 9 if number < 60 else 0]
        metadata = {"n": number % 11 - 5} | ({} if brand is None else {"brand": brand})
        images.append(
            an_image(
                number,
                embedding=an_embedding(number - is_copy),
                sha256=a_record(number // 2).sha256,
                appearance=an_appearance(number),
                metadata=metadata | ({"copy": True} if is_copy else {}),
                objects=tuple(an_object(f"label {place}") for place in range(number % 3)),
            )
        )
    return images


SHELF = the_shelf()
SHOWS_SAME = ShowsSame(SHELF[40].record.sha256, an_appearance(9).pixels)
"""Passes pictures 9, 40 and 41."""
QUERY = SearchQuery(vector=an_embedding(3), colours=colour_vectors([an_appearance(8)])[0])


def value_of(record: ImageRecord, field: str) -> Any:
    if field == "sha256":
        return record.sha256
    value = record.metadata.get(field.removeprefix("metadata."))
    return next(iter(value), None) if isinstance(value, list) else value


def grouped(ranking: Sequence[Match], field: str, passing: Filter, size: int) -> list[Told]:
    groups: list[tuple[Any, list[Match]]] = []
    for match in ranking:
        value = value_of(match.image, field)
        group = next((group for other, group in groups if other == value is not None), None)
        if group is None:
            groups.append((value, [match]))
        else:
            group.append(match)
    having = [value_of(image.record, field) for image in SHELF if passing.matches(image.record)]
    return [
        (
            best.image.id,
            value,
            1 if value is None else having.count(value),
            [match.image.id for match in more[: size - 1]],
        )
        for value, (best, *more) in groups
    ]


def same_first(ranking: Sequence[Match], threshold: float | None) -> list[Match]:
    """What shows the same as the query, whatever the threshold, then the others."""
    same = [replace(match, score=1.0, band=Band.IDENTICAL) for match in ranking if SHOWS_SAME.matches(match.image)]
    others = [match for match in ranking if not SHOWS_SAME.matches(match.image)]
    return [*same, *(match for match in others if threshold is None or match.score >= threshold)]


def told_by_brands(vectors: Sequence[Embedding]) -> list[float]:
    """How alike these are to the query in what tells the brands apart, by the definition of ridge regression."""
    values = ("acme", "Acme", "", "zara", "rare")
    brands = [image.record.metadata.get("brand", []) for image in SHELF]
    labelled = [row for row, brand in enumerate(brands) if brand != []]
    has = np.array([[float(v in b if isinstance(b, list) else v == b) for v in values] for b in brands])[labelled]
    vectors_of_shelf = np.stack([image.embedding for image in SHELF]).astype(np.float64)[labelled]
    mean = vectors_of_shelf.mean(axis=0)
    covariance = np.cov(vectors_of_shelf.T, bias=True)
    ridge = 0.3 * np.trace(covariance) / len(mean) * np.eye(len(mean))
    weights = np.linalg.inv(covariance + ridge) @ (vectors_of_shelf - mean).T @ (has - has.mean(axis=0)) / len(has)
    query, *others = normalised((np.stack([QUERY.vector, *vectors]) - mean) @ weights)
    return [float(query @ other) for other in others]


def reordered(ranking: Sequence[Match], vectors: Sequence[Embedding], options: SearchOptions) -> list[Match]:
    """By the definitions of the worths and of maximal marginal relevance."""
    left, chosen = list(range(len(vectors))), list[int]()
    colours = colour_vectors([match.image.appearance for match in ranking]) @ QUERY.colours
    by_brands = told_by_brands(vectors) if options.adapt_to else [0.0] * len(vectors)

    def worth(place: int) -> float:
        match = ranking[place]
        is_same = match.band is Band.IDENTICAL
        cosine = match.score + (0.49 * (1.0 if is_same else by_brands[place]) if options.adapt_to else 0.0)
        colour = 1.0 if is_same else float(colours[place])
        return (1 - options.color_weight) * cosine + options.color_weight * colour

    def relevance(place: int) -> float:
        nearest = max((float(vectors[place] @ vectors[other]) for other in chosen), default=0.0)
        return (1 - options.diversity) * worth(place) - options.diversity * nearest

    shown = []
    while left:
        best = max(left, key=relevance)
        shown.append(replace(ranking[best], order_score=relevance(best)))
        chosen.append(best)
        left.remove(best)
    return [*shown, *ranking[len(vectors) :]]


async def vectors_of(repository: SimilarityRepository, matches: Sequence[Match]) -> list[Embedding]:
    ids = [match.image.id for match in matches]
    pictures, objects = await repository.embeddings(ids), await repository.object_embeddings(ids)
    vectors = []
    for match in matches:
        of_objects = objects[match.image.id]
        assert of_objects is not None
        place = None if match.region is None else match.image.objects.index(match.region)
        vectors.append(pictures[match.image.id] if place is None else of_objects[place])
    return vectors


async def shown(arrange: ArrangeMatches, options: SearchOptions, rank: Rank, query: SearchQuery) -> list[Match]:
    """All pages, one after the other."""
    found, offset = list[Match](), 0
    while True:
        page, next_offset = await arrange(replace(options, offset=offset), rank, query)
        found += page
        if next_offset is None:
            return found
        assert (len(page), next_offset) == (options.limit, offset + options.limit)
        offset = next_offset


class ArrangedSearchesContract:
    """The pages of a search that groups or reorders, put together, are what all matches together would make."""

    @pytest.fixture
    async def shelf(self, repository: SimilarityRepository, monkeypatch: pytest.MonkeyPatch) -> SimilarityRepository:
        monkeypatch.setattr(arrange_matches, "REORDERED", REORDERED)
        monkeypatch.setattr(arrange_matches, "FIRST_DEPTH", FIRST_DEPTH)
        await repository.upsert(SHELF)
        return repository

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        # The shelf is only read; each adapter's class runs this method by itself.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        field=st.sampled_from(["metadata.brand", "metadata.n", "sha256", None]),
        size=st.integers(1, 10),
        limit=st.sampled_from([1, 2, 5, 80]),
        passing=st.sampled_from([EVERYTHING, where("metadata.n", gte=0), where("metadata.brand", eq="acme")]),
        threshold=st.sampled_from([None, 0.0, 0.3]),
        left_out=st.sets(st.sampled_from(SHELF[:12]), max_size=2),
        diversity=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
        adapt_to=st.sampled_from([None, None, Field("metadata.brand")]),
        color_weight=st.sampled_from([0.0, 0.0, 0.35, 1.0]),
        by_objects=st.booleans(),
        knows_same=st.booleans(),
    )
    async def test_pages_are_those_of_the_whole(  # noqa: PLR0917 - what a search takes
        self,
        shelf: SimilarityRepository,
        field: str | None,
        size: int,
        limit: int,
        passing: Filter,
        threshold: float | None,
        left_out: set[IndexedImage],
        diversity: float,
        adapt_to: Field | None,
        color_weight: float,
        by_objects: bool,
        knows_same: bool,
    ) -> None:
        if by_objects:
            adapt_to, color_weight, knows_same = None, 0.0, False
        options = SearchOptions(
            limit=limit,
            score_threshold=threshold,
            where=passing,
            group_by=field and Field(field),
            group_size=field and size,
            diversity=diversity,
            adapt_to=adapt_to,
            color_weight=color_weight,
        )
        if options.reorders:  # where copies are equal, rounding would choose
            options = replace(options, where=passing.narrowed(*NO_COPIES.all))
        query = replace(
            QUERY,
            target=Target.OBJECTS if by_objects and field != "sha256" else Target.IMAGES,
            leave_out=[image.record.id for image in left_out],
        )

        asked = replace(query, same=SHOWS_SAME if knows_same else None)

        def rank(part: SearchOptions) -> Coroutine[Any, Any, Sequence[Match]]:
            return asked.ranked(shelf, part)

        if knows_same:
            without = replace(options, limit=len(SHELF), score_threshold=None)
            whole: Sequence[Match] = same_first(await query.ranked(shelf, without), threshold)
        else:
            whole = await rank(replace(options, limit=len(SHELF)))
        if options.reorders:
            whole = reordered(whole, await vectors_of(shelf, whole[:REORDERED]), options)
        found = await shown(arranging(shelf, DECLARED), options, rank, asked)

        assert all(match.score == 1.0 for match in found if match.band is Band.IDENTICAL)
        if field is None:
            assert [match.image.id for match in found] == [match.image.id for match in whole]
            assert all(match.group is None for match in found)
        else:
            told = [
                (match.image.id, group.value, group.images, [other.image.id for other in group.more])
                for match in found
                if (group := match.group)
            ]
            assert told == grouped(whole, field, options.where, size)
        expected = {match.image.id: match.order_score for match in whole}
        for match in found:
            wanted = expected[match.image.id]
            assert match.order_score == (None if wanted is None else pytest.approx(wanted, abs=1e-5))

    async def test_a_group_is_completed_from_far_behind_without_reading_all(
        self, repository: SimilarityRepository
    ) -> None:
        brands = ["acme", *(f"brand {number}" for number in range(120)), "acme"]
        await repository.upsert(
            [
                an_image(number, embedding=at_cosine(0.9 - number / 100), metadata={"brand": brand})
                for number, brand in enumerate(brands)
            ]
        )
        depths = []

        async def rank(part: SearchOptions) -> Sequence[Match]:
            depths.append(part.offset + part.limit)
            return await replace(QUERY, vector=at_cosine(1.0)).ranked(repository, part)

        options = SearchOptions(limit=1, group_by=Field("metadata.brand"), group_size=2)
        [best], next_offset = await arranging(repository, DECLARED)(options, rank, QUERY)

        assert (best.image.id, next_offset) == (an_id(0), 1)
        assert best.group
        assert (best.group.value, best.group.images) == ("acme", 2)
        assert [match.image.id for match in best.group.more] == [an_id(121)]
        assert depths == [arrange_matches.FIRST_DEPTH] * 2
