"""Make `synchronous.py` from `asynchronous.py`: one source for both faces of the client. `--check` only compares."""

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "lookalike_client" / "asynchronous.py"
TARGET = SOURCE.with_name("synchronous.py")

REPLACEMENTS = {
    r"with an event loop\. .*": 'without an event loop. `make_synchronous.py` makes it from `asynchronous.py`."""',
    r"\b_asyncio_runtime\b": "_thread_runtime",
    r"\bAsync(Lookalike|Generator)\b": r"\1",
    r"\basync (def|with|for)\b": r"\1",
    r"\bawait ": "",
    r"__a(enter|exit)__": r"__\1__",
    r"\baclos(e|ing)\b": r"clos\1",
}


def synchronous(source: str) -> str:
    """The twin's text."""
    for pattern, replacement in REPLACEMENTS.items():
        source = re.sub(pattern, replacement, source)
    return source


if __name__ == "__main__":
    made = synchronous(SOURCE.read_text())
    if "--check" not in sys.argv:
        TARGET.write_text(made)
    elif TARGET.read_text() != made:
        sys.exit(f"{TARGET} is not what {SOURCE.name} makes: run {Path(__file__).name}")
