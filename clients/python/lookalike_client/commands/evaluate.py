"""`evaluate`."""

import asyncio
import sys
from collections.abc import Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import Annotated, Any
from unicodedata import normalize

import typer

from lookalike_client.commands.arguments import Among
from lookalike_client.commands.connection import ApiKey, Url
from lookalike_client.commands.files import place_to_save

METADATA = "metadata."
DEFAULT_KS = (1, 5, 10)
DEEPEST = 500
"""Matches that the service answers at most."""

CUTTING = frozenset({"limit", "offset", "filter", "score_threshold", "min_likeness", "group_by", "group_size"})
"""Parameters of a search that choose what is shown of a ranking, not its order."""


def evaluate(
    ctx: typer.Context,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="metadata.KEY", help="Pictures that share a value of this key are alike."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Pictures that stand in one line of this file are alike: two keys or ids, as CSV or (.jsonl) JSON, "
            "and perhaps a relevance, of which 0 means unlike.",
        ),
    ] = None,
    twins: Annotated[
        bool,
        typer.Option(
            "--twins",
            help="A picture is alike to twins that are made of it: cropped, mirrored, small JPEG, bordered, turned.",
        ),
    ] = False,
    ks: Annotated[
        list[int] | None,
        typer.Option("-k", min=1, max=500, help="Count among the first so many; may be repeated.  [default: 1, 5, 10]"),
    ] = None,
    depth: Annotated[
        int, typer.Option(min=1, max=500, help="Matches to look at for mAP and for cut-offs. More takes longer.")
    ] = 20,
    among: Among = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=VALUE", help="Search with this parameter of the API; may be repeated."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME=VALUE",
            help="Measure searches with this parameter too, such as diversity=.3 or exact=true, and compare; may be "
            "repeated, all together.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Encode a sample with the settings' model and with this exported one, and compare. Without --url.",
        ),
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option(
            "--at-least",
            metavar="MEASURE=VALUE",
            help="Exit 1 where it is less: P@5=.8, recall@1=.9, mAP=.5; may be repeated.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures to search with at most, or to encode with --model.  [default: 10000; with --twins 200; with "
            "--model 500]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, twins and intervals: the same gives the same.")] = 0,
    worst: Annotated[
        Path | None,
        typer.Option(
            "--worst",
            metavar="FILE",
            dir_okay=False,
            callback=place_to_save,
            help="Write a picture of the worst queries and their matches, such as worst.png.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all that was measured as JSON.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Measure how well searches find what is alike, on the pictures that are indexed. Nothing is changed.

    Each picture is searched with by its stored vector, itself left out, and what is found is compared with what you
    say is alike: by a key of the metadata, by pairs, or by twins, which need no labels. docs/quality.md says how to
    read the result.

    Example: [bold]lookalike evaluate --by metadata.kind --at-least P@5=.8[/]

    Example: [bold]lookalike evaluate --twins --against exact=true --worst worst.png[/]
    """
    if (by is not None) + (pairs is not None) + twins != 1:
        raise typer.BadParameter("say what is alike: one of the three", param_hint="--by, --pairs, --twins")
    if by is not None and (not by.startswith(METADATA) or by == METADATA):
        raise typer.BadParameter(f"it is written {METADATA}kind", param_hint="--by")
    if model is not None and against:
        raise typer.BadParameter("compare one thing at a time: it does not go with --model", param_hint="--against")
    first, second = _parameters(with_ or (), "--with"), _parameters(against or (), "--against")

    from lookalike_client.commands.evaluation.measures import Measure
    from lookalike_client.commands.evaluation.report import print_json, print_report
    from lookalike_client.commands.evaluation.results import TWINS_TRUTH
    from lookalike_client.commands.evaluation.running import Plan, run
    from lookalike_client.commands.evaluation.truth import read_pairs

    floors = _floors(at_least or ())
    depth = max(depth, *(ks or DEFAULT_KS), *(Measure.parsed(name, depth).k for name in floors))
    kinds = ("recall",) if twins else ("P", "recall")  # a twin has one right match: P@5 would be .2 at best
    names = [f"{kind}@{k}" for kind in kinds for k in sorted(set(ks or DEFAULT_KS))]
    measures = dict.fromkeys(Measure.parsed(name, depth) for name in [*names, *floors, "mAP"])
    plan = Plan(
        by=None if by is None else normalize("NFC", by),
        pairs=None if pairs is None else read_pairs(pairs),
        truth=by or (f"pairs of {pairs}" if pairs else TWINS_TRUTH),
        among=among,
        measures=sorted(measures, key=lambda measure: (measure.name == "mAP", measure)),
        depth=depth,
        sample=sample,
        seed=seed,
        model=model,
        first=first,
        second={**first, **second} if against else None,
        worst=worst,
    )
    report = asyncio.run(run(plan, ctx.obj.connect, url, api_key))
    (print_json if json else print_report)(report)
    missed = report.below({str(Measure.parsed(name, depth)): floor for name, floor in floors.items()})
    for each in missed:
        print(f"lookalike: {each}.", file=sys.stderr)
    if missed:
        raise typer.Exit(1)


def _parameters(given: Iterable[str], option: str) -> dict[str, Any]:
    """Parameters of a search from NAME=VALUE, as the client takes them. Raises BadParameter."""
    from lookalike_client import AsyncLookalike

    known = [
        name
        for name, parameter in signature(AsyncLookalike.similar).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in CUTTING
    ]
    parameters = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise typer.BadParameter(
                f"{text!r} is none of {', '.join(f'{each}=...' for each in known)}", param_hint=option
            )
        parameters[name] = _value(value)
    return parameters


def _value(text: str) -> str | float | bool:
    if text in {"true", "false"}:
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _floors(given: Iterable[str]) -> Mapping[str, float]:
    """The least value of each measure, from MEASURE=VALUE. Raises BadParameter."""
    from lookalike_client.commands.evaluation.measures import Measure

    floors = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            measure = Measure.parsed(name, depth=1)
            floors[name] = float(value)
        except ValueError as error:
            raise typer.BadParameter(
                f"{text!r} is not written like P@5=.8, recall@1=.9 or mAP=.5", param_hint="--at-least"
            ) from error
        if measure.k > DEEPEST or not 0 <= floors[name] <= 1:
            raise typer.BadParameter(
                f"{text!r}: measures are between 0 and 1, of the first {DEEPEST} at most", param_hint="--at-least"
            )
    return floors
