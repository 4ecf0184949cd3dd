"""Everything that callers do, at once, from a process of its own: search, index, patch, delete, list.

`python -m benchmarks.mixed_load PORT PICTURES SECONDS` prints JSON: for each operation its milliseconds and statuses,
and the process's CPU seconds.
"""

import asyncio
import json
import random
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks.http11 import MULTIPART, Connection, multipart
from benchmarks.load import OK
from benchmarks.pictures import with_comment

CLIENTS = 8
WEIGHTS = {"search": 60, "index": 10, "delete": 10, "patch": 10, "list": 10}
"""As much goes as comes, so that the index stays as large as it is."""

KEPT = 50
"""Nothing is deleted before so many have come."""


class Load:
    """What the clients share: the photos, the ids of what they have indexed, and the answers."""

    def __init__(self, port: int, photos: Sequence[bytes]) -> None:
        self._port = port
        self._photos = photos
        self._searches = [multipart("file", [photo]) for photo in photos]
        self._random = random.Random(0)  # noqa: S311 - which operation is next
        self._ours: deque[str] = deque()
        self._sent = 0
        self.answers: dict[str, tuple[list[float], list[int]]] = {name: ([], []) for name in WEIGHTS}

    async def client(self, until: float) -> None:
        """One caller."""
        connection = Connection(self._port)
        while time.perf_counter() < until:
            [name] = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
            if name in ("patch", "delete") and len(self._ours) < KEPT:
                name = "index"
            started = time.perf_counter()
            status = await self._do(name, connection)
            milliseconds, statuses = self.answers[name]
            milliseconds.append((time.perf_counter() - started) * 1000)
            statuses.append(status)
        connection.close()

    async def _do(self, name: str, connection: Connection) -> int:
        match name:
            case "search":
                status, _ = await connection.request_or_failure(
                    "POST", "/v1/search", self._random.choice(self._searches), MULTIPART
                )
            case "index":
                self._sent += 1
                photo = with_comment(self._random.choice(self._photos), f"soak-{self._sent}")
                status, body = await connection.request_or_failure(
                    "POST", "/v1/images", multipart("file", [photo]), MULTIPART
                )
                if status in OK:
                    self._ours.append(json.loads(body)["id"])
            case "patch":
                change = json.dumps({"metadata": {"turn": self._random.randrange(1000)}}).encode()
                # Of the later half, which no delete takes meanwhile.
                id_ = self._ours[self._random.randrange(len(self._ours) // 2, len(self._ours))]
                status, _ = await connection.request_or_failure("PATCH", f"/v1/images/{id_}", change)
            case "delete":
                status, _ = await connection.request_or_failure("DELETE", f"/v1/images/{self._ours.popleft()}")
            case _:
                status, _ = await connection.request_or_failure("GET", "/v1/images?limit=50")
        return status


async def _run(load: Load, seconds: float) -> None:
    until = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(load.client(until))


def main() -> None:
    """Load the service for some seconds."""
    port, pictures, seconds = sys.argv[1:]
    load = Load(int(port), [path.read_bytes() for path in sorted(Path(pictures).glob("*.jpg"))])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(load, float(seconds)))
    print(json.dumps({"answers": load.answers, "cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main()
