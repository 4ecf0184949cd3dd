"""SIGTERM to a real process: who is in hand is answered, who comes anew refused, and nothing stays behind."""

import re
import select
import signal
import socket
import subprocess
import time
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from entrypoints.cli.main import main
from tests.eventually import until
from tests.integration.cli.command import LOOKALIKE, environment
from tests.pictures import a_picture
from tests.serving import Service, start

BOUNDARY = "the-boundary"
WITHOUT_DETECTOR = {"DETECTOR__RUNTIME": "none"}  # starts in half the time


class SlowUpload:
    """A picture of which only the first half has been sent: a request in hand for as long as the test likes."""

    def __init__(self, service: Service, picture: bytes) -> None:
        body = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
            + picture
            + f"\r\n--{BOUNDARY}--\r\n".encode()
        )
        address = urlsplit(service.url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=30)
        head = (
            f"POST /v1/images HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        )
        self._rest = body[len(body) // 2 :]
        self._socket.sendall(head.encode() + body[: len(body) // 2])
        assert until(lambda: in_progress(service) == 2), "it and the question itself"

    def finish(self) -> None:
        self._socket.sendall(self._rest)

    def is_answered(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        with self._socket, HTTPResponse(self._socket) as response:
            response.begin()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def in_progress(service: Service) -> int:
    metrics = httpx.get(f"{service.url}/metrics", timeout=30).text
    [told] = re.findall(r"^lookalike_http_requests_in_progress (\S+)$", metrics, re.MULTILINE)
    return int(float(told))


def readiness(service: Service) -> httpx.Response:
    return httpx.get(f"{service.url}/health/ready", timeout=30)


def is_gone(process: psutil.Process) -> bool:
    """Ended, whether or not whoever inherited it has taken note."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_sigterm_drains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    service = start(tmp_path / "service", WITHOUT_DETECTOR | {"STORAGE__RESERVE_BYTES": "0"}, TMPDIR=str(scratch))
    try:
        with service.client() as client:
            client.post("/v1/search", files={"file": a_picture(3)})  # wakes whatever decodes pictures
        helpers = psutil.Process(service.process.pid).children(recursive=True)
        assert helpers  # the index's owner at least
        upload = SlowUpload(service, a_picture(1))
        with service.client() as kept_alive:
            kept_alive.get("/health/live")
            service.process.terminate()
            assert until(lambda: readiness(service).status_code == 503)
            assert "it is stopping" in readiness(service).json()["detail"]
            for refused in (
                kept_alive.get("/v1/images"),
                httpx.post(f"{service.url}/v1/search", files={"file": a_picture(2)}, timeout=30),
            ):
                assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
                assert refused.headers["connection"] == "close"
                assert int(refused.headers["retry-after"]) > 0
        assert service.process.poll() is None
        upload.finish()
        status, headers, _ = upload.answer()
        assert (status, headers["connection"]) == (201, "close")
        assert service.process.wait(30) == -signal.SIGTERM
    finally:
        service.process.kill()

    assert "Traceback" not in service.output()
    assert '"level": "error"' not in service.output()
    assert until(lambda: all(map(is_gone, helpers)))
    assert list(scratch.iterdir()) == []
    assert list((service.directory / "data").rglob("incoming/*")) == []
    monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(service.directory / "data"))
    with pytest.raises(SystemExit):
        main(["list", "--json"])
    assert '"filename": "a.png"' in capsys.readouterr().out


def test_a_second_sigterm_cuts_what_is_in_hand(tmp_path: Path) -> None:
    service = start(tmp_path, WITHOUT_DETECTOR | {"REPOSITORY__BACKEND": "memory", "HTTP__SHUTDOWN_SECONDS": "100"})
    try:
        upload = SlowUpload(service, a_picture(1))
        service.process.terminate()
        assert until(lambda: readiness(service).status_code == 503)
        assert not upload.is_answered()

        def is_answered_after_another() -> bool:
            service.process.terminate()  # one that comes soon is taken for an echo of the first one
            time.sleep(0.1)
            return upload.is_answered()

        assert until(is_answered_after_another)
        status, headers, body = upload.answer()
        assert (status, headers["retry-after"]) == (503, "5")
        assert b'"code":"shutting_down"' in body
        assert service.process.wait(30) == -signal.SIGTERM
    finally:
        service.process.kill()
    assert "Traceback" not in service.output()


@pytest.mark.parametrize("seconds", [0.5, 1.2])
def test_sigterm_during_start_ends_at_once(tmp_path: Path, seconds: float) -> None:
    output = tmp_path / "stdout"
    with output.open("w") as stdout:
        process = subprocess.Popen(
            [LOOKALIKE, "serve", "--port", "0"],
            cwd=tmp_path,
            env=environment(tmp_path / "data"),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
    time.sleep(seconds)
    helpers = psutil.Process(process.pid).children(recursive=True)
    had_started = "Serving" in output.read_text()  # on a fast machine
    process.terminate()
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert ("Serving" in output.read_text()) == had_started, "it has finished its start first"
    assert "Traceback" not in stderr
    assert until(lambda: all(map(is_gone, helpers)))
