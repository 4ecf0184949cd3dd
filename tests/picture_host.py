"""A shop's server of pictures on loopback, on threads: it tells their versions, counts, and can be made to wait."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any


class PictureHost:
    """Pictures by path. `statuses` counts the answers."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}
        self.statuses: Counter[int] = Counter()
        self.url = ""
        self.waiting = Event()
        """Set while answers wait."""
        self._left: int | None = None
        self._goes_on = Event()
        self._lock = Lock()

    def wait_after(self, downloads: int | None) -> None:
        """Answer so many downloads more, then wait for the next call; None: never."""
        with self._lock:
            self._left = downloads
            self.waiting.clear()
            self._goes_on.set()
            self._goes_on = Event()

    def answer(self, path: str, known: str | None) -> tuple[int, Mapping[str, str], bytes]:
        if (content := self.pictures.get(path)) is None:
            return 404, {}, b""
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        if known == tag:
            return 304, {"ETag": tag}, b""
        with self._lock:
            waits = self._left == 0
            self._left = self._left and self._left - 1
            goes_on = self._goes_on
        if waits:
            self.waiting.set()
            goes_on.wait(60)
        return 200, {"ETag": tag, "Content-Type": "image/png"}, content


@contextmanager
def picture_host() -> Iterator[PictureHost]:
    """One that listens."""
    host = PictureHost()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, content = host.answer(self.path, self.headers["If-None-Match"])
            host.statuses[status] += 1
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                self.close_connection = True  # it was killed

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Connections that break are what tests do."""

    with Server(("127.0.0.1", 0), Handler) as server:
        host.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield host
        finally:
            host.wait_after(None)
            server.shutdown()
            thread.join()
