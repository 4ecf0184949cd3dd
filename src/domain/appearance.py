"""What the pixels of a picture tell without any model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.embeddings import normalised

COLOURS = 64
"""Numbers that describe the colours of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """What is found in a picture, or in the part of it that was asked for, as it is decoded."""

    pixels: str
    """A digest of the decoded pixels and the full size, 32 hex digits: the same for the same picture in another file.

    A large JPEG is decoded scaled down, so its digest is that of a file in another format only where it is not.
    """
    low_detail: bool
    """It shows too little to be found by: one colour, a gradient, a plain shape, noise."""
    colours: bytes
    """COLOURS bytes in proportion to how much there is of each colour; see `colour_vectors`."""

    def __post_init__(self) -> None:
        if len(self.colours) != COLOURS:
            raise ValueError(f"Colours are {COLOURS} bytes, not {len(self.colours)}.")


def colour_vectors(appearances: Sequence[Appearance | None]) -> NDArray[np.float32]:
    """L2-normalised, shape (n, COLOURS): their inner products tell how alike colours are, in [0, 1]. 0 for None."""
    none = bytes(COLOURS)
    stored = b"".join(none if each is None else each.colours for each in appearances)
    return normalised(np.frombuffer(stored, dtype=np.uint8).reshape(-1, COLOURS).astype(np.float32))
