"""What commands work on: the deployment that the settings describe, opened and closed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from entrypoints.container import Container, check_index
from entrypoints.settings import load_settings


def load_container() -> Container:
    """The deployment of this process's settings, nothing of it opened. Raises ConfigurationError."""
    return Container(settings=load_settings())


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
async def open_decoder() -> AsyncIterator[Container]:
    """The decoder alone. Raises ConfigurationError."""
    container = load_container()
    decoder = container.decoder()
    try:
        await decoder.open()
        yield container
    finally:
        await decoder.close()


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
async def open_index() -> AsyncIterator[Container]:
    """Index and files as they are, whatever encoder made them: no model is loaded. Raises as `open_service`."""
    container = load_container()
    check_index(container.settings())
    repository = container.repository()
    try:
        # The index first: it tells whether another process has all of it open.
        await repository.open(None)
        await container.store().open()
        yield container
    finally:
        await repository.close()
