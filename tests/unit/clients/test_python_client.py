"""Both faces of the Python client against a service that is written down here: busy, short of room, away."""

import asyncio
import io
import json
import os
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from inspect import isasyncgen, isawaitable, isgenerator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image
from python_multipart.multipart import parse_options_header

import lookalike_client
from entrypoints.http.contract import edit_schemas as edits
from entrypoints.http.contract import image_schemas as images
from entrypoints.http.contract import model_schemas as models
from entrypoints.http.contract import name_schemas as names
from entrypoints.http.contract import search_schemas as search
from lookalike_client import _asyncio_runtime, _thread_runtime, pictures
from lookalike_client.outcomes import BatchAnswer, BatchItem
from lookalike_client.retries import LONGEST_PAUSE

Answer = httpx.Response | Exception


def test_everything_that_the_package_names_is_there() -> None:
    assert [name for name in lookalike_client.__all__ if not hasattr(lookalike_client, name)] == []
    assert not hasattr(lookalike_client, "Lookalik")


ID = images.EXAMPLE_ID
IMAGE = images.ImageOut.model_validate(images.EXAMPLE_IMAGE).model_dump(mode="json", by_alias=True)


class FakeService(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Takes batches as the API does; `troubles` come first, one a request."""

    def __init__(self) -> None:
        self.troubles: deque[Callable[[httpx.Request], Answer]] = deque()
        self.most_files = 1000
        self.batches: list[list[str]] = []
        self.requests: list[httpx.Request] = []

    def troubled_by(self, status: int, code: str = "", detail: str = "not now", **headers: str) -> "FakeService":
        problem = {"status": status, "code": code, "detail": detail}
        self.troubles.append(lambda _: httpx.Response(status, json=problem, headers=headers))
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._answer(request)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.troubles:
            answer = self.troubles.popleft()(request)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if request.url.path == "/health/live":
            return httpx.Response(200, json={"status": "ok"})
        names = filenames(request.content)
        if len(names) > self.most_files:
            problem = {"status": 413, "code": "body_too_large", "detail": "too many files"}
            return httpx.Response(413, json=problem)
        self.batches.append(names)
        results = [
            {"status": "failed", "problem": {"status": 422, "detail": "no picture", "code": "image_unreadable"}}
            if "bad" in name
            else {"status": "created", "image": IMAGE}
            for name in names
        ]
        return httpx.Response(207, json={"results": results})


def filenames(body: bytes) -> list[str]:
    headers = [line.partition(b": ")[2] for line in body.split(b"\r\n") if line.startswith(b"Content-Disposition")]
    options = [parse_options_header(header)[1] for header in headers]
    return [option[b"filename"].decode() for option in options if b"filename" in option]


class Client:
    """Calls either face: what AsyncLookalike answers is awaited, and iterators become lists."""

    def __init__(self, kind: type[lookalike_client.Lookalike | lookalike_client.AsyncLookalike]) -> None:
        self.kind = kind
        self.service = FakeService()
        self.options: dict[str, Any] = {"url": "http://service/", "api_key": "secret"}

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        client = self.kind(transport=self.service, **self.options)
        answer = getattr(client, method)(*arguments, **options)
        return list(answer) if isgenerator(answer) else asyncio.run(_awaited(answer)) if _is_async(answer) else answer


def _is_async(answer: Any) -> bool:
    return isawaitable(answer) or isasyncgen(answer)


async def _awaited(answer: Any) -> Any:
    return [item async for item in answer] if isasyncgen(answer) else await answer


@pytest.fixture(params=[lookalike_client.Lookalike, lookalike_client.AsyncLookalike], ids=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.param)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited for, without waiting."""
    waited: list[float] = []

    def note(seconds: float) -> Awaitable[None]:
        waited.append(seconds)
        return asyncio.sleep(0)

    monkeypatch.setattr(_asyncio_runtime, "sleep", note)
    monkeypatch.setattr(_thread_runtime, "sleep", waited.append)
    return waited


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(os.fsencode(name))
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("answered", "typed"),
    [
        (images.ImageOut, lookalike_client.Image),
        (images.ImagePageOut, lookalike_client.ImagePage),
        (images.ObjectOut, lookalike_client.DetectedObject),
        (images.BoxOut, lookalike_client.Box),
        (images.FacetCountOut, lookalike_client.FacetCount),
        (edits.EditedOut, lookalike_client.Edited),
        (names.RenamedOut, lookalike_client.Renamed),
        (names.LookupOut, lookalike_client.models.Lookup),
        (search.SearchResultOut, lookalike_client.SearchResult),
        (search.QueryOut, lookalike_client.Query),
        (search.MatchOut, lookalike_client.Match),
        (search.RegionMatchOut, lookalike_client.RegionMatch),
        (search.GroupOut, lookalike_client.MatchGroup),
        (models.DetectionsOut, lookalike_client.Detections),
        (models.EmbeddingOut, lookalike_client.Embedding),
        (models.ModelsOut, lookalike_client.Models),
    ],
)
def test_answers_are_typed_field_by_field(answered: Any, typed: Any) -> None:
    assert list(typed.model_fields) == list(answered.model_fields)
    for example in (answered.model_config.get("json_schema_extra") or {}).get("examples", []):
        served = answered.model_validate(example).model_dump(mode="json", by_alias=True)
        assert json.loads(typed.model_validate(example).model_dump_json(by_alias=True)) == served


def test_what_a_newer_service_adds_is_kept() -> None:
    box = {"x_min": 1.0, "y_min": 2.0, "x_max": 3.0, "y_max": 4.0, "angle": 5.0}
    assert lookalike_client.Box.model_validate(box).model_dump() == box


def test_outcomes_come_in_the_order_sent(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BATCH_PICTURES", 2)
    paths = files(tmp_path, "b.jpg", "bad.jpg", "größe.jpg", "d.jpg", "e.jpg")

    outcomes = client("index_many", paths, metadata={"brand": "acme"})

    assert [outcome.picture for outcome in outcomes] == paths
    assert [outcome.status for outcome in outcomes] == ["created", "failed", "created", "created", "created"]
    assert (str(outcomes[1].error), outcomes[1].error.code) == ("no picture", "image_unreadable")
    assert isinstance(outcomes[1].error, lookalike_client.PictureError)
    assert outcomes[0].image.filename == "hat-01.jpg"
    assert sorted(client.service.batches) == [["b.jpg", "bad.jpg"], ["e.jpg"], ["größe.jpg", "d.jpg"]]
    assert all(b'{"brand": "acme"}' in request.content for request in client.service.requests)
    assert {request.headers["Authorization"] for request in client.service.requests} == {"Bearer secret"}


def test_pictures_at_urls_are_named_and_not_read(client: Client, tmp_path: Path) -> None:
    url = lookalike_client.Url("https://shop.example/hat.jpg")
    problem = {"status": 422, "detail": "no answer", "code": "fetch_failed"}
    results = [{"status": "created", "image": IMAGE}, {"status": "failed", "problem": problem}]

    def answer(request: httpx.Request) -> Answer:
        assert json.loads(request.content) == {
            "items": [
                {"url": url, "key": "hat", "metadata": {"price": 5}},
                {"url": url, "metadata": {"brand": "acme"}},
            ],
            "if_exists": "replace",
            "adopt": True,
        }
        return httpx.Response(207, json={"results": results})

    client.service.troubles += [lambda _: httpx.Response(207, json={"results": results[:1]}), answer]
    new = [lookalike_client.NewPicture(url, key="hat", metadata={"price": 5}), *files(tmp_path, "a.jpg"), url]
    outcomes = client("index_many", new, metadata={"brand": "acme"}, adopt=True)
    assert [(outcome.picture, outcome.status) for outcome in outcomes] == [
        (url, "created"),
        (tmp_path / "a.jpg", "created"),
        (url, "failed"),
    ]
    assert filenames(client.service.requests[0].content) == ["a.jpg"]

    for method, answered in (("index", IMAGE), ("embed", {"model": "m", "dimension": 1, "embedding": [1.0]})):
        client.service.troubles.append(lambda _, answered=answered: httpx.Response(200, json=answered))  # type: ignore[misc]
        client(method, url)
        content = client.service.requests[-1].content
        assert b'name="url"\r\n\r\nhttps://shop.example/hat.jpg\r\n' in content
        assert filenames(content) == []


def test_files_that_cannot_be_read_fail_alone(client: Client, tmp_path: Path) -> None:
    paths = [tmp_path / "gone.jpg", *files(tmp_path, "a.jpg"), tmp_path / "pipe.jpg", tmp_path / "huge.tiff"]
    os.mkfifo(paths[2])  # without a writer
    with paths[3].open("wb") as huge:
        huge.truncate(pictures.MAX_PICTURE_BYTES + 1)

    outcomes = client("index_many", map(str, paths))

    assert [outcome.status for outcome in outcomes] == ["failed", "created", "failed", "failed"]
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == [
        "The file cannot be read: No such file or directory.",
        "The file cannot be read: It is no regular file.",
        "The file cannot be read: It has 134,217,729 bytes, more than the 134,217,728 that are sent at once.",
    ]
    assert client.service.batches == [["a.jpg"]]
    with pytest.raises(lookalike_client.PictureFileError, match="no regular file"):
        client("search", paths[2])


def test_no_picture_sends_nothing(client: Client, tmp_path: Path) -> None:
    assert client("index_many", []) == []
    assert [outcome.status for outcome in client("index_many", [tmp_path / "gone.jpg"])] == ["failed"]
    assert client.service.requests == []


@pytest.mark.parametrize("name", ['a "quoted" %22 name.jpg', " blanks .jpg", "größe 帽子.jpg", "a;b=c'd,.jpg"])
def test_names_arrive_as_they_are(client: Client, name: str, tmp_path: Path) -> None:
    client("index_many", files(tmp_path, name))
    client("index_many", [lookalike_client.NewPicture(b"bytes", name)])
    assert client.service.batches == [[name], [name]]


def test_names_that_are_no_text_are_made_text(client: Client, tmp_path: Path) -> None:
    client("index_many", files(tmp_path, os.fsdecode(b"l\xe4nder.jpg"), "new\nline.jpg"))
    assert client.service.batches == [["l�nder.jpg", "newline.jpg"]]


def test_pictures_are_paths_bytes_files_and_images(client: Client, tmp_path: Path) -> None:
    [path] = files(tmp_path, "a.jpg")
    with path.open("rb") as file:
        client("index_many", [b"bytes", file, io.BytesIO(b"file"), Image.new("RGB", (2, 2))])
    [request] = client.service.requests
    assert filenames(request.content) == ["unnamed", "a.jpg", "unnamed", "unnamed.png"]
    parts = request.content.split(b"application/octet-stream\r\n\r\n")[1:]
    assert [part.partition(b"\r\n")[0] for part in parts[:3]] == [b"bytes", b"a.jpg", b"file"]
    assert parts[3].startswith(b"\x89PNG")


def test_batches_are_bounded_by_pictures_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BATCH_PICTURES", 3)
    monkeypatch.setattr(pictures, "BATCH_BYTES", 10)
    sizes = [4, 4, 4, 1, 1, 1, 50, 0, 0]
    batches = [[len(new.picture) for new in batch] for batch in pictures.batches(b"x" * size for size in sizes)]
    assert batches == [[4, 4], [4, 1, 1], [1], [50], [0, 0]]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(client: Client, status: int, tmp_path: Path, waits: list[float]) -> None:
    client.service.troubled_by(status, **{"Retry-After": "7"}).troubled_by(status)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    client.service.troubled_by(status, **{"Retry-After": soon})

    [outcome] = client("index_many", files(tmp_path, "a.jpg"))

    assert outcome.status == "created"
    assert {request.content.partition(b"octet-stream\r\n\r\n")[2][:5] for request in client.service.requests} == {
        b"a.jpg"  # sent whole each time
    }
    assert waits[0] == 7.0
    assert 0.5 <= waits[1] <= 1
    assert 15 <= waits[2] <= 20


def test_what_is_busy_for_long_is_told_at_once(client: Client, waits: list[float]) -> None:
    client.service.troubled_by(429, "rate_limited", **{"Retry-After": str(LONGEST_PAUSE + 1)})
    with pytest.raises(lookalike_client.UnavailableError):
        client("get", ID)
    assert (len(client.service.requests), waits) == (1, [])


def test_pictures_that_the_service_was_too_busy_for_are_sent_again(
    client: Client, tmp_path: Path, waits: list[float]
) -> None:
    busy = {"status": "failed", "problem": {"status": 503, "code": "busy", "detail": "not now"}}
    created = {"status": "created", "image": IMAGE}
    for results in ([created, busy, busy], [busy, created]):
        client.service.troubles.append(lambda _, results=results: httpx.Response(207, json={"results": results}))  # type: ignore[misc]

    outcomes = client("index_many", files(tmp_path, "a.jpg", "b.jpg", "c.jpg"))

    assert [outcome.status for outcome in outcomes] == ["created"] * 3
    sent = [filenames(request.content) for request in client.service.requests]
    assert sent == [["a.jpg", "b.jpg", "c.jpg"], ["b.jpg", "c.jpg"], ["b.jpg"]]
    assert len(waits) == 2


def test_a_deletion_whose_answer_was_lost_is_one(client: Client, waits: list[float]) -> None:
    client.service.troubles.append(lambda _: httpx.ReadError("connection reset"))
    client.service.troubled_by(404, "image_not_found")
    client("delete", ID)
    client.service.troubles.append(lambda _: httpx.ConnectError("refused"))  # it never arrived
    client.service.troubled_by(404, "image_not_found")
    with pytest.raises(lookalike_client.NotFoundError):
        client("delete", ID)


@pytest.mark.parametrize("call", [("delete_matching", {"all": []}), ("edit_matching", {"all": []}, {"a": 1})])
def test_what_acts_by_a_filter_is_not_repeated_once_it_may_have_arrived(
    client: Client, call: tuple[Any, ...], waits: list[float]
) -> None:
    client.service.troubles.append(lambda _: httpx.ConnectError("refused"))
    client.service.troubles.append(lambda _: httpx.ReadTimeout("timed out"))
    with pytest.raises(lookalike_client.NoServiceError, match="timed out"):
        client(*call)
    assert len(client.service.requests) == 2


def test_a_filter_that_no_address_holds_is_told_so(client: Client, waits: list[float]) -> None:
    values = ["x" * 100] * 1000
    with pytest.raises(lookalike_client.InvalidRequestError, match="give a shorter filter"):
        client("list_images", filter={"all": [{"field": "filename", "in": values}]})
    assert waits == []


@pytest.mark.parametrize("key", ["se\ncret", "se\x00cret"])
def test_a_key_that_no_header_holds_is_refused_and_not_shown(client: Client, key: str) -> None:
    client.options["api_key"] = key
    with pytest.raises(ValueError, match="holds characters") as raised:
        client("ping")
    assert "cret" not in str(raised.value)


def test_ids_are_uuids(client: Client) -> None:
    for id_ in ("../../v1/models", "#x", ""):
        with pytest.raises(ValueError, match="is no id"):
            client("content", id_)
    assert client.service.requests == []


def test_what_is_less_than_one_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        client("index_many", [b"a"], concurrency=0)
    client.options["retries"] = -1
    with pytest.raises(ValueError, match="retries"):
        client("ping")


def test_an_image_of_pillows_keeps_its_orientation_and_becomes_png(client: Client) -> None:
    turned, cmyk = Image.new("RGB", (4, 2)), Image.new("CMYK", (4, 2))
    turned.getexif()[0x0112] = 6
    client("index_many", [turned, cmyk])
    parts = client.service.requests[0].content.split(b"application/octet-stream\r\n\r\n")[1:]
    first, second = (Image.open(io.BytesIO(part.rpartition(b"\r\n--")[0])) for part in parts)
    assert (first.getexif()[0x0112], second.mode) == (6, "RGB")


def test_what_can_be_read_is_read_whatever_else_it_can(client: Client) -> None:
    class FileStorage(io.BytesIO):
        name = "hat.jpg"
        mode = "rb"

        def save(self, path: str) -> None: ...

    closed = io.BytesIO(b"x")
    closed.close()
    outcomes = client(
        "index_many", [FileStorage(b"hat"), closed, "nul\0.jpg", lookalike_client.NewPicture(b"x", "\udce4")]
    )
    assert [outcome.status for outcome in outcomes] == ["created", "failed", "failed", "created"]
    assert client.service.batches == [["hat.jpg", "?"]]


async def test_a_cancellation_ends_what_has_begun() -> None:
    ended: list[int] = []

    async def call(number: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)
        return number

    async def consume() -> None:
        async for _ in _asyncio_runtime.in_order(call, range(9), 3):
            pass

    consuming = asyncio.create_task(consume())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(consuming, 5)
    assert sorted(ended) == [0, 1, 2]


def test_a_lost_connection_is_tried_again_but_not_for_ever(client: Client, waits: list[float]) -> None:
    client.options["retries"] = 3
    client.service.troubles.extend([lambda _: httpx.ReadError("connection reset")] * 100)

    with pytest.raises(lookalike_client.NoServiceError, match="connection reset"):
        client("get", ID)

    assert (len(client.service.requests), len(waits)) == (4, 3)


def test_a_batch_too_large_is_halved(client: Client, tmp_path: Path) -> None:
    client.service.most_files = 2
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]

    outcomes = client("index_many", files(tmp_path, *names))

    assert [outcome.status for outcome in outcomes] == ["created"] * 5
    assert [name for batch in client.service.batches for name in batch] == names
    assert max(map(len, client.service.batches)) == 2


def test_a_picture_too_large_alone_fails(client: Client, tmp_path: Path) -> None:
    client.service.most_files = 0
    outcomes = client("index_many", files(tmp_path, "a.jpg", "b.jpg"))
    assert [(outcome.status, str(outcome.error)) for outcome in outcomes] == [("failed", "too many files")] * 2


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "malformed_request", lookalike_client.InvalidRequestError),
        (401, "unauthorized", lookalike_client.NotAllowedError),
        (403, "forbidden", lookalike_client.NotAllowedError),
        (404, "image_not_found", lookalike_client.NotFoundError),
        (409, "embedding_space_mismatch", lookalike_client.ConflictError),
        (413, "image_too_large", lookalike_client.PictureError),
        (415, "unsupported_image_format", lookalike_client.PictureError),
        (415, "camera_raw", lookalike_client.PictureError),
        (422, "image_unreadable", lookalike_client.PictureError),
        (422, "validation_failed", lookalike_client.InvalidRequestError),
        (503, "repository_unavailable", lookalike_client.UnavailableError),
        (504, "deadline_passed", lookalike_client.UnavailableError),
        (507, "storage_full", lookalike_client.StorageFullError),
        (500, "internal_error", lookalike_client.ServiceError),
    ],
)
def test_a_refusal_is_an_error_by_its_code(
    client: Client, status: int, code: str, error: type[lookalike_client.ServiceError]
) -> None:
    client.options["retries"] = 0
    client.service.troubled_by(status, code, "because")
    with pytest.raises(lookalike_client.ServiceError, match="because") as raised:
        client("get", ID)
    assert (type(raised.value), raised.value.code, raised.value.status) == (error, code, status)


def test_what_is_no_json_is_told_by_its_status(client: Client) -> None:
    client.service.troubles.append(lambda _: httpx.Response(502, text="<html>"))
    with pytest.raises(lookalike_client.ServiceError, match="502 Bad Gateway"):
        client("get", ID)


def test_no_service_is_told_at_once(client: Client) -> None:
    client.service.troubles.append(lambda _: httpx.ConnectError("refused"))
    with pytest.raises(lookalike_client.NoServiceError, match=r"No service answers at http://service \(refused\)"):
        client("ping")
    assert len(client.service.requests) == 1


def test_another_service_is_not_taken_for_ours(client: Client) -> None:
    client.service.troubled_by(404)
    with pytest.raises(lookalike_client.NoServiceError, match="no Lookalike service"):
        client("ping")
    client.service.troubles.append(lambda _: httpx.Response(200, text="<html>"))
    with pytest.raises(lookalike_client.NoServiceError, match="no Lookalike service"):
        client("get", ID)


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "ftp://host", "http://host:port"])
def test_what_is_no_address_is_a_value_error(client: Client, url: str) -> None:
    client.options["url"] = url
    with pytest.raises(ValueError, match="no address of a service"):
        client("ping")


@pytest.mark.parametrize("key", ["schlüssel", "schlüssel\r\n"])
def test_keys_are_sent_as_the_service_compares_them(client: Client, key: str) -> None:
    client.options["api_key"] = key
    client("ping")
    assert (b"Authorization", "Bearer schlüssel".encode()) in client.service.requests[0].headers.raw


def test_the_whole_listing_is_followed_page_by_page(client: Client) -> None:
    for cursor in ("next", None):
        page = {"items": [IMAGE], "next_cursor": cursor, "total": 2}
        client.service.troubles.append(lambda _, page=page: httpx.Response(200, json=page))  # type: ignore[misc]

    found = client("images", filter={"all": [{"field": "filename", "eq": "ü"}]})

    assert [image.id for image in found] == [UUID(IMAGE["id"])] * 2
    queries = [dict(request.url.params) for request in client.service.requests]
    where = '{"all": [{"field": "filename", "eq": "\\u00fc"}]}'
    assert queries == [{"limit": "200", "filter": where}, {"limit": "200", "cursor": "next", "filter": where}]


def test_a_search_sends_its_options(client: Client) -> None:
    result = search.SearchResultOut.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload]
    client.service.troubles.append(lambda _: httpx.Response(200, json=result))

    regions = [(1.0, 2.0, 3.0, 4.0), (5.5, 6.0, 7.0, 8.0)]
    found = client("search", b"picture", limit=3, score_threshold=0.2, regions=regions, target="objects", exact=True)

    assert found.matches[0].score == 0.8312
    body = client.service.requests[0].content.decode()
    fields = dict.fromkeys(("limit", "offset", "score_threshold", "region", "target", "exact"))
    sent = [part.split('name="')[1] for part in body.split("--")[1:-2] if "filename" not in part]
    assert {part.split('"')[0] for part in sent} == set(fields)
    assert [part.split("\r\n\r\n")[1].strip() for part in sent if part.startswith("region")] == [
        "1.0,2.0,3.0,4.0",
        "5.5,6.0,7.0,8.0",
    ]
    assert 'name="exact"\r\n\r\ntrue\r\n' in body


@pytest.mark.parametrize("call", [("search", b"picture"), ("search_examples", [IMAGE["id"]]), ("similar", IMAGE["id"])])
def test_the_arrangement_is_asked_for_by_all_searches(client: Client, call: tuple[str, Any]) -> None:
    result = search.SearchResultOut.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload]
    client.service.troubles.extend([lambda _: httpx.Response(200, json=result)] * 2)

    arrangement = {"group_by": "metadata.brand", "group_size": 3, "diversity": 0.5, "min_likeness": 0.25}
    found = client(*call, **arrangement, adapt_to="metadata.kind", color_weight=0.125, exact=True)
    client(*call)

    group = found.matches[0].group
    assert (group.value, group.images, group.more[0].rank) == ("acme", 3, 2)
    assert (found.matches[0].band, found.matches[0].likeness, found.query.low_detail) == ("very_alike", 0.87, False)
    asked, plain = (f"{request.url.query!r} {request.content!r}" for request in client.service.requests)
    for name in (*arrangement, "metadata.brand", "adapt_to", "metadata.kind", "color_weight", "0.125", "exact"):
        assert name in asked
        assert name not in plain  # an older service would refuse it


def test_leaving_early_waits_for_what_was_begun(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BATCH_PICTURES", 1)
    taken: list[int] = []

    def numbered() -> Any:
        for number in range(100):
            taken.append(number)
            yield b"%d" % number

    async def first_of_async() -> None:
        outcomes = lookalike_client.AsyncLookalike(transport=client.service).index_many(numbered(), concurrency=2)
        assert (await anext(outcomes)).status == "created"
        await outcomes.aclose()

    if client.kind is lookalike_client.AsyncLookalike:
        asyncio.run(first_of_async())
    else:
        outcomes = lookalike_client.Lookalike(transport=client.service).index_many(numbered(), concurrency=2)
        assert next(outcomes).status == "created"
        outcomes.close()
    assert len(client.service.batches) == len(taken) - 1 == 2  # one picture was looked at to see where the batch ends


def test_the_batch_models_take_what_the_service_answers() -> None:
    example = images.BatchOut.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload]
    answer = BatchAnswer.model_validate(example)
    assert [item.status for item in answer.results] == ["created", "failed"]
    assert set(BatchItem.model_fields) <= set(images.BatchItemOut.model_fields)
