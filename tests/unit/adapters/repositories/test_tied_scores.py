"""Pages over an engine whose equal scores have no order."""

import random
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.repositories.tied_scores import WIDEST, Scores, are_settled, have_ties, in_order, scores_of, widths
from domain.images import ImageId
from domain.ports.similarity_repository import MAX_WINDOW


class Engine:
    """The best n of scored ids. Which of the equal ones these are, and in which order, depends on n."""

    def __init__(self, scores: dict[ImageId, float]) -> None:
        self.scores = scores
        self.asked: list[int] = []

    def best(self, limit: int) -> list[ImageId]:
        self.asked.append(limit)
        ids = sorted(self.scores)
        random.Random(limit).shuffle(ids)
        return sorted(ids, key=lambda id_: -self.scores[id_])[:limit]

    def page(self, offset: int, limit: int) -> list[ImageId]:
        for width in widths(offset + limit):
            found = self.best(width)
            scores = falling([self.scores[id_] for id_ in found])
            if are_settled(scores, offset + limit, asked=width):
                break
        return [found[place] for place in in_order(scores, slice(offset, offset + limit), lambda place: found[place])]


def falling(scores: list[float]) -> Scores:
    return np.array(scores, dtype=np.float64)


@given(st.lists(st.integers(0, 3), max_size=150), st.integers(1, 40))
def test_pages_are_those_of_the_whole_ranking(scores: list[int], limit: int) -> None:
    engine = Engine({UUID(int=number): score / 4 for number, score in enumerate(scores)})
    pages = [engine.page(offset, limit) for offset in range(0, len(scores) + limit, limit)]
    assert [id_ for page in pages for id_ in page] == sorted(engine.scores, key=lambda id_: (-engine.scores[id_], id_))


def test_without_equal_scores_one_more_is_asked_for() -> None:
    engine = Engine({UUID(int=number): number / 1_000 for number in range(1_000)})
    assert len(engine.page(40, 10)) == 10
    assert engine.asked == [51]


def test_thousands_of_equal_scores_take_a_few_requests() -> None:
    engine = Engine({UUID(int=number): 0.5 for number in range(5_000)})
    assert engine.page(40, 10) == [UUID(int=number) for number in range(40, 50)]
    assert engine.asked == [51, 50 + 64, WIDEST]


def test_without_end_of_them_pages_agree_all_the_same() -> None:
    engine = Engine({UUID(int=number): 0.5 for number in range(WIDEST + 5_000)})
    pages = [engine.page(offset, 500) for offset in (0, 500, 7_000, MAX_WINDOW - 500)]
    assert len({id_ for page in pages for id_ in page}) == 2_000
    assert pages[0] + pages[1] == engine.page(0, 1_000)
    assert max(engine.asked) == WIDEST


@pytest.mark.parametrize("end", [1, 500, MAX_WINDOW])
def test_what_is_asked_for_grows_up_to_the_widest(end: int) -> None:
    asked = list(widths(end))
    assert asked == sorted(set(asked))
    assert (asked[0], asked[-1]) == (end + 1, WIDEST)


def test_what_rounding_puts_beyond_one_is_equal() -> None:
    class Found:
        def __init__(self, score: float) -> None:
            self.score = score

    scores = scores_of(map(Found, [1.0000001, 1.0, 0.5]))
    assert scores.tolist() == [1.0, 1.0, 0.5]
    assert have_ties(scores)
    assert not have_ties(falling([1.0, 0.9999999, 0.5]))
    assert not have_ties(falling([]))
