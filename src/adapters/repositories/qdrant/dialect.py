"""What the repository asks of Qdrant (points.py), in the classes of the library that asks it.

The embedded engine's library and the server's client have their classes in common but for a few names.
"""

import struct
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.repositories.qdrant import points as words
from adapters.repositories.qdrant.points import FoundPoint, PointId, Where
from domain.embeddings import Embedding


@dataclass(frozen=True, slots=True)
class Dialect:
    """Our conditions in the classes of one of Qdrant's libraries. All have the same classes, but for these three."""

    library: Any
    between: Callable[..., object]
    empty: Callable[[str], object]
    has_id: Callable[[Collection[PointId]], object]

    def filter(self, where: Where) -> Any | None:  # noqa: ANN401 - the library's
        """`where` as the library's filter; None where all points pass."""
        parts = {
            name: [self._condition(each) for each in getattr(where, name)] or None
            for name in ("must", "should", "must_not")
        }
        return self.library.Filter(**parts) if any(parts.values()) else None

    def _condition(self, condition: words.Condition) -> object:
        library, field = self.library, self.library.FieldCondition
        match condition:
            case words.OneOf(path, values):
                # To count the points of one value, MatchValue takes two thirds of the time.
                is_one = len(values) == 1
                return field(
                    key=path, match=library.MatchValue(value=values[0]) if is_one else library.MatchAny(any=[*values])
                )
            case words.Begins(path, prefix):
                return field(key=path, match=library.MatchPrefix(prefix=prefix))
            case words.Between(path, low, high):
                return field(key=path, range=self.between(gte=low, lte=high))
            case words.Empty(path):
                return self.empty(path)
            case words.HasId(ids):
                return self.has_id(ids)
            case Where():
                return self.filter(condition) or library.Filter()

    def found(self, points: Iterable[Any]) -> list[FoundPoint]:
        """The library's records or scored points as ours, with the one vector of each that was asked for, if any."""
        return [
            FoundPoint(str(each.id), each.payload or {}, getattr(each, "score", 0.0), _vector(each.vector))
            for each in points
        ]

    def search_params(self, *, exact: bool, hnsw_ef: int, oversampling: float) -> Any:  # noqa: ANN401 - the library's
        """Candidates by the quantized vectors, `oversampling` times as many, and their order by the original ones."""
        quantization = self.library.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=oversampling)
        return self.library.SearchParams(hnsw_ef=None if exact else hnsw_ef, exact=exact, quantization=quantization)


def _vector(named: Any) -> Embedding | None:  # noqa: ANN401 - the library's
    numbers = next(iter(named.values()), None) if isinstance(named, dict) else None
    if numbers is None:
        return None
    return np.frombuffer(struct.pack(f"{len(numbers)}f", *numbers), dtype=np.float32)  # in a third of asarray's time
