"""How far a long command has come: a bar in a terminal, a line now and then elsewhere. On standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

PLAIN_INTERVAL = 5.0
"""Seconds between lines where there is no terminal."""

Show = Callable[[int, int], None]
"""Takes how many are done, of how many."""


@contextmanager
def progress(what: str) -> Iterator[Show]:
    """Show total, rate and time left while the body runs."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Bar(
            SpinnerColumn(finished_text="[green]:heavy_check_mark:[/]"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
        ) as bar:
            task = bar.add_task(what, visible=False)
            yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
    else:
        yield _PlainLines(what)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("-/s" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


class _PlainLines:
    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = time.monotonic()
        self._complete = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._complete &= done >= total  # another pass may follow, or more may have come
        if self._complete or (now - self._said < PLAIN_INTERVAL and done < total):
            return
        self._said, self._complete = now, done == total
        rate = done / max(now - self._began, 1e-9)
        left = timedelta(seconds=round((total - done) / max(rate, 1e-9)))
        print(f"{self._what}: {done}/{total}, {rate:.1f}/s, {left} left", file=sys.stderr, flush=True)
