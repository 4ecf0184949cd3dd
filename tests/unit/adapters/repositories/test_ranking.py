"""Pages over an engine whose equal scores have no order."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.repositories.qdrant import ranking
from adapters.repositories.qdrant.points import ANY_POINT, FoundPoint, Points, VectorQuery
from adapters.repositories.qdrant.ranking import WIDEST, ranked
from domain.search import MAX_WINDOW, NearestQuery
from tests.builders import an_embedding


@dataclass
class Engine:
    """The best n of scored ids. Which of the equal ones these are, and in which order, depends on n.

    Unless it compares with every vector, it does not find the ids in `unreached`.
    """

    scores: dict[str, float]
    unreached: set[str] = field(default_factory=set)
    asked: list[VectorQuery] = field(default_factory=list)

    async def count(self, *_: object, exact: bool) -> int:
        assert not exact
        return len(self.scores)

    async def query(self, query: VectorQuery) -> Sequence[FoundPoint]:
        self.asked.append(query)
        least = -2.0 if query.score_threshold is None else query.score_threshold
        ids = sorted(id_ for id_, score in self.scores.items() if score >= least)
        random.Random(query.limit).shuffle(ids)
        found = [FoundPoint(id_, {}, self.scores[id_]) for id_ in ids if query.exact or id_ not in self.unreached]
        return sorted(found, key=lambda point: -point.score)[: query.limit]

    async def page(
        self, offset: int, limit: int, *, exact: bool = False, score_threshold: float | None = None
    ) -> list[str]:
        query = NearestQuery(
            vector=an_embedding(), offset=offset, limit=limit, exact=exact, score_threshold=score_threshold
        )
        points: Points = self  # type: ignore[assignment] # of whose verbs this needs two
        found = await ranked(points, query, using="image", where=ANY_POINT)
        assert all(point.score == pytest.approx(self.scores[point.id]) for point in found)
        return [point.id for point in found]

    @property
    def widths(self) -> list[int]:
        return [query.limit for query in self.asked]


def an_id(number: int) -> str:
    return f"{number:08d}"


@given(st.lists(st.integers(0, 3), max_size=150), st.integers(1, 40), st.sampled_from([0, ranking.COMPARED_UP_TO]))
async def test_pages_are_those_of_the_whole_ranking(scores: list[int], limit: int, compared_up_to: int) -> None:
    engine = Engine({an_id(number): score / 4 for number, score in enumerate(scores)})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "COMPARED_UP_TO", compared_up_to)
        pages = [await engine.page(offset, limit) for offset in range(0, len(scores) + limit, limit)]
    assert [id_ for page in pages for id_ in page] == sorted(engine.scores, key=lambda id_: (-engine.scores[id_], id_))


async def test_without_equal_scores_one_more_is_asked_for() -> None:
    engine = Engine({an_id(number): number / 1_000 for number in range(1_000)})
    assert len(await engine.page(40, 10)) == 10
    assert engine.widths == [51]


async def test_thousands_of_equal_scores_take_a_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "COMPARED_UP_TO", 0)
    engine = Engine({an_id(number): 0.5 for number in range(5_000)})
    assert await engine.page(40, 10) == [an_id(number) for number in range(40, 50)]
    assert engine.widths == [51, 50 + 64, WIDEST]


async def test_without_end_of_them_pages_agree_all_the_same() -> None:
    engine = Engine({an_id(number): 0.5 for number in range(WIDEST + 5_000)})
    pages = [await engine.page(offset, 500) for offset in (0, 500, 7_000, MAX_WINDOW - 500)]
    assert len({id_ for page in pages for id_ in page}) == 2_000
    assert pages[0] + pages[1] == await engine.page(0, 1_000)
    assert max(engine.widths) == WIDEST


@pytest.mark.parametrize("end", [1, 500, MAX_WINDOW])
async def test_what_is_asked_for_grows_up_to_the_widest(end: int) -> None:
    engine = Engine({an_id(number): 0.5 for number in range(WIDEST + 1)})
    await engine.page(end - 1, 1, exact=True)
    assert engine.widths == [end + 1, end + 64, WIDEST]


@pytest.mark.parametrize(("images", "looked_for"), [(30, True), (31, False)])
async def test_in_a_small_index_equal_scores_are_looked_for_among_all(
    monkeypatch: pytest.MonkeyPatch, images: int, looked_for: bool
) -> None:
    monkeypatch.setattr(ranking, "COMPARED_UP_TO", 30)
    engine = Engine({an_id(number): 0.5 for number in range(images)}, unreached={an_id(0)})
    assert (an_id(0) in await engine.page(0, 10)) == looked_for
    assert [query.exact for query in engine.asked] == [False, looked_for]


async def test_where_all_are_compared_they_are_compared_from_the_start() -> None:
    engine = Engine({an_id(number): 0.5 for number in range(30)}, unreached={an_id(0)})
    assert an_id(0) in await engine.page(0, 10, exact=True)
    assert {query.exact for query in engine.asked} == {True}


async def test_a_threshold_that_everything_reaches_is_none() -> None:
    """An engine's rounding may put the score of opposite directions below -1."""
    engine = Engine({an_id(0): 0.5, an_id(1): -1.0000001})
    assert await engine.page(0, 10, score_threshold=-1.0) == [an_id(0), an_id(1)]
    assert await engine.page(0, 10, score_threshold=0.5) == [an_id(0)]


async def test_what_rounding_puts_beyond_one_is_equal() -> None:
    engine = Engine({an_id(1): 1.0000001, an_id(0): 1.0, an_id(2): 0.5})
    assert await engine.page(0, 3) == [an_id(0), an_id(1), an_id(2)]
    assert [query.exact for query in engine.asked] == [False, True]


async def test_scores_that_differ_a_little_are_not_equal() -> None:
    engine = Engine({an_id(1): 1.0, an_id(0): 0.9999999, an_id(2): 0.5})
    assert await engine.page(0, 3) == [an_id(1), an_id(0), an_id(2)]
    assert [query.exact for query in engine.asked] == [False]
    assert await Engine({}).page(0, 3) == []
