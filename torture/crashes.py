"""Kill -9 at random moments amid the mixed writes of several callers, and see what the embedded service has kept."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from tests.eventually import until
from tests.pictures import a_photo, a_picture
from tests.serving import Service, start, stop

from domain.names import id_of_key
from torture.report import Row

ROUNDS = range(50)
SHORT_ROUNDS = range(1, 3)
"""One of each kind."""
CALLERS = 4
OWNER_KILLS = 5
SHORT_OWNER_KILLS = 2
"""Amid its work, and amid its start."""
SEARCHED = 4
"""So many of the pictures of a round are searched for; reading them all back costs less and is done."""

SETTINGS = {"REPOSITORY__BACKEND": "edge", "STORAGE__RESERVE_BYTES": "0"}
WITHOUT_DETECTOR = {"DETECTOR__RUNTIME": "none"}  # starts in half the time
OWNER = "adapters.repositories.qdrant.embedded.engine"

State = Mapping[str, Any] | None
"""A picture's metadata; None where it is not indexed."""


@dataclass(slots=True)
class Picture:
    """What one caller has sent, and in which states it may be found.

    `metadata.content` of a state is the number of its bytes. Several pictures with keys may have the same.
    """

    number: int
    key: str | None = None
    renaming: tuple[str, str] | None = None
    """The keys, before and after, of a renaming whose answer has not come."""
    id: str = ""
    allowed: list[State] = field(default_factory=lambda: [None])
    """As last acknowledged, and as attempted since."""

    @property
    def content(self) -> bytes:
        """As last acknowledged, or else as attempted."""
        state = self.allowed[0] or self.allowed[-1]
        return a_small_picture(self.number if state is None else state["content"])

    def attempt(self, state: State) -> None:
        self.allowed.append(state)

    def acknowledge(self, state: State) -> None:
        self.allowed = [state]


class Caller(threading.Thread):
    """Indexes, patches and deletes pictures of its own, and searches, until it is stopped or the service is gone."""

    def __init__(self, url: str, numbers: Iterator[int], pictures: dict[int, Picture], seed: int) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._numbers = numbers
        self.pictures = pictures
        self._chance = random.Random(seed)
        self.touched: set[int] = set()
        self.acknowledged = 0
        self.unexpected: list[str] = []
        self.slowest = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        actions: list[Callable[[httpx.Client], None]] = [
            self._index, self._index, self._index_again, self._batch, self._patch, self._patch, self._remove,
            self._remove_by_filter, self._search, self._share, self._share, self._replace, self._rename,
        ]  # fmt: skip
        try:
            with httpx.Client(base_url=self._url, timeout=60) as client:
                while not self.stopping.is_set():
                    self._chance.choice(actions)(client)
        except httpx.TransportError:
            return  # killed

    def _index(self, client: httpx.Client) -> None:
        self._post(client, self._new_picture(), expected={201})

    def _index_again(self, client: httpx.Client) -> None:
        for picture in self._some(1):
            self._post(client, picture, expected={200})

    def _share(self, client: httpx.Client) -> None:
        """The same bytes under a key of their own."""
        for picture in self._some(1):
            twin = self._new_picture()
            twin.key = f"torture/{twin.number}"
            self._post(client, twin, expected={201}, content=(picture.allowed[0] or {})["content"])

    def _replace(self, client: httpx.Client) -> None:
        """Other bytes under a key, now and then those of another picture."""
        others = self._some(1)
        for picture in self._some(1, keyed=True):
            contents = [next(self._numbers), *((other.allowed[0] or {})["content"] for other in others)]
            self._post(client, picture, expected={200}, content=self._chance.choice(contents))

    def _rename(self, client: httpx.Client) -> None:
        for picture in self._some(1, keyed=True):
            assert picture.key is not None
            picture.renaming = (picture.key, f"torture/{picture.number}/{self._chance.randrange(10**9)}")
            if (failure := renamed(client, picture)) is not None:
                self.unexpected.append(failure)
            else:
                self.acknowledged += 1

    def _post(self, client: httpx.Client, picture: Picture, *, expected: set[int], content: int | None = None) -> None:
        state = self._state(picture, content)
        picture.attempt(state)
        key = {} if picture.key is None else {"key": picture.key}
        response = self._ask(
            client,
            "POST",
            "/v1/images",
            expected,
            files={"file": a_small_picture(state["content"])},
            data={"metadata": json.dumps(state)} | key,
        )
        if response is not None:
            picture.id = response.json()["id"]
            self._acknowledged({picture.number: state})

    def _batch(self, client: httpx.Client) -> None:
        pictures = [self._new_picture() for _ in range(self._chance.randrange(2, 6))]
        states = {str(picture.number): self._state(picture) for picture in pictures}
        for picture in pictures:
            picture.attempt(states[str(picture.number)])
        files = [("files", (str(picture.number), picture.content)) for picture in pictures]
        data = {"metadata": json.dumps(states)}
        response = self._ask(client, "POST", "/v1/images/batch", {207}, files=files, data=data)
        for picture, item in zip(pictures, response.json()["results"] if response else [], strict=False):
            if item["status"] == "created":
                picture.id = item["image"]["id"]
                self._acknowledged({picture.number: states[str(picture.number)]})
            else:
                self.unexpected.append(f"batch: {item}")

    def _patch(self, client: httpx.Client) -> None:
        for picture in self._some(1):
            state = {**(picture.allowed[0] or {}), "version": self._chance.randrange(10**9)}
            picture.attempt(state)
            body = {"metadata": {"version": state["version"]}}
            if self._ask(client, "PATCH", f"/v1/images/{picture.id}", {200}, json=body) is not None:
                self._acknowledged({picture.number: state})

    def _remove(self, client: httpx.Client) -> None:
        for picture in self._some(1):
            picture.attempt(None)
            if self._ask(client, "DELETE", f"/v1/images/{picture.id}", {204}) is not None:
                self._acknowledged({picture.number: None})

    def _remove_by_filter(self, client: httpx.Client) -> None:
        pictures = self._some(3)
        for picture in pictures:
            picture.attempt(None)
        numbers = [picture.number for picture in pictures]
        which = {"filter": {"all": [{"field": "metadata.number", "in": numbers}]}}
        if numbers and self._ask(client, "POST", "/v1/images/delete", {200}, json=which) is not None:
            self._acknowledged(dict.fromkeys(numbers))

    def _search(self, client: httpx.Client) -> None:
        for picture in self._some(1):
            self._ask(client, "POST", "/v1/search", {200}, files={"file": picture.content}, data={"limit": "3"})

    def _ask(
        self, client: httpx.Client, method: str, path: str, expected: set[int], **body: Any
    ) -> httpx.Response | None:
        asked = time.monotonic()
        response = client.request(method, path, **body)
        self.slowest = max(self.slowest, time.monotonic() - asked)
        if response.status_code in expected:
            return response
        self.unexpected.append(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return None

    def _acknowledged(self, states: Mapping[int, State]) -> None:
        self.acknowledged += len(states)
        for number, state in states.items():
            self.pictures[number].acknowledge(state)

    def _new_picture(self) -> Picture:
        number = next(self._numbers)
        picture = self.pictures[number] = Picture(number)
        self.touched.add(number)
        return picture

    def _some(self, most: int, *, keyed: bool = False) -> list[Picture]:
        """Pictures that are there for certain."""
        there = [
            picture
            for picture in self.pictures.values()
            if len(picture.allowed) == 1 and picture.allowed[0] and picture.renaming is None
            if picture.key is not None or not keyed
        ]
        some = self._chance.sample(there, min(most, len(there)))
        self.touched.update(picture.number for picture in some)
        return some

    def _state(self, picture: Picture, content: int | None = None) -> dict[str, Any]:
        if content is None:
            content = (picture.allowed[0] or {"content": picture.number})["content"]
        return {"number": picture.number, "version": self._chance.randrange(10**9), "content": content}


def renamed(client: httpx.Client, picture: Picture) -> str | None:
    """Rename it as it is to be, perhaps again, and say what was wrong about the answer."""
    assert picture.renaming is not None
    before, after = picture.renaming
    answer = client.post("/v1/images/rename", json={"items": [{"from": before, "to": after}]})
    if answer.status_code != 207 or answer.json()["renamed"] != 1:
        return f"rename: {answer.status_code} {answer.text[:300]}"
    picture.key, picture.id, picture.renaming = after, str(id_of_key(after)), None
    return None


def a_small_picture(number: int) -> bytes:
    """Every tenth is a photo with objects in it, told from the others by a comment; the rest are drawings."""
    if number % 10:
        return a_picture(number)
    photo, comment = a_photo("hat-03.jpg"), str(number).encode()
    return photo[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + photo[2:]


@dataclass(slots=True)
class Torture:
    """A service through all of its lives."""

    directory: Path
    seed: int
    pictures: list[dict[int, Picture]] = field(default_factory=lambda: [{} for _ in range(CALLERS)])
    numbers: list[Iterator[int]] = field(
        default_factory=lambda: [iter(range(CALLERS + caller, 10**9, CALLERS)) for caller in range(CALLERS)]
    )
    complaints: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def start(self, *, detecting: bool) -> tuple[Service, float]:
        """The service, and how long it took to be ready."""
        began = time.monotonic()
        service = start(self.directory, SETTINGS | ({} if detecting else WITHOUT_DETECTOR))
        return service, time.monotonic() - began

    def write(self, service: Service, harm: Callable[[Service, random.Random], None], *, round_: int) -> list[Caller]:
        """All callers at once, harm amid what they do, and what they have to tell."""
        callers = [
            Caller(service.url, self.numbers[number], self.pictures[number], self.seed + CALLERS * round_ + number)
            for number in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        give_up = time.monotonic() + 30
        chance = random.Random(self.seed + round_)
        enough = chance.randrange(4, 30)
        while sum(caller.acknowledged for caller in callers) < enough and time.monotonic() < give_up:
            time.sleep(0.005)
        harm(service, chance)
        for caller in callers:
            caller.stopping.set()
        for caller in callers:
            caller.join(90)
            self.unexpected += caller.unexpected
            if caller.is_alive():
                self.unexpected.append("a caller has waited for an answer for 90 s")
        return callers

    def verify(self, service: Service, touched: set[int]) -> None:
        """All is as acknowledged or as attempted since, and whole; from here on that is what there is."""
        with service.client() as client:
            for of_caller in self.pictures:
                for picture in of_caller.values():
                    self._finish_renaming(client, picture)
            images = list(_all_images(client))
            listed = {image["id"]: image["metadata"] for image in images}
            pictures = {number: picture for of_caller in self.pictures for number, picture in of_caller.items()}
            by_number = {metadata["number"]: id_ for id_, metadata in listed.items()}
            for number, picture in pictures.items():
                picture.id = picture.id or by_number.get(number, "")
                found = listed.get(picture.id)
                if found not in picture.allowed:
                    self.complaints.append(f"{number}: {found} is none of {picture.allowed}")
                picture.acknowledge(found)
            if unknown := by_number.keys() - pictures.keys():
                self.complaints.append(f"nobody has sent {unknown}")
            there = [pictures[number] for number in sorted(touched) if pictures[number].allowed[0]]
            for place, picture in enumerate(there):
                self._verify_whole(client, picture, search=place < SEARCHED)
            counted = client.get("/v1/models").json()["repository"]["images"]
            if counted != len(listed):
                self.complaints.append(f"{counted} images are counted, {len(listed)} are listed")
        if missing := {image["sha256"] for image in images} - {file.name for file in self._originals()}:
            self.complaints.append(f"the originals {missing} are missing")

    def _finish_renaming(self, client: httpx.Client, picture: Picture) -> None:
        """A kill leaves the picture under the key before, under the one after, or under both."""
        if picture.renaming is None:
            return
        before, after = picture.renaming
        answer = client.post("/v1/images/lookup", json={"keys": [before, after]}).raise_for_status().json()
        keys = {image["key"] for image in answer["items"]}
        if before in keys:
            if (failure := renamed(client, picture)) is not None:
                self.unexpected.append(failure)
        elif after in keys:
            picture.key, picture.id, picture.renaming = after, str(id_of_key(after)), None
        else:
            self.complaints.append(f"{picture.number}: it is under none of {picture.renaming}")

    def verify_that_nothing_stays(self) -> None:
        """What a kill leaves is removed once it is old, while no service runs."""
        before = {file.name for file in self._originals()}
        for file in (self.directory / "data" / "images").rglob("??/*"):
            os.utime(file, (0, 0))
        self.check("--repair")
        self.check()
        left = {file.name for file in self._originals()}
        service, _ = self.start(detecting=False)
        with service.client() as client:
            listed = {image["sha256"] for image in _all_images(client)}
        stop(service)
        if left != listed:
            self.complaints.append(f"of {len(before)} originals {left ^ listed} stayed, or went, wrongly")

    def _originals(self) -> Iterable[Path]:
        return (self.directory / "data" / "images" / "originals").glob("??/*")

    def _verify_whole(self, client: httpx.Client, picture: Picture, *, search: bool) -> None:
        if client.get(f"/v1/images/{picture.id}/content").content != picture.content:
            self.complaints.append(f"{picture.number}: its original is not what was sent")
        if client.get(f"/v1/images/{picture.id}/thumbnail").status_code != 200:
            self.complaints.append(f"{picture.number}: it has no thumbnail")
        if not search:
            return
        itself = f'{{"all": [{{"field": "metadata.number", "eq": {picture.number}}}]}}'
        data = {"limit": "1", "filter": itself}
        matches = client.post("/v1/search", files={"file": picture.content}, data=data).json()["matches"]
        if not matches or matches[0]["image"]["id"] != picture.id or matches[0]["score"] < 0.98:
            self.complaints.append(f"{picture.number}: a search for it finds {matches}")

    def complained(self) -> tuple[int, int]:
        """How much was lost so far, and how many answers were not as they should be."""
        return len(self.complaints), len(self.unexpected)

    def since(self, before: tuple[int, int]) -> list[str]:
        """What it was."""
        return [*self.complaints[before[0] :], *self.unexpected[before[1] :]]

    def check(self, *arguments: str) -> None:
        """Ask `lookalike check`, while no service runs."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
        environment |= {f"LOOKALIKE_{name}": value for name, value in SETTINGS.items()}
        ended = subprocess.run(
            [Path(sys.executable).parent / "lookalike", "check", *arguments],
            cwd=self.directory,
            env=environment | {"LOOKALIKE_DATA_DIR": str(self.directory / "data")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ended.returncode != 0:
            self.complaints.append(f"lookalike check: {ended.stdout}{ended.stderr}")


@dataclass(slots=True)
class Tally:
    """What became of one kind of harm."""

    times: int = 0
    acknowledged: int = 0
    lost: int = 0
    unexpected: int = 0

    def add(self, before: tuple[int, int], now: tuple[int, int]) -> None:
        self.lost += now[0] - before[0]
        self.unexpected += now[1] - before[1]


def run(directory: Path, *, short: bool) -> Iterable[Row]:
    """Kill the service, in every third round only the process that owns the index."""
    torture = Torture(directory, seed=20_260_731)
    rounds, owner_kills = (SHORT_ROUNDS, SHORT_OWNER_KILLS) if short else (ROUNDS, OWNER_KILLS)
    killed, owner = Tally(), Tally()
    longest_start = slowest = 0.0

    service, _ = torture.start(detecting=True)
    try:
        for round_ in rounds:
            of = owner if round_ % 3 == 2 else killed
            before = torture.complained()
            if of is owner:
                callers = torture.write(service, partial(kill_owner, times=owner_kills), round_=round_)
                slowest = max(slowest, *(caller.slowest for caller in callers))
            else:
                callers = torture.write(service, kill_group if round_ % 3 else kill_service, round_=round_)
                if round_ % 2:
                    torture.check()  # finishes deletions that were cut short, as a start does
                service, seconds = torture.start(detecting=round_ % 6 == 3)
                longest_start = max(longest_start, seconds)
            torture.verify(service, {number for caller in callers for number in caller.touched})
            of.times += owner_kills if of is owner else 1
            of.acknowledged += sum(caller.acknowledged for caller in callers)
            of.add(before, torture.complained())
            print(f"   round {round_ + 1}: {of}", *torture.since(before), sep="\n      ", flush=True)
        before = torture.complained()
        torture.verify(service, {number for of_caller in torture.pictures for number in of_caller})
        stop(service)
        torture.check("--deep")
        torture.verify_that_nothing_stays()
        killed.add(before, torture.complained())
        print(*torture.since(before), sep="\n", flush=True)
    finally:
        if service.process.poll() is None:  # something has raised
            service.kill(group=True)
    yield Row(
        what="the embedded service killed (-9) amid mixed writes",
        times=killed.times,
        acknowledged=killed.acknowledged,
        lost=killed.lost,
        server_errors=killed.unexpected,
        recovered_seconds=longest_start,
    )
    yield Row(
        what="the index's own process killed (-9) amid mixed writes and searches",
        times=owner.times,
        acknowledged=owner.acknowledged,
        lost=owner.lost,
        server_errors=owner.unexpected,
        slowest_seconds=slowest,
    )


def kill_group(service: Service, chance: random.Random) -> None:
    """The service with whatever it has started."""
    time.sleep(chance.uniform(0, 0.3))
    service.kill(group=True)


def kill_service(service: Service, chance: random.Random) -> None:
    """The service's process alone."""
    time.sleep(chance.uniform(0, 0.3))
    service.kill(group=False)


def kill_owner(service: Service, chance: random.Random, *, times: int) -> None:
    """Amid its work, and every other time again amid its start; the callers go on for a moment after the last."""
    with service.client() as client:
        for number in range(times):
            if number % 2:
                time.sleep(chance.uniform(0.05, 0.3))
            else:
                _await_ready(client)
                time.sleep(chance.uniform(0.2, 0.8))
            for pid in owners(service.process.pid):
                os.kill(pid, signal.SIGKILL)
        _await_ready(client)
    time.sleep(0.5)


def _await_ready(client: httpx.Client) -> None:
    """Readiness is answered 503 where the index's next process takes longer to start than a probe waits."""
    assert until(lambda: client.get("/health/ready").status_code == 200), "the index's process was not replaced"


def owners(parent: int) -> list[int]:
    """The process that owns the index, by its command line."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = {int(pid) for listed in children for pid in listed.read_text().split()}
    return [pid for pid in pids if OWNER.encode() in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _all_images(client: httpx.Client) -> Iterator[dict[str, Any]]:
    query: dict[str, str] = {"limit": "200"}
    while True:
        page = client.get("/v1/images", params=query).raise_for_status().json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]
