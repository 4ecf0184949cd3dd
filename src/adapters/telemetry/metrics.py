"""The metrics of one application, as Prometheus reads them. docs/observability.md says what each is for."""

import mmap
import shutil
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from adapters.telemetry.standing import StandingCollector
from application.run_service import ServiceDescription
from domain.errors import LookalikeError

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""The first counts work that did not wait."""
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""All further methods count as `other`: callers must not be able to make new series."""


class StageName(StrEnum):
    """What a request spends its time on."""

    FETCH = "fetch"
    DECODE = "decode"
    THUMBNAIL = "thumbnail"
    DETECT = "detect"
    ENCODE = "encode"
    INDEX_READ = "index_read"
    INDEX_WRITE = "index_write"
    STORE_READ = "store_read"
    STORE_WRITE = "store_write"


class StageSeries:
    """The series of one stage, each there once it is needed: few stages wait or go in batches."""

    def __init__(self, metrics: "Metrics", name: StageName) -> None:
        self._metrics = metrics
        self._name = name
        self.seconds = metrics.stage_seconds.labels(name)

    @cached_property
    def waited(self) -> Histogram:
        """Seconds that pieces of work waited for their turn."""
        return self._metrics.wait_seconds.labels(self._name)

    @cached_property
    def waiting(self) -> Gauge:
        """Pieces of work that wait now."""
        return self._metrics.waiting.labels(self._name)

    @cached_property
    def batch_size(self) -> Histogram:
        """Items that a model ran together."""
        return self._metrics.batch_size.labels(self._name)

    def fail(self, error: BaseException) -> None:
        """Count a failure by its reason."""
        self._metrics.stage_failures.labels(self._name, reason_of(error)).inc()


def reason_of(error: BaseException) -> str:
    """The error's stable code; `cancelled` for callers who went away; `unexpected` for what has no name."""
    if isinstance(error, LookalikeError):
        return error.code
    return "unexpected" if isinstance(error, Exception) else "cancelled"


class Metrics:
    """A registry of its own: several applications may live in one process."""

    def __init__(self, *, version: str) -> None:
        # The library would add a series of when each began: a third more to no use. It is switched off for the process.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._standing = StandingCollector(version)
        self.registry.register(self._standing)
        ProcessCollector(registry=self.registry)
        # The embedded index lives in a process of its own, whose memory and CPU are ours too.
        ProcessCollector(
            namespace="lookalike_index", pid=lambda: self._standing.owner_pid or "none", registry=self.registry
        )
        self._requests = self._counter("http_requests", "Requests answered.", "method", "route", "status")
        self._request_seconds = self._histogram(
            "http_request_seconds",
            "From a request's head to the end of its answer.",
            REQUEST_SECONDS,
            "method",
            "route",
        )
        # Each is looked up once, since that takes as long as counting. They are as few as routes and statuses.
        self._known: dict[tuple[str, str, int | None], tuple[Counter, Histogram]] = {}
        self._in_progress = self._gauge("http_requests_in_progress", "Requests that are being received or worked on.")
        self._received = self._counter("http_received_bytes", "Bytes of bodies received.")
        self._sent = self._counter("http_sent_bytes", "Bytes of bodies sent.")
        self._problems = self._counter("problems", "Requests refused or failed, by the code of their problem.", "code")
        self.stage_seconds = self._histogram(
            "stage_seconds", "What calls of a stage took, waiting included.", STAGE_SECONDS, "stage"
        )
        self.stage_failures = self._counter("stage_failures", "Calls of a stage that failed.", "stage", "code")
        self.wait_seconds = self._histogram(
            "wait_seconds", "How long a piece of work waited for its turn, in a stage.", STAGE_SECONDS, "stage"
        )
        self.waiting = self._gauge("waiting", "Pieces of work that wait for their turn now.", "stage")
        self.batch_size = self._histogram("batch_size", "Items that a model ran together.", BATCH_SIZES, "stage")
        self._in_hand = self._gauge(
            "bytes_in_hand", "Bytes of bodies, of decoded pictures, and of those admitted to be decoded.", "of"
        )
        self._in_hand_limit = self._gauge("bytes_in_hand_limit", "Where more are refused, or wait.", "of")
        self._written = self._counter("images_written", "Images written to the index.")
        self._decoders = self._gauge("decoders_resident_memory_bytes", "Memory of the processes that decode pictures.")
        self._disk_free = self._gauge("disk_free_bytes", "Free on the disk of the data directory.")
        self._disk_reserve = self._gauge("disk_reserve_bytes", "Below so much free, nothing is stored.")

    def watch_bytes(self, of: str, read: Callable[[], int], *, limit: int) -> None:
        """Ask at each scrape how many of these bytes are held."""
        self._in_hand.labels(of).set_function(read)
        self._in_hand_limit.labels(of).set(limit)

    def watch_decoders(self, pids: Callable[[], Iterable[int]]) -> None:
        """Ask for the memory of these processes at each scrape."""
        self._decoders.set_function(lambda: sum(map(_resident_bytes, pids())))

    def watch_disk(self, directory: Path, *, reserve: int) -> None:
        """Ask for the free space at each scrape; the directory need not be there yet."""
        self._disk_free.set_function(lambda: _free_bytes(directory))
        self._disk_reserve.set(reserve)

    def images_written(self, count: int) -> None:
        """Count so many images as written, new or anew."""
        self._written.inc(count)

    def request_began(self) -> None:
        """A request's head is here."""
        self._in_progress.inc()

    def request_ended(
        self,
        *,
        method: str,
        route: str,
        status: int | None,
        seconds: float,
        received: int,
        sent: int,
        problem: str | None,
    ) -> None:
        """Count a request as answered or given up (`status` None: no answer was begun). `route` is a template."""
        self._in_progress.dec()
        method = method if method in METHODS else "other"
        count, latency = self._series_of(method, route, status)
        count.inc()
        latency.observe(seconds)
        self._received.inc(received)
        self._sent.inc(sent)
        if problem is not None:
            self._problems.labels(problem).inc()

    def _series_of(self, method: str, route: str, status: int | None) -> tuple[Counter, Histogram]:
        key = (method, route, status)
        if key not in self._known:
            self._known[key] = (
                self._requests.labels(method, route, "none" if status is None else status),
                self._request_seconds.labels(method, route),
            )
        return self._known[key]

    def stand(self, standing: ServiceDescription | None) -> None:
        """How the service stands now; None where it is not ready."""
        self._standing.standing = standing

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format. Takes milliseconds."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"lookalike_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"lookalike_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"lookalike_{name}", text, labels, buckets=buckets, registry=self.registry)


def _free_bytes(directory: Path) -> float:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return float("nan")


def _resident_bytes(pid: int) -> int:
    """Nothing for a process that has ended, or where there is no /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0
