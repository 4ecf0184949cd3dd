import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidRegionError
from domain.geometry import BoundingBox
from tests.builders import box

edges = st.floats(-1e6, 1e6)
sides = st.integers(1, 5000)


@pytest.mark.parametrize(
    "values",
    [
        (0, 0, 0, 5),
        (0, 0, 5, 0),
        (5, 0, 1, 5),
        (0, 5, 5, 1),
        (math.nan, 0, 1, 1),
        (0, 0, math.inf, 1),
        (-math.inf, 0, 1, 1),
    ],
)
def test_a_box_has_finite_edges_and_an_inside(values: tuple[float, float, float, float]) -> None:
    with pytest.raises(InvalidRegionError):
        box(*values)


@settings(deadline=None)
@given(st.tuples(edges, edges), st.tuples(edges, edges), st.tuples(sides, sides))
def test_what_is_clipped_lies_in_both(xs: tuple[float, float], ys: tuple[float, float], size: tuple[int, int]) -> None:
    (x_min, x_max), (y_min, y_max), (width, height) = sorted(xs), sorted(ys), size
    assume(x_min < x_max and y_min < y_max)
    given_box = box(x_min, y_min, x_max, y_max)
    overlaps = x_min < width and x_max > 0 and y_min < height and y_max > 0
    if not overlaps:
        with pytest.raises(InvalidRegionError, match="outside"):
            given_box.clipped(width, height)
        return
    clipped = given_box.clipped(width, height)
    assert 0 <= clipped.x_min < clipped.x_max <= width
    assert 0 <= clipped.y_min < clipped.y_max <= height
    assert (clipped.x_min, clipped.y_max) == (max(x_min, 0), min(y_max, height))
    assert clipped.clipped(width, height) == clipped


def test_a_box_measures_itself_and_says_what_it_is() -> None:
    found = box(12, 8.5, 240, 310)
    assert (found.width, found.height, str(found)) == (228, 301.5, "12,8.5,240,310")
    assert BoundingBox.whole(30, 20) == box(0, 0, 30, 20)
