"""Hostile HTTP: byte by byte, damaged at random, made from the OpenAPI document, and slowly."""

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tests.contracts.api.conformance import Conformance
from tests.hostile_pictures import mutations
from tests.hostile_requests import Hostile, complaint_about, hostile_requests
from tests.raw_http import NoAnswerError, exchange
from tests.serving import Service, running

from torture.findings import DIRECTORY, Findings, seed
from torture.memory import MEBIBYTE, MemoryWatch
from torture.report import Row

SENDERS = 2
BODY_SECONDS, SHORT_BODY_SECONDS = 3, 2
WAIT_SECONDS = 1.0
PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS = 5, 30
"""The short form shares its cores with other tests: how long an answer takes there says little."""
KEY = "torture-key-1"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
LIVE = Hostile(name="alive", method="GET", target=b"/health/live", statuses=(200,))
SETTINGS = {"REPOSITORY__BACKEND": "memory"}


def run(directory: Path, *, short: bool) -> Iterable[Row]:
    """Short: every fifth hostile request, and little of the rest. Long: all, and also with keys configured."""
    chosen, patience = seed(short=short), SHORT_PATIENCE_SECONDS if short else PATIENCE_SECONDS
    settings = SETTINGS | {"HTTP__BODY_SECONDS": str(SHORT_BODY_SECONDS if short else BODY_SECONDS)}
    with running(directory / "open", settings) as service, MemoryWatch(service.process.pid) as memory:
        yield _hostile(service, list(hostile_requests())[:: 5 if short else 1], patience)
        yield _damaged(service, chosen, 1 if short else 40, patience)
        yield _slow(service, 20 if short else 400, patience, short=short)
        yield _made_from_the_document(service, directory, chosen, 3 if short else 50, patience=patience)
        if not short:
            yield _damaged(service, chosen + 1, 15, patience)
            complaint = memory.complaint()
            yield Row(
                what=f"memory after these: {memory.growth / MEBIBYTE:+.0f} MiB", times=1, server_errors=bool(complaint)
            )
    if not short:
        with running(directory / "closed", {**settings, "AUTH__KEYS": f"admin:{KEY}"}) as service:
            with_a_key = {"Authorization": f"Bearer {KEY}"}
            yield _made_from_the_document(service, directory, chosen, 20, patience=patience, headers=with_a_key)


def address_of(service: Service) -> tuple[str, int]:
    """Where it listens."""
    url = urlsplit(service.url)
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port


def _hostile(service: Service, requests: list[Hostile], patience: float) -> Row:
    findings, address = Findings("request"), address_of(service)
    conformance = Conformance(httpx.get(f"{service.url}/openapi.json", timeout=30).json())

    def send(request: Hostile) -> None:
        try:
            answer = exchange(address, request.raw, method=request.method, patience=patience)
        except NoAnswerError as error:
            findings.failed(request.raw, f"{request.name}: {error}")
            return
        if complaint := complaint_about(answer, request, conformance):
            findings.failed(request.raw, f"{request.name}: {complaint}")
        else:
            findings.passed(answer.seconds)

    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(send, requests))
    return _row("hostile requests, each of its own kind", findings)


def _damaged(service: Service, chosen: int, seconds: float, patience: float) -> Row:
    """Requests with changes at random, over connections of their own: whatever is answered is no 5xx."""
    findings, address, until = Findings("damaged-request"), address_of(service), time.monotonic() + seconds

    def send(number: int) -> None:
        chance = random.Random(f"{chosen}-{number}")
        damaged = _damaged_requests(chance)
        while time.monotonic() < until:
            raw = next(damaged)
            try:
                answer = exchange(address, raw, patience=WAIT_SECONDS)
            except NoAnswerError:
                # Whose length or end is wrong is waited for: longer than we want to, and `_slow` looks at that.
                try:
                    answer = exchange(address, LIVE.raw, patience=patience)
                except NoAnswerError as error:
                    findings.failed(raw, f"{chosen}-{number}: nothing is answered any more: {error}")
                    continue
            if answer.status >= 500 and answer.status != 503:
                findings.failed(raw, f"{chosen}-{number}: {answer.status} {answer.body[:300]!r}")
            else:
                findings.passed(answer.seconds)

    with ThreadPoolExecutor(4 * SENDERS) as senders:  # some wait for what never comes
        list(senders.map(send, range(4 * SENDERS)))
    return _row("requests damaged at random", findings)


def _damaged_requests(chance: random.Random) -> Iterator[bytes]:
    small = [request.raw for request in hostile_requests() if len(request.raw) < 5_000]
    damaged = [mutations(raw, chance) for raw in small]
    while True:
        yield next(chance.choice(damaged))


def _slow(service: Service, connections: int, patience: float, *, short: bool) -> Row:
    """Heads and bodies that never end, dripping; meanwhile others are answered, and in the end all are given up.

    Short: bodies alone, since heads have 20 s.
    """
    findings, address = Findings("slow-request"), address_of(service)
    head = b"GET /health/live HTTP/1.1\r\nHost: t\r\nX: "
    body = b"POST /v1/embeddings HTTP/1.1\r\nHost: t\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    begun = [body + b"Content-Length: 5000\r\n\r\n"] if short else [head, body, body + b"Content-Length: 5000\r\n\r\n"]
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection(address)) for _ in range(connections)]
        for number, open_ in enumerate(slow):
            open_.sendall(begun[number % len(begun)])
        give_up, alive = time.monotonic() + 40, slow
        with service.client(timeout=patience) as client:
            while alive and time.monotonic() < give_up:
                started = time.monotonic()
                try:
                    client.get("/v1/images").raise_for_status()
                except httpx.HTTPError as error:
                    findings.failed(b"", f"GET /v1/images meanwhile: {error!r}")
                else:
                    findings.passed(time.monotonic() - started)
                alive = [open_ for open_ in alive if _drips(open_)]
                time.sleep(0.25)
        for _ in alive:
            findings.failed(head, "a connection on which nothing but drops came was still waited for after 40 s")
    return _row(f"{connections} connections whose heads and bodies drip, and other requests meanwhile", findings)


def _drips(open_: socket.socket) -> bool:
    """Whether the other side still waits for more: it has neither answered nor hung up."""
    try:
        open_.sendall(b"x")
        open_.setblocking(False)
        open_.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        open_.setblocking(True)


def _made_from_the_document(
    service: Service,
    directory: Path,
    chosen: int,
    seconds: int,
    *,
    patience: int,
    headers: Mapping[str, str] | None = None,
) -> Row:
    """What schemathesis makes of it. An answer that takes longer than `patience` seconds is a finding."""
    DIRECTORY.mkdir(exist_ok=True)
    report = DIRECTORY / f"schemathesis-{chosen}{'-with-a-key' if headers else ''}.json"
    command = [Path(sys.executable).parent / "schemathesis", "--config-file", CONFIGURATION, "run"]
    command += [f"{service.url}/openapi.json", "--max-time", str(seconds), "--seed", str(chosen), "--no-color"]
    checks = (*CHECKS, "ignored_auth") if headers else CHECKS
    command += ["--checks", ",".join(checks), "--max-response-time", str(patience)]
    command += ["--request-timeout", str(2 * patience)]
    command += ["--continue-on-failure", "--warnings", "off", "--report-json-path", report]
    for name, value in (headers or {}).items():
        command += ["--header", f"{name}: {value}"]
    # It keeps what it has found in the directory that it runs in, and begins with that the next time.
    give_up = 10 * seconds + 2 * patience + 60
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=give_up, check=False)
    assert report.exists(), f"schemathesis did not run:\n{done.stdout[-5_000:]}{done.stderr[-5_000:]}"
    cases = json.loads(report.read_text())["test_cases"]
    if done.returncode:
        print(f"FOUND by schemathesis, see {report}:\n{done.stdout[-20_000:]}", flush=True)
    else:
        report.unlink()
    with_key = ", with a key" if headers else ""
    return Row(
        what=f"requests made from the OpenAPI document{with_key}",
        times=cases["generated"],
        server_errors=max(cases["with_failures"], int(done.returncode != 0)),
    )


def _row(what: str, findings: Findings) -> Row:
    return Row(what=what, times=findings.tried, server_errors=findings.found, slowest_seconds=findings.slowest or None)
