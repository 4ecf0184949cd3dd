"""Damaged and hostile pictures, many thousands, over HTTP: each is shown or refused, soon, and nothing else suffers."""

import itertools
import random
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from tests import hostile_pictures as hostile
from tests.contracts.api.conformance import Conformance
from tests.serving import Service, running

from torture.findings import Findings, seed
from torture.memory import MEBIBYTE, MemoryWatch
from torture.report import Row

SENDERS = 2
PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS = 5.0, 30.0
"""The short form shares its cores with other tests: how long an answer takes there says little."""
SLOW_PATIENCE_SECONDS = 15.0
"""For pictures that were made to take long: until decoding is given up."""
BATCH = 8
REFUSALS = {
    "body_too_large": 413,
    "image_too_large": 413,
    "unsupported_image_format": 415,
    "camera_raw": 415,
    "image_unreadable": 422,
    "busy": 503,
}
SINGLE = ("/v1/embeddings", "/v1/embeddings", "/v1/detections", "/v1/search", "/v1/images")


def run(directory: Path, *, short: bool) -> Iterable[Row]:
    """Short: a second of damaged pictures. Long: those of all kinds that take their time as well."""
    chosen, seconds = seed(short=short), 1 if short else 60
    patience = SHORT_PATIENCE_SECONDS if short else PATIENCE_SECONDS
    with running(directory, {}) as service:
        yield _damaged(service, chosen, seconds, patience)
        if not short:
            yield _slow(service)
            # What the largest have left in heaps stays there for the next; it must not become more.
            with MemoryWatch(service.process.pid) as memory:
                again = _damaged(service, chosen + 1, seconds // 2, patience)
            complaint = memory.complaint()
            if complaint:
                print(f"FOUND {complaint}")
            yield Row(
                what=f"damaged pictures again: memory {memory.growth / MEBIBYTE:+.0f} MiB meanwhile",
                times=again.times,
                server_errors=again.server_errors + bool(complaint),
                slowest_seconds=again.slowest_seconds,
            )


def _damaged(service: Service, chosen: int, seconds: float, patience: float) -> Row:
    # Made before there are threads: libheif's encoder is not made for several.
    sound = [write() for write in hostile.WRITERS.values()]
    findings, until = Findings("picture"), time.monotonic() + seconds
    with ThreadPoolExecutor(SENDERS) as senders:
        sent = [
            senders.submit(_send_until, service, f"{chosen}-{number}", sound, findings, until, patience)
            for number in range(SENDERS)
        ]
    for sender in sent:
        sender.result()
    return Row(
        what=f"damaged pictures of {len(hostile.WRITERS)} kinds, and two formats in one",
        times=findings.tried,
        server_errors=findings.found,
        slowest_seconds=findings.slowest,
    )


def _slow(service: Service) -> Row:
    """One after the other, while somebody else asks for what takes no decoding."""
    findings, ended = Findings("slow-picture"), threading.Event()
    prober = threading.Thread(target=_probe, args=(service, findings, ended))
    prober.start()
    with Sender(service, findings, SLOW_PATIENCE_SECONDS) as sender:
        for name, make in hostile.SLOW.items():
            content = make()
            started = time.monotonic()
            sender.post("/v1/embeddings", [content], name)
            print(f"  {name}: {time.monotonic() - started:.2f} s", flush=True)
    ended.set()
    prober.join()
    return Row(
        what=f"{len(hostile.SLOW)} pictures made to take long or much memory, and other requests meanwhile",
        times=findings.tried,
        server_errors=findings.found,
        slowest_seconds=findings.slowest,
    )


def _probe(service: Service, findings: Findings, ended: threading.Event) -> None:
    with service.client(timeout=PATIENCE_SECONDS) as client:
        while not ended.wait(0.5):
            started = time.monotonic()
            try:
                client.get("/v1/images").raise_for_status()
            except httpx.HTTPError as error:
                findings.failed(b"", f"GET /v1/images meanwhile: {error!r}")
            else:
                findings.passed(time.monotonic() - started)


def _send_until(  # noqa: PLR0917
    service: Service, chosen: str, sound: list[bytes], findings: Findings, until: float, patience: float
) -> None:
    chance = random.Random(chosen)
    contents = _contents(chance, sound)
    with Sender(service, findings, patience) as sender:
        while time.monotonic() < until:
            batch = chance.random() < 0.2
            path = "/v1/images/batch" if batch else chance.choice(SINGLE)
            sender.post(path, list(itertools.islice(contents, BATCH if batch else 1)), chosen)


def _contents(chance: random.Random, sound: list[bytes]) -> Iterator[bytes]:
    damaged = [hostile.mutations(content, chance) for content in sound]
    while True:
        yield hostile.concatenated(sound, chance) if chance.random() < 0.1 else next(chance.choice(damaged))


class Sender:
    """Sends pictures, and says of each answer whether it is as the contract has it."""

    def __init__(self, service: Service, findings: Findings, patience: float) -> None:
        self._client = service.client(timeout=patience)
        self._findings = findings
        self._conformance = Conformance(self._client.get("/openapi.json").json())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def post(self, path: str, contents: list[bytes], origin: str) -> None:
        """One picture, or several to the path of batches."""
        name = "files" if path.endswith("batch") else "file"
        started = time.monotonic()
        try:
            answer = self._client.post(path, files=[(name, ("a.jpg", content)) for content in contents])
            self._conformance.check(answer)
            for problem in _problems(answer):
                assert REFUSALS.get(problem["code"]) == problem["status"], problem
        except (httpx.HTTPError, AssertionError) as error:
            self._findings.failed(b"".join(contents), f"{path} ({origin}): {error!r}")
        else:
            self._findings.passed(time.monotonic() - started)


def _problems(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    if answer.status_code >= 400:
        yield answer.json()
    elif answer.status_code == 207:
        yield from (item["problem"] for item in answer.json()["results"] if item.get("problem"))
