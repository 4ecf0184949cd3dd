"""A load generator that costs little: keep-alive connections, bodies made beforehand, one thread a client."""

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.service import PORT

BOUNDARY = "lookalike-benchmark"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@dataclass(frozen=True)
class Latencies:
    """Milliseconds of each answer, and how long all of them took together."""

    milliseconds: Sequence[float]
    seconds: float
    load_cpu_seconds: float

    def percentile(self, percent: float) -> float:
        """Milliseconds below which `percent` of the answers came."""
        return float(np.percentile(self.milliseconds, percent))

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.milliseconds) / self.seconds


def multipart(field: str, pictures: Sequence[bytes], **fields: str) -> bytes:
    """A multipart body with pictures and text fields."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for number, picture in enumerate(pictures):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{number}.jpg"\r\n\r\n'
        parts.append(head.encode() + picture + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post_all(path: str, bodies: Sequence[bytes], *, clients: int) -> Latencies:
    """Post every body once, `clients` at a time, and measure each answer."""
    queue, lock = iter(bodies), threading.Lock()
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(clients) as threads:
        runs = [threads.submit(_post_some, path, queue, lock) for _ in range(clients)]
        milliseconds = [value for run in runs for value in run.result()]
    return Latencies(milliseconds, time.perf_counter() - started, time.process_time() - cpu)


def _post_some(path: str, queue: Iterator[bytes], lock: threading.Lock) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    milliseconds = []
    while True:
        with lock:
            body = next(queue, None)
        if body is None:
            connection.close()
            return milliseconds
        started = time.perf_counter()
        connection.request("POST", path, body, HEADERS)
        response = connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{path} answered {response.status}: {answer[:300]!r}")
        milliseconds.append((time.perf_counter() - started) * 1000)
