import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.server.draining import DrainedRequests, Draining
from tests.eventually import eventually

SCOPE = {"type": "http", "method": "GET", "path": "/v1/images", "headers": [], "state": {"request_id": "abc"}}


class Answer:
    """What a caller got."""

    def __init__(self, messages: list[Message]) -> None:
        self.status = messages[0]["status"] if messages else None
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]} if messages else {}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])
        self.complete = bool(messages) and not messages[-1].get("more_body", False)


async def ask(app: ASGIApp, **scope: Any) -> Answer:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    await app({**SCOPE, **scope}, receive, send)
    return Answer(messages)


def answering_after(event: asyncio.Event, *, first: Callable[[Send], Awaitable[None]] | None = None) -> ASGIApp:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        if first is not None:
            await first(send)
        await event.wait()
        if first is None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return app


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_in_hand_is_answered_and_what_is_new_refused() -> None:
    ready, draining = asyncio.Event(), Draining(limit_seconds=60)
    app = DrainedRequests(answering_after(ready), draining)
    in_hand = asyncio.create_task(ask(app))
    await settle()
    stop = asyncio.create_task(draining.drain())
    await settle()

    refused = await ask(app)
    assert refused.status == 503
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("5", "close")
    assert refused.headers["content-type"] == "application/problem+json"
    problem = json.loads(refused.body)
    assert (problem["code"], problem["request_id"]) == ("shutting_down", "abc")
    assert not stop.done()

    ready.set()
    answer = await in_hand
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"done", "close")
    await asyncio.wait_for(stop, 10)


async def test_health_is_answered_to_the_end() -> None:
    ready, draining = asyncio.Event(), Draining(limit_seconds=60)
    ready.set()
    await draining.drain()
    app = DrainedRequests(answering_after(ready), draining)
    assert (await ask(app, path="/health/live")).status == 200
    assert (await ask(app, path="/lookalike/health/ready", root_path="/lookalike")).status == 200
    assert (await ask(app, path="/v1/health/")).status == 503


async def test_with_nothing_in_hand_a_stop_takes_no_time() -> None:
    await asyncio.wait_for(Draining(limit_seconds=60).drain(), 10)


async def test_at_the_limit_the_rest_is_cut_and_told_so() -> None:
    draining = Draining(limit_seconds=0.05)
    app = DrainedRequests(answering_after(asyncio.Event()), draining)
    in_hand = asyncio.create_task(ask(app))
    await settle()
    await asyncio.wait_for(draining.drain(), 10)
    answer = await in_hand
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "shutting_down")
    assert in_hand.cancelling() == 0


async def test_an_answer_that_is_cut_amid_is_left_incomplete() -> None:
    async def begin(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    draining = Draining(limit_seconds=0.05)
    in_hand = asyncio.create_task(ask(DrainedRequests(answering_after(asyncio.Event(), first=begin), draining)))
    await settle()
    await asyncio.wait_for(draining.drain(), 10)
    answer = await in_hand
    assert (answer.status, answer.body, answer.complete) == (200, b"half", False)


async def test_hurrying_cuts_before_the_limit() -> None:
    draining = Draining(limit_seconds=60, notice_seconds=30)
    in_hand = asyncio.create_task(ask(DrainedRequests(answering_after(asyncio.Event()), draining)))
    await settle()
    stop = asyncio.create_task(draining.drain())
    await settle()
    draining.hurry()
    await asyncio.wait_for(stop, 10)
    assert (await in_hand).status == 503


async def test_for_the_notice_new_requests_are_taken() -> None:
    ready, draining = asyncio.Event(), Draining(limit_seconds=60, notice_seconds=30)
    ready.set()
    app = DrainedRequests(answering_after(ready), draining)
    stop = asyncio.create_task(draining.drain())
    await settle()
    assert draining.stopping
    noticed = await ask(app)
    assert (noticed.status, noticed.headers["connection"]) == (200, "close")
    assert not stop.done()
    draining.hurry()
    await stop


async def test_after_the_notice_new_requests_are_refused() -> None:
    ready, draining = asyncio.Event(), Draining(limit_seconds=60, notice_seconds=0.05)
    app = DrainedRequests(answering_after(ready), draining)
    in_hand = asyncio.create_task(ask(app))
    await settle()
    stop = asyncio.create_task(draining.drain())
    assert await eventually(lambda: draining.refusing)
    assert (await ask(app)).status == 503
    ready.set()
    assert (await in_hand).status == 200
    await asyncio.wait_for(stop, 10)


async def test_a_request_that_others_cancel_is_not_answered() -> None:
    app = DrainedRequests(answering_after(asyncio.Event()), Draining(limit_seconds=60))
    in_hand = asyncio.create_task(ask(app))
    await settle()
    in_hand.cancel()
    with pytest.raises(asyncio.CancelledError):
        await in_hand
