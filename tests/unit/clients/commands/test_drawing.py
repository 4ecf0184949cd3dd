from pathlib import Path

import pytest
import typer
from PIL import Image

from lookalike_client import Box, PictureFileError
from lookalike_client.commands import drawing
from lookalike_client.commands.drawing import (
    COLOURS,
    COLUMNS,
    MARGIN,
    TILE,
    Tile,
    decoded,
    save_annotated,
    save_contact_sheet,
)
from tests.pictures import encoded

GREY = (128, 128, 128)


def a_box(x_min: float, y_min: float, x_max: float, y_max: float) -> Box:
    return Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def _picture(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> bytes:
    return encoded(Image.new("RGB", size, colour))


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
    boxes = [a_box(100.0, 100.0, 600.0, 450.0), a_box(700.0, 50.0, 1000.0, 500.0)]
    save_contact_sheet(tmp_path / "sheet.png", [Tile.of(thumbnail, "caption", 1100, boxes)])
    with Image.open(tmp_path / "sheet.png") as sheet:
        scale, top = TILE / 1100, MARGIN + (TILE - TILE // 2) // 2
        for number, box in enumerate(boxes):
            middle = (
                MARGIN + round((box.x_min + box.x_max) / 2 * scale),
                top + round((box.y_min + box.y_max) / 2 * scale),
            )
            left = MARGIN + round(box.x_min * scale) + 1, middle[1]
            assert sheet.getpixel(left) == COLOURS[number]
            assert sheet.getpixel(middle) == GREY


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="unknown"):
        save_contact_sheet(tmp_path / "sheet.xyz", [Tile.of(_picture((0, 0, 0)), "caption", 60)])
    with pytest.raises(typer.BadParameter, match="No such file"):
        save_annotated(tmp_path / "gone" / "annotated.png", _picture((0, 0, 0)), [])


def test_boxes_and_labels_are_drawn(tmp_path: Path) -> None:
    save_annotated(
        tmp_path / "annotated.png", _picture(GREY, (200, 300)), [(a_box(20.0, 30.0, 180.0, 280.0), "cat 0.93")]
    )
    with Image.open(tmp_path / "annotated.png") as annotated:
        assert annotated.size == (200, 300)
        assert [annotated.getpixel(place) for place in ((20, 200), (180, 200), (100, 280))] == [COLOURS[0]] * 3
        assert annotated.getpixel((100, 200)) == annotated.getpixel((5, 5)) == GREY
        label = annotated.crop((24, 32, 80, 48)).getcolors() or []
        assert {(255, 255, 255), COLOURS[0]} <= {colour for _, colour in label}


@pytest.mark.parametrize("side", [None, 20])
def test_a_picture_is_turned_upright_and_laid_on_white(side: int | None) -> None:
    half = Image.new("RGB", (80, 40), (0, 0, 0))
    half.paste((255, 255, 255), (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    upright = decoded(encoded(half, format_="JPEG", exif=exif), side)
    assert (upright.width, upright.mode) == (upright.height // 2, "RGB")
    assert upright.getpixel((upright.width // 2, 2)) == (255, 255, 255)
    assert upright.getpixel((upright.width // 2, upright.height - 3)) == (0, 0, 0)

    broken = b"Exif\0\0II*\0" + b"\xff" * 40
    assert decoded(encoded(half, format_="JPEG", exif=broken), side).getpixel((2, 2)) == (255, 255, 255)

    assert decoded(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 55))), side).getpixel((1, 1)) == (200, 200, 200)
    assert decoded(encoded(Image.new("I;16", (4, 4), 0x8000)), side).getpixel((1, 1)) == (128, 128, 128)


def test_what_is_no_picture_is_told() -> None:
    with pytest.raises(PictureFileError, match="no picture that Pillow can read"):
        decoded(b"text")
    with pytest.raises(PictureFileError, match="cannot be decoded"):
        decoded(encoded(Image.effect_noise((90, 90), 90))[:2000])


def test_a_long_caption_keeps_its_ends_and_stays_in_its_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    font = drawing._font_for("name", 15)
    clipped = drawing._clipped("0.731  a name that is much longer than its tile is wide 0017.jpg", font)
    assert clipped.startswith("0.731  a")
    assert clipped.endswith("17.jpg")
    assert "…" in clipped
    assert font.getlength(clipped) <= TILE
    assert drawing._clipped("short.jpg", font) == "short.jpg"


def test_a_caption_is_written_in_the_first_font_that_has_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Cyrillic:
        def getmask(self, character: str) -> bytes:
            return b"glyph" if 0x430 <= ord(character[0]) <= 0x44F or character.isascii() else b"absent"

    fonts = {drawing.FONTS[1]: drawing.ImageFont.load_default(15), drawing.FONTS[3]: Cyrillic()}
    monkeypatch.setattr(drawing, "_font_named", lambda name, _: asked.append(name) or fonts.get(name))

    assert isinstance(drawing._font_for("hat.jpg", 15), drawing.ImageFont.FreeTypeFont)
    assert asked == []  # the default has it
    assert isinstance(drawing._font_for("шляпа.jpg", 15), Cyrillic)
    assert asked == list(drawing.FONTS[:4])
    assert isinstance(drawing._font_for("帽子.jpg", 15), drawing.ImageFont.FreeTypeFont)  # for want of a better one
