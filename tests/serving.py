"""The service as a process of its own, made by settings in its environment alone."""

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 60.0
STOP_SECONDS = 30.0
_ANNOUNCED = re.compile(r"Serving at (https?://\S+)")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    url: str
    directory: Path

    def client(self, *, timeout: float = 60, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout, **options)  # type: ignore[arg-type]

    def kill(self, *, group: bool) -> None:
        """Kill -9: the process alone, or with everything that it started."""
        if group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(STOP_SECONDS)

    def output(self) -> str:
        return "".join((self.directory / name).read_text(errors="replace") for name in ("stdout", "stderr"))


def start(
    directory: Path, settings: Mapping[str, str], *, trust: ssl.SSLContext | bool = True, **variables: str
) -> Service:
    """Start `lookalike serve` with its data below `directory`, and wait until it is ready.

    `settings` are environment variables without their prefix; others of ours do not get through. `trust`: in whose
    certificates, where it serves by TLS. `variables` are further ones, by their whole names.
    """
    directory.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    ours = {"DATA_DIR": str(directory / "data"), "HTTP__PORT": "0", "LOG__FORMAT": "json"} | dict(settings)
    environment |= {f"LOOKALIKE_{name}": value for name, value in ours.items()} | variables
    with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "lookalike", "serve"],
            cwd=directory,  # where no .env is
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        return Service(process=process, url=_await_ready(process, directory, trust), directory=directory)
    except BaseException:
        process.kill()
        process.wait()
        raise


def stop(service: Service) -> None:
    """End it by SIGTERM, and see that it finished what it had to."""
    if service.process.poll() is not None:
        raise AssertionError(f"The service ended early ({service.process.returncode}):\n{service.output()}")
    service.process.terminate()
    try:
        code = service.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill(group=True)
        raise AssertionError(f"SIGTERM did not end the service:\n{service.output()}") from None
    # Servers end by the signal that they were sent once they have shut down.
    if code not in {0, -signal.SIGTERM} or "Application shutdown complete" not in service.output():
        raise AssertionError(f"The service ended with {code}:\n{service.output()}")
    if '"level": "error"' in service.output():
        raise AssertionError(f"The service logged errors:\n{service.output()}")


@contextmanager
def running(directory: Path, settings: Mapping[str, str], *, trust: ssl.SSLContext | bool = True) -> Iterator[Service]:
    """A service for as long as the block runs."""
    service = start(directory, settings, trust=trust)
    try:
        yield service
    finally:
        stop(service)


def _await_ready(process: subprocess.Popen[bytes], directory: Path, trust: ssl.SSLContext | bool) -> str:
    url, answer = "", "no answer yet"
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        output = (directory / "stdout").read_text() + (directory / "stderr").read_text(errors="replace")
        if process.poll() is not None:
            raise AssertionError(f"The service did not start, it ended with {process.returncode}:\n{output}")
        if announced := _ANNOUNCED.search(output):
            url = announced[1]
            try:
                ready = httpx.get(f"{url}/health/ready", timeout=10, verify=trust)
            except httpx.TransportError as error:
                answer = str(error)
            else:
                if ready.status_code == 200:
                    return url
                answer = ready.text
        time.sleep(0.05)
    raise AssertionError(f"The service was not ready in {START_SECONDS:g} s ({answer}):\n{output}")
