"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from domain.errors import LookalikeError
from entrypoints.container import Container
from entrypoints.http.middleware import RequestContext
from entrypoints.http.openapi import TAGS, describe, operation_id
from entrypoints.http.problems import install_problem_handlers
from entrypoints.http.redoc import ASSETS, serve_redoc
from entrypoints.http.route_templates import RouteTemplates
from entrypoints.http.routes import images, models, operations, search
from entrypoints.http.session import router as session_router
from entrypoints.http.uploads import BodiesInHand
from entrypoints.logs import configure_logs
from entrypoints.settings import Settings, load_settings
from entrypoints.web.page import serve_page

DESCRIPTION = """
Finds images that look like yours. Index pictures; then search with a picture, with a part of it, or with examples of
what you do and do not want.

Boxes are pixels of the upright picture. Scores of matches are cosine similarities in [-1, 1]. Every error is
`application/problem+json` with a stable `code`; every answer carries `X-Request-ID`.
"""


def create_app(settings: Settings) -> FastAPI:
    """An application of its own: its container is on `app.state`.

    Where it may not start, the reason is on `app.state.start_failure`, and startup raises it.
    """
    container = Container(settings=settings)
    metrics, tracing = container.metrics(), container.tracing()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = container.run_service()
        try:
            await service.open(keep_trying=True)
        except LookalikeError as error:
            app.state.start_failure = error
            raise
        try:
            yield
        finally:
            await service.close()
            await tracing.close()

    app = FastAPIOffline(
        title="Lookalike",
        version=version("lookalike"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        root_path=settings.http.root_path,
        lifespan=lifespan,
        redirect_slashes=False,
        # Above our own limit, which answers with a reason; the parser's default is below what may be configured.
        form_limits={"max_files": 4 * settings.http.max_batch_files},
        redoc_url=None,
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
        static_url=ASSETS,
        # FastAPI makes the spans of requests, and goes by the process's providers unless it is told which, or none.
        telemetry={
            "tracing": tracing.provider is not None,
            "tracer_provider": tracing.provider,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.container = container
    app.state.start_failure = None
    app.state.bodies_in_hand = bodies = BodiesInHand(settings.http.max_bytes_in_flight)
    metrics.watch_bytes("bodies", lambda: bodies.in_hand, limit=settings.http.max_bytes_in_flight)
    for router in (images.batches, images.deletions, images.writes, images.reads, search.router, models.router):
        app.include_router(router, prefix="/v1")
    app.include_router(operations.router)
    app.include_router(session_router)
    install_problem_handlers(app)
    serve_redoc(app)
    serve_page(app)
    describe(app)
    app.add_middleware(RequestContext, observer=metrics, route_of=RouteTemplates(app).of)
    return app


def create_app_from_environment() -> FastAPI:
    """For servers that start several processes from an import string."""
    settings = load_settings()
    configure_logs(settings.log)
    return create_app(settings)
