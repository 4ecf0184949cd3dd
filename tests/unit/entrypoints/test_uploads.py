import errno
import json
import os
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.run_service import RunService
from domain.callers import Deadline, present_deadline, seconds_left, within
from domain.errors import BusyError
from entrypoints.http.routes.bodies import BatchRoute, BodyPolicy, BoundedRoute, BytesInFlight
from entrypoints.http.routes.uploads import (
    MAX_FILENAME,
    clean_filename,
    filename_at,
    source_at,
)
from entrypoints.settings import HttpSettings
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("hat.jpg", "hat.jpg"),
        ("a/b/hat.jpg", "hat.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\hat.jpg", "hat.jpg"),
        ("..\\..\\hat.jpg", "hat.jpg"),
        ("Größe 大 🧥.png", "Größe 大 🧥.png"),
        ("hat\x00.jpg\n", "hat.jpg"),
        ("\u202ehat.jpg", "hat.jpg"),
        ("  hat.jpg  ", "  hat.jpg  "),
        ("   ", "unnamed"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("n" * 300, "n" * MAX_FILENAME),
        (None, "unnamed"),
        ("", "unnamed"),
        ("/", "unnamed"),
        ("\x00", "unnamed"),
    ],
)
def test_only_the_name_is_kept(sent: str | None, kept: str) -> None:
    assert clean_filename(sent) == kept


@settings(deadline=None)
@given(st.text())
def test_any_name_can_be_stored_and_shown(sent: str) -> None:
    kept = clean_filename(sent)
    assert 0 < len(kept) <= MAX_FILENAME
    assert not set(kept) & set("/\\\x00\r\n")
    kept.encode()


@pytest.mark.parametrize(
    ("url", "filename", "source"),
    [
        ("https://shop.example/a%20hat.jpg?v=1#top", "a hat.jpg", "https://shop.example/a%20hat.jpg?v=1"),
        ("https://me:secret@shop.example:80/hat.jpg", "hat.jpg", "https://shop.example:80/hat.jpg"),
        ("https://shop.example/@me/hat.jpg", "hat.jpg", "https://shop.example/@me/hat.jpg"),
        ("https://shop.example/%2e%2e%2fpasswd", "passwd", "https://shop.example/%2e%2e%2fpasswd"),
        ("https://shop.example/", "unnamed", "https://shop.example/"),
        ("https://[::1", "unnamed", "https://[::1"),
        ("https://shop.example/" + "x" * 3000, "x" * MAX_FILENAME, None),
    ],
)
def test_a_picture_by_url_has_a_name_and_a_source(url: str, filename: str, source: str | None) -> None:
    assert (filename_at(url), source_at(url)) == (filename, source)


def test_bodies_are_refused_while_those_in_hand_take_all_the_room() -> None:
    bodies = BytesInFlight(100)
    with bodies.hold(60):
        with pytest.raises(BusyError, match="60 bytes"), bodies.hold(41):
            pass
        with bodies.hold(40):
            pass
        with bodies.hold(0):  # a request without a body
            pass
    with bodies.hold(1000):  # larger than all of it, but alone
        pass


async def test_callers_without_a_deadline_wait_for_the_servers() -> None:
    async def seconds(policy: BodyPolicy, given: float | None) -> float | None:
        with within(Deadline(None if given is None else time.monotonic() + given)):
            policy.start_deadline(HttpSettings(deadline_seconds=60))
            deadline = present_deadline()
            assert deadline is not None
            return None if deadline.at is None else deadline.at - time.monotonic()

    assert await seconds(BoundedRoute.policy, None) == pytest.approx(60, abs=5)
    assert await seconds(BoundedRoute.policy, 1000) == pytest.approx(1000, abs=5)
    assert await seconds(BatchRoute.policy, None) is None


async def test_callers_who_send_no_body_wait_for_the_servers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float | None] = []
    app = an_app(tmp_path, http={"deadline_seconds": 60})
    async with serving(app) as client:
        monkeypatch.setattr(RunService, "require_open", lambda _: left.append(seconds_left()))
        for path, methods in app.openapi()["paths"].items():
            for method, operation in methods.items():
                if path.startswith("/v1/") and "requestBody" not in operation:
                    left.clear()
                    await client.request(method, path.format(id=uuid4()))
                    assert left == [pytest.approx(60, abs=5)], f"{method} {path}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_without_room_to_receive_a_body_the_answer_is_507(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    large = a_picture(1, format_="BMP", width=1200, height=400)  # more than is received in memory
    async with serving(an_app(tmp_path)) as client:
        monkeypatch.setattr(tempfile, "TemporaryFile", full)
        for path in ("/v1/images", "/v1/search"):
            refused = await client.post(path, files={"file": large})
            assert (refused.status_code, refused.json()["code"]) == (507, "storage_full"), refused.text
            assert "TMPDIR" in refused.json()["detail"]
        monkeypatch.undo()
        assert (await client.post("/v1/images", files={"file": large})).status_code == 201


@pytest.mark.parametrize("named", ["shoes/left.png", "left.png"])
async def test_metadata_by_filename_finds_names_as_sent_and_as_stored(tmp_path: Path, named: str) -> None:
    files = [("files", ("shoes/left.png", a_picture(1))), ("files", ("hat.png", a_picture(2)))]
    async with serving(an_app(tmp_path)) as client:
        data = {"metadata": json.dumps({named: {"side": "left"}})}
        answer = await client.post("/v1/images/batch", files=files, data=data)
    assert [item["image"]["metadata"] for item in answer.json()["results"]] == [{"side": "left"}, {}]


async def test_metadata_of_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path)) as client:
        data = {"metadata": json.dumps({"hat.png": {}, "Hut.png": {}, "cap.png": {}})}
        answer = await client.post("/v1/images/batch", files=[("files", ("hat.png", a_picture(1)))], data=data)
        listed = await client.get("/v1/images")
    assert (answer.status_code, answer.json()["code"], listed.json()["total"]) == (422, "invalid_metadata", 0)
    assert answer.json()["detail"].endswith("not in the batch: Hut.png, cap.png.")
