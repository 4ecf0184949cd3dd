"""The client against a service that is written down here: busy, short of room, away."""

import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
from python_multipart.multipart import parse_options_header

from domain.errors import ConfigurationError, ImageError, InvalidInputError, LookalikeError, UnavailableError
from entrypoints.cli import service_client
from entrypoints.cli.indexing import Source, run_index
from entrypoints.cli.pictures import Found
from entrypoints.cli.service_client import ServiceClient, chosen_key, groups, index_there

Answer = httpx.Response | Exception


class FakeService(httpx.AsyncBaseTransport):
    """Takes batches as the API does; `troubles` come first, one a request."""

    def __init__(self, *, most_files: int = 1000) -> None:
        self.troubles: deque[Callable[[httpx.Request], Answer]] = deque()
        self.most_files = most_files
        self.batches: list[list[str]] = []
        self.requests: list[httpx.Request] = []

    def troubled_by(self, status: int, detail: str = "not now", **headers: str) -> "FakeService":
        self.troubles.append(lambda _: httpx.Response(status, json={"detail": detail}, headers=headers))
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        self.requests.append(request)
        if self.troubles:
            answer = self.troubles.popleft()(request)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if request.url.path == "/health/live":
            return httpx.Response(200, json={"status": "ok"})
        names = _filenames(body)
        if len(names) > self.most_files:
            return httpx.Response(413, json={"detail": "too many files"})
        self.batches.append(names)
        results = [
            {"filename": name, "status": "failed", "problem": {"detail": "no picture", "code": "image_unreadable"}}
            if "bad" in name
            else {"filename": name, "status": "created", "image": {}}
            for name in names
        ]
        return httpx.Response(207, json={"results": results})


def _filenames(body: bytes) -> list[str]:
    headers = [line.partition(b": ")[2] for line in body.split(b"\r\n") if line.startswith(b"Content-Disposition")]
    options = [parse_options_header(header)[1] for header in headers]
    return [option[b"filename"].decode() for option in options if b"filename" in option]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[ServiceClient]:
    async with ServiceClient("http://service/", "secret", pause=0.001, transport=service) as client:
        yield client


@pytest.fixture
def source(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Indexing by the service, which is there, two files at a time."""
    monkeypatch.setattr(service_client, "GROUP_FILES", 2)
    monkeypatch.setattr(service_client, "ServiceClient", partial(ServiceClient, transport=service))
    service.troubles.append(lambda _: httpx.Response(200))
    return index_there("http://service", None, None)


def pictures(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(name.encode())
    return [folder / name for name in names]


async def test_results_come_in_the_order_sent(client: ServiceClient, service: FakeService, tmp_path: Path) -> None:
    paths = pictures(tmp_path, "b.jpg", "bad.jpg", "größe.jpg")

    results = await client.index(paths, '{"brand": "acme"}')

    assert [(result.path, result.status, result.reason) for result in results] == [
        (paths[0], "created", ""),
        (paths[1], "failed", "no picture"),
        (paths[2], "created", ""),
    ]
    assert service.batches == [["b.jpg", "bad.jpg", "größe.jpg"]]
    [request] = service.requests
    assert request.headers["Authorization"] == "Bearer secret"
    assert b'{"brand": "acme"}' in request.content


async def test_files_that_cannot_be_read_fail_alone(
    client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    paths = [tmp_path / "gone.jpg", *pictures(tmp_path, "a.jpg")]

    results = await client.index(paths, None)

    assert [result.status for result in results] == ["failed", "created"]
    assert results[0].reason == "The file cannot be read: No such file or directory."
    assert service.batches == [["a.jpg"]]


async def test_a_pipe_fails_alone(client: ServiceClient, service: FakeService, tmp_path: Path) -> None:
    paths = [*pictures(tmp_path, "a.jpg"), tmp_path / "pipe.jpg"]
    os.mkfifo(paths[1])

    results = await client.index(paths, None)

    assert [result.status for result in results] == ["created", "failed"]
    assert results[1].reason == "The file cannot be read: It is no regular file."
    with pytest.raises(OSError, match="no regular file"):
        await client.search(paths[1], {})


async def test_a_file_that_goes_before_it_is_sent_fails_alone(
    client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    paths = pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg")

    def busy(_: httpx.Request) -> httpx.Response:
        paths[1].unlink()
        return httpx.Response(503)

    service.troubles.append(busy)
    results = await client.index(paths, None)

    assert [result.status for result in results] == ["created", "failed", "created"]
    assert results[1].reason == "The file cannot be read: No such file or directory."


@pytest.mark.parametrize("place", ["/proc/version", "/sys/kernel/uevent_seqnum"], ids=["longer", "shorter"])
async def test_a_file_that_is_not_as_long_as_announced_fails_alone(
    place: str, client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    paths = [*pictures(tmp_path, "a.jpg", "b.jpg"), tmp_path / "c.jpg"]
    paths[2].symlink_to(place)  # the system announces 0 and 4,096 bytes for these, whatever they hold

    results = await client.index(paths, None)

    assert [result.status for result in results] == ["created", "created", "failed"]
    assert results[2].reason == "The file cannot be read: Its size changed while it was sent."


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_service_is_asked_again(
    status: int, client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    service.troubled_by(status, **{"Retry-After": "0.002"}).troubled_by(status)

    [result] = await client.index(pictures(tmp_path, "a.jpg"), None)

    assert result.status == "created"
    bodies = {request.content.partition(b"\r\n\r\n")[2][:5] for request in service.requests}
    assert (len(service.requests), bodies) == (3, {b"a.jpg"})  # sent whole each time


async def test_retry_after_is_waited_for(
    client: ServiceClient, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(service_client.asyncio, "sleep", note)
    service.troubled_by(503, **{"Retry-After": "7"}).troubled_by(503, **{"Retry-After": "86400"}).troubled_by(503)

    await client.index(pictures(tmp_path, "a.jpg"), None)

    assert waits == [7.0, service_client.LONGEST_PAUSE, pytest.approx(0.004)]


async def test_a_lost_connection_is_tried_again_but_not_for_ever(
    client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    service.troubles.extend([lambda _: httpx.ReadError("connection reset")] * 100)

    with pytest.raises(UnavailableError, match="connection reset"):
        await client.index(pictures(tmp_path, "a.jpg"), None)

    assert len(service.requests) == service_client.ATTEMPTS


async def test_a_batch_too_large_is_halved(client: ServiceClient, service: FakeService, tmp_path: Path) -> None:
    service.most_files = 2
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]

    results = await client.index(pictures(tmp_path, *names), None)

    assert [result.status for result in results] == ["created"] * 5
    assert [name for batch in service.batches for name in batch] == names
    assert max(map(len, service.batches)) == 2


async def test_a_picture_too_large_alone_fails(client: ServiceClient, service: FakeService, tmp_path: Path) -> None:
    service.most_files = 0

    [first, second] = await client.index(pictures(tmp_path, "a.jpg", "b.jpg"), None)

    assert (first.status, first.reason, second.status) == ("failed", "too many files", "failed")


@pytest.mark.parametrize(
    ("status", "error"), [(401, ConfigurationError), (403, ConfigurationError), (422, InvalidInputError)]
)
async def test_a_refusal_says_what_the_service_said(
    status: int, error: type[Exception], client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    service.troubled_by(status, "because")

    with pytest.raises(error, match=r"http://service refuses: because"):
        await client.index(pictures(tmp_path, "a.jpg"), None)
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [401, 408, 502])
async def test_a_refusal_amid_a_run_leaves_its_report(
    status: int, source: Source, service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse_the_second_batch(_: httpx.Request) -> httpx.Response:
        service.troubled_by(status, "because")
        return httpx.Response(207, json={"results": [created, failed]})

    created, failed = {"status": "created"}, {"status": "failed", "problem": {"detail": "no picture"}}
    service.troubles.append(refuse_the_second_batch)
    paths = pictures(tmp_path, "a.jpg", "bad.jpg", "c.jpg", "d.jpg")

    with pytest.raises(LookalikeError, match="because"):
        await run_index([Found(path) for path in paths], source)

    told = capsys.readouterr()
    assert f"{paths[1]}: no picture\n" in told.err
    assert "stopped after 2 of 4" in told.err
    assert "Run the same command again" in told.err
    assert told.out == "1 created, 0 existed, 1 failed\n"


async def test_an_error_without_a_name_amid_a_run_leaves_its_report(
    source: Source, service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_the_second_batch(_: httpx.Request) -> httpx.Response:
        service.troubles.append(lambda _: RuntimeError("because"))
        return httpx.Response(207, json={"results": [{"status": "created"}] * 2})

    service.troubles.append(fail_the_second_batch)
    found = [Found(path) for path in pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg")]

    with pytest.raises(RuntimeError, match="because"):
        await run_index(found, source)

    told = capsys.readouterr()
    assert "stopped after 2 of 3" in told.err
    assert told.out == "2 created, 0 existed, 0 failed\n"


async def test_a_refusal_at_once_is_all_that_is_told(
    source: Source, service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.troubled_by(401, "because")
    found = [Found(path) for path in pictures(tmp_path, "a.jpg")]

    with pytest.raises(ConfigurationError, match="because"):
        await run_index(found, source)

    assert capsys.readouterr() == ("", "")


async def test_a_picture_that_cannot_be_used_is_told_as_it_is_without_a_service(
    client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    problem = {"detail": "no picture", "code": "unsupported_image_format"}
    service.troubles.append(lambda _: httpx.Response(415, json=problem))
    [picture] = pictures(tmp_path, "a.jpg")

    with pytest.raises(ImageError, match="no picture"):
        await client.search(picture, {})


async def test_no_service_is_told_at_once(client: ServiceClient, service: FakeService) -> None:
    service.troubles.append(lambda _: httpx.ConnectError("refused"))

    with pytest.raises(UnavailableError, match=r"No service answers at http://service \(refused\)"):
        await client.require()
    assert len(service.requests) == 1


async def test_another_service_is_not_taken_for_ours(client: ServiceClient, service: FakeService) -> None:
    service.troubled_by(404)

    with pytest.raises(UnavailableError, match="no Lookalike service"):
        await client.require()


async def test_what_is_no_json_is_told_by_its_status(
    client: ServiceClient, service: FakeService, tmp_path: Path
) -> None:
    service.troubles.append(lambda _: httpx.Response(502, text="<html>"))

    with pytest.raises(UnavailableError, match="502 Bad Gateway"):
        await client.index(pictures(tmp_path, "a.jpg"), None)


async def test_a_search_sends_its_options(client: ServiceClient, service: FakeService, tmp_path: Path) -> None:
    service.troubles.append(lambda _: httpx.Response(200, json={"matches": []}))
    [picture] = pictures(tmp_path, "a.jpg")

    assert await client.search(picture, {"limit": "3"}) == {"matches": []}
    assert b'name="limit"\r\n\r\n3\r\n' in service.requests[0].content


@pytest.mark.parametrize("key", ["schlüssel", "schlüssel\r\n"])
async def test_keys_are_sent_as_the_service_compares_them(key: str, service: FakeService) -> None:
    async with ServiceClient("http://service", key, transport=service) as client:
        await client.require()
    assert (b"Authorization", "Bearer schlüssel".encode()) in service.requests[0].headers.raw


@pytest.mark.parametrize(("given", "chosen"), [(None, "kept"), ("given", "given")])
def test_a_key_is_taken_from_the_settings_unless_given(
    given: str | None, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen_key(None) is None
    monkeypatch.setenv("LOOKALIKE_CLIENT__KEY", "kept")
    assert chosen_key(given) == chosen


def test_what_settings_say_of_a_service_here_does_not_matter_to_one_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("LOOKALIKE_HTTP__WORKERS=4\nLOOKALIKE_OTHER=1\nLOOKALIKE_CLIENT__KEY=kept\n")
    assert chosen_key(None) == "kept"
    monkeypatch.setenv("LOOKALIKE_CLIENT__KEI", "kept")
    with pytest.raises(ConfigurationError, match="LOOKALIKE_CLIENT__KEY"):
        chosen_key(None)


def test_groups_are_bounded_by_files_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_client, "GROUP_FILES", 3)
    monkeypatch.setattr(service_client, "GROUP_BYTES", 10)
    sizes = [4, 4, 4, 1, 1, 1, 50, 0, 0]
    paths = []
    for number, size in enumerate(sizes):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(b"x" * size)

    found = [[path.stat().st_size for path in group] for group in groups(iter(paths))]

    assert found == [[4, 4], [4, 1, 1], [1], [50], [0, 0]]
    assert list(groups(iter([]))) == []
