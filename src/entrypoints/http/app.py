"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from domain.errors import LookalikeError
from entrypoints.container import Container
from entrypoints.http.access.cross_origin import CrossOrigin
from entrypoints.http.access.gate import Gate
from entrypoints.http.access.key_ring import KeyRing, session_secret
from entrypoints.http.access.thumbnail_links import ThumbnailLinks
from entrypoints.http.contract.openapi import TAGS, describe, operation_id
from entrypoints.http.routes import changes, images, indexing, models, operations, search
from entrypoints.http.routes.bodies import BytesInFlight
from entrypoints.http.routes.documentation import serve_documentation
from entrypoints.http.routes.session import router as session_router
from entrypoints.http.server.draining import DrainedRequests, Draining
from entrypoints.http.server.error_handlers import install_problem_handlers
from entrypoints.http.server.methods import HeadAsGet
from entrypoints.http.server.paths import RootPath
from entrypoints.http.server.request_context import RequestContext
from entrypoints.http.server.route_templates import RouteTemplates
from entrypoints.http.server.security_headers import SecurityHeaders
from entrypoints.http.server.signals import drained_by_signals, ended_by_signals
from entrypoints.logs import configure_logs
from entrypoints.remedies import SENTENCES
from entrypoints.settings import Settings, load_settings
from entrypoints.web.page import serve_page

DESCRIPTION = """
Finds images that look like yours. Index pictures; then search with a picture, with a part of it, or with examples of
what you do and do not want.

Boxes are pixels of the upright picture. Scores of matches are cosine similarities in [-1, 1]. Every error is
`application/problem+json` with a stable `code`; every answer carries `X-Request-ID`.
"""


def create_app(settings: Settings, container: Container | None = None) -> FastAPI:
    """The application, with its container on `app.state`. Raises ConfigurationError where the keys' file is unusable.

    A `container` that is given is opened and closed by the caller, and the application's lifespan is not to be run.
    If it cannot start, startup raises the reason and leaves it on `app.state.start_failure`. If that shows only later,
    it calls `app.state.end`. That is None in one of several workers, which would be started again at once: it stays not
    ready, and tries again.
    """
    container = container or Container(settings=settings)
    metrics, tracing = container.metrics(), container.tracing()
    draining = Draining(
        limit_seconds=settings.http.shutdown_seconds, notice_seconds=settings.http.shutdown_notice_seconds
    )

    def give_up(error: LookalikeError) -> None:
        app.state.start_failure = error
        app.state.end()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ended_by_signals():
            try:
                service = container.run_service()
                service.on_hopeless = None if app.state.end is None else give_up
                await service.open(keep_trying=True)
            except LookalikeError as error:
                app.state.start_failure = error
                if error.remedy is not None:
                    error.add_note(SENTENCES[error.remedy])  # the server logs the traceback
                raise
        with drained_by_signals(draining):
            try:
                yield
            finally:
                await service.close()
                await tracing.close()

    app = FastAPI(
        title="Lookalike",
        version=version("lookalike"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # routes/documentation.py answers it, and its pages
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
        # FastAPI makes the spans of requests. Without providers of its own, it takes those of the process.
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
    app.state.keys = KeyRing(
        settings.auth.keys, settings.auth.keys_file, secret=lambda: session_secret(settings.data_dir)
    )
    app.state.thumbnail_links = ThumbnailLinks(settings.auth, secret=app.state.keys.secret)
    app.state.end = None
    app.state.draining = draining
    app.state.bytes_in_flight = in_flight = BytesInFlight(settings.http.max_bytes_in_flight)
    metrics.watch_bytes("bodies", lambda: in_flight.held, limit=settings.http.max_bytes_in_flight)
    for router in (
        search.router,
        indexing.url_batches,
        indexing.batches,
        indexing.writes,
        changes.deletions,
        changes.edits,
        changes.writes,
        changes.by_key,
        images.reads,
        images.lookups,
        images.thumbnails,
        models.detections,
        models.router,
    ):
        app.include_router(router, prefix="/v1")
    app.include_router(operations.router)
    app.include_router(session_router)
    install_problem_handlers(app)
    serve_documentation(app)
    serve_page(app)
    describe(app)
    # From the inside out.
    app.add_middleware(HeadAsGet)
    app.add_middleware(Gate, keys=app.state.keys, limits=settings.limits, origins=settings.http.cors_origins)
    if settings.http.cors_origins:
        app.add_middleware(CrossOrigin, origins=settings.http.cors_origins)
    app.add_middleware(DrainedRequests, draining=draining)
    if settings.http.root_path:
        app.add_middleware(RootPath, root_path=settings.http.root_path)
    app.add_middleware(RequestContext, observer=metrics, route_of=RouteTemplates(app).of)
    app.add_middleware(
        SecurityHeaders, hsts_seconds=settings.http.hsts_seconds, embeddable=bool(settings.http.cors_origins)
    )
    return app


def create_app_from_environment() -> FastAPI:
    """For servers that start several processes from an import string."""
    settings = load_settings()
    configure_logs(settings.log)
    return create_app(settings)
