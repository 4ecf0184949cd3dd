"""Bodies that are too large, malformed, or cut off: spoken over a bare socket where a client library would not."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contracts.api.conformance import assert_problem
from tests.contracts.api.deployed import MAX_BATCH, MAX_UPLOAD, Album, Deployed
from tests.pictures import a_bomb, a_picture
from tests.serving import Service

PICTURE_OPERATIONS = ["/v1/images", "/v1/search", "/v1/embeddings", "/v1/detections"]
MULTIPART = "multipart/form-data; boundary=BOUNDARY"
FILE_HEAD = b'--BOUNDARY\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
FILES_HEAD = FILE_HEAD.replace(b'"file"', b'"files"')
END = b"\r\n--BOUNDARY--\r\n"


@contextmanager
def connection(service: Service) -> Iterator[socket.socket]:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as open_:
        yield open_


def send_head(open_: socket.socket, path: str, content_type: str, *framing: str) -> None:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", *framing, "", ""]
    open_.sendall("\r\n".join(lines).encode())


def read_problem(open_: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status and the problem that is answered now, however much of the request is still to come."""
    received = b""
    while True:
        head, _, body = received.partition(b"\r\n\r\n")
        if body:
            try:
                return int(head.split()[1]), json.loads(body)
            except ValueError:
                pass
        more = open_.recv(65536)
        assert more, f"The connection was closed after {received!r}"
        received += more


class BodiesContract(Deployed):
    @pytest.mark.parametrize("path", PICTURE_OPERATIONS)
    def test_one_byte_too_many(self, client: httpx.Client, album: Album, path: str) -> None:
        content = album.picture()
        largest = content + b"\0" * (MAX_UPLOAD - len(content))
        assert client.post(path, files={"file": largest}).status_code in {200, 201}
        assert_problem(client.post(path, files={"file": largest + b"\0"}), 413, "body_too_large", says=str(MAX_UPLOAD))

    @pytest.mark.parametrize(
        "path", [*PICTURE_OPERATIONS, "/v1/images/batch", "/v1/images/delete", "/v1/search/examples"]
    )
    def test_a_declared_length_is_refused_before_a_byte_is_sent(self, service: Service, path: str) -> None:
        json_ = path.endswith(("delete", "examples"))
        with connection(service) as open_:
            send_head(open_, path, "application/json" if json_ else MULTIPART, "Content-Length: 1000000000000")
            status, problem = read_problem(open_)
        assert (status, problem["code"]) == (413, "body_too_large")

    @pytest.mark.parametrize(
        ("path", "head", "enough"),
        [
            *((path, FILE_HEAD, 4 * MAX_UPLOAD) for path in PICTURE_OPERATIONS),
            ("/v1/images/batch", FILES_HEAD, MAX_BATCH + 2 * MAX_UPLOAD),
        ],
    )
    def test_a_stream_is_refused_before_it_ends(self, service: Service, path: str, head: bytes, enough: int) -> None:
        chunk = b"\0" * 65536
        with connection(service) as open_:
            send_head(open_, path, MULTIPART, "Transfer-Encoding: chunked")
            open_.sendall(b"%x\r\n%s\r\n" % (len(head), head))
            try:
                for _ in range(enough // len(chunk)):
                    open_.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            except ConnectionError:
                pass  # it has answered, and hung up
            status, problem = read_problem(open_)
        assert (status, problem["code"]) == (413, "body_too_large")

    def test_a_stream_that_is_small_enough_is_taken(self, client: httpx.Client, album: Album) -> None:
        body = FILE_HEAD + album.picture() + END
        stream = (body[at : at + 1000] for at in range(0, len(body), 1000))
        assert client.post("/v1/images", content=stream, headers={"content-type": MULTIPART}).status_code == 201

    def test_a_batch_of_too_many_bytes(self, client: httpx.Client) -> None:
        files = [("files", (f"{number}.png", b"\0" * MAX_UPLOAD)) for number in range(6)]
        assert_problem(client.post("/v1/images/batch", files=files), 413, "body_too_large")

    @pytest.mark.parametrize("path", PICTURE_OPERATIONS)
    @pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (40_000, 10)])
    def test_too_many_pixels_by_the_header_alone(self, client: httpx.Client, path: str, size: tuple[int, int]) -> None:
        response = client.post(path, files={"file": a_bomb(*size)})
        assert_problem(response, 413, "image_too_large")

    @pytest.mark.parametrize("path", [*PICTURE_OPERATIONS, "/v1/images/batch"])
    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", FILE_HEAD + a_picture(0) + END),
            (MULTIPART, b"no boundary at all"),
            (MULTIPART, FILE_HEAD + a_picture(0)),
            (MULTIPART, b"--BOUNDARY\r\nno header\r\n\r\nx" + END),
            (MULTIPART, b"--BOUNDARY\r\nContent-Disposition: form-data\r\n\r\nx" + END),
        ],
        ids=["no boundary declared", "no boundary sent", "cut off", "bad header", "no name"],
    )
    def test_malformed_multipart(self, client: httpx.Client, path: str, content_type: str, body: bytes) -> None:
        response = client.post(path, content=body, headers={"content-type": content_type})
        assert_problem(response, 400, "malformed_request")

    def test_a_caller_who_hangs_up_does_no_harm(self, service: Service, client: httpx.Client, album: Album) -> None:
        for framing in ("Content-Length: 500000", "Transfer-Encoding: chunked"):
            with connection(service) as open_:
                send_head(open_, "/v1/images", MULTIPART, framing)
                open_.sendall(FILE_HEAD if "Length" in framing else b"%x\r\n%s\r\n" % (len(FILE_HEAD), FILE_HEAD))
        assert album.post(album.picture()).status_code == 201

    def test_a_field_of_many_bytes_is_refused(self, client: httpx.Client, album: Album) -> None:
        response = client.post("/v1/search", files={"file": album.picture()}, data={"filter": "x" * 1_500_000})
        assert response.status_code in {400, 413, 422}
        assert_problem(response, response.status_code)
