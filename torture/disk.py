"""Fill the disk under the embedded service, to the reserve and to the last byte, and give room again."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.pictures import a_picture
from tests.serving import Service, start

from torture.crashes import owners
from torture.report import Row

DISK_BYTES = 448 * 2**20
RESERVE_BYTES = 160 * 2**20
SPOOL_BYTES = 4 * 2**20
"""Of the disk that bodies are received on: less than one that is sent."""

PATIENCE_SECONDS = 30.0
SETTINGS = {"REPOSITORY__BACKEND": "edge", "DETECTOR__RUNTIME": "none", "STORAGE__RESERVE_BYTES": str(RESERVE_BYTES)}

FULL = frozenset({507})
GOOD = frozenset({200, 201, 204, 207})
AWAY = frozenset({200, 503})
"""What reads may be answered while there is not a byte left: an index that cannot be opened says so."""


@dataclass(slots=True)
class Filled:
    """A service whose disk is filled and emptied."""

    service: Service
    numbers: Iterator[int]
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    written: int = 0
    slowest: float = 0.0
    recovered: float = 0.0
    faults: int = 0

    def index(self, expected: frozenset[int] = GOOD) -> None:
        content = a_picture(next(self.numbers))
        response = self.ask("POST", "/v1/images", expected, files={"file": content})
        if response is not None and response.status_code == 201:
            self._created(response.json()["id"], content)

    def _created(self, id_: str, content: bytes) -> None:
        self.acknowledged[id_] = content
        self.written += 1

    def index_batch(self, *, full: bool) -> None:
        files = [("files", a_picture(next(self.numbers))) for _ in range(3)]
        response = self.ask("POST", "/v1/images/batch", GOOD, files=files)
        for (_, content), item in zip(files, response.json()["results"] if response else [], strict=False):
            if item["status"] == "created":
                self._created(item["image"]["id"], content)
            elif not full or item["problem"]["code"] != "storage_full":
                self.unexpected.append(f"batch: {item}")

    def writes_are_refused(self) -> None:
        self.index(FULL)
        self.index_batch(full=True)
        id_ = next(iter(self.acknowledged))
        self.ask("PATCH", f"/v1/images/{id_}", FULL, json={"metadata": {"a": 1}})

    def reads_go_on(self, expected: frozenset[int] = GOOD) -> None:
        id_, content = next(iter(self.acknowledged.items()))
        self.ask("GET", "/v1/images", expected)
        self.ask("GET", f"/v1/images/{id_}/content", expected)
        self.ask("POST", "/v1/search", expected, files={"file": content})

    def deletes(self) -> None:
        id_ = next(reversed(self.acknowledged))
        if self.ask("DELETE", f"/v1/images/{id_}", GOOD) is not None:
            del self.acknowledged[id_]
            self.written += 1

    def recovers(self) -> None:
        """By itself, once there is room."""
        began = time.monotonic()
        while True:
            before = len(self.acknowledged)
            self.index(GOOD | FULL | AWAY)
            if len(self.acknowledged) > before:
                break
            if time.monotonic() - began > PATIENCE_SECONDS:
                self.unexpected.append(f"nothing could be written {PATIENCE_SECONDS:g} s after there was room again")
                break
            time.sleep(0.05)
        self.recovered = max(self.recovered, time.monotonic() - began)
        self.reads_go_on()

    def nothing_is_lost(self) -> None:
        with self.service.client() as client:
            for id_, content in self.acknowledged.items():
                if client.get(f"/v1/images/{id_}/content").content != content:
                    self.lost.append(f"the original of {id_}")
                search = client.post("/v1/search", files={"file": content}, data={"limit": "1"})
                if search.status_code != 200 or search.json()["matches"][0]["image"]["id"] != id_:
                    self.lost.append(f"{id_} is not found: {search.text[:300]}")
            if (total := client.get("/v1/images").json()["total"]) != len(self.acknowledged):
                self.lost.append(f"{total} images are listed, {len(self.acknowledged)} were acknowledged")

    def ask(self, method: str, path: str, expected: frozenset[int], **body: Any) -> httpx.Response | None:
        asked = time.monotonic()
        try:
            with self.service.client() as client:
                response = client.request(method, path, **body)
        except httpx.TransportError as error:
            self.unexpected.append(f"{method} {path}: {error!r}")
            return None
        self.slowest = max(self.slowest, time.monotonic() - asked)
        if response.status_code in expected:
            return response
        self.unexpected.append(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return None

    def row(self, what: str) -> Row:
        """What became of the faults since the last row."""
        for line in [*self.lost, *self.unexpected]:
            print(f"   {what}: {line}", flush=True)
        row = Row(
            what=what,
            times=self.faults,
            acknowledged=self.written,
            lost=len(self.lost),
            server_errors=len(self.unexpected),
            slowest_seconds=self.slowest,
            recovered_seconds=self.recovered,
        )
        self.lost, self.unexpected = [], []
        self.written = self.faults = 0
        self.slowest = self.recovered = 0.0
        return row


def run(directory: Path, *, short: bool) -> Iterable[Row]:
    """On a small file system of its own where that can be mounted; else by a reserve that no disk has."""
    with contextlib.ExitStack() as mounted:
        disk, spool = directory / "disk", directory / "spool"
        if not (_mounted(mounted, disk, DISK_BYTES) and _mounted(mounted, spool, SPOOL_BYTES)):
            print("   no file system can be mounted here: the reserve stands for a full disk", flush=True)
            yield _by_the_reserve(directory / "unmounted")
            return
        filled = Filled(_start(disk, spool), iter(range(10**6, 10**9)))
        try:
            yield _to_the_reserve(filled, disk, spool, times=1 if short else 4)
            if not short:
                yield _to_the_last_byte(filled, disk, times=4)
            yield _where_bodies_are_received(filled, spool)
        finally:
            if filled.service.process.poll() is None:
                filled.service.kill(group=True)


def _to_the_reserve(filled: Filled, disk: Path, spool: Path, *, times: int) -> Row:
    for _ in range(3):
        filled.index()
    for _ in range(times):
        with _stuffed(disk, leave=RESERVE_BYTES - 2**20):
            filled.faults += 1
            filled.writes_are_refused()
            filled.reads_go_on()
            filled.deletes()
            filled.service.kill(group=True)  # what was acknowledged survives that too
            filled.service = _start(disk, spool)
            filled.writes_are_refused()
            filled.nothing_is_lost()
        filled.recovers()
        filled.index_batch(full=False)
    filled.nothing_is_lost()
    return filled.row("the disk filled to the engine's reserve")


def _to_the_last_byte(filled: Filled, disk: Path, *, times: int) -> Row:
    """By others, so that the reserve is no help: whatever the engine has in hand may cost its process the life."""
    for _ in range(times):
        with _stuffed(disk, leave=0):
            filled.faults += 1
            for pid in owners(filled.service.process.pid):
                os.kill(pid, signal.SIGKILL)
            filled.index(FULL)
            filled.index_batch(full=True)
            filled.reads_go_on(AWAY)
        filled.recovers()
        filled.index_batch(full=False)
    filled.nothing_is_lost()
    return filled.row("the disk filled to the last byte by others, the index's process killed")


def _where_bodies_are_received(filled: Filled, spool: Path) -> Row:
    filled.faults = 1
    content = a_picture(next(filled.numbers), format_="BMP", width=1200, height=800)  # past what memory receives
    filled.ask("POST", "/v1/search", GOOD, files={"file": content})  # Python settles on the place at its first use
    give_up = time.monotonic() + PATIENCE_SECONDS
    while shutil.disk_usage(spool).used and time.monotonic() < give_up:
        time.sleep(0.02)  # the body goes a moment after the answer, and would leave room
    with _stuffed(spool, leave=0):
        filled.ask("POST", "/v1/images", FULL, files={"file": content})
        filled.ask("POST", "/v1/search", FULL, files={"file": content})
        filled.reads_go_on()
    filled.recovers()
    filled.ask("POST", "/v1/search", GOOD, files={"file": content})
    return filled.row("the disk full that bodies are received on")


def _by_the_reserve(directory: Path) -> Row:
    filled = Filled(start(directory, SETTINGS | {"STORAGE__RESERVE_BYTES": "0"}), iter(range(10**6, 10**9)))
    for _ in range(3):
        filled.index()
    for reserve, act in ((2**60, filled.writes_are_refused), (0, filled.recovers)):
        filled.service.kill(group=True)
        filled.service = start(directory, SETTINGS | {"STORAGE__RESERVE_BYTES": str(reserve)})
        filled.faults += bool(reserve)
        act()
        filled.reads_go_on()
        filled.nothing_is_lost()
    filled.service.kill(group=True)
    return filled.row("a reserve that the disk has not free")


def _start(disk: Path, spool: Path) -> Service:
    return start(disk.parent / "service", SETTINGS | {"DATA_DIR": str(disk / "data")}, TMPDIR=str(spool))


def _mounted(until: contextlib.ExitStack, directory: Path, size: int) -> bool:
    """Whether a file system of that size could be mounted there, to be gone in the end."""
    directory.mkdir()
    if shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return False
    unmount: Callable[[], object] = lambda: subprocess.run(["umount", "--lazy", str(directory)], check=False)  # noqa: E731, S607
    until.callback(unmount)
    return True


@contextlib.contextmanager
def _stuffed(disk: Path, *, leave: int) -> Iterator[None]:
    """Another's file takes all room but `leave` bytes, and goes."""
    stuffing = disk / "stuffing"
    with stuffing.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - leave))
    try:
        yield
    finally:
        stuffing.unlink()
