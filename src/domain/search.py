"""What is asked of an index: a part of the ranking by similarity."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from domain.appearance import Appearance
from domain.embeddings import Embedding, EmbeddingSpace
from domain.filters import EVERYTHING, Filter
from domain.images import DetectedObject, ImageId, ImageRecord, Match

MAX_WINDOW = 10_500
"""The largest `offset + limit` of a query."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """An image of a ranking, by what another order is made of instead of its record."""

    id: ImageId
    score: float
    embedding: Embedding | None = None
    """Of shape (dimension,); None where it was not asked for."""
    appearance: Appearance | None = None
    """Likewise."""
    is_same: bool = False
    """It shows the same as what is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NearestQuery:
    """At most `limit` matches after the first `offset`, best first, of those that pass.

    Raises ValueError unless 1 <= limit, 0 <= offset and offset + limit <= MAX_WINDOW.
    """

    vector: Embedding
    """What is compared with: L2-normalised, of shape (dimension,)."""
    limit: int
    offset: int = 0
    score_threshold: float | None = None
    """Least cosine similarity, in [-1, 1]."""
    where: Filter = EVERYTHING
    leave_out: Collection[ImageId] = ()
    """Images that do not count, whatever their score."""
    exact: bool = False
    """Compare with every vector instead of asking the approximate index."""

    def __post_init__(self) -> None:
        if self.limit < 1 or self.offset < 0 or self.end > MAX_WINDOW:
            raise ValueError(
                f"limit {self.limit} with offset {self.offset}: 1 <= limit, 0 <= offset, together at most {MAX_WINDOW}."
            )

    def checked(self, space: EmbeddingSpace) -> "NearestQuery":
        """The same with float32. Raises ValueError for a vector that is not of `space`."""
        return replace(self, vector=space.checked(self.vector, of="the query"))

    @property
    def end(self) -> int:
        """How far from its start the ranking is needed."""
        return self.offset + self.limit

    def best(self, scored: Iterable[tuple[float, ImageRecord, DetectedObject | None]]) -> list[Match]:
        """The part of the ranking that is asked for, of all images with their scores, and by which object, if by one.

        It is the reference that every repository's ranking must agree with.
        """
        left_out = frozenset(self.leave_out)
        threshold = -1.0 if self.score_threshold is None else self.score_threshold
        passing = [
            Match(score=score, image=image, region=region)
            for score, image, region in scored
            if score >= threshold and image.id not in left_out and self.where.matches(image)
        ]
        return sorted(passing, key=lambda match: match.place)[self.offset : self.end]
