"""What a score means to people: likeness on one scale for all models, and its band."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Band(StrEnum):
    """The likeness of two pictures in a word, the most alike first."""

    IDENTICAL = "identical"
    """The same bytes, or the same pixels in another file: known by their digests, not by the score."""
    VERY_ALIKE = "very_alike"
    ALIKE = "alike"
    WEAK = "weak"


LEAST_LIKENESS = MappingProxyType({Band.VERY_ALIKE: 0.75, Band.ALIKE: 0.5})
"""The least likeness of each band. What has less than all of them is weak."""

RARE_LIKENESS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LikenessScale:
    """From cosine similarities of one model to likeness in [0, 1], by how unrelated pairs of pictures score.

    Likeness is 0 at `median`, .5 at `rare`, 1 at a cosine of 1, straight between and 0 below. Raises ValueError unless
    -1 <= median < rare < 1.
    """

    median: float
    """The cosine that half of the unrelated pairs exceed."""
    rare: float
    """The cosine that one unrelated pair in ten thousand reaches."""

    def __post_init__(self) -> None:
        if not -1.0 <= self.median < self.rare < 1.0:
            raise ValueError(f"A scale of likeness takes -1 <= median < rare < 1, not {self.median} and {self.rare}.")

    def likeness(self, score: float) -> float:
        """The likeness, in [0, 1], of two pictures whose embeddings have this cosine similarity."""
        if score < self.rare:
            return max(0.0, RARE_LIKENESS * (score - self.median) / (self.rare - self.median))
        return min(1.0, RARE_LIKENESS + (1.0 - RARE_LIKENESS) * (score - self.rare) / (1.0 - self.rare))

    def score(self, likeness: float) -> float:
        """The cosine similarity from which a likeness in [0, 1] is reached, but for rounding; -1 for 0."""
        if likeness <= 0.0:
            return -1.0
        if likeness < RARE_LIKENESS:
            return self.median + (self.rare - self.median) * likeness / RARE_LIKENESS
        return self.rare + (1.0 - self.rare) * (likeness - RARE_LIKENESS) / (1.0 - RARE_LIKENESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LikenessScales:
    """The scales of one model: objects' crops resemble each other more than whole pictures do."""

    images: LikenessScale
    objects: LikenessScale


def band_of(likeness: float) -> Band:
    """The band of a likeness between pictures that are not identical."""
    return next((band for band, least in LEAST_LIKENESS.items() if likeness >= least), Band.WEAK)
