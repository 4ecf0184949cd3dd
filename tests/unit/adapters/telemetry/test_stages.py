"""What waits in line deep inside an adapter is told to the stage of its call; and spans, where they are on."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from adapters.scheduling.batch_queue import BatchQueue
from adapters.scheduling.slots import Slots, SlotsClosedError
from adapters.scheduling.stage import present_stage
from adapters.telemetry.metrics import Metrics, StageName
from adapters.telemetry.stages import Stages
from domain.callers import set_deadline
from domain.errors import BusyError, DeadlinePassedError
from tests.unit.adapters.telemetry.readings import read, value


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1")


@pytest.fixture
def stages(metrics: Metrics) -> Stages:
    return Stages(metrics)


def reading(metrics: Metrics, name: str, stage: str) -> float | None:
    return value(read(metrics.exposition()), name, stage=stage)


async def test_waiting_is_told_while_it_lasts_and_when_it_is_over(metrics: Metrics, stages: Stages) -> None:
    slots = Slots(1, name="test")
    finish = threading.Event()

    async def measured(name: StageName) -> None:
        with stages.measure(name):
            await slots.run(finish.wait, 10)

    tasks = [asyncio.create_task(measured(name)) for name in (StageName.DECODE, StageName.DECODE, StageName.DETECT)]
    await asyncio.sleep(0.05)
    assert reading(metrics, "lookalike_waiting", "decode") == 1  # the first has its turn
    assert reading(metrics, "lookalike_waiting", "detect") == 1
    assert reading(metrics, "lookalike_wait_seconds_count", "decode") == 1
    finish.set()
    await asyncio.gather(*tasks)
    assert reading(metrics, "lookalike_waiting", "decode") == 0
    assert reading(metrics, "lookalike_waiting", "detect") == 0
    assert reading(metrics, "lookalike_wait_seconds_count", "decode") == 2
    waited = reading(metrics, "lookalike_wait_seconds_sum", "decode") or 0
    took = reading(metrics, "lookalike_stage_seconds_sum", "decode") or 0
    assert 0 < waited < took
    await slots.close()


async def test_whoever_gets_no_turn_waits_no_more(metrics: Metrics, stages: Stages) -> None:
    slots = Slots(1, name="test")
    finish = threading.Event()
    running = asyncio.create_task(slots.run(finish.wait, 10))  # unmeasured
    await asyncio.sleep(0)

    async def late() -> None:
        set_deadline(0.02)
        with stages.measure(StageName.ENCODE):
            await slots.run(list)

    async def patient() -> None:
        with stages.measure(StageName.ENCODE):
            await slots.run(list)

    cancelled, refused = asyncio.create_task(patient()), asyncio.create_task(patient())
    with pytest.raises(DeadlinePassedError):
        await asyncio.create_task(late())
    assert reading(metrics, "lookalike_waiting", "encode") == 2
    cancelled.cancel()
    closing = asyncio.create_task(slots.close())
    with pytest.raises(SlotsClosedError):
        await refused
    finish.set()
    await asyncio.gather(running, closing)
    assert reading(metrics, "lookalike_waiting", "encode") == 0
    assert reading(metrics, "lookalike_wait_seconds_count", "encode") == 3


async def test_batches_are_counted_once_with_their_size(metrics: Metrics, stages: Stages) -> None:
    may_run = threading.Event()

    def double(items: Sequence[int]) -> Sequence[int]:
        assert may_run.wait(10)
        return [2 * item for item in items]

    queue = BatchQueue[int, int](double, most=4, name="test")

    async def submit(item: int) -> int:
        with stages.measure(StageName.ENCODE):
            return await queue.submit(item)

    first = asyncio.create_task(submit(1))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(submit(item)) for item in range(2, 7)]
    await asyncio.sleep(0.05)
    may_run.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]
    assert reading(metrics, "lookalike_batch_size_count", "encode") == 3
    assert reading(metrics, "lookalike_batch_size_sum", "encode") == 6
    assert value(read(metrics.exposition()), "lookalike_batch_size_bucket", stage="encode", le="2.0") == 2
    await queue.close()


async def test_who_is_not_measured_is_served_all_the_same() -> None:
    assert present_stage.get() is None
    queue = BatchQueue[int, int](lambda items: [2 * item for item in items], most=4, name="test")
    assert await queue.submit(1) == 2
    await queue.close()


async def test_a_stage_within_a_stage_gives_back_the_outer_one(stages: Stages) -> None:
    with stages.measure(StageName.DETECT) as outer:
        with stages.measure(StageName.ENCODE) as inner:
            assert present_stage.get() is inner
        assert present_stage.get() is outer
    assert present_stage.get() is None


async def test_spans_say_how_long_their_call_waited_and_why_it_failed(metrics: Metrics) -> None:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    stages = Stages(metrics, provider.get_tracer("test"))
    slots, may_end = Slots(1, name="test"), threading.Event()

    async def measured() -> None:
        with stages.measure(StageName.DECODE):
            assert await slots.run(may_end.wait, 10)

    both = asyncio.gather(measured(), measured())
    await asyncio.sleep(0)  # from here on the second one waits
    await asyncio.sleep(0.02)
    may_end.set()
    await both
    with pytest.raises(BusyError), stages.measure(StageName.ENCODE):
        raise BusyError("the text of an error may name what callers sent")
    await slots.close()
    provider.shutdown()
    finished = spans.get_finished_spans()
    attributes = [dict(span.attributes or {}) for span in finished]
    assert [span.name for span in finished] == ["decode", "decode", "encode"]
    first, second = (attributes[number]["lookalike.waited_seconds"] for number in range(2))
    assert second >= 0.015
    assert first < second
    assert attributes[2]["error.type"] == "busy"
    failed = finished[2]
    assert failed.status.status_code is StatusCode.ERROR
    assert not failed.events
    assert failed.status.description is None
    assert reading(metrics, "lookalike_stage_seconds_count", "decode") == 2
