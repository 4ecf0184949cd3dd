"""Writers and readers at work on a service, who remember what they were told and look whether it is so."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from tests.pictures import a_picture

from domain.images import id_of_content, sha256_of
from torture.report import Row

WORKERS = 6
LIVE_EVERY_SECONDS = 0.2

State = int | None
"""The revision in a picture's metadata; None where it is not there."""


@dataclass(eq=False)
class _Picture:
    """One that a worker of its own writes, and the states that it may be in by what the service has answered."""

    content: bytes
    may_be: set[State] = field(default_factory=lambda: {None})
    revision: int = 0

    @property
    def path(self) -> str:
        return f"/v1/images/{id_of_content(sha256_of(self.content))}"

    @property
    def is_certain(self) -> bool:
        return len(self.may_be) == 1


@dataclass
class _Count:
    acknowledged: int = 0
    lost: int = 0
    failed: int = 0
    slowest: float = 0.0


class MixedLoad:
    """Indexes, patches, deletes, reads and searches.

    An answer is good if it comes within `answer_seconds` (that of liveness: `live_seconds`) and is one that the API
    documents for it: done, not there, unavailable with the time to come back, out of time, out of room. Everything
    else is counted as a 500.
    """

    def __init__(self, url: str, *, answer_seconds: float, live_seconds: float) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=answer_seconds,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=WORKERS),
        )
        self._live_seconds = live_seconds
        self._pictures: list[_Picture] = []
        self._numbers = itertools.count()
        self._query = a_picture(1_000_000)
        self._count = _Count()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def begin_count(self) -> None:
        self._count = _Count()

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """All of it, while the block runs."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._work(stop)) for _ in range(WORKERS)]
        tasks.append(asyncio.create_task(self._see_that_it_lives(stop)))
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def run_for(self, seconds: float) -> None:
        async with self.going_on():
            await asyncio.sleep(seconds)

    async def require_unready(self) -> None:
        answer = await self._ask("GET", "/health/ready")
        assert answer is not None, "readiness has not been answered"
        assert answer.status_code == 503, "the service tells that it is ready"
        assert answer.json()["missing"][0].startswith("repository: "), answer.text

    async def until_well(self, within: float) -> float:
        """Seconds until it is ready and searches."""
        began = time.monotonic()
        while not await self._is_well():
            assert time.monotonic() - began < within, "the service does not recover"
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def search(self) -> bool:
        """Whether it was answered with a result."""
        answer = await self._ask("POST", "/v1/search", files={"file": ("query.png", self._query)})
        return answer is not None and answer.status_code == 200

    async def list(self) -> None:
        """Ask for a page of the listing."""
        await self._ask("GET", "/v1/images")

    async def row(self, what: str, *, times: int, recovered: float) -> Row:
        """What has been counted, after everything is looked at once more."""
        for picture in self._pictures:
            picture.may_be = {await self._look_at(picture)}  # nothing is under way any more
        there = sum(picture.may_be != {None} for picture in self._pictures)
        listed = await self._ask("GET", "/v1/images", params={"limit": 1})
        if listed is None or listed.json()["total"] != there:
            self._count.lost += 1
        count = self._count
        return Row(
            what=what,
            times=times,
            acknowledged=count.acknowledged,
            lost=count.lost,
            server_errors=count.failed,
            slowest_seconds=count.slowest,
            recovered_seconds=recovered,
        )

    async def _work(self, stop: asyncio.Event) -> None:
        mine: list[_Picture] = []
        chance = random.Random(next(self._numbers))
        while not stop.is_set():
            if not mine or chance.random() < 0.2:
                mine.append(_Picture(a_picture(next(self._numbers))))
                self._pictures.append(mine[-1])
            picture = chance.choice(mine)
            act = chance.choice(
                [self._index, self._index, self._index_in_a_batch, self._patch, self._patch, self._delete, self._read]
            )
            await act(picture)
            await self.search()
            if chance.random() < 0.2:
                await self._ask("GET", chance.choice(["/v1/images", "/v1/models"]))

    async def _index(self, picture: _Picture) -> None:
        form = self._next_revision(picture)
        answer = await self._ask("POST", "/v1/images", files={"file": ("a.png", picture.content)}, data=form)
        if answer is not None and answer.status_code in {200, 201}:
            self._acknowledge(picture, picture.revision)

    async def _index_in_a_batch(self, picture: _Picture) -> None:
        form = self._next_revision(picture)
        files = [("files", ("a.png", picture.content)), ("files", ("no.png", b"no picture"))]
        answer = await self._ask("POST", "/v1/images/batch", files=files, data=form)
        if answer is not None and answer.status_code == 207 and answer.json()["results"][0]["status"] != "failed":
            self._acknowledge(picture, picture.revision)

    async def _patch(self, picture: _Picture) -> None:
        before = set(picture.may_be)
        self._next_revision(picture)
        if before == {None}:
            picture.may_be = before  # it cannot come to be there
        patch = {"metadata": {"revision": picture.revision}}
        answer = await self._ask("PATCH", picture.path, json=patch)
        if answer is not None and answer.status_code == 200:
            self._acknowledge(picture, picture.revision)
        elif answer is not None and answer.status_code == 404:
            self._not_there(picture, before)

    async def _delete(self, picture: _Picture) -> None:
        before = set(picture.may_be)
        picture.may_be.add(None)
        answer = await self._ask("DELETE", picture.path)
        if answer is not None and answer.status_code == 204:
            self._acknowledge(picture, None)
        elif answer is not None and answer.status_code == 404:
            self._not_there(picture, before)

    async def _read(self, picture: _Picture) -> None:
        await self._ask("GET", f"{picture.path}/similar")
        await self._look_at(picture)

    async def _look_at(self, picture: _Picture) -> State:
        """How it is, compared with what may be. None, too, where that is not answered."""
        answer = await self._ask("GET", picture.path)
        if answer is None or answer.status_code not in {200, 404}:
            return None
        found: State = answer.json()["metadata"]["revision"] if answer.status_code == 200 else None
        if found not in picture.may_be:
            self._lose(picture, f"revision {found} is there, not one of {picture.may_be}")
        if found is not None:
            content = await self._ask("GET", f"{picture.path}/content")
            if content is not None and content.status_code == 404 and picture.is_certain:
                self._lose(picture, "the original is gone")
        return found

    def _next_revision(self, picture: _Picture) -> dict[str, str]:
        picture.revision += 1
        picture.may_be.add(picture.revision)
        return {"metadata": json.dumps({"revision": picture.revision})}

    def _acknowledge(self, picture: _Picture, state: State) -> None:
        picture.may_be = {state}
        self._count.acknowledged += 1

    def _not_there(self, picture: _Picture, before: set[State]) -> None:
        """As it may be, unless it was certain to be there. An earlier write whose answer was lost may still come."""
        picture.may_be = before
        if None not in before:
            self._lose(picture, f"it is not there, and was one of {before}")

    def _lose(self, picture: _Picture, why: str) -> None:
        self._count.lost += 1
        print(f"lost: {picture.path}: {why}", flush=True)

    async def _see_that_it_lives(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            answer = await self._ask("GET", "/health/live", timeout=self._live_seconds)
            if answer is not None and answer.status_code != 200:
                self._fail("/health/live", answer.text)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LIVE_EVERY_SECONDS)

    async def _is_well(self) -> bool:
        ready = await self._ask("GET", "/health/ready")
        return ready is not None and ready.status_code == 200 and await self.search()

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """The answer, or None where none has come."""
        began = time.monotonic()
        try:
            answer = await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            self._fail(path, repr(error))
            return None
        self._count.slowest = max(self._count.slowest, time.monotonic() - began)
        unavailable = answer.status_code == 503 and "retry-after" in answer.headers
        if not (answer.status_code < 300 or answer.status_code in {404, 504, 507} or unavailable):
            self._fail(path, answer.text)
        return answer

    def _fail(self, path: str, why: str) -> None:
        self._count.failed += 1
        print(f"failed: {path}: {why}", flush=True)
