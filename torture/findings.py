"""What fuzzing finds: each with its input in a file, whose name is printed."""

import hashlib
import os
import random
import threading
from pathlib import Path

DIRECTORY = Path(__file__).parent / "findings"


def seed(*, short: bool) -> int:
    """Of all chance in a run: fixed with the tests, else a new one, which is printed; TORTURE_SEED repeats it."""
    chosen = int(os.environ.get("TORTURE_SEED", 1 if short else random.SystemRandom().randrange(10**9)))
    print(f"TORTURE_SEED={chosen}", flush=True)
    return chosen


class Findings:
    """Counts what was tried and what went wrong, from several threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self.tried = self.found = 0
        self.slowest = 0.0

    def passed(self, seconds: float) -> None:
        """One answer as it should be, after so long."""
        with self._lock:
            self.tried += 1
            self.slowest = max(self.slowest, seconds)

    def failed(self, given: bytes, why: str) -> None:
        """One that is not."""
        digest = hashlib.sha256(given).hexdigest()[:12]
        path = DIRECTORY / f"{self._name}-{digest}"
        with self._lock:
            self.tried += 1
            self.found += 1
            DIRECTORY.mkdir(exist_ok=True)
            path.write_bytes(given)
        print(f"FOUND {why}\n  the input is in {path}", flush=True)
