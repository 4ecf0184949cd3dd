"""EXIF orientation: how a picture is turned upright."""

from PIL import Image, ImageFile

from adapters.decoding.formats import MAX_EXIF

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright (1, and anything undefined, is upright)."""


def turn_of(image: ImageFile.ImageFile) -> Image.Transpose | None:
    """What makes the picture upright, by the EXIF that has been read so far; broken EXIF says nothing.

    TIFF, and HEIC's own rotation, are turned upright by their readers, which leave no orientation here.
    """
    exif, stored = Image.Exif(), image.info.get("exif") or b""
    if len(stored) > MAX_EXIF:
        return None
    try:
        exif.load(stored)
        return _TURNS.get(exif.get(_ORIENTATION, 1))
    except Exception:  # the same variety as for pictures
        return None


def upright_size(size: tuple[int, int], turn: Image.Transpose | None) -> tuple[int, int]:
    """Width and height of a picture once it is turned."""
    sideways = (
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    )
    return (size[1], size[0]) if turn in sideways else size
