"""Measure this machine and write benchmarks/RESULTS.md: `make bench`.

`--only SECTION` (may be given more than once) and `--quick` print and write nothing: for trying parts out.
"""

import argparse
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks import browsing, indexing, objects, quality, searching, soak, starting, together
from benchmarks.limit import CORES
from benchmarks.report import Section, Target, heading, verdicts
from benchmarks.workspace import QUICK, Sizes, Workspace

RESULTS = Path(__file__).parent / "RESULTS.md"

SECTIONS: dict[str, Callable[[Workspace], Section]] = {
    "indexing": indexing.measure,
    "searching": searching.measure,
    "together": together.measure,
    "starting": starting.measure,
    "objects": objects.measure,
    "browsing": browsing.measure,
    "quality": quality.measure,
    "soak": soak.measure,
}


def main() -> None:
    """Run the sections, then say how the targets stand."""
    given = _arguments()
    if Path(".env").exists():
        raise SystemExit("Default settings are what is measured: move .env away meanwhile.")
    for name in [name for name in os.environ if name.startswith("LOOKALIKE_")]:
        del os.environ[name]  # default settings are what is measured
    sizes = QUICK if given.quick else Sizes()
    if given.soak_seconds is not None:
        sizes = replace(sizes, soak_seconds=given.soak_seconds)
    started, busy = time.monotonic(), _busy_seconds()
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as directory:
        workspace = Workspace(Path(directory), sizes)
        sections = [_measured(name, workspace) for name in given.only or SECTIONS]
    targets: Sequence[Target] = [target for section in sections for target in section.targets]
    lines = [*heading(), *(line for section in sections for line in section.text), *verdicts(targets)]
    seconds, others = time.monotonic() - started, _busy_seconds() - busy
    last = (
        f"The run took {seconds / 60:.0f} minutes. Others took {others / seconds / CORES:.0%} of the cores meanwhile."
    )
    text = "\n".join([*lines, "", last, ""])
    print(text)
    if not given.quick and not given.only:
        RESULTS.write_text(text)


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", action="append", choices=SECTIONS, help="measure only this; may be repeated")
    arguments.add_argument("--quick", action="store_true", help="the smallest sizes, in a minute or so")
    arguments.add_argument("--soak-seconds", type=float, help="how long the soak takes (600)")
    return arguments.parse_args()


def _busy_seconds() -> float:
    """CPU seconds that others than this process and its children have taken since the machine was started."""
    all_, mine = psutil.cpu_times(), psutil.Process().cpu_times()
    busy = sum(all_[:3]) + sum(getattr(all_, name, 0.0) for name in ("irq", "softirq", "steal"))
    return float(busy - mine.user - mine.system - mine.children_user - mine.children_system)


def _measured(name: str, workspace: Workspace) -> Section:
    """A section that fails says so in its place: the others took long enough to be kept."""
    print(f"== {name}", flush=True)
    started = time.monotonic()
    try:
        section = SECTIONS[name](workspace)
    except Exception as error:
        traceback.print_exc()
        failure = Target(name, "measured", f"{type(error).__name__}: {error}", met=False)
        section = Section(name.capitalize(), [f"**Not measured**: {type(error).__name__}: {error}"], [failure])
    print(f"== {name} took {time.monotonic() - started:.0f} s", flush=True)
    return section


if __name__ == "__main__":
    main()
