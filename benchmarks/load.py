"""Load from a process of its own, on one thread, so that it never takes more than one core; it reports what it took."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.http11 import MULTIPART, Connection, multipart
from benchmarks.processes import output_of

OK = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Post the pictures of a folder, `clients` at a time: all of them once, or round and round for `seconds`."""

    port: int
    path: str
    pictures: str
    clients: int
    field: str = "file"
    per_body: int = 1
    fields: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None
    keep_alive: bool = True
    pause_when_busy: float | None = None
    """Seconds that a caller waits after a refusal. Without, any status but success ends the run with an error."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Milliseconds and status of each answer; how long all took together; the generator's own CPU."""

    milliseconds: Sequence[float]
    statuses: Sequence[int]
    seconds: float
    cpu_seconds: float

    def percentile(self, percent: float) -> float:
        """Milliseconds below which `percent` of the good answers came."""
        good = [ms for ms, status in zip(self.milliseconds, self.statuses, strict=True) if status in OK]
        return float(np.percentile(good, percent)) if good else float("nan")

    def slowest_of(self, status: int) -> float:
        """Milliseconds of the slowest answer with this status; 0 if there was none."""
        return max((ms for ms, each in zip(self.milliseconds, self.statuses, strict=True) if each == status), default=0)

    @property
    def counts(self) -> dict[int, int]:
        """How many answers had each status."""
        return dict(sorted(Counter(self.statuses).items()))

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return sum(status in OK for status in self.statuses) / self.seconds

    @property
    def share_of_core(self) -> float:
        """What part of one core the load generator took."""
        return self.cpu_seconds / self.seconds


def apply(job: Job) -> Answers:
    """Run the load in a process of its own. Raises RuntimeError if an answer was not what the job allows."""
    command = [sys.executable, "-m", "benchmarks.load", json.dumps(asdict(job))]
    return Answers(**json.loads(output_of(command)))


def _bodies(job: Job) -> list[bytes]:
    pictures = [path.read_bytes() for path in sorted(Path(job.pictures).glob("*.jpg"))]
    return [
        multipart(job.field, pictures[first : first + job.per_body], **dict(job.fields))
        for first in range(0, len(pictures), job.per_body)
    ]


async def _run(job: Job, bodies: Sequence[bytes]) -> Answers:
    queue = cycle(bodies) if job.seconds else islice(bodies, None)
    milliseconds: list[float] = []
    statuses: list[int] = []

    async def client() -> None:
        connection = Connection(job.port, keep_alive=job.keep_alive)
        for body in queue:
            before = time.perf_counter()
            status, answer = await connection.request_or_failure("POST", job.path, body, MULTIPART)
            after = time.perf_counter()
            milliseconds.append((after - before) * 1000)
            statuses.append(status)
            if status not in OK:
                if job.pause_when_busy is None:
                    raise RuntimeError(f"answered {status}: {answer[:300]!r}")
                await asyncio.sleep(job.pause_when_busy)
            if job.seconds and after - started > job.seconds:
                break
        connection.close()

    started, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as clients:
        for _ in range(job.clients):
            clients.create_task(client())
    return Answers(milliseconds, statuses, time.perf_counter() - started, time.process_time() - cpu)


def main() -> None:
    """Run the job that the argument describes; print its answers as JSON."""
    job = Job(**json.loads(sys.argv[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(_run(job, _bodies(job))))))


if __name__ == "__main__":
    main()
