"""Searching while a bulk import runs: what each does to the other, and how long the index itself holds searches up."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.load import Answers, Job, apply
from benchmarks.processes import Service
from benchmarks.report import Section, table
from benchmarks.workspace import Workspace, index_over_http

SEARCHING = 2
"""Clients, enough to see what an import does and too few to keep the cores busy."""


def measure(workspace: Workspace) -> Section:
    """Searches alone, the import alone, and both at once, over copies of the same index."""
    sizes = workspace.sizes
    size = sizes.photos[0]
    photos, queries = workspace.photos(sizes.indexed, seed=4), workspace.photos(sizes.queries, seed=1)
    with Service(_copy(workspace, size)) as service:
        alone = _search(service.port, queries, sizes.seconds)
        imported = index_over_http(service.port, photos, before=size)
    with Service(_copy(workspace, size)) as service, ThreadPoolExecutor(1) as thread:
        importing = thread.submit(index_over_http, service.port, photos, before=size)
        during: list[Answers] = []
        while not importing.done():
            during.append(_search(service.port, queries, sizes.warming_seconds))
        both = importing.result()
    milliseconds = [ms for part in during for ms in part.milliseconds]
    statuses = [status for part in during for status in part.statuses]
    together = Answers(milliseconds, statuses, sum(part.seconds for part in during), 0)
    rows = [_row("alone", alone, imported, sizes.indexed), _row("together", together, both, sizes.indexed)]
    return Section(
        "Searching while indexing",
        [
            *table(("", "p50, ms", "p99, ms", "slowest, ms", "searches/s", "indexed, pictures/s"), rows),
            f"{SEARCHING} clients search {size:,} pictures; {sizes.indexed:,} more come in batches through HTTP, with "
            "objects. The slowest search has waited for the index to optimize itself, if it did.",
        ],
    )


def _copy(workspace: Workspace, size: int) -> Path:
    data_dir = workspace.fresh("together")
    shutil.copytree(workspace.index(size), data_dir)
    return data_dir


def _search(port: int, queries: Path, seconds: float) -> Answers:
    return apply(Job(port=port, path="/v1/search", pictures=str(queries), clients=SEARCHING, seconds=seconds))


def _row(name: str, searched: Answers, indexed: Answers, pictures: int) -> tuple[str, ...]:
    figures = (searched.percentile(50), searched.percentile(99), max(searched.milliseconds))
    rates = (f"{searched.per_second:.0f}", f"{pictures / indexed.seconds:.0f}")
    return (name, *(f"{figure:.1f}" for figure in figures), *rates)
