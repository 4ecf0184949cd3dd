"""Do harm to the service, and write what became of it into docs/reliability.md: `make torture`.

`--only SECTION` (may be given more than once) and `--short` print and write nothing: for trying parts out.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from torture import cluster, crashes, disk, images, report, requests, server
from torture.report import Row


class Section(Protocol):
    """One kind of harm; `short` is the form that runs with the tests."""

    def __call__(self, directory: Path, *, short: bool) -> Iterable[Row]: ...


SECTIONS: dict[str, Section] = {
    "images": images.run,
    "requests": requests.run,
    "crashes": crashes.run,
    "disk": disk.run,
    "server": server.run,
    "cluster": cluster.run,
}


def main() -> None:
    """Run the sections, and fail if anything was lost or answered 500."""
    given = _arguments()
    rows: list[Row] = []
    for name in given.only or SECTIONS:
        started = time.monotonic()
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"lookalike-torture-{name}-") as directory:
            try:
                rows.extend(SECTIONS[name](Path(directory), short=given.short))
            except AssertionError as error:
                # The service ended, or logged an error that no answer showed; the other sections still run.
                traceback.print_exc()
                first_line, *_ = str(error).splitlines() or ["an assertion failed"]
                rows.append(Row(what=f"{name}: {first_line}", times=1, server_errors=1))
        print(f"== {name} took {time.monotonic() - started:.0f} s", flush=True)
    print(report.table(rows))
    if not given.short and not given.only:
        report.write(rows)
    if failed := [row.what for row in rows if not row.passed]:
        sys.exit(f"Lost, or answered 500: {'; '.join(failed)}")


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", action="append", choices=SECTIONS, help="only this; may be repeated")
    arguments.add_argument("--short", action="store_true", help="the short form, which the tests run too")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
