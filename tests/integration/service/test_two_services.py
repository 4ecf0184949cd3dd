"""Two services on one folder and one server: what pictures share is kept as long as one record names it.

Writers have keys of their own, so that each knows what must be there, and send the same few pictures through both
services, so that originals are put, shared and purged at the same time. One service is killed amid that.
"""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.pictures import a_picture
from tests.qdrant_server import QdrantServer
from tests.qdrant_stand_in import qdrant_stand_in_on_a_thread
from tests.serving import Service, start, stop

WRITERS, STEPS = 6, 40
PICTURES = [a_picture(number) for number in range(3)]


@pytest.fixture(params=["stand-in", "server"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    shared = {
        "REPOSITORY__BACKEND": "qdrant",
        "REPOSITORY__COLLECTION": f"lookalike-two-{uuid.uuid4().hex[:12]}",
        "DATA_DIR": str(tmp_path / "data"),
        "DETECTOR__RUNTIME": "none",
    }
    if request.param == "stand-in":
        with qdrant_stand_in_on_a_thread() as stand_in:
            yield shared | {"REPOSITORY__URL": stand_in.url, "REPOSITORY__GRPC_PORT": str(stand_in.port)}
        return
    server: QdrantServer = request.getfixturevalue("qdrant_server")
    at = {"REPOSITORY__URL": server.url, "REPOSITORY__GRPC_PORT": str(server.grpc_port)}
    yield shared | at | ({"REPOSITORY__API_KEY": server.api_key} if server.api_key else {})


@dataclass
class Writer:
    """Does this and that under its own keys. `known` has what was acknowledged; None: it is gone."""

    number: int
    urls: list[str]
    known: dict[str, bytes | None] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    """Keys of requests that no answer came to."""

    def run(self) -> None:
        chance = random.Random(self.number)
        with httpx.Client(timeout=60) as client:
            for _ in range(STEPS):
                key, url = f"{self.number}/{chance.randrange(3)}", chance.choice(self.urls)
                try:
                    self.step(client, url, key, chance)
                except httpx.TransportError:
                    self.unsure.add(key)

    def step(self, client: httpx.Client, url: str, key: str, chance: random.Random) -> None:
        what = chance.random()
        if what < 0.6:
            content = chance.choice(PICTURES)
            answer = client.post(f"{url}/v1/images", files={"file": ("a.png", content)}, data={"key": key})
            assert answer.status_code in {200, 201}, answer.text
            self.told(key, content)
        elif what < 0.85:
            answer = client.delete(f"{url}/v1/images/by-key", params={"key": key})
            assert answer.status_code in {204, 404}, answer.text
            self.told(key, None)
        else:
            other = f"{self.number}/{chance.randrange(3)}"
            if {key, other} & self.unsure or other == key:
                return
            answer = client.post(f"{url}/v1/images/rename", json={"items": [{"from": key, "to": other}]})
            [result] = answer.json()["results"]
            if result["status"] == "renamed":
                assert self.known.get(other) is None
                self.told(other, self.known[key])
                self.told(key, None)

    def told(self, key: str, content: bytes | None) -> None:
        self.known[key] = content
        self.unsure.discard(key)


def test_nothing_acknowledged_is_lost_and_nothing_lacks_its_original(settings: dict[str, str], tmp_path: Path) -> None:
    first, second = (start(tmp_path / name, settings) for name in ("first", "second"))
    writers = [Writer(number, [first.url, second.url]) for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        running = [pool.submit(writer.run) for writer in writers]
        for task in running[:1]:
            task.result()
        second.kill(group=True)
        for task in running:
            task.result()
    try:
        check(first, writers)
    finally:
        stop(first)


def check(service: Service, writers: list[Writer]) -> None:
    with service.client() as client:
        stored = {image["key"]: image for image in client.get("/v1/images", params={"limit": 200}).json()["items"]}
        for writer in writers:
            for key, content in writer.known.items():
                if key not in writer.unsure:
                    assert (key in stored) is (content is not None), key
                    assert content is None or stored[key]["sha256"] == sha256(content).hexdigest()
        for image in stored.values():
            content = client.get(image["links"]["content"])
            assert (content.status_code, sha256(content.content).hexdigest()) == (200, image["sha256"])
