"""Measuring a call of a stage: its time and failures as metrics, and where traces are on, a span."""

import time
from contextlib import AbstractContextManager
from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry.trace import Span, StatusCode, Tracer
from typing_extensions import override

from adapters.scheduling.stage import Stage, present_stage
from adapters.telemetry.metrics import Metrics, StageName, StageSeries, reason_of


class Stages:
    """Measures what requests spend their time on. Without a tracer there are no spans."""

    def __init__(self, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self._series = {name: StageSeries(metrics, name) for name in StageName}
        self._tracer = tracer

    def measure(self, name: StageName) -> AbstractContextManager["Measured"]:
        """What happens in the block is one call of the stage."""
        series = self._series[name]
        return Measured(series) if self._tracer is None else TracedMeasured(series, self._tracer, name)


class Measured(Stage):
    """One call of a stage. A class rather than a generator, which would cost a microsecond more."""

    __slots__ = ("_began", "_series", "_token")

    def __init__(self, series: StageSeries) -> None:
        self._series = series

    def __enter__(self) -> Self:
        self._token: Token[Stage | None] = present_stage.set(self)
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._series.seconds.observe(time.perf_counter() - self._began)
        present_stage.reset(self._token)
        if error is not None:
            self._series.fail(error)

    @override
    def joined_line(self) -> None:
        self._series.waiting.inc()

    @override
    def left_line(self, seconds: float) -> None:
        self._series.waiting.dec()
        self._series.waited.observe(seconds)

    @override
    def ran_in_batch(self, size: int) -> None:
        self._series.batch_size.observe(size)


class TracedMeasured(Measured):
    """The same with a span below the request's, which says how much of it was waiting."""

    __slots__ = ("_name", "_scope", "_span", "_tracer", "_waited")

    def __init__(self, series: StageSeries, tracer: Tracer, name: str) -> None:
        super().__init__(series)
        self._tracer = tracer
        self._name = name
        self._waited = 0.0

    def __enter__(self) -> Self:
        # Leave out the exceptions' texts and frames, which may tell more than a trace should.
        self._scope: AbstractContextManager[Span] = self._tracer.start_as_current_span(
            self._name, record_exception=False, set_status_on_exception=False
        )
        self._span = self._scope.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._span.set_attribute("lookalike.waited_seconds", self._waited)
        if error is not None:
            self._span.set_attribute("error.type", reason_of(error))
            self._span.set_status(StatusCode.ERROR)
        self._scope.__exit__(kind, error, traceback)

    @override
    def left_line(self, seconds: float) -> None:
        """What several pieces of one call waited at the same time is added up."""
        super().left_line(seconds)
        self._waited += seconds

    @override
    def ran_in_batch(self, size: int) -> None:
        super().ran_in_batch(size)
        self._span.set_attribute("lookalike.batch_size", size)
