"""Any mode that Pillow decodes to, with or without a colour profile, to opaque 8-bit sRGB."""

import io
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

WHITE, MID_GREY = (255, 255, 255), (128, 128, 128)

_NEARLY_WHITE = 255 - 16
"""The least level of each channel of what is hardly seen on white."""
_LEAST_SEEN = 0.05
"""The share of what is visible that must be seen on white: a dark edge or a few letters suffice."""
_SAMPLED_SIDE = 512
"""Rows and columns, evenly spaced, in which that is measured: 2 ms, however large the picture."""

_PROFILE_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""An ICC profile's colour space, and Pillow's mode for it."""

_SRGB_TOLERANCE = 2
"""A profile that moves no colour by more levels than this (of 255) is sRGB under another name, and is not applied:
most photos carry one, and applying it costs twice as much as decoding."""

_ROWS_AT_ONCE = 64
"""Rows of deep grey that are stretched at a time."""

_REMEMBERED_BYTES = 64 * 1024
"""Larger profiles are opened anew for each picture."""


def to_srgb(image: Image.Image, *, covered: tuple[int, int, int, int] | None = None) -> Image.Image:
    """A loaded picture as mode RGB in sRGB, by the ICC profile in `image.info`.

    It is composited on white, or where it would vanish there on mid-grey; outside of `covered` it is transparent.
    """
    profile = image.info.get("icc_profile")
    colours, alpha = _split_alpha(_to_eight_bits(image))
    if profile:
        colours = _apply_profile(colours, profile)
    if colours.mode == "LAB":
        colours = _to_srgb_from(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB").apply(colours)
    if colours.mode != "RGB":
        colours = colours.convert("RGB")
    if covered is not None and covered != (0, 0, *colours.size):
        inside = (alpha or Image.new("L", colours.size, 255)).crop(covered)
        alpha = Image.new("L", colours.size, 0)
        alpha.paste(inside, covered[:2])
    if alpha is None or alpha.getextrema() == (255, 255):
        return colours
    canvas = Image.new("RGB", colours.size, MID_GREY if _vanishes_on_white(colours, alpha) else WHITE)
    canvas.paste(colours, mask=alpha)
    return canvas


def _vanishes_on_white(colours: Image.Image, alpha: Image.Image) -> bool:
    """Whether of what is visible, each pixel weighted by its alpha, nearly all is nearly white."""
    size = (min(alpha.width, _SAMPLED_SIDE), min(alpha.height, _SAMPLED_SIDE))
    weights = np.asarray(alpha.resize(size, Image.Resampling.NEAREST), dtype=np.int64)
    is_seen = (np.asarray(colours.resize(size, Image.Resampling.NEAREST)) < _NEARLY_WHITE).any(axis=-1)
    return bool(weights[is_seen].sum() < _LEAST_SEEN * weights.sum())


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey modes as L (with transparency: LA). Pillow decodes deep colour to 8 bits by itself."""
    if image.mode.startswith("I;16"):
        # The high byte, which is also what Pillow keeps of 16-bit colour.
        values = np.asarray(image)
        grey = Image.fromarray((values >> 8).astype(np.uint8))
        if (key := image.info.get("transparency")) is not None:
            grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
        return grey
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretched(image))
    return image


def _stretched(deep: Image.Image) -> NDArray[np.uint8]:
    """The least finite value as black and the greatest as white, since 32-bit formats define neither.

    By bands of rows, since double precision takes eight times the memory of the result.
    """
    bands = [(top, min(top + _ROWS_AT_ONCE, deep.height)) for top in range(0, deep.height, _ROWS_AT_ONCE)]
    low, high = math.inf, -math.inf
    for top, bottom in bands:
        values = _band(deep, top, bottom)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    stretched = np.zeros((deep.height, deep.width), dtype=np.uint8)
    if low < high:
        for top, bottom in bands:
            known = np.nan_to_num(_band(deep, top, bottom), nan=low, posinf=high, neginf=low)
            stretched[top:bottom] = np.rint((known / 2 - low / 2) / (high / 2 - low / 2) * 255)
    return stretched


def _band(deep: Image.Image, top: int, bottom: int) -> NDArray[np.float64]:
    return np.asarray(deep.crop((0, top, deep.width, bottom)), dtype=np.float64)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours as L, RGB, CMYK, LAB or YCbCr, and the alpha channel (mode L) if there is one."""
    if image.has_transparency_data:
        if image.mode in {"1", "L", "LA", "La"}:
            grey, alpha = image.convert("LA").split()
            return grey, alpha
        with_alpha = image.convert("RGBA")
        return with_alpha.convert("RGB"), with_alpha.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    return (image.convert("RGB") if image.mode in {"P", "RGBX", "HSV"} else image), None


class _Profile(NamedTuple):
    """A colour profile: the mode that it is for, and how to sRGB from there; None where it is sRGB itself."""

    mode: str | None
    transform: ImageCms.ImageCmsTransform | None


def _apply_profile(colours: Image.Image, profile: bytes) -> Image.Image:
    """`colours` in sRGB, or unchanged where the profile is broken, of another colour space, or sRGB itself."""
    try:
        mode, transform = _remembered(profile) if len(profile) <= _REMEMBERED_BYTES else _opened(profile)
        if mode == "RGB" and colours.mode in {"L", "YCbCr"}:
            colours = colours.convert("RGB")
        return colours if transform is None or mode != colours.mode else transform.apply(colours)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return colours


def _opened(profile: bytes) -> _Profile:
    """Raises what Pillow does where the profile is broken."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _PROFILE_SPACES.get(source.profile.xcolor_space.strip())
    if mode is None:
        return _Profile(None, None)
    transform = _to_srgb_from(source, mode)
    return _Profile(mode, None if mode == "RGB" and _moves_nothing(transform) else transform)


_remembered = lru_cache(maxsize=16)(_opened)
"""Nearly all photos carry one of a few profiles, and opening one takes longer than decoding a small photo."""


def _to_srgb_from(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(source, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")), mode, "RGB")


def _moves_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    lattice = _lattice()
    moved = np.asarray(transform.apply(Image.fromarray(lattice)), dtype=np.int16) - lattice
    return int(np.abs(moved).max()) <= _SRGB_TOLERANCE


@lru_cache(maxsize=1)
def _lattice() -> NDArray[np.uint8]:
    """Each combination of 16 levels of red, green and blue (0, 17, ... 255), shape (256, 16, 3)."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(256, 16, 3)
