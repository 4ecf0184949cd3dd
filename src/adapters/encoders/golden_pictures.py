"""Photos that ship with the encoders, to prove that a runtime computes what it should."""

from pathlib import Path

import numpy as np
from PIL import Image

from domain.embeddings import Embeddings
from domain.errors import ModelError
from domain.raster import RasterImage

LEAST_COSINE = 0.99
"""Between what a runtime computes and the stored f32 embeddings, at start-up."""

LEAST_COSINE_INT8 = 0.998
"""Likewise to stored int8 embeddings: machines with and without VNNI agreed to .9992."""

DIRECTORY = Path(__file__).parent / "golden"


def golden_pictures() -> list[RasterImage]:
    """The packaged photos, by name. Raises ModelError if the installation lacks them."""
    paths = sorted(DIRECTORY.glob("*.png"))
    if not paths:
        raise ModelError(f"No golden picture is left in {DIRECTORY}: install Lookalike again.")
    rasters = []
    for path in paths:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        rasters.append(RasterImage(pixels=pixels, width=picture.width, height=picture.height))
    return rasters


def least_cosine(embeddings: Embeddings, expected: Embeddings) -> float:
    """The smallest cosine similarity between embeddings of the same pictures; NaN counts as -1.

    Raises ModelError if their shapes differ.
    """
    if embeddings.shape != expected.shape:
        raise ModelError(f"The golden pictures give embeddings of shape {embeddings.shape}, not {expected.shape}.")
    least = float(np.min(np.sum(embeddings * expected, axis=1)))
    return least if np.isfinite(least) else -1.0


def check_parity(embeddings: Embeddings, expected: Embeddings, *, runtime: str, least: float = LEAST_COSINE) -> None:
    """Raise ModelError unless a runtime's embeddings of the golden pictures agree with the stored ones."""
    cosine = least_cosine(embeddings, expected)
    if cosine < least:
        raise ModelError(
            f"{runtime} computes other embeddings of the golden pictures than the reference: their cosine is "
            f"{cosine:.4f}, and must be at least {least}. Choose precision f32, or export the model again."
        )
