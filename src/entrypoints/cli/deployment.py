"""What commands work on in this process: the deployment that the settings describe, opened and closed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from entrypoints.container import Container, check_index
from entrypoints.settings import AuthSettings, LimitSettings, load_settings


def load_container() -> Container:
    """The deployment of this process's settings, nothing of it opened. Raises ConfigurationError.

    Keys, rate limits and deadlines are left out: they protect a service from its callers, and a command has the files.
    """
    settings = load_settings()
    unbounded = settings.http.model_copy(
        update={
            "deadline_seconds": 0.0,
            "body_seconds": 0.0,
            "max_bytes_in_flight": 2**50,
            "root_path": "",
            "cors_origins": (),
        }
    )
    return Container(
        settings=settings.model_copy(
            update={"http": unbounded, "auth": AuthSettings(), "limits": LimitSettings(wrong_keys="")}
        )
    )


@asynccontextmanager
async def open_service(*, must_exist: bool = False) -> AsyncIterator[Container]:
    """Index, files and encoder; an embedded index is made where there is none, unless it `must_exist`.

    Raises ConfigurationError, EmbeddingSpaceError, RepositoryUnavailableError.
    """
    container = load_container()
    check_index(container.settings(), must_exist=must_exist)
    service = container.run_service()
    await service.open()
    try:
        yield container
    finally:
        await service.close()


@asynccontextmanager
async def open_index() -> AsyncIterator[Container]:
    """Index and files as they are, whatever encoder made them: no model is loaded. Raises as `open_service`."""
    container = load_container()
    check_index(container.settings())
    service = container.run_service()
    try:
        await service.open_index()
        yield container
    finally:
        await service.close()


@asynccontextmanager
async def open_detector() -> AsyncIterator[Container]:
    """The detector and the decoder alone: neither index nor files nor encoder. Raises ModelError."""
    container = load_container()
    decoder, detector = container.decoder(), container.detector()
    try:
        await decoder.open()
        await detector.open()
        yield container
    finally:
        await detector.close()
        await decoder.close()


@asynccontextmanager
async def open_decoder() -> AsyncIterator[Container]:
    """The decoder alone. Raises ConfigurationError."""
    container = load_container()
    decoder = container.decoder()
    try:
        await decoder.open()
        yield container
    finally:
        await decoder.close()
