import asyncio
from pathlib import Path

import pytest
import structlog.testing
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from domain.callers import raise_if_over
from domain.errors import DeadlinePassedError
from entrypoints.http.server.request_context import RequestContext
from tests.unit.entrypoints.application import an_app, serving


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    app = an_app(tmp_path)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("a secret of the house")

    @app.get("/late")
    async def late() -> str:
        raise_if_over()
        return "in time"

    return app


async def test_a_crash_is_a_problem_that_tells_no_secrets(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(app) as client:
        response = await client.get("/crash", headers={"x-request-id": "abc"})
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    problem = response.json()
    assert (problem["code"], problem["request_id"], response.headers["x-request-id"]) == (
        "internal_error",
        "abc",
        "abc",
    )
    assert "secret" not in response.text
    assert any(record.exc_info and "a secret of the house" in str(record.exc_info[1]) for record in caplog.records)


async def test_a_deadline_bounds_its_request_alone(app: FastAPI) -> None:
    async with serving(app) as client:
        assert (await client.get("/late", headers={"x-request-deadline-ms": "0"})).status_code == 504
        assert (await client.get("/late", headers={"x-request-deadline-ms": "60000"})).json() == "in time"
        assert (await client.get("/late")).json() == "in time"


@pytest.mark.parametrize("given", ["-1", "1.5", "soon", "1000000000"])
async def test_a_deadline_that_is_none_is_told_its_bounds(app: FastAPI, given: str) -> None:
    async with serving(app) as client:
        answer = await client.get("/late", headers={"x-request-deadline-ms": given})
        longest = await client.get("/late", headers={"x-request-deadline-ms": "999999999"})
    assert (answer.status_code, longest.status_code) == (422, 200)
    assert f"from 0 to 999999999, not '{given}'" in answer.json()["detail"]


async def test_who_has_gone_is_served_no_more() -> None:
    """A caller who sends all of a body, and then hangs up before the work on it begins."""
    outcomes: list[str] = []

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        raise_if_over()
        hung_up.set()
        await asyncio.sleep(0.01)
        try:
            raise_if_over()
        except DeadlinePassedError as error:
            outcomes.append(str(error))

    body: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
    ]
    hung_up = asyncio.Event()

    async def receive() -> Message:
        if body:
            return body.pop(0)
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        raise AssertionError("nobody is there")

    scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": []}
    await RequestContext(app)(scope, receive, send)
    assert outcomes == ["The caller went away before the work began."]
    raise_if_over()  # whoever calls the next application from this task is another caller


@pytest.mark.parametrize("given", ["abc", "A-b_c.d:1", "a" * 128])
async def test_a_valid_id_is_kept(app: FastAPI, given: str) -> None:
    async with serving(app) as client:
        assert (await client.get("/health/live", headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "a\nb", "ä", 'a"b'])
async def test_another_is_replaced(app: FastAPI, given: str) -> None:
    async with serving(app) as client:
        found = (await client.get("/health/live", headers={"x-request-id": given.encode()})).headers["x-request-id"]
    assert found != given
    assert found.isalnum()


async def test_each_request_is_logged_once(app: FastAPI) -> None:
    async with serving(app) as client:
        with structlog.testing.capture_logs() as lines:
            for path in ("/health/live", "/late", "/nowhere", "/crash"):
                await client.get(path)
    logged = [(line["path"], line["status"], line["log_level"]) for line in lines if line["event"] == "request"]
    assert logged == [
        ("/health/live", 200, "debug"),
        ("/late", 200, "info"),
        ("/nowhere", 404, "info"),
        ("/crash", 500, "info"),
    ]
