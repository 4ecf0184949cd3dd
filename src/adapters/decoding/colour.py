"""Any mode that Pillow decodes to, with or without a colour profile, to opaque 8-bit sRGB."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

WHITE = (255, 255, 255)

_PROFILE_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""An ICC profile's colour space, and Pillow's mode for it."""

_SRGB_TOLERANCE = 2
"""A profile that moves no colour by more levels than this (of 255) is sRGB under another name, and is not applied:
most photos carry one, and applying it costs twice as much as decoding."""


def to_srgb(image: Image.Image) -> Image.Image:
    """A loaded picture as mode RGB in sRGB, alpha composited on white. Its ICC profile is in `image.info`."""
    profile = image.info.get("icc_profile")
    colours, alpha = _split_alpha(_to_eight_bits(image))
    if profile:
        colours = _apply_profile(colours, profile)
    if colours.mode == "LAB":
        colours = _transformed(colours, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if colours.mode != "RGB":
        colours = colours.convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return colours
    canvas = Image.new("RGB", colours.size, WHITE)
    canvas.paste(colours, mask=alpha)
    return canvas


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey modes as L (with transparency: LA). Deep colour never comes here: Pillow decodes it to 8 bits."""
    if image.mode.startswith("I;16"):
        # The high byte, which is also what Pillow keeps of 16-bit colour.
        values = np.asarray(image)
        grey = Image.fromarray((values >> 8).astype(np.uint8))
        if (key := image.info.get("transparency")) is not None:
            grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
        return grey
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretched(np.asarray(image, dtype=np.float64)))
    return image


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The least finite value as black and the greatest as white, since 32-bit formats define neither."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if low == high:
        return np.zeros(values.shape, dtype=np.uint8)
    known = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return np.rint((known / 2 - low / 2) / (high / 2 - low / 2) * 255).astype(np.uint8)


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


def _apply_profile(colours: Image.Image, profile: bytes) -> Image.Image:
    """`colours` in sRGB, or unchanged where the profile is broken, of another colour space, or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _PROFILE_SPACES.get(source.profile.xcolor_space.strip())
        if mode == "RGB" and colours.mode in {"L", "YCbCr"}:
            colours = colours.convert("RGB")
        if mode != colours.mode or (mode == "RGB" and _is_srgb(source)):
            return colours
        return _transformed(colours, source)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return colours


def _transformed(colours: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    transform = ImageCms.buildTransform(source, target, colours.mode, "RGB")
    return transform.apply(colours)


def _is_srgb(source: ImageCms.ImageCmsProfile) -> bool:
    lattice = _lattice()
    moved = np.asarray(_transformed(Image.fromarray(lattice), source), dtype=np.int16) - lattice
    return int(np.abs(moved).max()) <= _SRGB_TOLERANCE


@lru_cache(maxsize=1)
def _lattice() -> NDArray[np.uint8]:
    """Each combination of 16 levels of red, green and blue (0, 17, ... 255), shape (256, 16, 3)."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(256, 16, 3)
