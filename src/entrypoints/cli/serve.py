"""`lookalike serve`."""

import errno
import ipaddress
import logging
import socket
import ssl
import sys
import time
from pathlib import Path
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
    from entrypoints.container import bound_heaps, check_index
    from entrypoints.keys import read_keys_file
    from entrypoints.settings import load_settings

    bound_heaps()
    settings = load_settings()
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"http": settings.http.model_copy(update=given)})
    # Take the port before models are loaded, so that one in use is reported at once.
    _check_certificate(settings.http.tls_certificate, settings.http.tls_key)
    if settings.auth.keys_file is not None:
        read_keys_file(settings.auth.keys_file)  # report a mistake in it here, and not by each worker
    with _bound_socket(settings.http.host, settings.http.port) as listener:
        check_index(settings)
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
    server = AnnouncingServer(uvicorn.Config(app, **_uvicorn_options(settings)))
    app.state.end = lambda: setattr(server, "should_exit", True)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if app.state.start_failure is None:
            raise
    if app.state.start_failure is not None:
        raise app.state.start_failure from None


def _serve_by_workers(settings: "Settings", listener: socket.socket) -> None:
    import asyncio

    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from entrypoints.container import Container
    from entrypoints.logs import configure_logs

    class Workers(Multiprocess):
        def join_all(self) -> None:
            # While uvicorn waits for them, it would not pass on a second signal.
            while alive := [worker for worker in self.processes if worker.process.is_alive()]:
                if self.signal_queue:
                    self.signal_queue.clear()
                    for worker in alive:
                        worker.process.terminate()
                time.sleep(0.1)
            super().join_all()

    async def try_out() -> None:
        service = Container(settings=settings).run_service()
        await service.open(keep_trying=True)
        await service.close()

    configure_logs(settings.log)
    # Try it before there are several, so that a mistake is reported once and they do not race to create the collection.
    asyncio.run(try_out())
    config = uvicorn.Config(
        "entrypoints.http.app:create_app_from_environment",
        factory=True,
        workers=settings.http.workers,
        **_uvicorn_options(settings),
    )
    _announce(settings, listener)
    Workers(config, sockets=[listener]).run()


def _uvicorn_options(settings: "Settings") -> dict[str, Any]:
    from entrypoints.http.server.protocol import BoundedHttpProtocol

    return {
        "http": BoundedHttpProtocol,
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,  # the application logs requests itself
        "server_header": False,
        "forwarded_allow_ips": list(settings.http.trusted_proxies),
        "ssl_certfile": settings.http.tls_certificate,
        "ssl_keyfile": settings.http.tls_key,
        # The application has drained by then (entrypoints.http.server.signals); this is for what it could not cut.
        "timeout_graceful_shutdown": 2,
    }


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    """Raise ConfigurationError, in words, for what uvicorn would end with a traceback."""
    if certificate is None:
        return
    try:
        # Without the password here OpenSSL would ask for it on the terminal, and wait there.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"LOOKALIKE_HTTP__TLS_CERTIFICATE {certificate} and __TLS_KEY {key or '(none)'} cannot be used: "
            f"{error.reason or error}. Both are PEM; the key is not encrypted, and the certificate's own."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"LOOKALIKE_HTTP__TLS_CERTIFICATE {certificate} or __TLS_KEY {key} cannot be read: {error.strerror}."
        ) from error


def _bound_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening. Raises ConfigurationError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        way_out = {
            errno.EACCES: "Ports below 1024 need rights that this process has not; choose a higher --port",
            errno.EADDRINUSE: "Stop what listens there, or choose another --port",
        }.get(error.errno or 0, "Choose another --host")
        raise ConfigurationError(
            f"Cannot serve at {_address(host, port)}: {error.strerror}. {way_out} (LOOKALIKE_HTTP__PORT, "
            "LOOKALIKE_HTTP__HOST)."
        ) from error
    return listener


def _announce(settings: "Settings", listener: socket.socket) -> None:
    host, port = settings.http.host, listener.getsockname()[1]
    address = _address(host, port, "http" if settings.http.tls_certificate is None else "https")
    print(f"Serving at {address} (documentation: {address}/docs). Press Ctrl-C to stop.", flush=True)


def _warn_if_open_to_all(settings: "Settings") -> None:
    if settings.auth.has_keys or _is_loopback(settings.http.host):
        return
    print(
        f"WARNING: no keys are configured, and {settings.http.host} is not only this machine: everyone who reaches "
        "it can read, add and DELETE pictures. Set LOOKALIKE_AUTH__KEYS (`lookalike keys new` makes one), or serve at "
        "127.0.0.1.",
        file=sys.stderr,
        flush=True,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(host: str, port: int, scheme: str = "http") -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
