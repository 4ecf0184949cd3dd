"""The adapter as it speaks to a server over REST: to a stand-in in this process that can be told to refuse."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from starlette.responses import JSONResponse, Response

from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from domain.errors import LookalikeError, RepositoryUnavailableError, StorageFullError
from tests.builders import an_image
from tests.contracts.similarity_repository import SPACE
from tests.disturbed_qdrant import stretched
from tests.eventually import eventually
from tests.qdrant_rest_stand_in import QdrantRestStandIn, qdrant_rest_stand_in
from tests.repositories import server_repository


@pytest.fixture
async def server() -> AsyncIterator[QdrantRestStandIn]:
    async with qdrant_rest_stand_in() as stand_in:
        yield stand_in


def connected(server: QdrantRestStandIn, **changes: Any) -> QdrantSimilarityRepository:
    values = {"url": f"http://127.0.0.1:{server.port}", "prefer_grpc": False, "timeout": stretched(1.5)}
    return server_repository(**(values | changes))


def an_error(text: str, status: int, **headers: str) -> Response:
    return JSONResponse(
        {"status": {"error": text}, "time": 0.0}, status, {k.replace("_", "-"): v for k, v in headers.items()}
    )


A_DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("refusal", "error", "said"),
    [
        (an_error("Out of disk, free: 1", 500), StorageFullError, "no room left"),
        (an_error("Insufficient Storage", 507), StorageFullError, "no room left"),
        (an_error("slow down", 429, retry_after="170"), RepositoryUnavailableError, "limits the rate"),
        (an_error("slow down", 429, retry_after=A_DATE), RepositoryUnavailableError, "limits the rate"),
        (an_error("no such key", 403), RepositoryUnavailableError, "refuses our API key"),
        (an_error("strict mode", 400), RepositoryUnavailableError, "strict mode"),
        (an_error("upstream", 502), RepositoryUnavailableError, "does not answer"),
        (Response("<html>maintenance", media_type="text/html"), RepositoryUnavailableError, "none of Qdrant's"),
        (Response(b"\xff\xfe\x00"), RepositoryUnavailableError, "none of Qdrant's"),
        (Response("{}"), RepositoryUnavailableError, "none of Qdrant's"),
    ],
)
async def test_refusals_are_named(
    server: QdrantRestStandIn, refusal: Response, error: type[LookalikeError], said: str
) -> None:
    repository = connected(server)
    await repository.open(SPACE)
    server.refusals["/points"] = refusal
    with pytest.raises(error, match=said) as caught:
        await repository.upsert([an_image(1)])
    if refusal.headers.get("retry-after") == "170":
        assert isinstance(caught.value, RepositoryUnavailableError)
        assert caught.value.retry_after == 170.0
    server.refusals.clear()
    await repository.upsert([an_image(1)])
    assert await repository.count() == 1
    await repository.close()


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_repository_that_is_closed_amid_requests_leaves_no_connection_open(
    server: QdrantRestStandIn, is_cancelled: bool
) -> None:
    before = psutil.Process().num_fds()
    for turns in range(1, 15):
        repository = connected(server, timeout=30.0)
        await repository.open(SPACE)
        counts = [asyncio.create_task(repository.count()) for _ in range(4)]
        await some_turns(turns)
        closing = asyncio.create_task(repository.close())
        if is_cancelled:
            await some_turns(turns % 4)
            closing.cancel()
        await asyncio.wait([closing])
        for outcome in await asyncio.gather(*counts, return_exceptions=True):
            assert outcome == 0 or isinstance(outcome, RepositoryUnavailableError), outcome
    assert await eventually(lambda: psutil.Process().num_fds() <= before)


@pytest.mark.usefixtures("no_garbage_collection")
async def test_an_opening_that_is_cancelled_leaves_no_connection_open(server: QdrantRestStandIn) -> None:
    before = psutil.Process().num_fds()
    for turns in range(60):
        repository = connected(server, timeout=30.0)
        opening = asyncio.create_task(repository.open(SPACE))
        await some_turns(turns)
        opening.cancel()
        await asyncio.wait([opening])
        await repository.close()
    assert await eventually(lambda: psutil.Process().num_fds() <= before)


async def some_turns(turns: int) -> None:
    """Let everything else go on by so many steps."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_a_limit_on_the_rate_is_named_where_time_runs_out_amid_another_attempt(server: QdrantRestStandIn) -> None:
    class PromptOnce(JSONResponse):
        was_sent = False

        async def __call__(self, *asgi: Any) -> None:
            if self.was_sent:
                await asyncio.sleep(600)
            self.was_sent = True
            await super().__call__(*asgi)

    repository = connected(server)
    await repository.open(SPACE)
    server.refusals["/points"] = PromptOnce({"status": {"error": "slow down"}}, 429, {"Retry-After": A_DATE})
    with pytest.raises(RepositoryUnavailableError, match="limits the rate"):
        await repository.upsert([an_image(1)])
    await repository.close()
