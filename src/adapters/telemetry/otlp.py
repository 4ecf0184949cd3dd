"""Spans to an OpenTelemetry collector, or whatever speaks its protocol: the extra `[otel]`."""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from adapters.telemetry.tracing import Tracing


def otlp_tracing(*, version: str) -> Tracing:
    """By OTLP over HTTP. The libraries read the standard OTEL_* variables: endpoint, headers, sampler, service name.

    The provider is one of its own, never the process's.
    """
    ours = Resource({"service.name": "lookalike", "service.version": version})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider=provider, shut_down=provider.shutdown)
