"""The service that a command asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    from lookalike_client import AsyncLookalike

T = TypeVar("T")

HERE = ".here.invalid"
"""How addresses of services in this process end: no network has such a name (RFC 2606)."""

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Ask the service that runs there; default LOOKALIKE_CLIENT__URL. Without either, `lookalike` opens the "
        "index here.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="The service's API key. LOOKALIKE_CLIENT__API_KEY is safer: other users can read this one.",
    ),
]


class Purpose(Enum):
    """What a command needs of the service. One that runs elsewhere has all of it."""

    RECORDS = auto()
    """What is indexed, and the files; no model."""
    SEARCH = auto()
    """The whole service, on an index that is there."""
    INDEX = auto()
    """The whole service, with a new index where there is none."""
    DETECT = auto()
    """The detector alone."""
    TRIAL = auto()
    """The whole service but for objects, in this process: empty, in memory, and gone afterwards."""


class NoIndexError(Exception):
    """A service in this process has no index yet."""


class Connect(Protocol):
    """How a program reaches the service."""

    def __call__(
        self, url: str | None, api_key: str | None, purpose: Purpose, model: Path | None = None, /
    ) -> AbstractAsyncContextManager["AsyncLookalike"]:
        """A client of the service, by a command's options; for a trial perhaps with another, exported model.

        Raises BadParameter, NoServiceError, NoIndexError.
        """


@dataclass(frozen=True, slots=True)
class Program:
    """What commands need of the program that they run in. They find it in `ctx.obj`."""

    connect: Connect
    state_folder: Callable[[], Path | None]
    """The folder that is configured for what commands remember, if any is."""


def ask(
    ctx: typer.Context,
    url: str | None,
    api_key: str | None,
    purpose: Purpose,
    question: "Callable[[AsyncLookalike], Awaitable[T]]",
) -> T:
    """The answer to `question` by the service. Raises what `Connect` does, and the question."""
    program: Program = ctx.obj

    async def asked() -> T:
        async with program.connect(url, api_key, purpose) as client:
            return await question(client)

    return asyncio.run(asked())


def address_of_index(id_: UUID) -> str:
    """The address of a service in this process, which has no other: `index_id` reads it there."""
    return f"http://{id_}{HERE}"


async def index_id(client: "AsyncLookalike") -> str:
    """The id of the service's index, under which commands remember what they brought. Raises as `models`.

    One in this process says it by its address, since it may run without the models of which `models` tells.
    """
    if client.url.endswith(HERE):
        return client.url.removeprefix("http://").removesuffix(HERE)
    return str((await client.models()).index_id)


@asynccontextmanager
async def over_network(url: str, api_key: str | None) -> AsyncIterator["AsyncLookalike"]:
    """A client of the service at `url`, which answers. Raises BadParameter, NoServiceError."""
    from lookalike_client import AsyncLookalike

    try:
        client = AsyncLookalike(url, api_key=api_key)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
    async with client:
        await client.ping()
        yield client
