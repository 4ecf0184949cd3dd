"""What pictures say of themselves becomes their metadata, where it is asked for."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.far_side import far_side, ok
from tests.unit.adapters.decoding.test_exif import EVERYTHING, a_picture_with, an_exif
from tests.unit.entrypoints.application import an_app, serving

PHOTO = a_picture_with(an_exif())
USUAL = {key: value for key, value in EVERYTHING.items() if key in {"exif_taken", "exif_camera", "exif_lens"}}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(an_app(tmp_path)) as found:
        yield found


async def indexed(client: httpx.AsyncClient, content: bytes = PHOTO, **fields: str) -> dict[str, Any]:
    answer = await client.post("/v1/images", files={"file": ("hat.jpg", content)}, data=fields)
    assert answer.is_success, answer.text
    metadata: dict[str, Any] = answer.json()["metadata"]
    return metadata


async def test_it_is_off_by_default(client: httpx.AsyncClient) -> None:
    assert await indexed(client) == {}


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("true", USUAL),
        ("taken,camera,lens,place", EVERYTHING),
        ("camera", {"exif_camera": EVERYTHING["exif_camera"]}),
        ("false", {}),
        ("", {}),
    ],
)
async def test_a_request_asks_for_it(client: httpx.AsyncClient, asked: str, taken: dict[str, Any]) -> None:
    assert await indexed(client, exif=asked) == pytest.approx(taken)


async def test_other_parts_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/images", files={"file": ("hat.jpg", PHOTO)}, data={"exif": "gps"})
    assert answer.status_code == 422
    assert "taken, camera, lens, place" in answer.json()["detail"]


async def test_the_setting_is_for_requests_that_do_not_say(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, metadata={"exif": "true"})) as client:
        assert await indexed(client, key="a") == USUAL
        assert await indexed(client, key="b", exif="false") == {}
        files = [("files", ("hat.jpg", PHOTO)), ("files", ("plain.jpg", a_picture_with(b"")))]
        batch = (await client.post("/v1/images/batch", files=files)).json()
    assert [item["image"]["metadata"] for item in batch["results"]] == [USUAL, {}]


async def test_what_the_caller_says_wins_and_stays(client: httpx.AsyncClient) -> None:
    mine = '{"exif_camera": "mine", "album": "2019"}'
    first = await indexed(client, key="a", metadata=mine, exif="true")
    assert first == USUAL | {"exif_camera": "mine", "album": "2019"}
    assert await indexed(client, key="a", exif="true") == first
    assert await indexed(client, a_picture_with(an_exif(lens="other")), key="a", exif="true") == first


async def test_it_is_added_to_a_picture_that_is_there(client: httpx.AsyncClient) -> None:
    """Under its own key, and under another one that shares what was computed of the bytes."""
    await indexed(client, key="a", metadata='{"album": "2019"}')
    assert await indexed(client, key="b", exif="true") == USUAL
    assert await indexed(client, key="a", exif="true") == USUAL | {"album": "2019"}
    assert await indexed(client, key="a", if_exists="keep", exif="place") == USUAL | {"album": "2019"}


async def test_declared_types_hold(tmp_path: Path) -> None:
    declared = {"indexed_metadata": "exif_taken:datetime,exif_camera:integer", "backend": "memory"}
    async with serving(an_app(tmp_path, repository=declared)) as client:
        assert (await indexed(client, exif="true")).keys() == {"exif_taken", "exif_lens"}


async def test_damaged_exif_fails_no_picture(client: httpx.AsyncClient) -> None:
    damaged = a_picture_with(b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 200)
    assert await indexed(client, damaged, exif="taken,camera,lens,place") == {}


@pytest.mark.parametrize("asked", [True, "true"])
async def test_a_batch_of_urls_may_ask_for_it(tmp_path: Path, *, asked: bool | str) -> None:
    fetch = {"enabled": True, "allowed_hosts": "127.0.0.1"}
    async with far_side({"/hat.jpg": ok(PHOTO)}) as side, serving(an_app(tmp_path, fetch=fetch)) as client:
        items = [{"url": side.url(host="127.0.0.1"), "metadata": {"album": "2019"}}]
        answer = await client.post("/v1/images/batch", json={"items": items, "exif": asked})
    [item] = answer.json()["results"]
    assert item["image"]["metadata"] == USUAL | {"album": "2019"}
