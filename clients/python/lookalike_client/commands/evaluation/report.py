"""A report in words and tables, as JSON, and the worst queries as a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from PIL import Image

from lookalike_client import AsyncLookalike, Box, PictureFileError
from lookalike_client.commands.drawing import COLUMNS, PAPER, TILE, Tile, save_contact_sheet
from lookalike_client.commands.evaluation.asking import Answers, Found
from lookalike_client.commands.evaluation.measures import CutOff, Estimate
from lookalike_client.commands.evaluation.results import TWINS_TRUTH, Report, Result
from lookalike_client.commands.tables import print_table

SHOWN_GROUPS = 10
"""Groups that the table shows: those of the least average precision."""
SCALES = {"score": "Score", "likeness": "Likeness"}


def print_json(report: Report) -> None:
    """All that was measured."""
    print(json.dumps(asdict(report), ensure_ascii=False, indent=2))


def print_report(report: Report) -> None:
    """The measures, what two settings have in common, groups and cut-offs of the last setting, and notes."""
    print(f"{report.queries:,} queries among {report.pictures:,} pictures, right by {report.truth}; 95 % intervals.")
    headers = ["Measure"]
    for result in report.results:
        headers += [result.setting, ""]
    rows = [
        [name, *(text for result in report.results for text in _texts(result.measures[name]))]
        for name in report.results[0].measures
    ]
    if report.differences:
        headers += ["Difference", "", ""]
        for row in rows:
            difference = report.differences[row[0]]
            row += [*_texts(difference, sign="+"), _verdict(difference)]
    print_table(headers, rows, right_aligned={*headers} - {"Measure", ""})
    if report.agreement:
        shares = ", ".join(f"{share:.3f} of the first {k}" for k, share in report.agreement.items())
        print(f"Matches in common: {shares}.\n")
    last = report.results[-1]
    if last.groups:
        _print_groups(last, "Twin" if report.truth == TWINS_TRUTH else "Value")
    for scale, found in last.cut_offs.items():
        _print_cut_offs(scale, found, report.depth)
    for note in report.notes:
        print(note)


async def save_worst(path: Path, client: AsyncLookalike, report: Report, answers: Answers) -> None:
    """The worst queries of the last setting, a row each: the query, then its first matches, wrong ones framed in red.

    Raises BadParameter where it cannot be written.
    """
    tiles: list[Tile] = []
    for worst in report.results[-1].worst:
        query, ranking = answers.queries[worst.place], answers.rankings[-1][worst.place]
        caption = f"{worst.average_precision:.2f}  {worst.name}"
        row = [await _tile(client, query.id, caption, wrong=False)]
        row += [
            await _match_tile(client, match, wrong=match.id not in query.relevant) for match in ranking[: COLUMNS - 1]
        ]
        tiles += row + [Tile(Image.new("RGB", (TILE, TILE), PAPER), "", TILE, ())] * (COLUMNS - len(row))
    save_contact_sheet(path, tiles)


def _texts(estimate: Estimate, sign: str = "") -> list[str]:
    return [f"{estimate.value:{sign}.3f}", f"{estimate.low:{sign}.3f} to {estimate.high:{sign}.3f}"]


def _verdict(difference: Estimate) -> str:
    if difference.low == difference.high == 0:
        return "the same"
    if difference.low <= 0 <= difference.high:
        return "may be chance"
    return "better" if difference.value > 0 else "worse"


def _print_groups(result: Result, kind: str) -> None:
    groups = sorted(result.groups, key=lambda group: group.measures["mAP"])
    if len(groups) > SHOWN_GROUPS:
        print(f"The {SHOWN_GROUPS} values that are found worst, of {len(groups):,}:")
    names = list(result.measures)
    rows = [
        [group.name, f"{group.queries:,}", *(f"{group.measures[name]:.3f}" for name in names)]
        for group in groups[:SHOWN_GROUPS]
    ]
    print_table([kind, "Queries", *names], rows, right_aligned={"Queries", *names})


def _print_cut_offs(scale: str, found: Sequence[CutOff], depth: int) -> None:
    print(f"Cut-offs by {scale}, of the first {depth} matches of each query:")
    rows = [
        [
            f"{each.at:.3f}",
            f"{each.keeps:.1%}",
            f"{each.lets_through:.1%}",
            f"{each.right:.1%}",
            "tells them apart best" if each.suggested else "",
        ]
        for each in found
    ]
    headers = [f"{SCALES[scale]} at least", "Keeps of the right", "Lets through of the wrong", "Right among these", ""]
    print_table(headers, rows, right_aligned={*headers} - {""})


async def _match_tile(client: AsyncLookalike, match: Found, *, wrong: bool) -> Tile:
    return await _tile(client, match.id, f"{match.score:.3f}  {match.name}", wrong=wrong)


async def _tile(client: AsyncLookalike, id_: UUID, caption: str, *, wrong: bool) -> Tile:
    try:
        tile = Tile.of(await client.thumbnail(id_), caption, TILE)
    except PictureFileError as error:
        raise PictureFileError(f"The thumbnail of {id_} cannot be shown: {error}") from error
    width, height = tile.picture.size
    frame = [Box(x_min=1, y_min=1, x_max=width - 2, y_max=height - 2)] if wrong else []
    return tile._replace(full_width=max(1, width), boxes=frame)
