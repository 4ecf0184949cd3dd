"""Health, always open, and metrics."""

import asyncio
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from application.run_service import RunService, ServiceDescription
from domain.errors import LookalikeError
from entrypoints.http.access.roles import require_metrics_access
from entrypoints.http.contract.model_schemas import HealthOut
from entrypoints.http.contract.problems import problem_response, problem_responses
from entrypoints.http.routes.dependencies import ContainerOf, RunServiceOf, refuse_query
from entrypoints.remedies import explained

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_SECONDS = 2.0
"""How long a scrape waits for the index. An embedded one that optimizes answers nothing for seconds."""

METRICS_EXAMPLE = """\
# HELP lookalike_http_requests_total Requests answered.
# TYPE lookalike_http_requests_total counter
lookalike_http_requests_total{method="POST",route="/v1/search",status="200"} 17.0
"""

router = APIRouter(tags=["Operations"])


@router.get(
    "/health/live",
    summary="Does the process serve?",
    responses=problem_responses("validation_failed"),
    dependencies=[refuse_query],
)
async def live() -> HealthOut:
    """200 as long as the process answers."""
    return HealthOut(status="ok")


@router.get(
    "/health/ready",
    summary="Is the service ready for work?",
    response_model=HealthOut,
    responses=problem_responses("validation_failed", "not_ready"),
    dependencies=[refuse_query],
)
async def ready(request: Request, service: RunServiceOf) -> Response:
    """200 once a real inference has succeeded and the index answers; else 503 naming what is missing.

    From the moment that a stop is asked for it is 503 too, while requests in progress are still answered.
    """
    missing = [f"{part}: {explained(error)}" for part, error in (await service.missing()).items()]
    if request.app.state.draining.stopping:
        missing.append("service: it is stopping")
    if not missing:
        return JSONResponse(HealthOut(status="ready").model_dump())
    return problem_response(
        request.scope,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not_ready",
        "; ".join(missing),
        {"Retry-After": "2"},
        missing=missing,
    )


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=PlainTextResponse,
    response_description="Prometheus' text format, version 0.0.4.",
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": METRICS_EXAMPLE}}},
        **problem_responses("validation_failed", "unauthorized", "forbidden", "rate_limited"),
    },
    dependencies=[Depends(require_metrics_access), refuse_query],
    # A key is needed only where metrics are closed, but then the document has to say how to send it.
    openapi_extra={"security": [{"HTTPBearer": []}, {}]},
)
async def metrics(service: RunServiceOf, container: ContainerOf) -> Response:
    """Counts, latencies and how the service stands, of the process that answers: with several, each has its own."""
    found = container.metrics()
    found.stand(await _standing(service))
    return Response(await asyncio.to_thread(found.exposition), media_type=METRICS_MEDIA_TYPE)


async def _standing(service: RunService) -> ServiceDescription | None:
    """What is running; None where it is not ready, or does not say so in time."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return None if await service.missing() else await service.describe()
    except (TimeoutError, LookalikeError):
        return None
