"""Pictures of results: matches beside the query, boxes on a picture."""

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from warnings import catch_warnings

import typer
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from lookalike_client import Box, PictureFileError

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
    def of(cls, content: bytes, caption: str, full_width: int, boxes: Sequence[Box] = ()) -> "Tile":
        """That of a picture file. Raises PictureFileError."""
        return cls(ImageOps.contain(decoded(content, TILE), (TILE, TILE)), caption, full_width, boxes)


def save_contact_sheet(path: Path, tiles: Sequence[Tile]) -> None:
    """Write a picture of captioned pictures, six in a row; its format follows from the path's suffix.

    Raises BadParameter where it cannot be written.
    """
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    across, down = TILE + MARGIN, TILE + CAPTION + MARGIN
    sheet = Image.new("RGB", (columns * across + MARGIN, rows * down + MARGIN), PAPER)
    for place, tile in enumerate(tiles):
        _draw_tile(sheet, tile, (MARGIN + place % columns * across, MARGIN + place // columns * down))
    _write(sheet, path)


def save_annotated(path: Path, content: bytes, objects: Sequence[tuple[Box, str]]) -> None:
    """Write a copy of a picture with labelled boxes. Raises PictureFileError; BadParameter as above."""
    picture = decoded(content)
    draw = ImageDraw.Draw(picture)
    stroke = max(2, picture.width // 250)
    for number, (box, label) in enumerate(objects):
        colour, corners = COLOURS[number % len(COLOURS)], _corners(box)
        font = _font_for(label, max(14, picture.width // 40))
        draw.rectangle(corners, outline=colour, width=stroke)
        text = draw.textbbox((corners[0] + 2 * stroke, corners[1] + stroke), label, font)
        draw.rectangle((corners[0], corners[1], text[2] + stroke, text[3] + stroke), fill=colour)
        draw.text(text[:2], label, PAPER, font, anchor="lt")
    _write(picture, path)


def decoded(content: bytes, side: int | None = None) -> Image.Image:
    """A picture file's pixels as RGB, upright, on white; perhaps smaller, but with sides of `side` pixels or more.

    Raises PictureFileError.
    """
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    try:
        # What Pillow warns of, broken EXIF and large pictures, the service has accepted.
        with catch_warnings(action="ignore"), Image.open(BytesIO(content)) as file:
            if side is not None:
                file.draft("RGB", (side, side))
            file.load()
            return _on_paper(_upright(file))
    except UnidentifiedImageError as error:
        raise PictureFileError("It is no picture that Pillow can read here.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureFileError(f"The picture cannot be decoded: {error}") from error


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # Pillow raises many; broken EXIF says nothing, as for the service
        return picture


def _on_paper(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        picture = picture.point(lambda value: value / 256).convert("L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    paper = Image.new("RGBA", picture.size, PAPER)
    paper.alpha_composite(picture.convert("RGBA"))
    return paper.convert("RGB")


def _write(picture: Image.Image, path: Path) -> None:
    try:
        picture.save(path)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"the picture cannot be written: {error}", param_hint=str(path)) from error


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
