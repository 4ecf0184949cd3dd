"""Pictures of results: matches beside the query, boxes on a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from domain.raster import RasterImage

TILE = 220
"""Pixels of a tile's side, without its caption."""
CAPTION = 26
MARGIN = 12
COLUMNS = 6
INK = (32, 32, 32)
PAPER = (255, 255, 255)
COLOURS = ((214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 190, 207))
"""Of boxes, in turn."""

Corners = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the full upright picture."""


class Tile(NamedTuple):
    """A picture as large as a tile, with its caption, the full picture's width, and boxes to draw on it."""

    picture: Image.Image
    caption: str
    full_width: int
    boxes: Sequence[Corners]

    @classmethod
    def of(cls, raster: RasterImage, caption: str, full_width: int, boxes: Sequence[Corners] = ()) -> "Tile":
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


def save_annotated(path: Path, raster: RasterImage, objects: Sequence[tuple[Corners, str]]) -> None:
    """Write a copy of a picture, decoded to its full size, with labelled boxes. Raises ValueError, OSError."""
    picture = Image.fromarray(raster.pixels)
    draw = ImageDraw.Draw(picture)
    stroke = max(2, picture.width // 250)
    font = ImageFont.load_default(max(14, picture.width // 40))
    for number, (corners, label) in enumerate(objects):
        colour = COLOURS[number % len(COLOURS)]
        draw.rectangle(corners, outline=colour, width=stroke)
        text = draw.textbbox((corners[0] + 2 * stroke, corners[1] + stroke), label, font)
        draw.rectangle((corners[0], corners[1], text[2] + stroke, text[3] + stroke), fill=colour)
        draw.text(text[:2], label, PAPER, font, anchor="lt")
    picture.save(path)


def _draw_tile(sheet: Image.Image, tile: Tile, corner: tuple[int, int]) -> None:
    picture = tile.picture.copy()
    draw, scale = ImageDraw.Draw(picture), picture.width / tile.full_width
    for number, box in enumerate(tile.boxes):
        draw.rectangle([side * scale for side in box], outline=COLOURS[number % len(COLOURS)], width=3)
    left, top = corner
    sheet.paste(picture, (left + (TILE - picture.width) // 2, top + (TILE - picture.height) // 2))
    font = ImageFont.load_default(15)
    ImageDraw.Draw(sheet).text((left + TILE / 2, top + TILE + CAPTION / 2), tile.caption, INK, font, anchor="mm")
