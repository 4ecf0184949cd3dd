"""What pixels tell without a model: a digest, the colours, and whether there is too little to see."""

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from domain.appearance import COLOURS, Appearance
from domain.raster import RasterImage

Pixels = NDArray[np.uint8]

SIDE = 64
"""A picture is judged on so many pixels a side, whatever its aspect ratio."""

_CELL = np.array([256, 16, 1], dtype=np.int16)
"""From levels of 16 a channel to the number of a cell."""

# Of 5,225 photos .2 % fall under one of these, of plain colours, gradients and noise 99 %, of one to three plain shapes
# 93 %, of logos with text 75 %; of small drawings and photographed objects, cut out on white, 17 %.

MIN_DETAIL = 0.12
"""Least share of pixels that are neither flat nor on a gradient. The plainest of the photos has .10."""
DETAIL = 8
"""Levels by which such a pixel is off the line between its neighbours."""
MAX_FLAT = 0.95
"""Greatest share of samples that FLAT_COLOURS colours, give or take FLAT_LEVELS, make up."""
MOST_DETAIL_OF_FLAT = 0.5
"""With more detail, flat colours are not looked for: it takes half of the time, and no logo has so much."""
FLAT_COLOURS = 4
FLAT_LEVELS = 12
MAX_NOISE = 0.2
"""Greatest correlation of neighbours in noise, sharp or a little blurred. Gravel, the noisiest of textures, has .25."""
NOISE_SCALES = (1, 2, 4)
"""Pixels a side that are averaged before. White noise stays white; what a photo shows comes out."""


def appearance_of(raster: RasterImage) -> Appearance:
    """That of decoded pixels."""
    samples, means = _samples(raster.pixels), _means(raster.pixels)
    return Appearance(
        pixels=_digest(raster), low_detail=_shows_little(samples, means), colours=colours_of(means).tobytes()
    )


def _digest(raster: RasterImage) -> str:
    digest = hashlib.sha256(repr((raster.width, raster.height, raster.pixels.shape)).encode())
    digest.update(np.ascontiguousarray(raster.pixels).data)
    return digest.hexdigest()[:32]


def _samples(pixels: Pixels) -> Pixels:
    rows, columns = (((np.arange(SIDE) + 0.5) * length / SIDE).astype(np.intp) for length in pixels.shape[:2])
    samples: Pixels = pixels[rows[:, np.newaxis], columns]
    return samples


def _means(pixels: Pixels) -> Pixels:
    """Averages of areas; of a large picture, of every second pixel or fewer, since all would take some milliseconds."""
    down, across = (max(1, length // (4 * SIDE)) for length in pixels.shape[:2])
    few = Image.fromarray(np.ascontiguousarray(pixels[::down, ::across]))
    return np.asarray(few.resize((SIDE, SIDE), Image.Resampling.BOX))


# Detail


def _shows_little(samples: Pixels, means: Pixels) -> bool:
    detail = _detail(means)
    if detail < MIN_DETAIL or _is_noise(means):
        return True
    return detail < MOST_DETAIL_OF_FLAT and _flat_share(samples) > MAX_FLAT


def _detail(means: Pixels) -> float:
    """The share of pixels with a second difference above DETAIL, in any channel: blank areas and gradients have 0."""
    levels = means.astype(np.int16)
    across = np.abs(levels[1:-1, 2:] - 2 * levels[1:-1, 1:-1] + levels[1:-1, :-2])
    down = np.abs(levels[2:, 1:-1] - 2 * levels[1:-1, 1:-1] + levels[:-2, 1:-1])
    return float((np.maximum(across, down).max(axis=-1) > DETAIL).mean())


def _flat_share(samples: Pixels) -> float:
    """The share of the FLAT_COLOURS most frequent colours. Single pixels tell it: means would blend edges with them."""
    rest = samples.reshape(-1, 3).astype(np.int16)
    cells = (rest >> 4) @ _CELL
    for _ in range(FLAT_COLOURS):
        if not len(rest):
            break
        colour = rest[cells == np.bincount(cells).argmax()].mean(axis=0).astype(np.int16)
        others = (np.abs(rest - colour) > FLAT_LEVELS).any(axis=1)
        rest, cells = rest[others], cells[others]
    return 1.0 - len(rest) / (SIDE * SIDE)


def _is_noise(means: Pixels) -> bool:
    """Whether the brightness of neighbours is unrelated, at every scale."""
    brightness = means.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    brightness -= brightness.mean()
    for size in NOISE_SCALES:
        squares = brightness.reshape(SIDE // size, size, SIDE // size, size).mean(axis=(1, 3))
        across, down = (squares[:, 1:] * squares[:, :-1]).mean(), (squares[1:] * squares[:-1]).mean()
        if abs(across + down) / 2 >= MAX_NOISE * squares.var():
            return False
    return True


# Colours

_GRID = (5, 7, 7)
"""Bins of L, a and b (CIE 1976). A colour is shared between the bins around it."""
_CHROMA = 60.0
"""The outermost bins of a and b are at this and beyond."""
_SPREAD = 0.5
"""Of the Gaussian weight around the picture's centre, in half sides."""

_KEPT = (
    17, 23, 24, 25, 31, 32, 66, 67, 68, 71, 72, 73, 74, 75, 78, 79, 80, 81, 82, 87, 88, 89, 95, 96, 110, 114, 115, 116,
    117, 120, 121, 122, 123, 124, 127, 128, 129, 130, 131, 132, 136, 137, 138, 143, 144, 145, 163, 164, 165, 166, 167,
    170, 171, 172, 173, 174, 177, 178, 179, 180, 181, 219, 220, 221,
)  # fmt: skip
"""The 64 of the 245 bins that photos fill most (96 % of a thousand varied ones); each other one counts as the nearest
of these. Cosines of what they make correlate to .998 with those of all bins; random projections to 64 numbers reach .94
and a cosine transform .94."""

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])
"""Linear sRGB to CIE XYZ as shares of the white D65 (IEC 61966-2-1)."""


def colours_of(means: Pixels) -> Pixels:
    """How much there is of each of COLOURS colours, as its square root and with the greatest at 255.

    `means` is a picture of SIDE x SIDE pixels. The square root makes inner products compare distributions
    (Bhattacharyya, 1943).
    """
    cells = (means.reshape(-1, 3) >> 4) @ _CELL
    bins = _bins_of_cells()
    amounts = np.sqrt(np.bincount(cells, _centre_weights(), minlength=len(bins)) @ bins)
    colours: Pixels = np.round(255 * amounts / amounts.max()).astype(np.uint8)
    return colours


@cache
def _bins_of_cells() -> NDArray[np.float64]:
    """How the colours of each cell of 16 x 16 x 16 levels of sRGB share in the bins that are kept."""
    levels = np.stack(np.unravel_index(np.arange(16**3), (16, 16, 16)), axis=1) / 16 + 1 / 32
    linear = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
    whites = linear @ _TO_XYZ.T
    curved = np.where(whites > 216 / 24389, np.cbrt(whites), (24389 / 27 * whites + 16) / 116)
    chroma = np.stack((500 * (curved[:, 0] - curved[:, 1]), 200 * (curved[:, 1] - curved[:, 2])), axis=1)
    places = np.column_stack(((116 * curved[:, 1] - 16) / 100, (chroma / _CHROMA + 1) / 2)) * (np.array(_GRID) - 1)
    low = np.clip(places, 0.0, np.array(_GRID) - 1.001).astype(np.intp)
    share = np.clip(places - low, 0.0, 1.0)
    kept = np.stack(np.unravel_index(_KEPT, _GRID), axis=1)
    shares = np.zeros((len(levels), COLOURS))
    for corner in np.ndindex(2, 2, 2):
        squares = ((low + corner - kept[:, np.newaxis]) ** 2).sum(axis=-1)
        weight = np.where(corner, share, 1.0 - share).prod(axis=1)
        shares[np.arange(len(levels)), squares.argmin(axis=0)] += weight
    return shares


@cache
def _centre_weights() -> NDArray[np.float64]:
    axis = (np.arange(SIDE) + 0.5) / (SIDE / 2) - 1.0
    weights: NDArray[np.float64] = np.exp(-(axis[:, np.newaxis] ** 2 + axis**2) / (2 * _SPREAD**2)).reshape(-1)
    return weights
