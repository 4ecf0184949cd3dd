"""Killed with -9 in the middle of indexing, the embedded service loses no picture that it acknowledged.

`make torture` kills it fifty times, amid writes of every kind.
"""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.pictures import a_picture
from tests.serving import Service, start, stop

ROUNDS = 4
SETTINGS = {"REPOSITORY__BACKEND": "edge", "ENCODER__RUNTIME": "openvino", "DETECTOR__RUNTIME": "none"}
BATCH = 6


class Indexer:
    """Sends singles and batches one after another until the service is gone, and keeps what was acknowledged."""

    def __init__(self, url: str, numbers: Iterator[int]) -> None:
        self._url = url
        self._numbers = numbers
        self.acknowledged: dict[str, bytes] = {}
        self.unexpected: list[str] = []

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._url, timeout=30) as client:
                for send in itertools.cycle((self._one, self._batch)):
                    send(client)
        except httpx.TransportError:
            return  # killed

    def _one(self, client: httpx.Client) -> None:
        content = a_picture(next(self._numbers))
        response = client.post("/v1/images", files={"file": content})
        if response.status_code != 201:
            self.unexpected.append(response.text)
            return
        self.acknowledged[response.json()["id"]] = content

    def _batch(self, client: httpx.Client) -> None:
        pictures = [a_picture(next(self._numbers)) for _ in range(BATCH)]
        response = client.post("/v1/images/batch", files=[("files", content) for content in pictures])
        for content, item in zip(pictures, response.json()["results"], strict=True):
            if item["status"] == "created":
                self.acknowledged[item["image"]["id"]] = content
            else:
                self.unexpected.append(str(item))


def index_until_killed(service: Service, numbers: Iterator[int], *, seconds: float, group: bool) -> dict[str, bytes]:
    """Two callers at once; the kill comes `seconds` after the first acknowledgement. What was acknowledged."""
    indexers = [Indexer(service.url, numbers) for _ in range(2)]
    threads = [threading.Thread(target=indexer.run) for indexer in indexers]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + 30
    while not any(indexer.acknowledged for indexer in indexers) and time.monotonic() < give_up:
        time.sleep(0.005)
    time.sleep(seconds)
    service.kill(group=group)
    for thread in threads:
        thread.join(30)
    assert not [answer for indexer in indexers for answer in indexer.unexpected]
    return {id_: content for indexer in indexers for id_, content in indexer.acknowledged.items()}


def assert_all_there(service: Service, acknowledged: dict[str, bytes], *, searched: list[str]) -> None:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        listed, query = set(), {"limit": "200"}
        while query:
            page = client.get("/v1/images", params=query).json()
            listed |= {item["id"] for item in page["items"]}
            query = {"limit": "200", "cursor": page["next_cursor"]} if page["next_cursor"] else {}
        assert acknowledged.keys() <= listed
        # A picture that was stored when the answer did not get through is there as well, and as whole.
        assert client.get("/v1/models").json()["repository"]["images"] == len(listed)
        for id_ in searched:
            content = acknowledged[id_]
            assert client.get(f"/v1/images/{id_}/content").content == content
            assert client.get(f"/v1/images/{id_}/thumbnail").status_code == 200
            match = client.post("/v1/search", files={"file": content}, data={"limit": "1"}).json()["matches"][0]
            assert match["image"]["id"] == id_
            assert match["score"] > 0.98


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance, numbers = random.Random(20260731), itertools.count(5000)
    kills = [round_ % 2 == 1 for round_ in range(ROUNDS)]  # of the process alone, and of its whole group
    acknowledged: dict[str, bytes] = {}

    service = start(tmp_path, SETTINGS)
    for group in kills:
        new = index_until_killed(service, numbers, seconds=chance.uniform(0, 1), group=group)
        acknowledged |= new
        # That it starts shows that no worker of the killed service still holds the index.
        service = start(tmp_path, SETTINGS)
        assert_all_there(service, acknowledged, searched=list(new))
    assert_all_there(service, acknowledged, searched=list(acknowledged))
    with httpx.Client(base_url=service.url, timeout=30) as client:
        content = a_picture(next(numbers))
        assert client.post("/v1/images", files={"file": content}).status_code == 201
        known = next(iter(acknowledged.values()))
        assert client.post("/v1/images", files={"file": known}).status_code == 200
    stop(service)
