from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lookalike_client import PictureFileError
from lookalike_client.commands.evaluation.twins import LONGEST, TWINS, make_twins
from tests.pictures import a_picture, a_turned_photo, encoded, opened

KINDS = [*TWINS]


def pixels(content: bytes) -> "np.ndarray[tuple[int, int, int], np.dtype[np.float64]]":
    return np.asarray(opened(content).convert("RGB")).astype(np.float64)


def test_each_kind_of_twin_is_what_it_is_called() -> None:
    original = a_picture(3, width=300, height=200)
    crop, mirror, small, border, turn = make_twins(original, ["crop", "mirror", "jpeg", "border", "turn"], "0")

    assert opened(crop).size == (240, 160)
    assert np.abs(pixels(mirror) - pixels(original)[:, ::-1]).mean() < 8
    assert np.abs(pixels(mirror) - pixels(original)).mean() > 20
    assert opened(small).size == (128, 85)
    assert len(small) < len(mirror) / 3
    assert opened(border).size == (360, 260)
    assert pixels(border)[:20].max() < 20
    assert opened(turn).width > 300
    assert opened(turn).height > 200
    assert pixels(turn)[0, 0].min() > 240


def test_twins_are_those_of_their_seed() -> None:
    original = a_picture(4)
    twins = make_twins(original, KINDS, "0")
    assert make_twins(original, KINDS[::-1], "0") == twins[::-1], "each whatever the others are"
    assert make_twins(original, ["crop"], "1") != twins[:1]


def test_large_and_tiny_pictures_have_twins() -> None:
    large = encoded(Image.new("RGB", (3000, 1500), (9, 90, 200)), format_="JPEG")
    assert opened(make_twins(large, ["mirror"], "0")[0]).size == (LONGEST, LONGEST // 2)
    for size in ((1, 1), (1, 500)):
        for twin in make_twins(encoded(Image.new("RGB", size)), KINDS, "0"):
            opened(twin)


def test_twins_are_upright_and_without_exif() -> None:
    [mirror] = make_twins(a_turned_photo(5), ["mirror"], "0")
    assert opened(mirror).size == (120, 160)
    assert not opened(mirror).getexif()


def test_what_is_no_picture_has_no_twin() -> None:
    with pytest.raises(PictureFileError):
        make_twins(BytesIO(b"no picture").getvalue(), KINDS, "0")
