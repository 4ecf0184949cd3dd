import pytest

from domain.scores import Band, LikenessScale, band_of

SCALE = LikenessScale(median=0.1, rare=0.5)


@pytest.mark.parametrize(
    ("score", "likeness"),
    [(-1.0, 0.0), (0.0, 0.0), (0.1, 0.0), (0.3, 0.25), (0.5, 0.5), (0.75, 0.75), (1.0, 1.0), (1.1, 1.0)],
)
def test_likeness_is_straight_between_its_three_points(score: float, likeness: float) -> None:
    assert SCALE.likeness(score) == pytest.approx(likeness)


@pytest.mark.parametrize("likeness", [0.1, 0.25, 0.5, 0.6, 0.75, 1.0])
def test_the_score_of_a_likeness_has_that_likeness(likeness: float) -> None:
    assert SCALE.likeness(SCALE.score(likeness)) == pytest.approx(likeness)


def test_every_score_has_a_likeness_of_0_or_more() -> None:
    assert SCALE.score(0.0) == -1.0


@pytest.mark.parametrize(("median", "rare"), [(0.5, 0.5), (0.6, 0.5), (0.5, 1.0), (-1.1, 0.5), (0.5, float("nan"))])
def test_a_scale_that_does_not_rise_is_refused(median: float, rare: float) -> None:
    with pytest.raises(ValueError, match="median < rare"):
        LikenessScale(median=median, rare=rare)


@pytest.mark.parametrize(
    ("likeness", "band"),
    [(1.0, Band.VERY_ALIKE), (0.75, Band.VERY_ALIKE), (0.749, Band.ALIKE), (0.5, Band.ALIKE), (0.499, Band.WEAK)],
)
def test_bands_begin_at_their_least_likeness(likeness: float, band: Band) -> None:
    assert band_of(likeness) is band
