"""What is running and how it stands, as metrics: asked of the service at each scrape."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from application.run_service import ServiceDescription
from domain.embeddings import EmbeddingSpace
from domain.models import ModelDescription

_GAUGES = {
    "points": "Points that the embedded engine holds: images and objects.",
    "segments": "Segments of the index.",
    "indexed_vectors": "Vectors in the approximate index; the others are compared one by one.",
    "longest_optimize_seconds": "The longest pause for an optimization since the embedded engine was opened.",
    "longest_wait_seconds": "The longest that a request has waited for the embedded engine's answer.",
}
_COUNTERS = {
    "optimizations": "Optimizations of the embedded engine since it was opened.",
    "optimize_seconds": "Seconds spent in optimizations; nothing is answered meanwhile.",
    "owner_restarts": "How often the process of the embedded index had to be started again.",
}
"""Figures of a repository's status, under their names in `GET /v1/models`; a backend gives those that it has."""


class StandingCollector(Collector):
    """If the service is not ready, it says only that, so that no old figure passes for a new one."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.standing: ServiceDescription | None = None
        """How it stands; None where it is not ready."""

    @property
    def owner_pid(self) -> int | None:
        """The process of the embedded index, where there is one."""
        pid = None if self.standing is None else self.standing.repository.details.get("owner_pid")
        return int(pid) if pid else None

    def describe(self) -> Iterable[Metric]:
        """Every family there may be, without values."""
        yield from (GaugeMetricFamily(f"lookalike_index_{name}", text) for name, text in _GAUGES.items())
        yield from (CounterMetricFamily(f"lookalike_index_{name}", text) for name, text in _COUNTERS.items())
        yield _gauge("ready")
        yield _gauge("index_images")
        yield _gauge("index_objects")
        yield _gauge("index_optimizing")
        yield _info("build")
        yield _info("model", "role")
        yield _info("embedding_space")

    def collect(self) -> Iterator[Metric]:
        """As it stood when it was asked last."""
        standing = self.standing
        yield _gauge("ready", float(standing is not None))
        build = {"version": self._version}
        if standing is None:
            yield _info("build", values=build)
            return
        status = standing.repository
        yield _info("build", values={**build, "backend": status.backend})
        yield _gauge("index_images", status.images)
        yield _gauge("index_objects", status.objects)
        if "status" in status.details:  # Qdrant's: green where all is optimized
            yield _gauge("index_optimizing", float(status.details["status"] != "green"))
        for name, text in _GAUGES.items():
            if name in status.details:
                yield GaugeMetricFamily(f"lookalike_index_{name}", text, float(status.details[name]))
        for name, text in _COUNTERS.items():
            if name in status.details:
                yield CounterMetricFamily(f"lookalike_index_{name}", text, float(status.details[name]))
        models = _info("model", "role")
        models.add_metric(["encoder"], _of_model(standing.encoder))
        if standing.detector is not None:
            models.add_metric(["detector"], _of_model(standing.detector))
        yield models
        yield _info("embedding_space", values=_of_space(standing.space))


_TEXTS = {
    "ready": "1 where a real inference has succeeded and the index answers, else 0.",
    "index_images": "Images in the index.",
    "index_objects": "Objects in the index.",
    "index_optimizing": "1 while a Qdrant server has anything left to optimize.",
    "build": "The version that runs, and where it keeps its index.",
    "model": "The models that run.",
    "embedding_space": "What the stored embeddings were made by.",
}


def _gauge(name: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"lookalike_{name}", _TEXTS[name], value)


def _info(name: str, *labels: str, values: dict[str, str] | None = None) -> InfoMetricFamily:
    return InfoMetricFamily(f"lookalike_{name}", _TEXTS[name], values, labels=labels or None)


def _of_model(model: ModelDescription) -> dict[str, str]:
    facts = {name: str(value) for name, value in asdict(model).items()}
    return facts | {"input": f"{facts.pop('input_width')}x{facts.pop('input_height')}"}


def _of_space(space: EmbeddingSpace) -> dict[str, str]:
    return {name: str(value) for name, value in space.as_mapping().items()}
