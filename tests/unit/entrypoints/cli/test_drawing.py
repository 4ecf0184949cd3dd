from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.raster import RasterImage
from entrypoints.cli.drawing import COLOURS, COLUMNS, MARGIN, TILE, Tile, save_annotated, save_contact_sheet

GREY = (128, 128, 128)


def _picture(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> RasterImage:
    width, height = size
    return RasterImage(pixels=np.full((height, width, 3), colour, np.uint8), width=width, height=height)


def test_every_tile_is_shown_in_order(tmp_path: Path) -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250), (250, 0, 250), (90, 90, 90)]
    save_contact_sheet(tmp_path / "sheet.png", [Tile.of(_picture(colour), "caption", 60) for colour in colours])
    with Image.open(tmp_path / "sheet.png") as sheet:
        across = sheet.width // COLUMNS
        first_row = [sheet.getpixel((12 + place * across + TILE // 2, 12 + TILE // 2)) for place in range(COLUMNS)]
        second_row = sheet.getpixel((12 + TILE // 2, sheet.height // 2 + 12 + TILE // 2))
    assert [*first_row, second_row] == colours


def test_boxes_of_the_full_picture_are_drawn_on_its_small_rendition(tmp_path: Path) -> None:
    thumbnail = _picture(GREY, (110, 55))
    boxes = [(100.0, 100.0, 600.0, 450.0), (700.0, 50.0, 1000.0, 500.0)]
    save_contact_sheet(tmp_path / "sheet.png", [Tile.of(thumbnail, "caption", 1100, boxes)])
    with Image.open(tmp_path / "sheet.png") as sheet:
        scale, top = TILE / 1100, MARGIN + (TILE - TILE // 2) // 2
        for number, (x_min, y_min, x_max, y_max) in enumerate(boxes):
            middle = MARGIN + round((x_min + x_max) / 2 * scale), top + round((y_min + y_max) / 2 * scale)
            left = MARGIN + round(x_min * scale) + 1, middle[1]
            assert sheet.getpixel(left) == COLOURS[number]
            assert sheet.getpixel(middle) == GREY


def test_an_unknown_suffix_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown"):
        save_contact_sheet(tmp_path / "sheet.xyz", [Tile.of(_picture((0, 0, 0)), "caption", 60)])
    with pytest.raises(ValueError, match="unknown"):
        save_annotated(tmp_path / "annotated.xyz", _picture((0, 0, 0)), [])


def test_boxes_and_labels_are_drawn(tmp_path: Path) -> None:
    save_annotated(tmp_path / "annotated.png", _picture(GREY, (200, 300)), [((20.0, 30.0, 180.0, 280.0), "cat 0.93")])
    with Image.open(tmp_path / "annotated.png") as annotated:
        assert annotated.size == (200, 300)
        assert [annotated.getpixel(place) for place in ((20, 200), (180, 200), (100, 280))] == [COLOURS[0]] * 3
        assert annotated.getpixel((100, 200)) == annotated.getpixel((5, 5)) == GREY
        label = annotated.crop((24, 32, 80, 48)).getcolors() or []
        assert {(255, 255, 255), COLOURS[0]} <= {colour for _, colour in label}
