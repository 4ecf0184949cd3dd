"""What searches are worth, worked out from vectors alone, in plain NumPy: the reference for `lookalike evaluate`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ranked(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    """Of each picture the others, most similar first, (n, n - 1)."""
    cosines = embeddings.astype(np.float64) @ embeddings.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1)[:, :-1]


def worth(embeddings: NDArray[np.float32], kinds: Sequence[str], k: int, depth: int) -> tuple[float, float, float]:
    """P@k, recall@k, and mean average precision of the first `depth`, over pictures that have another of their kind."""
    precisions, recalls, averages = [], [], []
    for row, ranking in enumerate(ranked(embeddings)):
        right = [kinds[place] == kinds[row] for place in ranking]
        wanted = sum(right)
        if not wanted:
            continue
        precisions.append(sum(right[:k]) / k)
        recalls.append(sum(right[:k]) / wanted)
        at_right = [sum(right[: rank + 1]) / (rank + 1) for rank in range(min(depth, len(right))) if right[rank]]
        averages.append(sum(at_right) / min(wanted, depth))
    return float(np.mean(precisions)), float(np.mean(recalls)), float(np.mean(averages))
