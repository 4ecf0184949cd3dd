"""Health. Always open."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from entrypoints.http.dependencies import NoQuery, RunServiceOf
from entrypoints.http.problems import problem, problem_response, problem_responses, request_id_of
from entrypoints.http.schemas import HealthOut

router = APIRouter(tags=["Operations"])


@router.get(
    "/health/live",
    summary="Does the process serve?",
    responses=problem_responses("validation_failed"),
    dependencies=[NoQuery],
)
async def live() -> HealthOut:
    """200 as long as the process answers."""
    return HealthOut(status="ok")


@router.get(
    "/health/ready",
    summary="Is the service ready for work?",
    response_model=HealthOut,
    responses=problem_responses("validation_failed", "not_ready"),
    dependencies=[NoQuery],
)
async def ready(request: Request, service: RunServiceOf) -> Response:
    """200 once a real inference has succeeded and the index answers; else 503 naming what is missing.

    From the moment that a stop is asked for it is 503 too, while requests in hand are still answered.
    """
    missing = await service.missing()
    if request.app.state.draining.stopping:
        missing.append("service: it is stopping")
    if not missing:
        return JSONResponse(HealthOut(status="ready").model_dump())
    found = problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not_ready",
        "; ".join(missing),
        instance=request.scope["path"],
        request_id=request_id_of(request),
        missing=missing,
    )
    return problem_response(found, {"Retry-After": "2"})
