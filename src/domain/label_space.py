"""What tells the values of a metadata key apart in an index, learnt from the embeddings of its pictures."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.embeddings import Embeddings, normalised

RIDGE = 0.3
"""Of the mean variance, added to each variance before it is divided by."""

LABEL_WEIGHT = 0.7
"""How much the part that the labels tell counts beside the embedding itself, which counts 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelSpace:
    """A linear map from embeddings to what is known of their values, by ridge regression in closed form.

    W = (C + RIDGE * tr(C) / d * I)^-1 X'Y / n, with X the embeddings and Y their values one-hot, both centred, and
    C = X'X / n (Hoerl and Kennard, 1970).
    """

    mean: NDArray[np.float32]
    """Shape (dimension,)."""
    weights: NDArray[np.float32]
    """Shape (dimension, values)."""

    def similarities(self, query: Embeddings, vectors: Embeddings) -> NDArray[np.float64]:
        """What to add to the cosines of `vectors` (n, dimension) to `query` (dimension,): in +- LABEL_WEIGHT^2."""
        directions = normalised((np.vstack([query, vectors]) - self.mean) @ self.weights)
        added: NDArray[np.float64] = LABEL_WEIGHT**2 * (directions[1:] @ directions[0]).astype(np.float64)
        return added


class LabelledEmbeddings:
    """Sums over embeddings and the values that their pictures have; all that a LabelSpace is made of."""

    def __init__(self, dimension: int, values: Collection[str]) -> None:
        self._columns = {value: column for column, value in enumerate(values)}
        self._count = 0
        self._sum = np.zeros(dimension)
        self._products = np.zeros((dimension, dimension))
        self._having = np.zeros(len(values))
        self._sums = np.zeros((dimension, len(values)))

    def add(self, vectors: Embeddings, values: Sequence[Collection[str]]) -> None:
        """Count in `vectors` (n, dimension), whose pictures have these values."""
        exact = vectors.astype(np.float64)
        has = np.zeros((len(vectors), len(self._columns)))
        for row, of_one in enumerate(values):
            has[row, [self._columns[value] for value in of_one if value in self._columns]] = 1.0
        self._count += len(vectors)
        self._sum += exact.sum(axis=0)
        self._products += exact.T @ exact
        self._having += has.sum(axis=0)
        self._sums += exact.T @ has

    def fitted(self) -> LabelSpace:
        """The map. Some embeddings must have been counted in."""
        mean = self._sum / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        shared = self._sums / self._count - np.outer(mean, self._having / self._count)
        ridge = RIDGE * np.trace(covariance) / len(mean) or 1.0  # where all are equal, nothing is to be told apart
        weights = np.linalg.solve(covariance + ridge * np.eye(len(mean)), shared)
        return LabelSpace(mean=mean.astype(np.float32), weights=weights.astype(np.float32))
