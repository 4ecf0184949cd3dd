"""The adapter as it speaks to a server over REST: to a stand-in in this process that can be told to refuse."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from adapters.repositories.qdrant_similarity_repository import QdrantSimilarityRepository
from domain.errors import LookalikeError, RepositoryUnavailableError, StorageFullError
from tests.builders import an_image
from tests.contracts.similarity_repository import SPACE
from tests.qdrant_rest_stand_in import QdrantRestStandIn, qdrant_rest_stand_in


@pytest.fixture
async def server() -> AsyncIterator[QdrantRestStandIn]:
    async with qdrant_rest_stand_in() as stand_in:
        yield stand_in


def connected(server: QdrantRestStandIn, **changes: Any) -> QdrantSimilarityRepository:
    values = {"url": f"http://127.0.0.1:{server.port}", "prefer_grpc": False, "timeout": 1.5}
    return QdrantSimilarityRepository(**(values | changes))


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
        (an_error("slow down", 429, retry_after="17"), RepositoryUnavailableError, "limits the rate"),
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
    if refusal.headers.get("retry-after") == "17":
        assert isinstance(caught.value, RepositoryUnavailableError)
        assert caught.value.retry_after == 17.0
    server.refusals.clear()
    await repository.upsert([an_image(1)])
    assert await repository.count() == 1
    await repository.close()


async def test_a_limit_on_the_rate_is_named_where_time_runs_out_amid_another_attempt(server: QdrantRestStandIn) -> None:
    class PromptOnce(JSONResponse):
        was_sent = False

        async def __call__(self, *asgi: Any) -> None:
            if self.was_sent:
                await asyncio.sleep(2)
            self.was_sent = True
            await super().__call__(*asgi)

    repository = connected(server)
    await repository.open(SPACE)
    server.refusals["/points"] = PromptOnce({"status": {"error": "slow down"}}, 429, {"Retry-After": A_DATE})
    with pytest.raises(RepositoryUnavailableError, match="limits the rate"):
        await repository.upsert([an_image(1)])
    await repository.close()
