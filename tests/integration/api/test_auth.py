"""Keys and their roles, on a service that has some configured."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from entrypoints.keys import Role, written
from tests.contracts.api.bodies import MULTIPART, connection, read_problem, send_head
from tests.contracts.api.conformance import Conformance, assert_problem
from tests.contracts.api.deployed import LIMITS
from tests.pictures import a_picture
from tests.serving import Service, running

KEYS = {"search": "search-key-0", "read": "read-key-1", "write": "write-key:2", "admin": "admin-key-3=="}
RANK = ["search", "read", "write", "admin"]

SEARCHES = {
    *("POST /v1/search", "POST /v1/search/examples", "GET /v1/images/{id}/similar"),
    "POST /v1/detections",
}
"""What needs no more than `search`."""

READS = {"POST /v1/embeddings", "POST /v1/facets", "POST /v1/images/lookup"}
"""What needs no more than `read`, besides every other GET."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two keys by themselves, one by its hash, one in a file, and a second one that reads."""
    directory = tmp_path_factory.mktemp("service")
    file = directory / "keys"
    file.write_text(f"# of the operators\nadmin:{KEYS['admin']}\n")
    keys = f"search:{KEYS['search']},read:{KEYS['read']},{written(KEYS['write'], Role.WRITE)}, read:second-key"
    settings = {**LIMITS, "REPOSITORY__BACKEND": "memory", "AUTH__KEYS": keys, "AUTH__KEYS_FILE": str(file)}
    with running(directory, settings) as service:
        yield service


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{service.url}/openapi.json", timeout=30).json()
    return document


@pytest.fixture(scope="module")
def client(service: Service, document: dict[str, Any]) -> Iterator[httpx.Client]:
    with service.client(event_hooks={"response": [Conformance(document).check]}) as client:
        yield client


def bearer(role: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[role]}"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Method, path and needed role of each operation that needs one."""
    for path, methods in document["paths"].items():
        for method in map(str.upper, methods):
            if path.startswith("/v1/"):
                yield method, path.replace("{id}", str(uuid4())), needed_role(method, f"{method} {path}")


def needed_role(method: str, operation: str) -> str:
    if operation in SEARCHES:
        return "search"
    return "read" if method == "GET" or operation in READS else "write"


def test_without_a_key_nothing_but_health_is_open(client: httpx.Client, document: dict[str, Any]) -> None:
    for method, path, _ in operations(document):
        response = client.request(method, path)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")
    for path in ("/health/live", "/health/ready"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong-key-1", "Bearer read-key-", "Bearer READ-KEY-1", "Bearer", "read-key-1", "Basic cmVhZC1rZXktMQ=="],
)
def test_any_other_key_is_none(client: httpx.Client, header: str) -> None:
    assert_problem(client.get("/v1/images", headers={"authorization": header}), 401, "unauthorized")


def test_bytes_that_are_no_key_are_none(client: httpx.Client) -> None:
    assert_problem(client.get("/v1/images", headers={"authorization": b"Bearer \xff\xfe\xfd"}), 401, "unauthorized")


def test_each_operation_needs_its_role(client: httpx.Client, document: dict[str, Any]) -> None:
    for method, path, needed in operations(document):
        for role in RANK:
            response = client.request(method, path, headers=bearer(role))
            if RANK.index(role) < RANK.index(needed):
                assert_problem(response, 403, "forbidden", says=needed)
            else:
                assert response.status_code not in {401, 403}, f"{method} {path} as {role}"


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}"])
def test_the_scheme_is_written_as_one_likes(client: httpx.Client, form: str) -> None:
    assert client.get("/v1/images", headers={"authorization": form.format("second-key")}).status_code == 200


def test_a_writer_writes_and_a_reader_reads(client: httpx.Client) -> None:
    files = {"file": ("a.png", a_picture(1))}
    assert_problem(client.post("/v1/images", files=files, headers=bearer("read")), 403)
    image = client.post("/v1/images", files=files, headers=bearer("write"))
    assert image.status_code == 201
    found = client.post("/v1/search", files=files, headers=bearer("read")).json()
    assert [match["image"] for match in found["matches"]] == [image.json()]


@pytest.mark.parametrize("path", ["/v1/images", "/v1/images/batch", "/v1/search", "/v1/embeddings", "/v1/detections"])
def test_a_stranger_may_not_make_the_service_read_a_body(service: Service, client: httpx.Client, path: str) -> None:
    with connection(service) as open_:
        send_head(open_, path, MULTIPART, "Content-Length: 500000")
        status, problem = read_problem(open_)  # before a byte of it is sent
    assert (status, problem["code"]) == (401, "unauthorized")
    malformed = client.post(path, content=b"x", headers={"content-type": MULTIPART})
    assert_problem(malformed, 401, "unauthorized")


def test_json_of_a_stranger_is_not_looked_at(client: httpx.Client) -> None:
    header = {"content-type": "application/json"}
    for path in ("/v1/images/delete", "/v1/search/examples"):
        assert_problem(client.post(path, content="{", headers=header), 401, "unauthorized")
    assert_problem(client.patch(f"/v1/images/{uuid4()}", content="{", headers=header), 401, "unauthorized")


def test_keys_are_nowhere_but_in_the_callers_hands(tmp_path: Path) -> None:
    """Whatever goes wrong with them: in no answer, no log, and no file but the one that holds them."""
    file = tmp_path / "of-the-operator" / "keys"
    file.parent.mkdir()
    file.write_text(f"admin:{KEYS['admin']}\n")
    settings = {
        "REPOSITORY__BACKEND": "memory",
        "DETECTOR__RUNTIME": "none",
        "AUTH__KEYS": f"search:{KEYS['search']},read:{KEYS['read']},{written(KEYS['write'], Role.WRITE)}",
        "AUTH__KEYS_FILE": str(file),
        "AUTH__OPEN_DOCS": "false",
        "LIMITS__WRONG_KEYS": "4/hour",
        "LOG__LEVEL": "debug",
    }
    wrong = [f"wrong-key-{number}" for number in range(5)]
    heard = b""
    with running(tmp_path / "service", settings) as service, service.client() as client:
        heard += b"".join(_heard(client.post("/session", headers=bearer(role))) for role in RANK)
        client.cookies.clear()
        for path in ("/v1/images", "/v1/images?limit=0", "/docs", "/nowhere", "/session", "/v1/models"):
            for header in (
                *(f"Bearer {key}" for key in [*KEYS.values(), *wrong]),
                *(f"Basic {key}" for key in KEYS.values()),
                *KEYS.values(),
            ):
                heard += _heard(client.get(path, headers={"authorization": header}))
                heard += _heard(client.get(path, headers={"cookie": f"lookalike_session={header}"}))
                heard += _heard(client.post("/v1/images/delete", content="{", headers={"authorization": header}))
        output = service.output()
    written_files = [path for path in (tmp_path / "service").rglob("*") if path.is_file()]
    told = heard + output.encode() + b"".join(path.read_bytes() for path in written_files)
    assert b"rate_limited" in heard
    assert "Traceback" not in output
    for key in [*KEYS.values(), *wrong]:
        assert key.encode() not in told, key
        assert sha256(key.encode()).hexdigest().encode() not in told, key
        assert sha256(key.encode()).digest() not in told, key


def _heard(response: httpx.Response) -> bytes:
    return repr(response.headers.raw).encode() + response.content


def test_the_document_says_how_to_send_a_key(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert any(scheme["type"] == "http" and scheme["scheme"] == "bearer" for scheme in schemes.values())
    for path, methods in document["paths"].items():
        for operation in methods.values():
            needed = bool(operation.get("security")) and {} not in operation["security"]
            assert needed == path.startswith("/v1/"), path
    assert document["paths"]["/metrics"]["get"]["security"]  # where metrics are closed
    [signed] = [name for name, scheme in schemes.items() if scheme["type"] == "apiKey"]
    assert (schemes[signed]["in"], schemes[signed]["name"]) == ("query", "signature")
    secured = {
        path: operation["security"]
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if {signed: []} in operation.get("security", [])
    }
    assert [*secured] == ["/v1/images/{id}/thumbnail"]
    assert len(secured["/v1/images/{id}/thumbnail"]) == 2  # a key, or the signature


def test_a_page_shows_what_it_finds_with_a_key_that_only_searches(client: httpx.Client) -> None:
    files = {"file": ("of-the-shop.png", a_picture(2))}
    assert client.post("/v1/images", files=files, headers=bearer("write")).status_code in {200, 201}
    match = client.post("/v1/search", files=files, headers=bearer("search")).json()["matches"][0]
    assert match["image"]["filename"] is None
    link = match["image"]["links"]["thumbnail"]
    shown = client.get(link)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    assert shown.headers["cache-control"].startswith("public, max-age=")
    assert client.get(link, headers={"if-none-match": shown.headers["etag"]}).status_code == 304
    assert_problem(client.get(link.replace("signature=", "signature=x")), 403, "link_expired")
    refused = client.post("/v1/search", files=files, data={"filter": '{"all": [{"field": "filename", "eq": "a"}]}'},
                          headers=bearer("search"))  # fmt: skip
    assert_problem(refused, 403, "field_not_public", says="filename")
