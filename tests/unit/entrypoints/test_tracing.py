"""Spans of requests and of their stages, read from the in-memory exporter."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dependency_injector import providers
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.telemetry.tracing import Tracing
from domain.errors import ConfigurationError
from entrypoints.container import Container
from entrypoints.http.app import create_app
from entrypoints.settings import LogSettings, Settings
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving
from tests.unit.entrypoints.written_logs import logged

FILE = {"file": ("hat.png", a_picture(1))}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def app(tmp_path: Path, spans: InMemorySpanExporter) -> Iterator[FastAPI]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with Container.tracing.override(providers.Object(Tracing(provider=provider, shut_down=provider.shutdown))):
        yield an_app(tmp_path)


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    [span] = [span for span in spans.get_finished_spans() if span.name == name]
    return span


async def test_a_request_and_its_stages_are_spans_below_the_callers(app: FastAPI, spans: InMemorySpanExporter) -> None:
    async with serving(app) as client:
        spans.clear()
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "abc"}
        assert (await client.post("/v1/search", files=FILE, headers=headers)).status_code == 200
    request = named(spans, "POST /v1/search")
    assert request.context is not None
    assert request.parent is not None
    assert request.attributes is not None
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["lookalike.request_id"] == "abc"
    stages = [span for span in spans.get_finished_spans() if span is not request]
    assert sorted(span.name for span in stages) == ["decode", "encode", "index_read", "index_read"]
    for stage in stages:
        assert stage.parent is not None
        assert stage.parent.span_id == request.context.span_id


async def test_a_malformed_parent_begins_a_new_trace(app: FastAPI, spans: InMemorySpanExporter) -> None:
    async with serving(app) as client:
        await client.get("/health/live", headers={"traceparent": "00-nonsense-01"})
    assert named(spans, "GET /health/live").parent is None


async def test_log_lines_name_their_trace(app: FastAPI) -> None:
    with logged(LogSettings(format="json")) as written:
        async with serving(app) as client:
            await client.post("/v1/search", files=FILE, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    [line] = [found for found in map(json.loads, written.getvalue().splitlines()) if found["event"] == "request"]
    assert line["trace_id"] == TRACE
    assert len(line["span_id"]) == 16


async def test_without_traces_no_line_names_one(tmp_path: Path) -> None:
    with logged(LogSettings(format="json")) as written:
        async with serving(an_app(tmp_path)) as client:
            await client.get("/v1/images", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    [line] = [found for found in map(json.loads, written.getvalue().splitlines()) if found["event"] == "request"]
    assert "trace_id" not in line


async def test_what_is_left_is_sent_at_the_end(tmp_path: Path) -> None:
    sent: list[str] = []
    tracing = Tracing(provider=TracerProvider(), shut_down=lambda: sent.append("all"))
    with Container.tracing.override(providers.Object(tracing)):
        app = an_app(tmp_path)
    async with serving(app):
        assert sent == []
    assert sent == ["all"]


def test_traces_that_are_asked_for_go_where_the_standard_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing = Container(settings=Settings(data_dir=tmp_path, telemetry={"traces": True})).tracing()
    assert isinstance(tracing.provider, TracerProvider)
    assert tracing.provider.resource.attributes["service.name"] == "pictures"
    assert tracing.provider.resource.attributes["service.version"]
    tracing.shut_down()


def test_traces_without_the_extra_are_a_mistake_told_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "adapters.telemetry.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"LOOKALIKE_TELEMETRY__TRACES.*pip install '\.\[otel\]'"):
        create_app(Settings(data_dir=tmp_path, telemetry={"traces": True}))


def test_traces_are_off_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    assert Container(settings=Settings(data_dir=tmp_path)).tracing().provider is None
