"""Harm to a service on a Qdrant server: the line between them slow, silent, cut, garbled; the server full or restarted.

The service is a process of its own, under mixed load. Qdrant is the stand-in of the tests, or the real server that
TEST_QDRANT_URL names (see tests/qdrant_server.py), at the far end of a proxy.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import psutil
from tests import serving
from tests.disturbed_qdrant import BY_GRPC_ONLY, Qdrant, without_collections
from tests.eventually import eventually
from tests.qdrant_stand_in import Failure, QdrantStandIn, qdrant_stand_in
from tests.tcp_proxy import line_to

from torture.mixed_load import MixedLoad
from torture.report import Row

TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS = 1.2, 0.6
"""How long the service waits for each answer of Qdrant's."""

CALLS_AT_MOST = 5
"""Requests to Qdrant, one after the other, that one of ours makes at most."""

ANSWER_SECONDS, SHORT_ANSWER_SECONDS = CALLS_AT_MOST * TIMEOUT_SECONDS + 5.0, 30.0
LIVE_SECONDS, SHORT_LIVE_SECONDS = 2.0, 30.0
"""After these, an answer counts as never come. The short form shares its cores with other tests."""

READY_SECONDS = 30.0
CALM_SECONDS = 0.4
DESCRIPTORS_TO_SPARE = 8
GROWTH_TO_SPARE = 200 * 2**20

Act = Callable[[Qdrant], Awaitable[None] | None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is done to Qdrant or to the line, and undone."""

    what: str
    begin: Act
    end: Act = lambda qdrant: qdrant.proxy.mend()
    is_away: bool = True
    """Whether the service has to be unready before it ends."""
    needs_stand_in: bool = False
    in_short: bool = False


def _stand_in(qdrant: Qdrant) -> QdrantStandIn:
    assert qdrant.stand_in is not None
    return qdrant.stand_in


def _fill(qdrant: Qdrant) -> None:
    full = "No space left on device: WAL buffer size exceeds available disk space"
    for method in ("Upsert", "SetPayload"):
        _stand_in(qdrant).failures[method] = Failure(grpc.StatusCode.INTERNAL, full, times=1_000_000)


FAULTS = (
    Fault(what="refuses connections", begin=lambda qdrant: qdrant.proxy.cut(), in_short=True),
    Fault(what="accepts and never answers", begin=lambda qdrant: qdrant.proxy.stall(), in_short=True),
    Fault(what="takes requests, its answers are lost", begin=lambda qdrant: qdrant.proxy.hold_answers()),
    Fault(
        what="is gone without a word, back at once",
        begin=lambda qdrant: qdrant.proxy.drop(),
        end=lambda _: None,
        is_away=False,
        in_short=True,
    ),
    Fault(
        what="answers 0.4 s late",
        begin=lambda qdrant: setattr(qdrant.proxy, "latency", 0.2),
        is_away=False,
    ),
    Fault(what="answers 5 s late", begin=lambda qdrant: setattr(qdrant.proxy, "latency", 2.5)),
    Fault(what="trickles, 20 bytes/s", begin=lambda qdrant: setattr(qdrant.proxy, "bytes_per_second", 20.0)),
    Fault(what="resets in the middle of answers", begin=lambda qdrant: setattr(qdrant.proxy, "reset_after", 150)),
    Fault(what="answers garbage", begin=lambda qdrant: setattr(qdrant.proxy, "garbles", True)),
    Fault(
        what="is killed and restarted",
        begin=lambda qdrant: _stand_in(qdrant).stop(),
        end=lambda qdrant: _stand_in(qdrant).start(),
        needs_stand_in=True,
    ),
    Fault(
        what="has no room left",
        begin=_fill,
        end=lambda qdrant: _stand_in(qdrant).failures.clear(),
        is_away=False,
        needs_stand_in=True,
        in_short=True,
    ),
    Fault(
        what="takes another key only",
        begin=lambda qdrant: setattr(_stand_in(qdrant), "api_key", "another"),
        end=lambda qdrant: setattr(_stand_in(qdrant), "api_key", None),
        needs_stand_in=True,
    ),
)


def run(directory: Path, *, short: bool) -> Iterable[Row]:
    """One row for each kind of fault, and one for many callers at once."""
    return asyncio.run(_run(directory, short=short))


async def _run(directory: Path, *, short: bool) -> list[Row]:
    async with _qdrant(patience=SHORT_TIMEOUT_SECONDS if short else TIMEOUT_SECONDS) as qdrant:
        settings = {
            "REPOSITORY__BACKEND": "qdrant",
            "REPOSITORY__URL": qdrant.url,
            "REPOSITORY__GRPC_PORT": str(qdrant.proxy.port),
            "REPOSITORY__COLLECTION": qdrant.collection,
            "REPOSITORY__TIMEOUT_SECONDS": str(qdrant.timeout),
            "STORAGE__RESERVE_BYTES": "0",
        }
        if qdrant.api_key:
            settings["REPOSITORY__API_KEY"] = qdrant.api_key
        if short:
            settings["DETECTOR__RUNTIME"] = "none"
        service = await asyncio.to_thread(serving.start, directory, settings)
        try:
            rows = await _harm(service, qdrant, short=short)
        finally:
            await asyncio.to_thread(serving.stop, service)
        return rows


async def _harm(service: serving.Service, qdrant: Qdrant, *, short: bool) -> list[Row]:
    process = psutil.Process(service.process.pid)
    async with MixedLoad(
        service.url,
        answer_seconds=SHORT_ANSWER_SECONDS if short else ANSWER_SECONDS,
        live_seconds=SHORT_LIVE_SECONDS if short else LIVE_SECONDS,
    ) as load:
        await load.run_for(CALM_SECONDS)
        descriptors, memory = process.num_fds(), process.memory_info().rss
        rows = [
            await _inject(fault, load, qdrant, times=1 if short else 2, seconds=0.8 if short else 2.0)
            for fault in FAULTS
            if (fault.in_short or not short) and not (fault.needs_stand_in and qdrant.stand_in is None)
        ]
        rows.append(await _crowd(load, qdrant, callers=32 if short else 128))
        growth = process.memory_info().rss - memory
        spared = await eventually(lambda: process.num_fds() <= descriptors + DESCRIPTORS_TO_SPARE)
        assert spared, (descriptors, process.num_fds())
        assert growth <= GROWTH_TO_SPARE, f"the service has grown by {growth:,} bytes"
    return rows


async def _inject(fault: Fault, load: MixedLoad, qdrant: Qdrant, *, times: int, seconds: float) -> Row:
    load.begin_count()
    recovered = []
    async with load.going_on():
        for _ in range(times):
            await asyncio.sleep(CALM_SECONDS)
            await _do(fault.begin, qdrant)
            await asyncio.sleep(seconds)
            if fault.is_away:
                await load.require_unready()
            await _do(fault.end, qdrant)
            recovered.append(await load.until_well(READY_SECONDS))
        await asyncio.sleep(CALM_SECONDS)
    return await load.row(f"server: Qdrant {fault.what}", times=times, recovered=max(recovered))


async def _crowd(load: MixedLoad, qdrant: Qdrant, *, callers: int) -> Row:
    """Many callers at once of a service whose Qdrant never answers: twice, since the second find it known as silent."""
    load.begin_count()
    qdrant.proxy.stall()
    for _ in range(2):
        await asyncio.gather(*(load.list() for _ in range(callers)))  # a search would wait for the models first
    await qdrant.proxy.mend()
    recovered = await load.until_well(READY_SECONDS)
    return await load.row(
        f"server: {callers} callers at once, twice, of a Qdrant that never answers", times=2, recovered=recovered
    )


async def _do(act: Act, qdrant: Qdrant) -> None:
    doing = act(qdrant)
    if doing is not None:
        await doing


@asynccontextmanager
async def _qdrant(*, patience: float) -> AsyncIterator[Qdrant]:
    url = os.environ.get("TEST_QDRANT_URL")
    if url is None:
        async with qdrant_stand_in() as server, line_to("127.0.0.1", server.port) as proxy:
            yield Qdrant(
                proxy=proxy,
                stand_in=server,
                url=server.url,
                api_key=None,
                collection="lookalike",
                timeout=patience,
            )
        return
    host, port = urlsplit(url).hostname or "", int(os.environ.get("TEST_QDRANT_GRPC_PORT", "6334"))
    key, collection = os.environ.get("TEST_QDRANT_API_KEY") or None, f"lookalike-torture-{uuid.uuid4().hex[:12]}"
    async with without_collections(url, key, collection), line_to(host, port) as proxy:
        yield Qdrant(
            proxy=proxy,
            stand_in=None,
            url=BY_GRPC_ONLY,
            api_key=key,
            collection=collection,
            timeout=patience,
        )
