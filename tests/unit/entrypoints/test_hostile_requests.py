"""Every hostile request is answered as the contract says: never a 500, and each error as a problem."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.contracts.api.conformance import PROBLEM, Conformance
from tests.hostile_requests import Hostile, hostile_requests
from tests.raw_http import Answer, exchange
from tests.unit.entrypoints.application import an_app, listening


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    app = an_app(tmp_path, http={"body_seconds": 1})
    async with app.router.lifespan_context(app), listening(app) as address:
        yield address


async def test_all_of_them(address: tuple[str, int]) -> None:
    document = json.loads((await said(address, OPENAPI)).body)
    conformance = Conformance(document)
    wrong = []
    for request in hostile_requests():
        answer = await said(address, request)
        try:
            assert answer.status in request.statuses
            check(answer, request, conformance)
        except AssertionError as error:
            wrong.append(
                f"{request.name}: {answer.status} for {request.statuses}, {str(error)[:300]} {answer.body[:300]!r}"
            )
    assert not wrong, "\n".join([f"{len(wrong)} of them:", *wrong])


OPENAPI = Hostile(name="", method="GET", target=b"/openapi.json", statuses=(200,))


async def said(address: tuple[str, int], request: Hostile) -> Answer:
    return await asyncio.to_thread(exchange, address, request.raw, method=request.method)


def check(answer: Answer, request: Hostile, conformance: Conformance) -> None:
    """An error of the application is a problem; what is documented is as the document says."""
    if answer.status >= 400 and "x-request-id" in answer.headers and request.method != "HEAD":
        assert answer.headers["content-type"] == PROBLEM
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status
        assert len(answer.body) < 100_000
    path = request.target.partition(b"?")[0].decode("latin-1")
    if path.isprintable() and path.isascii() and path.startswith("/v1"):
        made = httpx.Request(request.method, f"http://t{path}")
        conformance.check(httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=made))
