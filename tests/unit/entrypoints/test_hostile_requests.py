"""Every hostile request is answered as the contract says: never a 500, and each error as a problem."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.api.conformance import Conformance
from tests.hostile_requests import Hostile, complaint_about, hostile_requests
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
        if complaint := complaint_about(answer, request, conformance):
            wrong.append(f"{request.name}: {complaint}")
    assert not wrong, "\n".join([f"{len(wrong)} of them:", *wrong])


OPENAPI = Hostile(name="the document", method="GET", target=b"/openapi.json", statuses=(200,))


async def said(address: tuple[str, int], request: Hostile) -> Answer:
    return await asyncio.to_thread(exchange, address, request.raw, method=request.method)
