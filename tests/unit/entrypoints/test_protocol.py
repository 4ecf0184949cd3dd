"""What a connection may do, spoken over bare sockets."""

import asyncio
import contextlib
import gc
import tracemalloc

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from entrypoints.http.server.protocol import MAX_HEAD_BYTES, BoundedHttpProtocol
from tests.eventually import eventually
from tests.unit.entrypoints.application import listening

GET = b"GET /%s HTTP/1.1\r\nHost: t\r\n"
LARGE = 40 * 1024 * 1024


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Says which path it was asked for, or a great deal."""
    answer = Response(bytes(LARGE)) if scope["path"] == "/large" else PlainTextResponse(f"at {scope['path'][:20]}")
    await answer(scope, receive, send)


async def said(address: tuple[str, int], *pieces: bytes, pause: float = 0.0) -> bytes:
    """What is answered, until the server hangs up."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def send_without_end(writer: asyncio.StreamWriter, piece: bytes, *, pause: float = 0.0) -> None:
    """The same over and over. Raises ConnectionError."""
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)


@pytest.mark.parametrize(
    "pieces",
    [
        [GET % (b"x" * MAX_HEAD_BYTES) + b"\r\n"],
        [GET % b"" + b"X: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"],
        [GET % b"" + b"X: 1\r\n" * (MAX_HEAD_BYTES // 6) + b"\r\n"],
        [GET % b"" + b"X: ", *[b"x" * 4096] * 40],
        [GET % b"", *[b"X: 1\r\n" * 1000] * 20],
        [b"GET /", *[b"x" * 4096] * 40],
    ],
    ids=["long path", "long header", "many headers", "endless header", "endless headers", "endless path"],
)
async def test_a_head_that_is_too_large_is_refused(pieces: list[bytes]) -> None:
    async with listening(app) as address:
        assert (await said(address, *pieces, pause=0.001)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "pieces",
    [[b"0\r\nX: ", *[b"x" * 4096] * 40], [b"0\r\n", *[b"X: 1\r\n" * 1000] * 20], [b"5;x=", *[b"x" * 4096] * 40]],
    ids=["endless trailer", "endless trailers", "endless extension"],
)
async def test_what_surrounds_a_body_is_bounded_as_a_head_is(pieces: list[bytes]) -> None:
    post = b"POST /body HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with listening(reader) as address:
        assert (await said(address, post, *pieces, pause=0.001)).startswith(b"HTTP/1.1 431 ")


async def test_a_large_head_is_taken() -> None:
    head = GET % (b"x" * 20_000) + b"X: 1\r\n" * 1000 + b"Y: " + b"y" * 30_000 + b"\r\nConnection: close\r\n\r\n"
    async with listening(app) as address:
        for pieces in ([head], [head[at : at + 1000] for at in range(0, len(head), 1000)]):
            assert (await said(address, *pieces)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("begun", [b"G", GET % b"", GET % b"" + b"X: 1"])
async def test_a_head_that_does_not_end_is_given_up(begun: bytes) -> None:
    async with listening(app, head_seconds=0.2) as address:
        assert (await said(address, begun)).startswith(b"HTTP/1.1 408 ")


async def test_the_head_of_a_further_request_has_its_time_too() -> None:
    async with listening(app, head_seconds=1.0) as address:
        answers = await said(address, GET % b"first" + b"\r\n", GET % b"second", pause=0.05)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"408"]


@pytest.mark.parametrize("piece", [b"", b"\r\n"], ids=["silence", "empty lines"])
async def test_who_asks_for_nothing_is_hung_up_on(piece: bytes) -> None:
    async with listening(app, head_seconds=0.2) as address:
        assert await said(address, *[piece] * 8, pause=0.05) == b""


async def test_a_body_that_nobody_reads_does_not_hold_the_connection() -> None:
    post = b"POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n"
    async with listening(app, head_seconds=1.0) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(post)
        await asyncio.wait_for(reader.readuntil(b"at /early"), 5)
        until = asyncio.get_running_loop().time() + 5
        while not reader.at_eof() and asyncio.get_running_loop().time() < until:
            with contextlib.suppress(TimeoutError, ConnectionError):
                writer.write(b"x")
                await asyncio.wait_for(reader.read(1), 0.02)
        assert reader.at_eof()
        writer.close()


BODY = bytes(16 * 1024 * 1024)
EARLY = b"POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n" % len(BODY)


@pytest.mark.parametrize(
    "head",
    [
        EARLY + b"Connection: close\r\n\r\n",
        EARLY.replace(b"/1.1", b"/1.0") + b"\r\n",
        EARLY.replace(b"/early", b"/last") + b"\r\n",
        GET % b"first" + b"\r\n" + EARLY + b"Connection: close\r\n\r\n",
        GET % b"last" + b"\r\n" + EARLY + b"\r\n",
    ],
    ids=["close", "1.0", "closed by the answer", "behind another", "behind the last one"],
)
async def test_who_sends_before_they_read_sees_the_last_answer(head: bytes) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        """Reads no body."""
        headers = {"Connection": "close"} if scope["path"] == "/last" else {}
        await PlainTextResponse("answered", headers=headers)(scope, receive, send)

    async with listening(early) as address:
        assert (await said(address, head, BODY, pause=0.1)).endswith(b"answered")


@pytest.mark.parametrize("bounds", [{"lingering_seconds": 0.2}, {"lingering_bytes": 1024 * 1024}])
async def test_who_sends_on_after_the_last_answer_is_hung_up_on(bounds: dict[str, float]) -> None:
    async with listening(app, **bounds) as address:
        reader_, writer = await asyncio.open_connection(*address)
        writer.write(EARLY.replace(b"16777216", b"1000000000000") + b"Connection: close\r\n\r\n")
        assert await asyncio.wait_for(reader_.read(), 10)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send_without_end(writer, bytes(10_000), pause=0.001), 30)


async def test_the_server_ends_though_somebody_sends_on() -> None:
    loop = asyncio.get_running_loop()
    async with listening(app, lingering_seconds=60.0) as address:
        reader_, writer = await asyncio.open_connection(*address)
        writer.write(EARLY + b"Connection: close\r\n\r\n")
        assert await asyncio.wait_for(reader_.read(), 10)
        ends_at = loop.time()
    assert loop.time() - ends_at < 30
    writer.close()


async def test_who_does_not_read_their_answer_is_hung_up_on() -> None:
    hung_up = asyncio.Event()

    def connection_lost(protocol: BoundedHttpProtocol, error: Exception | None) -> None:
        BoundedHttpProtocol.connection_lost(protocol, error)
        hung_up.set()

    async with listening(app, reading_seconds=0.1, connection_lost=connection_lost) as address:
        reader, writer = await asyncio.open_connection(*address, limit=1)
        writer.write(GET % b"large" + b"\r\n")
        await asyncio.wait_for(hung_up.wait(), 10)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(LARGE), 10)
        writer.close()


async def test_who_reads_gets_all_of_a_large_answer() -> None:
    async with listening(app, reading_seconds=0.1) as address:
        assert len(await said(address, GET % b"large" + b"Connection: close\r\n\r\n")) > LARGE


async def test_requests_in_a_row_are_answered_in_order() -> None:
    requests = [GET % b"%d" % number + b"\r\n" for number in range(50)]
    last = GET % b"last" + b"Connection: close\r\n\r\n"
    async with listening(app) as address:
        answers = await said(address, b"".join(requests) + last)
    assert [part.split(b"\r\n")[0] for part in answers.split(b"at /")[1:]] == [
        *(b"%d" % number + b"HTTP/1.1 200 OK" for number in range(50)),
        b"last",
    ]


async def test_of_requests_in_a_row_each_has_a_head_of_its_own() -> None:
    requests = (GET % b"x" + b"X: " + b"x" * 970 + b"\r\n\r\n") * 80
    last = GET % b"last" + b"Connection: close\r\n\r\n"
    async with listening(app) as address:  # the second piece begins amid one head and ends amid another
        answers = await said(address, requests[:500], requests[500:-500], requests[-500:] + last, pause=0.1)
    assert answers.count(b"HTTP/1.1 200 ") == 81


async def test_empty_lines_before_a_request_are_left_out() -> None:
    last = GET % b"last" + b"Connection: close\r\n\r\n"
    async with listening(app) as address:
        for pieces in ([b"\r\n", b"\r\n" + last], [GET % b"first" + b"\r\n\r\n\r\n" + last]):
            assert (await said(address, *pieces, pause=0.05)).endswith(b"at /last")


@pytest.mark.parametrize(
    ("target", "path"), [(b"http://t/page?x=1", b"/page"), (b"HTTPS://t:1/page", b"/page"), (b"http://t", b"/")]
)
async def test_the_form_of_an_address_for_proxies_is_taken(target: bytes, path: bytes) -> None:
    request = b"GET %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" % target
    async with listening(app) as address:
        assert (await said(address, request)).endswith(b"at " + path)


async def test_a_request_for_another_protocol_is_answered_in_this_one() -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    async with listening(app) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(GET % b"page" + upgrade)
        assert (await asyncio.wait_for(reader.readuntil(b"at /page"), 5)).startswith(b"HTTP/1.1 200 ")
        writer.close()


INNER = b"GET /inner HTTP/1.1\r\nHost: t\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER)


@pytest.mark.parametrize("size", [1, 7, 80, 10_000])
@pytest.mark.parametrize("framed", [LENGTH, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
async def test_a_request_for_another_protocol_keeps_its_body(protocol: bytes, framed: bytes, size: int) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABk\r\n" % protocol
    post = b"POST /body HTTP/1.1\r\nHost: t\r\n" + upgrade + framed
    sent = post + post + GET % b"last" + b"Connection: close\r\n\r\n"
    async with listening(reader) as address:
        answers = await said(address, *[sent[at : at + size] for at in range(0, len(sent), size)])
    assert answers.count(b"HTTP/1.1 200 ") == 3
    assert answers.count(b"%d bytes" % len(INNER)) == 2


async def test_a_request_for_another_protocol_may_wait_to_be_asked_for_its_body() -> None:
    expecting = b"Connection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    async with listening(reader) as address:
        reader_, writer = await asyncio.open_connection(*address)
        writer.write(b"POST /body HTTP/1.1\r\nHost: t\r\n" + expecting)
        assert (await asyncio.wait_for(reader_.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 100 ")
        writer.write(b"hello")
        assert (await asyncio.wait_for(reader_.readuntil(b"5 bytes"), 10)).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nX\x00: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n",
        b"CONNECT http://t/ HTTP/1.1\r\nHost: t\r\n\r\n",
    ],
    ids=[
        "TLS",
        "HTTP/2",
        "two lengths",
        "negative length",
        "two framings",
        "NUL",
        "no host",
        "CONNECT",
        "CONNECT to a path",
    ],
)
async def test_what_is_no_request_is_refused(junk: bytes) -> None:
    async with listening(app) as address:
        assert (await said(address, junk)).startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_breaks_off_its_framing_is_refused() -> None:
    post = b"POST /body HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with listening(reader) as address:
        assert (await said(address, post, b"no chunk\r\n", pause=0.05)).startswith(b"HTTP/1.1 400 ")


async def test_what_comes_behind_a_request_does_not_take_its_answer_away() -> None:
    post = b"POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
    async with listening(reader) as address:
        answer = await said(address, post + b"this is no request\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n5 bytesHTTP/1.1 400 " in answer
    assert b"connection: close" in answer


async def test_what_comes_behind_two_requests_does_not_take_their_answers_away() -> None:
    first = b"POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
    second = b"POST /body HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nthis is no chunk\r\n"
    async with listening(reader) as address:
        answer = await said(address, first + second)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n5 bytesHTTP/1.1 400 " in answer


async def test_who_hangs_up_after_two_requests_is_noticed_by_the_first() -> None:
    arrived, outcome = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        """Answers when its caller has gone."""
        arrived.set()
        try:
            await receive()
            outcome.set_result((await receive())["type"])
            await PlainTextResponse("too late")(scope, receive, send)
        except Exception as error:
            outcome.set_exception(error)
            raise

    async with listening(patient) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write((GET % b"first" + b"\r\n") + (GET % b"second" + b"\r\n"))
        await asyncio.wait_for(arrived.wait(), 5)
        writer.transport.abort()
        assert await asyncio.wait_for(outcome, 5) == "http.disconnect"


async def test_of_who_sends_faster_than_they_are_answered_little_is_kept() -> None:
    answers = asyncio.Semaphore(0)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        """Looks out for the end of its caller, as a streamed answer does."""
        looking = asyncio.create_task(Request(scope, receive).is_disconnected())
        await answers.acquire()
        await PlainTextResponse("ok")(scope, receive, send)
        await looking

    async with listening(slow) as address:
        reader_, writer = await asyncio.open_connection(*address)
        tracemalloc.start()
        try:
            request = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\n\r\n" + bytes(20_000)
            sending = asyncio.create_task(send_without_end(writer, request))
            for _ in range(60):
                answers.release()
                await asyncio.wait_for(reader_.readuntil(b"\r\n\r\nok"), 10)
                await asyncio.sleep(0.01)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        writer.transport.abort()
        answers.release()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(sending, 10)
    assert kept < 2 * 1024 * 1024


async def test_of_who_hangs_up_nothing_is_kept() -> None:
    gone, end = asyncio.Event(), asyncio.Event()

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        """Works on when its caller has gone."""
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        await end.wait()

    def kept() -> int:
        return sum(type(kept_) is RequestResponseCycle for kept_ in gc.get_objects())

    gc.collect()  # what other tests have left would go in between
    before = kept()
    async with listening(stubborn) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write((GET % b"" + b"\r\n") * 100)
        assert await eventually(lambda: kept() > before)
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 10)
        left = kept() - before
        end.set()
    assert left <= 2  # the one that is worked on, and the last one


async def test_a_body_that_comes_after_its_turn_is_read() -> None:
    post = b"POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n"
    last = b"POST /body HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
    body = bytes(300_000)
    async with listening(reader) as address:
        for pieces in (
            [post + body[:100_000], body[100_000:] + last + body[:100], body[100:]],
            [post, body + last, body],
            [post + body + post + body + last + body],
        ):
            answers = await said(address, *pieces, pause=0.2)
            assert answers.count(b"300000 bytes") == b"".join(pieces).count(b"POST ")


async def reader(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how long the body was, after a while."""
    size = len(await Request(scope, receive).body())
    await asyncio.sleep(0.05)
    await PlainTextResponse(f"{size} bytes")(scope, receive, send)
