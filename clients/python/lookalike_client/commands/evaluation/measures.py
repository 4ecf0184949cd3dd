"""Measures of rankings, with bootstrap intervals. NumPy comes with the extra [evaluate]."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike_client.commands.evaluation.asking import Ranking
from lookalike_client.commands.evaluation.truth import Query

RESAMPLES = 1000
CONFIDENCE = 0.95

KEPT = (0.99, 0.95, 0.9, 0.75, 0.5)
"""Shares of the right matches for which a cut-off is told."""
GRID = np.round(np.arange(-1000, 1001) / 1000, 3)
"""Cut-offs that are tried: what is told is exactly what such a threshold does."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Rankings, and what is right in them: a row for each query, a column for each rank down to the depth."""

    hits: NDArray[np.bool_]
    """Whether the match is right, (queries, depth); not where there is none."""
    scores: Values
    """Cosines, (queries, depth), NaN where there is no match."""
    likenesses: Values
    """Likewise, NaN too where the service tells none."""
    wanted: NDArray[np.int64]
    """How many right matches there are, (queries,), each at least 1."""
    units: NDArray[np.int64]
    """The number of the picture that each query was made from, (queries,)."""

    @classmethod
    def of(cls, queries: Sequence[Query], rankings: Sequence[Ranking], depth: int) -> "Judged":
        """From what was asked and answered."""
        shape = len(queries), depth
        hits = np.zeros(shape, dtype=np.bool_)
        scores, likenesses = np.full(shape, np.nan), np.full(shape, np.nan)
        for row, (query, ranking) in enumerate(zip(queries, rankings, strict=True)):
            for rank, match in enumerate(ranking):
                hits[row, rank] = match.id in query.relevant
                scores[row, rank] = match.score
                likenesses[row, rank] = np.nan if match.likeness is None else match.likeness
        numbers = {id_: number for number, id_ in enumerate(dict.fromkeys(query.id for query in queries))}
        return cls(
            hits=hits,
            scores=scores,
            likenesses=likenesses,
            wanted=np.array([query.wanted for query in queries], dtype=np.int64),
            units=np.array([numbers[query.id] for query in queries], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, order=True)
class Measure:
    """`P@k`, `recall@k`, or `mAP`, of the first `k` matches."""

    name: str
    k: int

    @classmethod
    def parsed(cls, text: str, depth: int) -> "Measure":
        """From `P@5`, `recall@10`, or `mAP`, which is that of `depth`. Raises ValueError."""
        if text.lower() == "map":
            return cls("mAP", depth)
        if (found := re.fullmatch(r"(p|recall)@([1-9]\d{0,2})", text.strip(), re.IGNORECASE)) is None:
            raise ValueError(f"{text!r} is no measure: there are P@5, recall@5, with any number, and mAP.")
        return cls("P" if found[1].lower() == "p" else "recall", int(found[2]))

    def __str__(self) -> str:
        return self.name if self.name == "mAP" else f"{self.name}@{self.k}"

    def of(self, judged: Judged) -> Values:
        """Of each query, (queries,), each in [0, 1].

        P@k: the share of right ones among the first k, where missing matches count as wrong. recall@k: the share that
        the first k have of all right ones. mAP: average precision, the mean of P@i over the ranks i of right matches
        among the first k; right ones that are not among them count 0, as far as there is room for them.
        """
        hits: Values = judged.hits[:, : self.k].astype(np.float64)
        found: Values = hits.sum(axis=1)
        match self.name:
            case "P":
                return found / self.k
            case "recall":
                return found / judged.wanted
        precisions = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
        sums: Values = (precisions * hits).sum(axis=1)
        return sums / np.minimum(judged.wanted, self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over queries, and its bootstrap interval of 95 %."""

    value: float
    low: float
    high: float


def estimates(values: Values, units: NDArray[np.int64], seed: int) -> list[Estimate]:
    """Of each column of `values`, (queries, columns): its mean, and the percentile interval of resampled means.

    Pictures are drawn, each with all queries that were made from it (Field and Welsh, 2007: the cluster bootstrap).
    """
    sums = np.zeros((units.max() + 1, values.shape[1]))
    np.add.at(sums, units, values)
    sizes = np.bincount(units)
    chance = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, values.shape[1]))
    for mean in means:
        times = np.bincount(chance.integers(len(sizes), size=len(sizes)), minlength=len(sizes))
        mean[:] = times @ sums / (times @ sizes)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return [
        Estimate(value=float(value), low=float(least), high=float(most))
        for value, least, most in zip(values.mean(axis=0), low, high, strict=True)
    ]


def agreement(first: Sequence[Ranking], second: Sequence[Ranking], k: int) -> float:
    """The mean share of the first k matches that two lists of rankings have in common."""
    shares = []
    for one, other in zip(first, second, strict=True):
        a, b = {match.id for match in one[:k]}, {match.id for match in other[:k]}
        shares.append(len(a & b) / max(len(a), len(b), 1) if a or b else 1.0)
    return float(np.mean(shares))


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """What a threshold does to matches: which share of the right ones it keeps, of the wrong ones it lets through.

    `right` is the share of right ones among those that pass.
    """

    at: float
    keeps: float
    lets_through: float
    right: float
    suggested: bool = False


def cut_offs(values: Values, hits: NDArray[np.bool_]) -> list[CutOff]:
    """Thresholds that keep certain shares of the right matches, and the one that tells right from wrong best, rising.

    That is where `keeps - lets_through` is greatest (Youden, 1950), in the middle where several are alike. None where
    no match is right, or none wrong. `values` of NaN are none.
    """
    there = ~np.isnan(values)
    right, wrong = np.sort(values[there & hits]), np.sort(values[there & ~hits])
    if not len(right) or not len(wrong):
        return []
    kept = len(right) - np.searchsorted(right, GRID)
    passing = len(wrong) - np.searchsorted(wrong, GRID)
    gain = kept / len(right) - passing / len(wrong)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    suggested = int(best[len(best) // 2])
    places = {suggested, *(int(np.flatnonzero(kept >= share * len(right))[-1]) for share in KEPT)}
    return [
        CutOff(
            at=float(GRID[place]),
            keeps=float(kept[place] / len(right)),
            lets_through=float(passing[place] / len(wrong)),
            right=float(kept[place] / (kept[place] + passing[place])),
            suggested=place == suggested,
        )
        for place in sorted(places)
        if kept[place] + passing[place]
    ]
