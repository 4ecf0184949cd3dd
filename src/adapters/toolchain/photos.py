"""Photos to fit a projection on: those that ship with Lookalike, or a folder of the user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from domain.errors import ModelError
from domain.raster import RasterImage

PACKAGED = Path(__file__).parent / "sample_photos"
"""297 varied photos; SOURCES.tsv names the author, the licence and the source of each."""

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp"))

LONGEST_SIDE = 768
"""Pixels: more does not show in a model's input, and less would blur the crops."""

FEWEST = 20
"""A layer fitted on fewer photos would know little but them."""

MOST = 2_000
"""More take memory, and gain nothing: what counts is how varied they are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photos:
    """Photos by subject: two photos are unrelated if their subjects differ."""

    rasters: Sequence[RasterImage]
    subjects: Sequence[str]
    """Of each photo: its folder's path, or its own name if it stands in no folder."""

    @classmethod
    def read(cls, folder: Path | None = None) -> "Photos":
        """All photos below a folder, else the packaged ones, by their paths, at most `LONGEST_SIDE` pixels a side.

        Each subfolder is a subject; a photo directly in the folder is a subject of its own. Raises ModelError: too few
        or too many photos, or one that cannot be read.
        """
        folder = folder or PACKAGED
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not FEWEST <= len(paths) <= MOST:
            raise ModelError(
                f"A projection is fitted on {FEWEST} to {MOST:,} photos (JPEG, PNG, WebP), the more varied the better: "
                f"{folder} has {len(paths):,}."
            )
        names = [path.relative_to(folder) for path in paths]
        subjects = [str(name if name.parent == Path() else name.parent) for name in names]
        return cls(rasters=[_raster(path) for path in paths], subjects=subjects)

    def spread(self, most: int) -> list[RasterImage]:
        """At most so many of the photos, evenly spaced, so that all subjects have their share."""
        places = np.linspace(0, len(self.rasters) - 1, min(most, len(self.rasters))).round().astype(int)
        return [self.rasters[place] for place in places]


def _raster(path: Path) -> RasterImage:
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ModelError(f"The photo {path} cannot be read: {error}") from error
    picture = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC)
    return RasterImage(pixels=np.asarray(picture), width=picture.width, height=picture.height)
