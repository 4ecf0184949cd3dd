from uuid import UUID

import numpy as np
import pytest

from lookalike_client.commands.evaluation.asking import Found
from lookalike_client.commands.evaluation.measures import Judged, Measure, agreement, cut_offs, estimates
from lookalike_client.commands.evaluation.truth import Query


def an_id(number: int) -> UUID:
    return UUID(int=number)


def ranking(*numbers: int) -> list[Found]:
    """Matches of falling scores."""
    return [Found(an_id(number), str(number), 1 - rank / 10, None) for rank, number in enumerate(numbers)]


def query(number: int, *relevant: int, twin: str | None = None) -> Query:
    return Query(id=an_id(number), name=str(number), relevant={an_id(each) for each in relevant}, twin=twin)


@pytest.mark.parametrize(
    ("measure", "first", "second"),
    [
        ("P@1", 1, 0),
        ("P@2", 1 / 2, 1 / 2),
        ("P@4", 2 / 4, 1 / 4),
        ("recall@1", 1 / 3, 0),
        ("recall@4", 2 / 3, 1),
        # Right at the ranks 1 and 3 of three that there are; right at rank 2, of one.
        ("mAP", (1 / 1 + 2 / 3) / 3, (1 / 2) / 1),
    ],
)
def test_measures_of_a_ranking(measure: str, first: float, second: float) -> None:
    # The first has itself among what is alike, which does not count; the second has few matches.
    queries = [query(0, 0, 1, 2, 3), query(9, 5)]
    judged = Judged.of(queries, [ranking(1, 7, 2, 8), ranking(4, 5)], depth=4)
    parsed = Measure.parsed(measure.lower(), depth=4)
    assert str(parsed) == measure
    assert parsed.of(judged) == pytest.approx([first, second])


def test_average_precision_asks_for_no_more_than_there_is_room_for() -> None:
    judged = Judged.of([query(0, 1, 2, 3)], [ranking(1, 2)], depth=2)
    assert Measure("mAP", 2).of(judged) == pytest.approx([1.0])


def test_a_twin_finds_the_picture_that_it_was_made_from() -> None:
    twin = query(1, 1, twin="crop")
    assert (twin.wanted, query(1, 1).wanted) == (1, 0)
    assert Measure("recall", 1).of(Judged.of([twin], [ranking(1)], depth=1)) == pytest.approx([1.0])


@pytest.mark.parametrize("text", ["P", "P@0", "P@5.5", "P@1000", "F1", "precision@5", ""])
def test_what_is_no_measure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no measure"):
        Measure.parsed(text, depth=20)


def test_intervals_are_those_of_the_mean() -> None:
    values = np.random.default_rng(1).random((400, 2))
    values[:, 1] *= 10
    one, ten = estimates(values, np.arange(400), seed=5)
    for estimate, column in ((one, values[:, 0]), (ten, values[:, 1])):
        half = 1.96 * column.std() / np.sqrt(400)
        assert estimate.value == pytest.approx(column.mean())
        assert estimate.low == pytest.approx(column.mean() - half, abs=0.15 * half)
        assert estimate.high == pytest.approx(column.mean() + half, abs=0.15 * half)
    assert estimates(values, np.arange(400), seed=5) == [one, ten]
    assert estimates(values, np.arange(400), seed=6) != [one, ten]


def test_queries_of_one_picture_are_drawn_together() -> None:
    chance = np.random.default_rng(2)
    of_pictures = chance.random(100)
    alone, repeated = (
        estimates(np.repeat(of_pictures, times)[:, None], np.repeat(np.arange(100), times), seed=0)[0]
        for times in (1, 5)
    )
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low), "five twins tell no more than one"
    pretended = estimates(np.repeat(of_pictures, 5)[:, None], np.arange(500), seed=0)[0]
    assert pretended.high - pretended.low < 0.6 * (alone.high - alone.low)


def test_a_paired_interval_is_narrower_than_what_pictures_differ_by() -> None:
    chance = np.random.default_rng(3)
    first = chance.random((300, 1))
    second = first + 0.01 + 0.01 * chance.standard_normal((300, 1))
    units = np.arange(300)
    [difference] = estimates(second - first, units, seed=0)
    [one], [other] = estimates(first, units, seed=0), estimates(second, units, seed=0)
    assert 0 < difference.low < 0.01 < difference.high
    assert one.high > other.low, "each alone tells them not apart"


def test_agreement_is_the_share_in_common() -> None:
    first = [ranking(1, 2, 3), ranking(1), ranking()]
    second = [ranking(1, 9, 2), ranking(1), ranking()]
    assert agreement(first, second, 1) == 1.0
    assert agreement(first, second, 2) == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert agreement(first, second, 3) == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_cut_offs_do_what_they_say() -> None:
    chance = np.random.default_rng(4)
    values = np.clip(np.concatenate([chance.normal(0.7, 0.1, 500), chance.normal(0.5, 0.1, 1500)]), -1, 1)
    hits = np.arange(2000) < 500
    values[[3, 1000]] = np.nan  # no match at that rank
    found = cut_offs(values.reshape(100, 20), hits.reshape(100, 20))

    right, wrong = values[hits], values[~hits]
    right, wrong = right[~np.isnan(right)], wrong[~np.isnan(wrong)]
    assert [each.at for each in found] == sorted(each.at for each in found)
    for each in found:
        assert each.keeps == pytest.approx((right >= each.at).mean())
        assert each.lets_through == pytest.approx((wrong >= each.at).mean())
        assert each.right == pytest.approx((right >= each.at).sum() / (np.concatenate([right, wrong]) >= each.at).sum())
    [best] = [each for each in found if each.suggested]
    gains = [(right >= at).mean() - (wrong >= at).mean() for at in np.linspace(-1, 1, 2001)]
    assert best.keeps - best.lets_through == pytest.approx(max(gains), abs=1e-9)
    for share in (0.99, 0.95, 0.9, 0.75, 0.5):
        highest = max(at for at in np.round(np.linspace(-1, 1, 2001), 3) if (right >= at).mean() >= share)
        assert highest in [each.at for each in found]


def test_the_suggested_cut_off_stands_amid_the_gap() -> None:
    found = cut_offs(np.array([0.9, 0.8, 0.4, 0.2]), np.array([True, True, False, False]))
    [best] = [each for each in found if each.suggested]
    assert (best.keeps, best.lets_through, best.right) == (1.0, 0.0, 1.0)
    assert best.at == pytest.approx(0.6, abs=0.002)


def test_a_threshold_of_a_match_s_own_score_keeps_it() -> None:
    scores = np.round(np.arange(200) / 200, 3)
    for each in cut_offs(scores, np.arange(200) >= 100):
        assert each.keeps == pytest.approx((scores[100:] >= each.at).mean())


@pytest.mark.parametrize("hits", [[True, True], [False, False]])
def test_there_is_no_cut_off_without_right_and_wrong(hits: list[bool]) -> None:
    assert cut_offs(np.array([0.5, 0.6]), np.array(hits)) == []
