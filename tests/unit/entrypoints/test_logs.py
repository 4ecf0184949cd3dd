"""What is in the log: what an operator looks for, and nothing of what callers sent in confidence."""

import json
import logging
import re
from pathlib import Path

import pytest
import structlog

from entrypoints.settings import LogSettings
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving
from tests.unit.entrypoints.written_logs import logged


async def test_a_request_has_one_line_with_all_that_is_asked_of_it(tmp_path: Path) -> None:
    with logged(LogSettings(format="json")) as written:
        async with serving(an_app(tmp_path)) as client:
            answer = await client.post(
                "/v1/search?", files={"file": ("hat.png", a_picture(1)[:200])}, headers={"x-request-id": "abc"}
            )
    [line] = [found for found in map(json.loads, written.getvalue().splitlines()) if found["event"] == "request"]
    assert line.pop("milliseconds") > 0
    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "logger": "access",
        "level": "info",
        "request_id": "abc",
        "method": "POST",
        "path": "/v1/search",
        "route": "/v1/search",
        "status": 422,
        "problem": "image_unreadable",
        "received_bytes": int(answer.request.headers["content-length"]),
        "sent_bytes": len(answer.content),
        "client": "127.0.0.1",
    }


async def test_a_status_is_a_number_on_a_console_too(tmp_path: Path) -> None:
    with logged(LogSettings(format="console")) as written:
        async with serving(an_app(tmp_path)) as client:
            await client.post("/v1/images", files={"file": a_picture(1)})
    text = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())
    assert "status=201" in text


@pytest.mark.parametrize("settings", [LogSettings(format="json"), LogSettings(format="console")], ids=str)
def test_a_traceback_shows_no_local_variables(settings: LogSettings) -> None:
    with logged(settings) as written:
        key = "".join(["hush", "-hush-", "1234"])
        try:
            raise RuntimeError(f"a key of {len(key)} characters")
        except RuntimeError:
            logging.getLogger("foreign").exception("failed")
            structlog.stdlib.get_logger("ours").exception("failed")
    assert written.getvalue().count("a key of 14 characters") == 2
    assert "hush-hush" not in written.getvalue()
