"""How far a long command has come: a bar in a terminal, a line now and then elsewhere. On standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

PLAIN_INTERVAL = 5.0
"""Seconds between lines where there is no terminal."""

RATE_SECONDS, SETTLED_SECONDS = 1.0, 5.0
"""Seconds of work before its rate and the time left are shown, since its steps come in batches."""

Show = Callable[[int, int], None]
"""Takes how many are done, of how many."""


class Estimate:
    """The rate of work since its first step was done, and the time left, each None until it means something."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self.rate: float | None = None
        self.left: timedelta | None = None

    def update(self, done: int, total: int) -> None:
        """Note how many are done now."""
        now = time.monotonic()
        if self._first is None or done < self._first[1]:  # another pass begins
            self._first = (now, done) if done else None
            self.rate = self.left = None
            return
        began, before = self._first
        if done > before and now - began >= RATE_SECONDS:
            self.rate, self.left = (done - before) / (now - began), None
            if now - began >= SETTLED_SECONDS and done < total:
                self.left = timedelta(seconds=round((total - done) / self.rate))

    def __str__(self) -> str:
        rate = "" if self.rate is None else f"{self.rate:.1f}/s"
        left = "" if self.left is None else f"{self.left} left"
        return ", ".join(filter(None, (rate, left)))


@contextmanager
def progress(what: str) -> Iterator[Show]:
    """Show total, rate and time left while the body runs."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainLines(what)
        return
    estimate = Estimate()
    columns = [
        SpinnerColumn(finished_text="[green]:heavy_check_mark:[/]"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[estimate]}", style="progress.data.speed"),
    ]
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(what, visible=False, estimate="")

        def show(done: int, total: int) -> None:
            estimate.update(done, total)
            bar.update(task, completed=done, total=total, visible=True, estimate=str(estimate))

        yield show


class _PlainLines:
    def __init__(self, what: str) -> None:
        self._what = what
        self._estimate = Estimate()
        self._printed_at = time.monotonic()
        self._complete = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._estimate.update(done, total)
        self._complete &= done >= total  # another pass may follow, or more may have come
        if self._complete or (now - self._printed_at < PLAIN_INTERVAL and done < total):
            return
        self._printed_at, self._complete = now, done == total
        state = ", ".join(filter(None, (f"{done}/{total}", str(self._estimate))))
        print(f"{self._what}: {state}", file=sys.stderr, flush=True)
