"""From a plan to a report: connect, decide what is right, ask, measure."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from lookalike_client import AsyncLookalike
from lookalike_client.commands.connection import Connect, Purpose
from lookalike_client.commands.evaluation.asking import Setting, ask, copy, counted, listed, looked_up
from lookalike_client.commands.evaluation.measures import Measure
from lookalike_client.commands.evaluation.report import save_worst
from lookalike_client.commands.evaluation.results import Report, measured
from lookalike_client.commands.evaluation.truth import Pair, Truth, of_labels, of_pairs, of_twins
from lookalike_client.commands.evaluation.twins import TWINS
from lookalike_client.commands.progress import progress
from lookalike_client.commands.tables import shown_value

SAMPLE, SAMPLE_OF_TWINS, SAMPLE_OF_MODELS = 10_000, 200, 500
"""Pictures to search with, and for two models to encode, unless a number is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. Right is what shares a value of `by`, what `pairs` says, or else what a twin was made from.

    `truth` is the same in words.
    """

    by: str | None
    pairs: Sequence[Pair] | None
    truth: str
    among: Mapping[str, Any] | None
    measures: Sequence[Measure]
    depth: int
    sample: int | None
    seed: int
    model: Path | None
    """To be compared with the model of the settings."""
    first: Mapping[str, Any]
    second: Mapping[str, Any] | None
    """Parameters of searches, and other ones to compare with."""
    worst: Path | None


async def run(plan: Plan, connect: Connect, url: str | None, api_key: str | None) -> Report:
    """Measure as planned. Raises BadParameter where there is nothing to ask, and what `connect` raises."""
    async with AsyncExitStack() as stack:
        if plan.model is not None:
            trials = [connect(url, api_key, Purpose.TRIAL, model) for model in (None, plan.model)]
            stored = await stack.enter_async_context(connect(url, api_key, Purpose.RECORDS))
            truth = await _truth(plan, stored)
            models = [await stack.enter_async_context(trial) for trial in trials]
            return await _compare_models(plan, truth, stored, models, plan.model)
        client = await stack.enter_async_context(connect(url, api_key, Purpose.SEARCH))
        truth = (await _truth(plan, client)).sampled(plan.sample or SAMPLE, plan.seed)
        settings = [Setting(name=_name_of(plan.first), client=client, parameters=plan.first)]
        if plan.second is not None:
            settings.append(Setting(name=_name_of(plan.second), client=client, parameters=plan.second))
        return await _report(plan, truth, settings)


async def _compare_models(
    plan: Plan, truth: Truth, stored: AsyncLookalike, models: Sequence[AsyncLookalike], other: Path
) -> Report:
    """Each model encodes the same sample of the originals, among which it is searched."""
    pool = sorted(truth.pool(plan.sample or SAMPLE_OF_MODELS, plan.seed))
    with progress("Encoding") as show:
        taken = await copy(stored, pool, models, show)
    names = [(await client.models()).encoder.model for client in models]
    if names[0] == names[1]:
        names[1] += f" in {other.name}"
    settings = [
        Setting(name=name, client=client, parameters=plan.first) for name, client in zip(names, models, strict=True)
    ]
    report = await _report(plan, truth.within(taken), settings)
    notes = [] if len(taken) == len(pool) else [f"Of the sample, not encoded: {len(pool) - len(taken):,}."]
    return replace(report, notes=[*report.notes, *notes])


async def _truth(plan: Plan, client: AsyncLookalike) -> Truth:
    if plan.by is not None:
        pictures = await listed(client, plan.among, plan.by.removeprefix("metadata."))
        truth = of_labels(plan.by, pictures, plan.among)
        lacking = f"no two pictures share a value of {plan.by}"
    elif plan.pairs is not None:
        stored = await looked_up(client, {name: None for pair in plan.pairs for name in (pair.a, pair.b)})
        if plan.among is not None:
            passing = {picture.id for picture in await listed(client, plan.among)}
            stored = {id_: picture for id_, picture in stored.items() if id_ in passing}
        truth = of_pairs(plan.pairs, stored, await counted(client, plan.among), plan.among)
        lacking = "no two pictures that are searched stand in one pair"
    else:
        size = plan.sample or (SAMPLE_OF_TWINS if plan.model is None else SAMPLE_OF_MODELS)
        truth = of_twins(await listed(client, plan.among), [*TWINS], plan.among, size, plan.seed)
        lacking = "nothing is indexed that passes"
    if not truth.queries:
        raise typer.BadParameter(f"there is nothing to measure: {lacking}")
    return truth


async def _report(plan: Plan, truth: Truth, settings: Sequence[Setting]) -> Report:
    with progress("Searching") as show:
        answers = await ask(truth, settings, depth=plan.depth, seed=plan.seed, show=show)
    if not answers.queries:
        raise typer.BadParameter(f"there is nothing to measure: all {len(truth.queries)} queries were lost")
    notes = [*truth.notes]
    if plan.by is not None and any(setting.parameters.get("adapt_to") == plan.by for setting in settings):
        notes.append("adapt_to has learned from the very labels by which it is measured: new pictures gain less.")
    report = measured(
        answers,
        settings,
        plan.measures,
        truth=plan.truth,
        pictures=truth.pictures,
        depth=plan.depth,
        seed=plan.seed,
        notes=notes,
    )
    if plan.worst is not None:
        await save_worst(plan.worst, settings[-1].client, report, answers)
    return report


def _name_of(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown_value(value)}" for name, value in parameters.items()) or "default"
