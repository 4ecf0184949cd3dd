"""Tables on standard output."""

import sys
from collections.abc import Collection, Sequence
from json import dumps
from math import ceil
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lookalike_client import DetectedObject, Image
    from lookalike_client.models import MetadataValue

WIDTH_IN_FILES = 200
"""Columns where no terminal says how many there are: enough not to fold an id."""

FOLDING = frozenset({"Key", "Name", "Group", "Metadata", "Value"})
NARROWEST = 10
"""Columns where no fewer are left to what folds, unless it needs fewer."""

GAP = 3
EDGES = 2
"""Columns between two of a table, and those at its edges."""


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str | None]],
    *,
    right_aligned: Collection[str] = (),
    folding: Collection[str] = (),
) -> None:
    """Print rows under headers, None as an empty cell; names and metadata fold, and what is `folding`; others do not.

    Where a terminal is too narrow for that, it wraps the lines: nothing is left out.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    widths = []
    for header, *cells in zip(headers, *rows, strict=True):
        folds = header in FOLDING or header in folding
        widest = max(map(cell_len, (header, *filter(None, cells))))
        widths.append(min(widest, NARROWEST) if folds else widest)
        table.add_column(
            header,
            justify="right" if header in right_aligned else "left",
            no_wrap=not folds,
            overflow="fold",
            min_width=widths[-1],
        )
    for row in rows:
        table.add_row(*(Text(cell or "") for cell in row))  # Text: names are shown as they are, never read as markup
    console = Console(width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
    needed = sum(widths) + GAP * (len(widths) - 1) + EDGES
    width = max(console.width, 1)  # COLUMNS may say 0
    console.width = width * ceil(needed / width)  # whole lines of a terminal: what it wraps need not fold as well
    console.print(table)


def named_columns(images: "Sequence[Image]") -> tuple[list[str], list[list[str]]]:
    """The headers and cells by which a table names images: their keys; where one has none, its file and id too."""
    if all(image.key for image in images):
        return ["Key"], [[image.key or ""] for image in images]
    return ["Name", "Id"], [[image.key or image.filename or "", str(image.id)] for image in images]


def shown_value(value: "MetadataValue") -> str:
    """As JSON, but text without quotation marks."""
    return value if isinstance(value, str) else dumps(value, ensure_ascii=False)


def print_objects(objects: "Sequence[DetectedObject]") -> None:
    """Print labels, confidences and boxes of detected objects."""
    corners = [(each.box.x_min, each.box.y_min, each.box.x_max, each.box.y_max) for each in objects]
    print_table(
        ["Label", "Confidence", "Box"],
        [
            [each.label, f"{each.score:.2f}", ",".join(f"{side:.0f}" for side in box)]
            for each, box in zip(objects, corners, strict=True)
        ],
        right_aligned={"Confidence"},
    )
