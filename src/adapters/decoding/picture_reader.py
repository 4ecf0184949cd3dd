"""One picture after the other with Pillow, by the contract in docs/decode-contract.md."""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from adapters.decoding.appearance import appearance_of
from adapters.decoding.camera_raw import refuse_camera_raw
from adapters.decoding.colour import to_srgb
from adapters.decoding.exif import exif_of
from adapters.decoding.formats import (
    MAX_RUN_LENGTH_PIXELS,
    ImageFormat,
    identify,
    is_run_length_encoded,
    prepared,
    webp_canvas,
)
from adapters.decoding.orientation import turn_of, upright_size
from domain.errors import ImageTooLargeError, ImageUnreadableError, LookalikeError, UnsupportedImageError
from domain.geometry import BoundingBox
from domain.ports.image_decoder import DecodedImage
from domain.raster import RasterImage

Opener = Callable[[io.BytesIO], ImageFile.ImageFile]

_OPENERS: dict[ImageFormat, Opener] = {
    ImageFormat.JPEG: JpegImageFile,  # also of a multi-picture file (MPO), whose first picture it shows
    ImageFormat.PNG: PngImageFile,
    ImageFormat.WEBP: WebPImageFile,
    ImageFormat.GIF: GifImageFile,
    ImageFormat.BMP: BmpImageFile,
    ImageFormat.TIFF: TiffImageFile,
    ImageFormat.AVIF: AvifImageFile,
}
"""Each format's own reader rather than `Image.open`: that tries every format it knows, and applies a size limit which
is a global of Pillow's and warns or fails where ours would not."""

_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""How far apart neighbouring greys of 2 and 4 bits are once they have 8."""

_ROWS_AT_ONCE = 64
"""Rows that `_pixels` copies at a time: 19 ms for 12 megapixels where one piece takes 47, and half the memory."""


class _Opened(NamedTuple):
    """A picture of which only the header has been read. A JPEG's `image` may be set to decode smaller than that."""

    kind: ImageFormat
    image: ImageFile.ImageFile
    header_size: tuple[int, int]
    region: BoundingBox | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLimits:
    """What a picture's header may say: pixels in all, and the longer side."""

    max_pixels: int = 100_000_000
    max_side: int = 30_000


class PictureReader:
    """Reads a picture in two steps, so that there can be room for its pixels before there are any. Not thread-safe.

    JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF, and HEIC where the extra `[heif]` is installed.
    """

    def __init__(self, limits: HeaderLimits) -> None:
        # Pillow warns of each odd picture in other words, which Python would remember for ever, to say each once.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        self._limits = limits
        self._openers = _OPENERS | _heic_opener()
        self._accepted = ", ".join(kind.name for kind in self._openers)
        self._opened: _Opened | None = None

    def open(self, content: bytes, *, sufficient_side: int, region: BoundingBox | None) -> int:
        """Read the header; the bytes that the picture's pixels will take. Raises what `ImageDecoder.decoded` does."""
        self._opened = None
        kind = self._identify(content)
        with _pillow_errors_named(kind):
            if kind is ImageFormat.WEBP and (canvas := webp_canvas(content)):
                self._check_size(*canvas)
            content, is_whole = prepared(kind, content)
            image = self._openers[kind](io.BytesIO(content))
            header_size = image.size
            self._check_size(*header_size)
            if kind is ImageFormat.BMP and is_run_length_encoded(content):
                _check_run_length(*header_size)
            if not is_whole:
                raise ImageUnreadableError(f"The {kind.name} ends too early. Send the whole file.")
            if isinstance(image, JpegImageFile):
                _draft(image, sufficient_side, region)
        self._opened = _Opened(kind, image, header_size, region)
        return 3 * image.width * image.height

    @property
    def pixels(self) -> int:
        """The number in the header of the open picture; 0 where none is open."""
        return math.prod(self._opened.header_size) if self._opened else 0

    def read(self) -> DecodedImage:
        """The picture that was opened last; C-contiguous and writable."""
        assert self._opened is not None  # noqa: S101 - `open` comes first
        opened, self._opened = self._opened, None
        with _pillow_errors_named(opened.kind), opened.image:
            raster = _raster(opened.image, opened.header_size, opened.region)
        seen = raster if opened.region is None else raster.crop(opened.region)
        return DecodedImage(raster=raster, media_type=opened.kind.value, appearance=appearance_of(seen))

    def exif(self, content: bytes) -> dict[str, Any]:
        """What the header of another picture says of its taking (`exif_of`). Raises as `open` does."""
        self.open(content, sufficient_side=0, region=None)
        assert self._opened is not None  # noqa: S101 - or it would have raised
        opened, self._opened = self._opened, None
        with opened.image:
            return exif_of(opened.image)

    def _identify(self, content: bytes) -> ImageFormat:
        if not content:
            raise UnsupportedImageError(f"The file is empty. Send a picture: {self._accepted}.")
        refuse_camera_raw(content)
        kind = identify(content)
        if kind is None:
            raise UnsupportedImageError(
                f"The content is no picture of an accepted format, whatever its name says. Send {self._accepted}."
            )
        if kind is ImageFormat.PNG and content.startswith(b"CgBI", 12):  # the name of its first chunk
            raise UnsupportedImageError(
                "The content is a PNG in Apple's own form (CgBI), as Xcode puts it into apps. Send the one that it was "
                "made from, or convert it with `xcrun pngcrush -revert-iphone-optimizations`."
            )
        if kind not in self._openers:
            raise UnsupportedImageError(
                f"The content is {kind.name}, which takes the extra [heif] (pillow-heif) that is not installed here. "
                f"Install it, or send {self._accepted}."
            )
        return kind

    def _check_size(self, width: int, height: int) -> None:
        found = f"The picture has {width:,} x {height:,} pixels; "
        if max(width, height) > self._limits.max_side:
            raise ImageTooLargeError(f"{found}a side may have at most {self._limits.max_side:,}.")
        if width * height > self._limits.max_pixels:
            raise ImageTooLargeError(f"{found}at most {self._limits.max_pixels:,} pixels in all are accepted.")


def _check_run_length(width: int, height: int) -> None:
    if width * height > MAX_RUN_LENGTH_PIXELS:
        raise ImageTooLargeError(
            f"The picture has {width:,} x {height:,} pixels; a run-length encoded BMP may have "
            f"{MAX_RUN_LENGTH_PIXELS:,}. Save it as PNG."
        )


def _heic_opener() -> dict[ImageFormat, Opener]:
    try:
        from pillow_heif import HeifImageFile  # noqa: PLC0415  # an extra
    except ImportError:
        return {}
    return {ImageFormat.HEIC: HeifImageFile}


@contextmanager
def _pillow_errors_named(kind: ImageFormat) -> Iterator[None]:
    """Damaged files make Pillow raise nearly any exception there is, so whatever is not ours means damage."""
    try:
        yield
    except LookalikeError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLargeError(f"The {kind.name} takes too much memory to decode: {error}") from error
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise ImageUnreadableError(
            f"The content begins as {kind.name}, but is damaged or incomplete: {reason.removesuffix('.')}. "
            "Send the whole, undamaged file."
        ) from error


def _raster(image: ImageFile.ImageFile, header_size: tuple[int, int], region: BoundingBox | None) -> RasterImage:
    """All of the picture at the size that `image` has now; a JPEG's header may have said a larger one."""
    # A GIF's first frame may cover only a part of the canvas.
    covered = image.tile[0].extents if isinstance(image, GifImageFile) else None
    if isinstance(image, PngImageFile):
        _scale_colour_key(image)
    image.load()
    # Some of the other formats have another size than the header said, or turn upright as they load.
    full_size = header_size if isinstance(image, JpegImageFile) else image.size
    turn = turn_of(image)
    width, height = upright_size(full_size, turn)
    if region is not None:
        region.clipped(width, height)  # raises where it lies outside

    colours = to_srgb(image, covered=covered)
    if turn is not None:
        colours = colours.transpose(turn)
    return RasterImage(pixels=_pixels(colours), width=width, height=height)


def _draft(image: JpegImageFile, sufficient_side: int, region: BoundingBox | None) -> None:
    """Let libjpeg decode at a half, a quarter or an eighth, where the shorter side keeps `sufficient_side` pixels."""
    width, height = image.size
    shorter: float = min(width, height)
    if region is not None:
        part = region.clipped(*upright_size(image.size, turn_of(image)))
        shorter = min(part.width, part.height)
    scale = next((scale for scale in (8, 4, 2) if shorter / scale >= max(sufficient_side, 1)), None)
    if scale is not None:
        image.draft(None, (width // scale, height // scale))


def _scale_colour_key(image: PngImageFile) -> None:
    """Bring a PNG's transparent colour, which Pillow leaves at the file's depth, to the 8 bits that it decodes to."""
    key, stored_as = image.info.get("transparency"), image.tile[0].args
    if isinstance(key, int) and stored_as in _GREY_STEPS:
        image.info["transparency"] = key * _GREY_STEPS[stored_as]
    elif isinstance(key, tuple) and stored_as == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in key)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    width, height = image.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels
