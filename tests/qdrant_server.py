"""The Qdrant server that integration tests run against: one that is given, or one in a container, or none.

`TEST_QDRANT_URL` (with `TEST_QDRANT_API_KEY` and `TEST_QDRANT_GRPC_PORT`) names a server, which then must answer.
Otherwise Testcontainers starts one. Without Docker, or where it cannot obtain the image, the tests are skipped, and the
summary says so. No test passes without a server.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from testcontainers.community.qdrant import QdrantContainer
from testcontainers.core.config import testcontainers_config
from testcontainers.core.wait_strategies import HttpWaitStrategy

IMAGE = "qdrant/qdrant:v1.19.0"
PULL_SECONDS = 90.0
START_SECONDS = 60
ANSWER_SECONDS = 20.0
NEEDS = "needs a Qdrant server"

_PULL = """
import sys, docker
client = docker.from_env()
if not client.images.list(name=sys.argv[1]):
    client.images.pull(sys.argv[1])
"""


@dataclass(frozen=True)
class QdrantServer:
    """Where the server answers. `api_key` is None where it takes requests without one."""

    url: str
    grpc_port: int
    api_key: str | None


@pytest.fixture(scope="session")
def qdrant_server() -> Iterator[QdrantServer]:
    if url := os.environ.get("TEST_QDRANT_URL"):
        server = QdrantServer(
            url=url,
            grpc_port=int(os.environ.get("TEST_QDRANT_GRPC_PORT", "6334")),
            api_key=os.environ.get("TEST_QDRANT_API_KEY") or None,
        )
        _wait_until_ready(server)
        yield server
    else:
        _obtain_image()
        yield from _container()


@pytest.fixture(scope="session")
def qdrant_url(qdrant_server: QdrantServer) -> str:
    return qdrant_server.url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NEEDS in str(report.longrepr)]
    if skipped:
        reason = str(skipped[0].longrepr[2]).partition(f"{NEEDS}: ")[2]
        for report in skipped:
            report.longrepr = (__file__, 1, f"Skipped: {NEEDS}")  # of one place, hence one line of the short summary
        terminalreporter.write_line(
            f"SKIPPED {len(skipped)} tests that need a Qdrant server: {reason}; set TEST_QDRANT_URL or start Docker",
            yellow=True,
            bold=True,
        )


def _wait_until_ready(server: QdrantServer) -> None:
    """Fail, and not skip: whoever names a server wants the tests to run."""
    last_moment = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            answer = httpx.get(f"{server.url.rstrip('/')}/readyz", timeout=5.0)
            if answer.status_code == 200:
                return
            problem = f"status {answer.status_code}"
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        if time.monotonic() > last_moment:
            pytest.fail(f"TEST_QDRANT_URL is {server.url}, where no Qdrant server is ready: {problem}")
        time.sleep(0.5)


def _obtain_image() -> None:
    """Have the image, or skip: within PULL_SECONDS, since a registry out of reach may just never answer.

    In a process of its own, which can be ended, and takes along the sockets that a refused docker client leaves open.
    """
    try:
        pull = subprocess.run(
            [sys.executable, "-c", _PULL, IMAGE], timeout=PULL_SECONDS, check=False, capture_output=True, text=True
        )
        problem = "" if pull.returncode == 0 else (pull.stderr.strip().splitlines() or ["no reason given"])[-1]
    except subprocess.TimeoutExpired:
        problem = f"no answer within {PULL_SECONDS:g} s"
    if problem:
        pytest.skip(f"{NEEDS}: Docker cannot obtain {IMAGE} ({problem})")


def _container() -> Iterator[QdrantServer]:
    testcontainers_config.ryuk_disabled = True  # it would need an image of its own; the container is stopped below
    key = "a-key-for-tests"
    container = QdrantContainer(IMAGE, api_key=key)
    container.waiting_for(HttpWaitStrategy(6333, "/readyz").for_status_code(200).with_startup_timeout(START_SECONDS))
    with container:
        host = container.get_container_host_ip()
        yield QdrantServer(
            url=f"http://{host}:{container.exposed_rest_port}",
            grpc_port=int(container.exposed_grpc_port),
            api_key=key,
        )
