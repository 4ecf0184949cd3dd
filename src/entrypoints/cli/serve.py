"""`lookalike serve`."""

import ipaddress
import logging
import socket
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from entrypoints.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen at; default LOOKALIKE_HTTP__HOST, 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen at; default LOOKALIKE_HTTP__PORT, 8000.")
    ] = None,
) -> None:
    """Serve the API and its documentation until Ctrl-C.

    Example: [bold]lookalike serve --port 9000[/]
    """
    from entrypoints.container import bound_heaps
    from entrypoints.settings import load_settings

    bound_heaps()
    settings = load_settings()
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"http": settings.http.model_copy(update=given)})
    # Taken before models are loaded, so that a port in use is told at once.
    with _bound_socket(settings.http.host, settings.http.port) as listener:
        _warn_if_open_to_all(settings)
        if settings.http.workers > 1:
            _serve_by_workers(settings, listener)
        else:
            _serve_here(settings, listener)


def _serve_here(settings: "Settings", listener: socket.socket) -> None:
    import uvicorn

    from entrypoints.http.app import create_app
    from entrypoints.logs import configure_logs

    log = logging.getLogger("uvicorn.error")

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            log.setLevel(logging.NOTSET)
            _announce(settings, listener)

    configure_logs(settings.log)
    app = create_app(settings)
    # A mistake in the deployment gets one line, below: no steps of starting before it, and no traceback by uvicorn.
    log.setLevel(logging.WARNING)
    log.addFilter(lambda _: app.state.start_failure is None)
    config = uvicorn.Config(app, **_uvicorn_options(settings))
    try:
        AnnouncingServer(config).run(sockets=[listener])
    except SystemExit:
        if app.state.start_failure is not None:
            raise app.state.start_failure from None
        raise


def _serve_by_workers(settings: "Settings", listener: socket.socket) -> None:
    import asyncio

    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from entrypoints.container import Container
    from entrypoints.logs import configure_logs

    async def try_out() -> None:
        service = Container(settings=settings).run_service()
        await service.open(keep_trying=True)
        await service.close()

    configure_logs(settings.log)
    # Once before there are several: a mistake is told once, and they do not race to create the collection.
    asyncio.run(try_out())
    config = uvicorn.Config(
        "entrypoints.http.app:create_app_from_environment",
        factory=True,
        workers=settings.http.workers,
        **_uvicorn_options(settings),
    )
    _announce(settings, listener)
    Multiprocess(config, sockets=[listener]).run()


def _uvicorn_options(settings: "Settings") -> dict[str, Any]:
    from entrypoints.http.protocol import BoundedHttpProtocol

    return {
        "http": BoundedHttpProtocol,
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,  # the application logs requests itself
        "server_header": False,
        "timeout_graceful_shutdown": settings.http.shutdown_seconds,
    }


def _bound_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening. Raises ConfigurationError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if sys.platform != "win32":  # there it would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot serve at {_address(host, port)}: {error.strerror}. Choose another --port or --host "
            "(LOOKALIKE_HTTP__PORT, LOOKALIKE_HTTP__HOST), or stop what listens there."
        ) from error
    return listener


def _announce(settings: "Settings", listener: socket.socket) -> None:
    host, port = settings.http.host, listener.getsockname()[1]
    address = _address(host, port)
    print(f"Serving at {address} (documentation: {address}/docs). Press Ctrl-C to stop.", flush=True)


def _warn_if_open_to_all(settings: "Settings") -> None:
    if settings.auth.keys or _is_loopback(settings.http.host):
        return
    print(
        f"WARNING: no keys are configured, and {settings.http.host} is not only this machine: whoever reaches it can "
        "read, add and DELETE pictures. Set LOOKALIKE_AUTH__KEYS=admin:<key>, or serve at 127.0.0.1.",
        file=sys.stderr,
        flush=True,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
