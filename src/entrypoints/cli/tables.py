"""Tables on standard output."""

import sys
from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_IN_FILES = 200
"""Columns where no terminal says how many there are: enough not to fold an id."""


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right_aligned: Collection[str] = ()) -> None:
    """Print rows under headers; long names fold, ids do not."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        table.add_column(
            header,
            justify="right" if header in right_aligned else "left",
            no_wrap=header != "File",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: names are shown as they are, never read as markup
    Console(width=None if sys.stdout.isatty() else WIDTH_IN_FILES).print(table)
