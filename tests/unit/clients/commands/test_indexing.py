"""What `lookalike index` reports when the service refuses amid a run; the service is written down here."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from lookalike_client import AsyncLookalike, InvalidRequestError, LookalikeError, pictures
from lookalike_client.commands.files import Found
from lookalike_client.commands.indexing import index_found

Answer = Callable[[int, list[str]], httpx.Response | Exception]
"""Of the batch with this number, of pictures with these names."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Four, of which two are sent at once."""
    monkeypatch.setattr(pictures, "BATCH_PICTURES", 2)
    paths = [tmp_path / name for name in ("a.jpg", "bad.jpg", "c.jpg", "d.jpg")]
    for path in paths:
        path.write_bytes(b"picture")
    return paths


def created(names: list[str]) -> httpx.Response:
    failed = {"status": "failed", "problem": {"status": 422, "code": "image_unreadable", "detail": "no picture"}}
    results = [failed if name == "bad.jpg" else {"status": "created"} for name in names]
    return httpx.Response(207, json={"results": results})


async def indexed(files: list[Path], answer: Answer) -> int:
    def handle(request: httpx.Request) -> httpx.Response:
        names = [path.name for path in files if f'filename="{path.name}"'.encode() in request.content]
        # Batches are sent side by side: their number is that of their pictures, whichever arrives first.
        answered = answer([path.name for path in files].index(names[0]) // 2, names)
        if isinstance(answered, Exception):
            raise answered
        return answered

    def look_up(request: httpx.Request) -> httpx.Response:
        """Nothing is there yet."""
        if request.method == "GET":
            return httpx.Response(200, json={"items": [], "next_cursor": None, "total": 0})
        return httpx.Response(200, json={"items": [], "missing": {"ids": [], "keys": []}})

    stored = AsyncLookalike(transport=httpx.MockTransport(look_up), retries=0)
    client = AsyncLookalike(transport=httpx.MockTransport(handle), retries=0)
    found = [Found(path, root=path.parent) for path in files]
    return await index_found(found, stored, client, metadata=None, name=None)


@pytest.mark.parametrize("status", [401, 408, 502])
async def test_a_refusal_amid_a_run_leaves_its_report(
    status: int, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = httpx.Response(status, json={"status": status, "code": "any", "detail": "because"})
    with pytest.raises(LookalikeError, match="because"):
        await indexed(files, lambda number, names: refused if number else created(names))
    told = capsys.readouterr()
    assert f"{files[1]}: no picture\n" in told.err
    assert "stopped after 2 of 4. Run the same command again" in told.err
    assert told.out == "1 created, 0 existed, 1 failed\n"


async def test_an_error_without_a_name_amid_a_run_leaves_its_report(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="because"):
        await indexed(files, lambda number, names: RuntimeError("because") if number else created(names))
    told = capsys.readouterr()
    assert "stopped after 2 of 4" in told.err
    assert told.out == "1 created, 0 existed, 1 failed\n"


async def test_a_refusal_at_once_is_all_that_is_told(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    refused = httpx.Response(401, json={"status": 401, "code": "unauthorized", "detail": "because"})
    with pytest.raises(LookalikeError, match="because"):
        await indexed(files, lambda *_: refused)
    assert capsys.readouterr() == ("", "")


async def test_no_more_are_taken_once_there_is_no_room_and_those_begun_are_reported(
    tmp_path: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    many = [*files, *(tmp_path / f"{number}.png" for number in range(100))]
    for path in many[4:]:
        path.write_bytes(b"picture")
    full = {"status": "failed", "problem": {"status": 507, "code": "storage_full", "detail": "No room is left."}}
    sent: list[str] = []

    def answer(_: int, names: list[str]) -> httpx.Response:
        sent.extend(names)
        return httpx.Response(207, json={"results": [full] * len(names)})

    assert await indexed(many, answer) == 1
    told = capsys.readouterr()
    assert 2 <= len(sent) < 20
    assert told.out == f"0 created, 0 existed, {len(sent)} failed\n"
    assert all(f"{tmp_path / name}: No room is left.\n" in told.err for name in sent)
    assert f"stopped after {len(sent)} of 104: No room is left. Run the same command again" in told.err


async def test_metadata_that_no_picture_can_have_ends_the_run(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"status": "failed", "problem": {"status": 422, "code": "invalid_metadata", "detail": "because"}}
    with pytest.raises(InvalidRequestError, match="because"):
        await indexed(files, lambda _, names: httpx.Response(207, json={"results": [failed] * len(names)}))
    assert capsys.readouterr() == ("", "")
