"""A service as it is deployed, embedded index and packaged models: what its metrics and logs say of real requests."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.pictures import a_photo, a_picture
from tests.serving import Service, start, stop
from tests.unit.adapters.telemetry.readings import Readings, by, moved, read, value

KEYS = {"read": "a-key-to-read-with", "write": "a-key-to-write-with", "admin": "a-key-to-rule-with"}
HEADERS = {role: {"authorization": f"Bearer {key}"} for role, key in KEYS.items()}
DURATIONS = "lookalike_stage_seconds_count"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "AUTH__KEYS": ",".join(f"{role}:{key}" for role, key in KEYS.items()),
        "LOG__LEVEL": "debug",
        "STORAGE__RESERVE_BYTES": "0",
    }
    service = start(tmp_path_factory.mktemp("observed"), settings)
    yield service
    if service.process.poll() is None:
        stop(service)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client(headers=HEADERS["write"]) as client:
        yield client


def scraped(client: httpx.Client) -> Readings:
    return read(client.get("/metrics", headers=HEADERS["admin"]).text)


def test_each_stage_moves_by_exactly_what_was_done(client: httpx.Client) -> None:
    before = scraped(client)
    created = client.post("/v1/images", files={"file": ("hat.jpg", a_photo())}).json()
    after = scraped(client)
    assert moved(before, after, DURATIONS, "stage") == {
        "decode": 1,
        "thumbnail": 1,
        "detect": 1,
        "encode": 1,
        "index_read": 2,
        "index_write": 1,
        "store_write": 1,
    }
    assert moved(before, after, "lookalike_wait_seconds_count", "stage") == {
        "decode": 1,
        "thumbnail": 1,
        "detect": 1,
        # The picture and its objects: each for a core to be fitted on, and for its batch.
        "encode": 2 * (1 + len(created["objects"])),
    }
    batched = moved(before, after, "lookalike_batch_size_sum", "stage")
    assert batched == {"encode": 1 + len(created["objects"])}

    before = after
    assert client.post("/v1/search", files={"file": ("hat.jpg", a_photo())}).status_code == 200
    after = scraped(client)
    # Whether the same picture is there, that picture, and the others.
    assert moved(before, after, DURATIONS, "stage") == {"decode": 1, "encode": 1, "index_read": 3}
    assert moved(before, after, "lookalike_batch_size_count", "stage") == {"encode": 1}

    before = after
    assert client.post("/v1/detections", files={"file": ("hat.jpg", a_photo())}).status_code == 200
    assert client.get(created["links"]["thumbnail"]).status_code == 200
    assert client.post("/v1/search", files={"file": ("hat.jpg", a_photo()[:5000])}).status_code == 422
    after = scraped(client)
    assert moved(before, after, DURATIONS, "stage") == {"decode": 2, "detect": 1, "index_read": 1, "store_read": 1}
    assert moved(before, after, "lookalike_problems_total", "code") == {"image_unreadable": 1}

    before = after
    files = [("files", (f"{number}.png", a_picture(number))) for number in range(5)]
    assert client.post("/v1/images/batch", files=files).json()["created"] == 5
    after = scraped(client)
    done = moved(before, after, DURATIONS, "stage")
    assert {
        stage: done[stage] for stage in ("decode", "thumbnail", "detect", "encode", "store_write")
    } == dict.fromkeys(("decode", "thumbnail", "detect", "encode", "store_write"), 5)
    assert value(after, "lookalike_images_written_total") == 6
    assert value(after, "lookalike_index_images") == 6
    assert by(after, "lookalike_waiting", "stage") == {}


def test_the_same_bytes_under_two_keys_are_decoded_and_encoded_once(client: httpx.Client) -> None:
    content = a_photo("hat-02.jpg")
    first = client.post("/v1/images", files={"file": ("a.jpg", content)}, data={"key": "sku-a"})
    before = scraped(client)
    second = client.post("/v1/images", files={"file": ("b.jpg", content)}, data={"key": "sku-b"})
    after = scraped(client)
    assert (first.status_code, second.status_code) == (201, 201)
    stages = moved(before, after, DURATIONS, "stage")
    assert not {"decode", "thumbnail", "detect", "encode"} & stages.keys()
    assert stages["index_write"] == 1
    for key in ("sku-a", "sku-b"):
        assert client.delete("/v1/images/by-key", params={"key": key}).status_code == 204


def test_index_models_and_all_processes_are_told(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()
    readings = scraped(client)
    assert value(readings, "lookalike_ready") == 1
    roles = {dict(labels)["role"]: dict(labels) for name, labels in readings if name == "lookalike_model_info"}
    assert {role: info["model"] for role, info in roles.items()} == {
        role: models[role]["model"] for role in ("encoder", "detector")
    }
    for name in ("lookalike_index_segments", "lookalike_index_points", "lookalike_index_longest_wait_seconds"):
        assert (value(readings, name) or 0) > 0, name
    for name in (
        "process_resident_memory_bytes",
        "lookalike_index_process_resident_memory_bytes",
        "lookalike_decoders_resident_memory_bytes",
    ):
        assert (value(readings, name) or 0) > 20e6, name


def test_logs_hold_no_picture_and_no_key(service: Service) -> None:
    picture = a_photo()
    cookie = ""
    with service.client() as client:
        for headers in ({}, *HEADERS.values(), {"authorization": "Bearer not-a-key-of-ours"}):
            client.post("/v1/search", files={"file": ("hat.jpg", picture)}, headers=headers)
            client.post("/v1/images", files={"file": ("hat.jpg", picture[:3000])}, headers=headers)
        client.post("/session", headers=HEADERS["write"])
        cookie = client.cookies["lookalike_session"]
        client.get("/v1/images")
    stop(service)  # what it writes at its end counts too
    output = service.output()
    for secret in (*KEYS.values(), "not-a-key-of-ours", cookie):
        assert secret not in output
    for offset in range(0, len(picture) - 16, 997):
        piece = picture[offset : offset + 16]
        for form in (
            piece.decode("latin-1"),
            piece.hex(),
            repr(piece)[2:-1],
            json.dumps(piece.decode("latin-1"))[1:-1],
        ):
            assert form not in output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    searches = [line for line in lines if line.get("event") == "request" and line["route"] == "/v1/search"]
    assert {line["status"] for line in searches} >= {200, 401}
    assert all(re.fullmatch("[0-9a-f]{32}", line["request_id"]) for line in searches)
