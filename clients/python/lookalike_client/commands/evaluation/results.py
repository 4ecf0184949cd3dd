"""What was measured, as values: of each setting, of each group of queries, and between two settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike_client.commands.evaluation.asking import Answers, Setting
from lookalike_client.commands.evaluation.measures import (
    CutOff,
    Estimate,
    Judged,
    Measure,
    agreement,
    cut_offs,
    estimates,
)

TWINS_TRUTH = "twins"
WORST = 12
"""Queries that are named as the worst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The queries of one value, or of one kind of twin, with the means of their measures."""

    name: str
    queries: int
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstQuery:
    """A query, by its place in the answers, and its average precision."""

    place: int
    id: str
    name: str
    group: str | None
    average_precision: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured of one setting; cut-offs of `score`, and of `likeness` where the service tells it."""

    setting: str
    parameters: Mapping[str, Any]
    measures: Mapping[str, Estimate]
    groups: Sequence[Group]
    cut_offs: Mapping[str, Sequence[CutOff]]
    worst: Sequence[WorstQuery]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it. Of two settings, `differences` are the second's measures less the first's, query by query.

    `agreement` is the share of their first k matches that they have in common, by k.
    """

    truth: str
    pictures: int
    queries: int
    depth: int
    seed: int
    notes: Sequence[str]
    results: Sequence[Result]
    differences: Mapping[str, Estimate]
    agreement: Mapping[int, float]

    def below(self, floors: Mapping[str, float]) -> list[str]:
        """Which measures are less than they should at least be, in words."""
        return [
            f"{name} is {result.measures[name].value:.4f} ({result.setting}), less than {floor:g}"
            for result in self.results
            for name, floor in floors.items()
            if result.measures[name].value < floor
        ]


def measured(
    answers: Answers,
    settings: Sequence[Setting],
    measures: Sequence[Measure],
    *,
    truth: str,
    pictures: int,
    depth: int,
    seed: int,
    notes: Sequence[str],
) -> Report:
    """From rankings to a report. There is at least one query."""
    names = [str(measure) for measure in measures]
    all_judged = [Judged.of(answers.queries, rankings, depth) for rankings in answers.rankings]
    values = [np.stack([measure.of(judged) for measure in measures], axis=1) for judged in all_judged]
    units = all_judged[0].units
    results = [
        Result(
            setting=setting.name,
            parameters=setting.parameters,
            measures=dict(zip(names, estimates(each, units, seed), strict=True)),
            groups=_groups(answers, each, names),
            cut_offs={
                scale: found
                for scale, matches in (("score", judged.scores), ("likeness", judged.likenesses))
                if (found := cut_offs(matches, judged.hits))
            },
            worst=_worst(answers, Measure("mAP", depth).of(judged)),
        )
        for setting, judged, each in zip(settings, all_judged, values, strict=True)
    ]
    differences: dict[str, Estimate] = {}
    agreements: dict[int, float] = {}
    if len(settings) == 2:
        differences = dict(zip(names, estimates(values[1] - values[0], units, seed), strict=True))
        ks = sorted({measure.k for measure in measures})
        first, second = answers.rankings
        agreements = {k: agreement(first, second, k) for k in ks}
    return Report(
        truth=truth,
        pictures=pictures,
        queries=len(answers.queries),
        depth=depth,
        seed=seed,
        notes=[*notes, *(f"{why}: {count:,}." for why, count in answers.lost.items())],
        results=results,
        differences=differences,
        agreement=agreements,
    )


def _groups(
    answers: Answers, values: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", names: Sequence[str]
) -> list[Group]:
    """In the order of their names."""
    rows: dict[str, list[int]] = {}
    for row, query in enumerate(answers.queries):
        if query.group is not None:
            rows.setdefault(query.group, []).append(row)
    return [
        Group(
            name=name,
            queries=len(rows[name]),
            measures=dict(zip(names, map(float, values[rows[name]].mean(axis=0)), strict=True)),
        )
        for name in sorted(rows)
    ]


def _worst(answers: Answers, precisions: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[WorstQuery]:
    places = np.argsort(precisions, kind="stable")[:WORST]  # of equals in the order of ids
    return [
        WorstQuery(
            place=int(place),
            id=str(answers.queries[place].id),
            name=answers.queries[place].name,
            group=answers.queries[place].group,
            average_precision=float(precisions[place]),
        )
        for place in places
    ]
