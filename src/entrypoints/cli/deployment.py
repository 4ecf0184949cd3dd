"""What commands work on in this process: the deployment that the settings describe, opened and closed."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import typer

from domain.embeddings import EmbeddingSpace
from domain.errors import IndexMissingError
from entrypoints.container import Container, bound_heaps, check_index
from entrypoints.remedies import explained
from entrypoints.settings import (
    AuthSettings,
    EncoderSettings,
    LimitSettings,
    Settings,
    load_client_settings,
    load_settings,
)
from lookalike_client import AsyncLookalike
from lookalike_client.commands.connection import NoIndexError, Purpose, address_of_index, over_network


def load_container(settings: Settings | None = None) -> Container:
    """The deployment of some settings, else of this process's; nothing of it is opened. Raises ConfigurationError.

    Keys, rate limits and deadlines are left out: they protect a service from its callers, and a command has the files.
    """
    settings = settings or load_settings()
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
async def open_service(settings: Settings | None = None, *, must_exist: bool = False) -> AsyncIterator[Container]:
    """Index, files and encoder; an embedded index is made where there is none, unless it `must_exist`.

    Raises ConfigurationError, EmbeddingSpaceError, RepositoryUnavailableError.
    """
    container = load_container(settings)
    check_index(container.settings(), must_exist=must_exist)
    service = container.run_service()
    await service.open()
    try:
        yield container
    finally:
        await service.close()


@asynccontextmanager
async def open_trial(model: Path | None) -> AsyncIterator[Container]:
    """The service without objects, empty and in memory, with the settings' encoder or an exported model.

    Originals are in a temporary directory. Raises ConfigurationError, ModelError.
    """
    settings = load_settings()
    encoder = settings.encoder
    if model is not None:
        encoder = EncoderSettings(model=str(model), device=encoder.device, threads=encoder.threads)
    repository = settings.repository.model_copy(update={"backend": "memory"})
    detector = settings.detector.model_copy(update={"runtime": "none"})
    with TemporaryDirectory(prefix="lookalike-") as directory:
        changes = {"data_dir": Path(directory), "encoder": encoder, "repository": repository, "detector": detector}
        async with open_service(settings.model_copy(update=changes)) as container:
            yield container


@asynccontextmanager
async def open_index(new: EmbeddingSpace | None = None) -> AsyncIterator[Container]:
    """Index and files as they are, whatever encoder made them: no model is loaded.

    Where there is no index, one for embeddings of the space `new` is made, if that is given. Raises as `open_service`.
    """
    container = load_container()
    check_index(container.settings())
    service = container.run_service()
    try:
        await service.open_index(new)
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


def connect(
    url: str | None, api_key: str | None, purpose: Purpose, model: Path | None = None
) -> AbstractAsyncContextManager[AsyncLookalike]:
    """A client of the service that the options name, else the settings; else of this process's deployment.

    Raises BadParameter, ConfigurationError.
    """
    configured = load_client_settings()
    url = configured.url or None if url is None else url
    if url is not None and purpose is Purpose.TRIAL:
        raise typer.BadParameter("models run in this process, on an index that is here", param_hint="--url")
    if url is not None:
        key = configured.api_key.get_secret_value() if api_key is None and configured.api_key else api_key
        return over_network(url, key)
    if api_key is not None:
        raise typer.BadParameter("goes with --url", param_hint="--api-key")
    return _here(purpose, model)


@asynccontextmanager
async def _here(purpose: Purpose, model: Path | None) -> AsyncIterator[AsyncLookalike]:
    """A client of this process's deployment: over ASGI, without a port. Raises NoIndexError, and as `open_service`."""
    from entrypoints.http.app import create_app
    from entrypoints.logs import keep_logs_plain

    bound_heaps()
    deployments: dict[Purpose, Callable[[], AbstractAsyncContextManager[Container]]] = {
        Purpose.RECORDS: open_index,
        Purpose.SEARCH: lambda: open_service(must_exist=True),
        Purpose.INDEX: open_service,
        Purpose.DETECT: open_detector,
        Purpose.TRIAL: lambda: open_trial(model),
    }
    try:
        async with deployments[purpose]() as container:
            keep_logs_plain()
            app = create_app(container.settings(), container)
            # An error without a name is logged and answered 500, as over the network.
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            address = "http://here" if purpose is Purpose.DETECT else address_of_index(container.repository().identity)
            async with AsyncLookalike(address, transport=transport, retries=0) as client:
                yield client
    except IndexMissingError as error:
        raise NoIndexError(explained(error)) from error
