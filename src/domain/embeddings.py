"""Feature vectors, and the space in which they may be compared."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.errors import InvalidExamplesError

Embedding = NDArray[np.float32]
"""One L2-normalised feature vector, shape (dimension,), float32."""

Embeddings = NDArray[np.float32]
"""L2-normalised feature vectors, shape (n, dimension), float32."""

LENGTH_TOLERANCE = 1e-3
"""How far from 1 a length may be: float32 and half-precision rounding stay well below, another scale well above."""

SMALLEST_NORM = 1e-6
"""Below this a combination of unit vectors gives no direction to search in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpace:
    """What makes two embeddings comparable. It is stored with the index; vectors of another space are refused.

    The runtime is no part of it: adapters that run the same weights on the same preprocessing share a space.
    """

    model: str
    weights_digest: str
    """SHA-256 (hex) of the checkpoint that the weights come from."""
    dimension: int
    preprocessing: str
    """Fit, size, interpolation, normalisation and pooling, in one line."""
    decode_version: int

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that differ between spaces."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def as_mapping(self) -> dict[str, Any]:
        """A JSON object of the fields; `from_mapping` reads it back."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, stored: Mapping[str, Any]) -> "EmbeddingSpace":
        """The space that `as_mapping` wrote. Raises KeyError where a field is missing."""
        return cls(
            model=str(stored["model"]),
            weights_digest=str(stored["weights_digest"]),
            dimension=int(stored["dimension"]),
            preprocessing=str(stored["preprocessing"]),
            decode_version=int(stored["decode_version"]),
        )

    def differences(self, other: "EmbeddingSpace", labels: tuple[str, str] = ("stored", "encoder")) -> str:
        """What differs, field by field, for an error message: `model: a (stored) / b (encoder)`.

        `labels` name this space and the other.
        """
        mine, theirs = asdict(self), asdict(other)
        return "; ".join(
            f"{key}: {mine[key]} ({labels[0]}) / {theirs[key]} ({labels[1]})"
            for key in mine
            if mine[key] != theirs[key]
        )

    def checked(self, vectors: NDArray[np.floating[Any]], *, of: str, count: int | None = None) -> NDArray[np.float32]:
        """`vectors` as float32: one, of shape (dimension,), or `count` of objects, of shape (count, dimension).

        Indexes accept NaN and zero silently. Raises ValueError, naming what they are embeddings `of`, for another
        shape, or for one that is not finite or not of length 1.
        """
        values = np.asarray(vectors, dtype=np.float32)
        shape = (self.dimension,) if count is None else (count, self.dimension)
        if values.shape != shape:
            what = of if count is None else f"the objects of {of}"
            raise ValueError(f"The embedding of {what} has shape {values.shape}; {self.model} makes {shape}.")
        for place, length in enumerate(np.atleast_1d(np.linalg.norm(values, axis=-1))):
            if not abs(length - 1.0) <= LENGTH_TOLERANCE:  # NaN and infinity fail every comparison
                which = of if count is None else f"object {place} of {of}"
                raise ValueError(f"The embedding of {which} has length {length}; embeddings are L2-normalised to 1.")
        return values


def normalised(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale vectors to length 1 along the last axis."""
    values = np.asarray(vectors, dtype=np.float32)
    lengths: NDArray[np.float32] = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, np.maximum(lengths, SMALLEST_NORM), dtype=np.float32)


def cosine_of(score: float) -> float:
    """A similarity without the last bits by which arithmetic leaves [-1, 1]."""
    return max(-1.0, min(1.0, score))


def example_query(positive: Sequence[Embedding], negative: Sequence[Embedding]) -> Embedding:
    """The direction towards `positive` and away from `negative` examples, L2-normalised.

    With both: 2 * mean(positive) - mean(negative) (Qdrant's average-vector recommendation; Rocchio, 1971). With one
    of them: its mean, or for negatives its opposite. Raises InvalidExamplesError if the examples cancel out.
    """
    if not positive and not negative:
        raise InvalidExamplesError("Give at least one positive or negative example.")
    likes = np.mean(positive, axis=0) if positive else None
    dislikes = np.mean(negative, axis=0) if negative else None
    if likes is not None and dislikes is not None:
        direction = 2.0 * likes - dislikes
    elif likes is not None:
        direction = likes
    else:
        assert dislikes is not None  # noqa: S101 - one of the two is given
        direction = -dislikes
    if float(np.linalg.norm(direction)) < SMALLEST_NORM:
        raise InvalidExamplesError("The examples cancel each other out: leave one of them out.")
    return normalised(direction)
