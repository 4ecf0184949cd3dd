"""Pictures of results: matches beside the query, boxes on a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from domain.raster import RasterImage
from lookalike_client import Box

TILE = 220
"""Pixels of a tile's side, without its caption."""
CAPTION = 26
MARGIN = 12
COLUMNS = 6
INK = (32, 32, 32)
PAPER = (255, 255, 255)
FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "unifont.otf",
    "Arial Unicode.ttf", "arial.ttf", "segoeui.ttf", "msyh.ttc", "YuGothM.ttc", "malgun.ttf",
)  # fmt: skip
"""Of the system, in this order: the first that has all characters of a text writes it."""
COLOURS = ((214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 190, 207))
"""Of boxes, in turn."""


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Tile(NamedTuple):
    """A picture as large as a tile, with its caption, the full picture's width, and boxes to draw on it."""

    picture: Image.Image
    caption: str
    full_width: int
    boxes: Sequence[Box]

    @classmethod
    def of(cls, raster: RasterImage, caption: str, full_width: int, boxes: Sequence[Box] = ()) -> "Tile":
        """Keeps nothing of `raster`, which its decoder bounds."""
        return cls(ImageOps.contain(Image.fromarray(raster.pixels), (TILE, TILE)), caption, full_width, boxes)


def save_contact_sheet(path: Path, tiles: Sequence[Tile]) -> None:
    """Write a picture of captioned pictures, six in a row; its format follows from the path's suffix.

    Raises ValueError (a suffix of no known format), OSError.
    """
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    across, down = TILE + MARGIN, TILE + CAPTION + MARGIN
    sheet = Image.new("RGB", (columns * across + MARGIN, rows * down + MARGIN), PAPER)
    for place, tile in enumerate(tiles):
        _draw_tile(sheet, tile, (MARGIN + place % columns * across, MARGIN + place // columns * down))
    sheet.save(path)


def save_annotated(path: Path, raster: RasterImage, objects: Sequence[tuple[Box, str]]) -> None:
    """Write a copy of a picture, decoded to its full size, with labelled boxes. Raises ValueError, OSError."""
    picture = Image.fromarray(raster.pixels)
    draw = ImageDraw.Draw(picture)
    stroke = max(2, picture.width // 250)
    for number, (box, label) in enumerate(objects):
        colour, corners = COLOURS[number % len(COLOURS)], _corners(box)
        font = _font_for(label, max(14, picture.width // 40))
        draw.rectangle(corners, outline=colour, width=stroke)
        text = draw.textbbox((corners[0] + 2 * stroke, corners[1] + stroke), label, font)
        draw.rectangle((corners[0], corners[1], text[2] + stroke, text[3] + stroke), fill=colour)
        draw.text(text[:2], label, PAPER, font, anchor="lt")
    picture.save(path)


def _draw_tile(sheet: Image.Image, tile: Tile, corner: tuple[int, int]) -> None:
    picture = tile.picture.copy()
    draw, scale = ImageDraw.Draw(picture), picture.width / tile.full_width
    for number, box in enumerate(tile.boxes):
        draw.rectangle([side * scale for side in _corners(box)], outline=COLOURS[number % len(COLOURS)], width=3)
    left, top = corner
    sheet.paste(picture, (left + (TILE - picture.width) // 2, top + (TILE - picture.height) // 2))
    font = _font_for(tile.caption, 15)
    place = left + TILE / 2, top + TILE + CAPTION / 2
    ImageDraw.Draw(sheet).text(place, _clipped(tile.caption, font), INK, font, anchor="mm")


def _font_for(text: str, size: int) -> Font:
    """A font that has all characters of a text, if the system has one."""
    default = ImageFont.load_default(size)
    if _has_all(default, text):
        return default
    named = (_font_named(name, size) for name in FONTS)
    return next((font for font in named if font is not None and _has_all(font, text)), default)


def _font_named(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _has_all(font: Font, text: str) -> bool:
    absent = bytes(font.getmask("\uffff"))
    return all(character.isspace() or bytes(font.getmask(character)) != absent for character in set(text))


def _clipped(caption: str, font: Font) -> str:
    """The caption cut to its tile's width, in its middle: the end of a file's name says most."""
    if font.getlength(caption) <= TILE:
        return caption
    for kept in range(len(caption) - 1, 0, -1):
        clipped = f"{caption[: (kept + 1) // 2]}…{caption[len(caption) - kept // 2 :]}"
        if font.getlength(clipped) <= TILE:
            return clipped
    return "…"


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x_min, box.y_min, box.x_max, box.y_max
