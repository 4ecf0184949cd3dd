"""What torture finds, and the table of it in docs/reliability.md."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- made by `make torture`: -->\n", "<!-- until here -->"

_HEADER = ("what was done", "times", "writes acknowledged", "lost", "500s", "slowest answer, s", "recovered after, s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of harm, and what became of it; None where a column does not apply."""

    what: str
    times: int
    """Inputs sent, or faults injected."""
    acknowledged: int | None = None
    """Writes that were answered as done."""
    lost: int | None = None
    """Of these, those that were not there afterwards, and whatever else `lookalike check` had to complain of."""
    server_errors: int = 0
    """Answers 500, and answers that never came."""
    slowest_seconds: float | None = None
    recovered_seconds: float | None = None
    """The longest time from the end of the fault (or the restart) to the first good answer."""

    @property
    def passed(self) -> bool:
        """Nothing lost, and no 500."""
        return not self.lost and not self.server_errors

    @property
    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        numbers = (self.times, self.acknowledged, self.lost, self.server_errors)
        seconds = (self.slowest_seconds, self.recovered_seconds)
        return (
            self.what,
            *("" if number is None else f"{number:,}" for number in numbers),
            *("" if value is None else f"{value:.2f}" for value in seconds),
        )


def table(rows: Iterable[Row]) -> str:
    """In Markdown, with when and where it was made."""
    lines = [_HEADER, ["---"] * len(_HEADER), *(row.cells for row in rows)]
    made = f"{datetime.now(UTC):%Y-%m-%d}, lookalike {version('lookalike')}, Python {platform.python_version()}"
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), "", made, ""])


def write(rows: Iterable[Row]) -> None:
    """Into its place in docs/reliability.md."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")
