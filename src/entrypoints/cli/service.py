"""The service that a command asks: one that runs elsewhere, or this process itself, by the same client."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from entrypoints.container import Container
    from lookalike_client import AsyncLookalike, Key

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Ask the service that runs there instead of opening the index here."),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="The service's API key. LOOKALIKE_CLIENT__API_KEY is safer: other users can read this one.",
    ),
]


@asynccontextmanager
async def connect(
    url: str | None, api_key: str | None, here: AbstractAsyncContextManager["Container"]
) -> AsyncIterator["AsyncLookalike"]:
    """A client of the service at `url`, or of the deployment that `here` opens: over ASGI, without a port.

    Raises BadParameter, NoServiceError, and what `here` raises.
    """
    from lookalike_client import AsyncLookalike

    if url is None:
        if api_key is not None:
            raise typer.BadParameter("goes with --url", param_hint="--api-key")
        async with here as container:
            import httpx

            from entrypoints.http.app import create_app
            from entrypoints.logs import keep_logs_plain

            keep_logs_plain()
            app = create_app(container.settings(), container)
            # An error without a name is logged and answered 500, as over the network.
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with AsyncLookalike("http://here", transport=transport, retries=0) as client:
                yield client
        return
    from entrypoints.settings import load_client_settings

    configured = load_client_settings().api_key
    key = api_key if api_key is not None or configured is None else configured.get_secret_value()
    try:
        client = AsyncLookalike(url, api_key=key)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
    async with client:
        await client.ping()
        yield client


def named(text: str) -> "UUID | Key":
    """What an argument names: an id where it is one, else a key."""
    from lookalike_client import Key

    try:
        return UUID(text)
    except ValueError:
        return Key(text)


def checked_filter(text: str) -> dict[str, Any]:
    """A filter from its JSON, checked before anything is opened. Raises InvalidFilterError."""
    import json

    from entrypoints.http.contract.filter_schema import parse_filter

    parse_filter(text)
    found: dict[str, Any] = json.loads(text)
    return found
