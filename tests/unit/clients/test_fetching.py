"""Pictures from the web, by real servers on loopback whose names are resolved here."""

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
import pytest
import trustme

from lookalike_client.fetching import (
    Fetched,
    FetchFailedError,
    FetchLimits,
    FetchRefusedError,
    PictureFetcher,
    shown,
)
from tests.far_side import FarSide, far_side, ok, redirect

PUBLIC, INNER = "93.184.216.34", "127.0.0.1"


class Names:
    """Looks up names: the next of a name's lists of addresses each time, and the last one from then on."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.asked: list[str] = []
        self._names = {name.replace("_", "."): list(lists) for name, lists in names.items()}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        lists = self._names[host]
        return lists.pop(0) if len(lists) > 1 else lists[0]


class Internet(httpcore.AsyncNetworkBackend):
    """Has the far side at every public address, and notes which addresses are connected to."""

    def __init__(self, side: FarSide) -> None:
        self.connected: list[str] = []
        self._side = side
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *rest: Any) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        return await self._network.connect_tcp("127.0.0.1", self._side.port, *rest)


def fetcher_of(side: FarSide, names: Names | None = None, **limits: Any) -> PictureFetcher:
    """One for which the shop's name is public, and the Internet is the far side."""
    known = names or Names(shop_example=[[PUBLIC]], other_example=[["1.1.1.1"]])
    return PictureFetcher(FetchLimits(**limits), resolve=known, network=Internet(side))


async def fetch(side: FarSide, url: str | None = None, names: Names | None = None, **limits: Any) -> Fetched:
    async with fetcher_of(side, names, **limits) as fetcher:
        fetched = await fetcher.fetch(url or side.url())
    assert fetched is not None
    return fetched


async def failure_of(
    side: FarSide, url: str | None = None, names: Names | None = None, **limits: Any
) -> FetchFailedError:
    async with fetcher_of(side, names, **limits) as fetcher:
        with pytest.raises(FetchFailedError) as failed:
            await fetcher.fetch(url or side.url())
    return failed.value


async def test_a_picture_is_fetched() -> None:
    async with far_side({"/a%20hat.jpg": ok(b"picture", 'ETag: "v1"', "Last-Modified: yesterday")}) as side:
        fetched = await fetch(side, side.url("/a%20hat.jpg?size=1#top"), user_agent="Tests/1")
    assert fetched == Fetched(content=b"picture", etag='"v1"', last_modified="yesterday", filename="a hat.jpg")
    lines = side.heads[0].split("\r\n")
    assert lines[0] == "GET /a%20hat.jpg?size=1 HTTP/1.1"
    assert {"User-Agent: Tests/1", f"Host: shop.example:{side.port}", "Accept-Encoding: identity"} < set(lines)


async def test_an_url_without_a_name_has_none() -> None:
    async with far_side({"/": ok(b"picture")}) as side:
        assert (await fetch(side, side.url("/"))).filename is None


async def test_what_has_not_changed_is_not_sent_again() -> None:
    async with far_side({"/hat.jpg": ok(b"", status="304 Not Modified")}) as side, fetcher_of(side) as fetcher:
        assert await fetcher.fetch(side.url(), etag='"v1"', last_modified="yesterday") is None
        assert 'If-None-Match: "v1"\r\nIf-Modified-Since: yesterday' in side.heads[0]
        with pytest.raises(FetchFailedError, match="304"):  # nobody asked
            await fetcher.fetch(side.url())


# Forbidden addresses and spellings. Each names the port of a socket that listens on all of loopback, v4 and v6.
FORBIDDEN = [
    # loopback and the unspecified address, as they are written and as resolvers read them
    *("http://127.0.0.1:{}/", "http://127.0.0.2:{}/", "http://127.255.255.254:{}/", "http://0.0.0.0:{}/"),
    *("http://127.1:{}/", "http://127.0.1:{}/", "http://0:{}/", "http://2130706433:{}/", "http://0x7f000001:{}/"),
    *("http://0x7f.0.0.1:{}/", "http://0X7F.1:{}/", "http://0177.0.0.1:{}/", "http://0177.1:{}/"),
    *("http://017700000001:{}/", "http://127.0.0.01:{}/", "http://127.0.0.1.:{}/", "http://127.0.0.1..:{}/"),
    *("http://3232235521:{}/", "http://00000177.0.0.1:{}/", "http://0x7f.0x0.0x0.0x1:{}/"),
    *("http://localhost:{}/", "http://LOCALHOST:{}/", "http://localhost.:{}/", "https://localhost:{}/"),
    # IPv6, also where it stands for an IPv4 address
    *("http://[::1]:{}/", "http://[0:0:0:0:0:0:0:1]:{}/", "http://[::]:{}/", "http://[::127.0.0.1]:{}/"),
    *("http://[::ffff:127.0.0.1]:{}/", "http://[::ffff:7f00:1]:{}/", "http://[::ffff:0:127.0.0.1]:{}/"),
    *("http://[64:ff9b::127.0.0.1]:{}/", "http://[64:ff9b:1::7f00:1]:{}/", "http://[2002:7f00:1::]:{}/"),
    *("http://[2001:0:7f00:1::]:{}/", "http://[fe80::1]:{}/", "http://[fe80::1%25lo]:{}/", "http://[fe80::1%lo]:{}/"),
    *("http://[fd00:ec2::254]:{}/", "http://[ff02::1]:{}/", "http://[2001:db8::1]:{}/", "http://[::1%25lo]:{}/"),
    # other networks that are not public
    *("http://10.0.0.1:{}/", "http://172.16.0.1:{}/", "http://192.168.0.1:{}/", "http://169.254.169.254:{}/"),
    *("http://100.100.100.200:{}/", "http://224.0.0.1:{}/", "http://255.255.255.255:{}/", "http://192.0.2.1:{}/"),
    *("http://198.18.0.1:{}/", "http://168.63.129.16:{}/"),
    # userinfo, and what some parsers take for it
    *("http://shop.example@127.0.0.1:{}/", "http://shop.example:80@localhost:{}/", "http://a:b@c@127.0.0.1:{}/"),
    *("http://shop.example\\@127.0.0.1:{}/", "http://127.0.0.1:{}\\@shop.example/", "http://u:p@shop.example:{}/"),
    *("http://127.0.0.1:{}#@shop.example/", "http://127.0.0.1:{}?@shop.example/", "http://@127.0.0.1:{}/"),
    # other characters for the same
    *("http://①②⑦.⓪.⓪.①:{}/", "http://\uff11\uff12\uff17.0.0.1:{}/", "http://127。0。0。1:{}/", "http://ⓛocalhost:{}/"),
    *("http://%31%32%37.0.0.1:{}/", "http://127%2e0%2e0%2e1:{}/", "http://local\u00adhost:{}/"),
    *("http://localhost%00.shop.example:{}/", "http://xn--:{}/"),
    # names that resolve to such addresses, all or one of them
    *(
        "http://inner.example:{}/",
        "http://mixed.example:{}/",
        "http://mapped.example:{}/",
        "http://metadata.example:{}/",
    ),
    # other schemes, and none
    *("ftp://127.0.0.1:{}/", "file:///etc/passwd", "gopher://127.0.0.1:{}/", "ws://127.0.0.1:{}/"),
    *("//127.0.0.1:{}/", "127.0.0.1:{}", "http:127.0.0.1:{}", "http:/127.0.0.1:{}/", "http:///127.0.0.1:{}/", ""),
    "data:image/png;base64,AAAA",
]


def forbidden_names() -> Names:
    return Names(
        shop_example=[[INNER]],
        inner_example=[[INNER]],
        mixed_example=[[PUBLIC, INNER]],
        mapped_example=[["::ffff:127.0.0.1"]],
        metadata_example=[["169.254.169.254"]],
        localhost=[["::1", INNER]],
    )


class Listening:
    """A socket on all addresses of this machine, and how often something connected to it."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.socket.settimeout(0)

    def connections(self) -> int:
        """Those that wait to be accepted."""
        found = 0
        try:
            while True:
                self.socket.accept()[0].close()
                found += 1
        except BlockingIOError:
            return found


@pytest.fixture
def listening() -> Iterable[Listening]:
    found = Listening()
    yield found
    found.socket.close()


def test_there_are_sixty_and_more() -> None:
    assert len(set(FORBIDDEN)) >= 60


@pytest.mark.parametrize("spelling", FORBIDDEN)
async def test_a_forbidden_url_gets_no_connection(listening: Listening, spelling: str) -> None:
    """By the real network and the look-up of the system, but for the names that only the test knows."""
    names = forbidden_names()
    port = listening.socket.getsockname()[1]
    async with PictureFetcher(FetchLimits(timeout_seconds=5), resolve=names) as fetcher:
        with pytest.raises(FetchRefusedError) as refused:
            await fetcher.fetch(spelling.format(port))
    assert listening.connections() == 0
    assert not refused.value.retryable


@pytest.mark.parametrize("spelling", FORBIDDEN)
async def test_nor_does_it_as_a_redirect(listening: Listening, spelling: str) -> None:
    target = spelling.format(listening.socket.getsockname()[1])
    names = forbidden_names()
    async with far_side() as side:
        # Relative ones lead to the far side itself, which has nothing there.
        side.answers["/hat.jpg"] = redirect("/chain")
        location = f"Location: {target}".encode()
        side.answers["/chain"] = b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n" + location + b"\r\n\r\n"
        allowed = frozenset({f"start.example:{side.port}"})
        names = Names(start_example=[[INNER]], **{k.replace(".", "_"): v for k, v in names._names.items()})
        async with PictureFetcher(FetchLimits(allowed_hosts=allowed, timeout_seconds=5), resolve=names) as fetcher:
            with pytest.raises((FetchRefusedError, FetchFailedError)):
                await fetcher.fetch(side.url(host="start.example"))
    assert listening.connections() == 0
    assert len(side.heads) >= 2


def test_the_socket_counts(listening: Listening) -> None:
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        socket.create_connection((host, listening.socket.getsockname()[1])).close()
    assert listening.connections() == 3


async def test_a_name_is_looked_up_once_and_its_checked_address_connected_to() -> None:
    """A second look-up would give the inner address."""
    names = Names(shop_example=[[PUBLIC], [INNER]])
    async with far_side({"/hat.jpg": ok(b"picture")}) as side, fetcher_of(side, names) as fetcher:
        await fetcher.fetch(side.url())
        network: Any = fetcher._pool._network_backend._network
        assert (names.asked, network.connected) == (["shop.example"], [PUBLIC])


async def test_each_connection_is_checked_anew() -> None:
    names = Names(shop_example=[[PUBLIC], [INNER]])
    answers = {"/hat.jpg": redirect("/again", "302 Found\r\nConnection: close"), "/again": ok(b"picture")}
    async with far_side(answers) as side, fetcher_of(side, names) as fetcher:
        with pytest.raises(FetchRefusedError, match=r"shop\.example is, or has, an address that is not public"):
            await fetcher.fetch(side.url())
        assert side.connections == 1


async def test_a_further_address_is_tried() -> None:
    names = Names(shop_example=[["8.8.8.8", PUBLIC]])
    async with far_side({"/hat.jpg": ok(b"picture")}) as side:
        fetcher = fetcher_of(side, names)
        network: Any = fetcher._pool._network_backend._network  # type: ignore[attr-defined]
        connect = network.connect_tcp

        async def first_fails(host: str, port: int, *rest: Any) -> Any:
            if host == "8.8.8.8":
                raise httpcore.ConnectError("refused")
            return await connect(host, port, *rest)

        network.connect_tcp = first_fails
        async with fetcher:
            assert await fetcher.fetch(side.url()) is not None


@pytest.mark.parametrize("entry", ["shop.example", "Shop.Example.", "shop.example:{}"])
async def test_an_allowed_host_may_have_any_address(entry: str) -> None:
    names = Names(shop_example=[[INNER]])
    async with far_side({"/hat.jpg": ok(b"picture")}) as side:
        allowed = frozenset({entry.format(side.port)})
        assert (await fetch(side, names=names, allowed_hosts=allowed)).content == b"picture"


async def test_no_other_port_and_no_other_name_is_allowed_with_it() -> None:
    names = Names(shop_example=[[INNER]], x_shop_example=[[INNER]])
    async with far_side() as side:
        for entry, url in (("shop.example:1", side.url()), ("shop.example", side.url(host="x.shop.example"))):
            limits = FetchLimits(allowed_hosts=frozenset({entry}))
            async with PictureFetcher(limits, resolve=names) as fetcher:
                with pytest.raises(FetchRefusedError):
                    await fetcher.fetch(url)
        assert side.connections == 0


async def test_redirects_are_followed_so_far() -> None:
    async with far_side(
        {"/hat.jpg": redirect("/2?x=1"), "/2": redirect("//other.example/3"), "/3": ok(b"end")}
    ) as side:
        side.answers["/2"] = redirect(side.url("/3", host="other.example"), "308 Permanent Redirect")
        assert (await fetch(side, max_redirects=2)).content == b"end"
        assert f"Host: other.example:{side.port}" in side.heads[-1]
        failed = await failure_of(side, max_redirects=1)
    assert "redirects more than 1 times" in str(failed)
    assert not failed.retryable


async def test_a_loop_of_redirects_ends() -> None:
    async with far_side({"/hat.jpg": redirect("/hat.jpg")}) as side:
        assert "more than 5 times" in str(await failure_of(side))
        assert len(side.heads) == 6


async def test_nothing_of_ours_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Neither cookies that the far side set, nor what the environment says of proxies and passwords."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine shop.example login me password secret\n")
    for name, value in {
        "NETRC": str(netrc),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    answers = {"/hat.jpg": ok(b"", "Set-Cookie: id=1", "Location: /2", status="302 Found"), "/2": ok(b"picture")}
    async with far_side(answers) as side, fetcher_of(side) as fetcher:
        await fetcher.fetch(side.url())
        await fetcher.fetch(side.url())
    sent = {line.partition(":")[0] for head in side.heads for line in head.split("\r\n")[1:] if line}
    assert sent == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert len(side.heads) == 4


async def drip(writer: asyncio.StreamWriter, head: bytes, piece: bytes) -> None:
    writer.write(head)
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(b"", b"", id="says nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", id="drips its head"),
        pytest.param(b"", b"HTTP/1.1 102 Processing\r\n\r\n", id="is always about to answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x", id="drips its body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="drips chunks"),
    ],
)
@pytest.mark.parametrize("limit", ["timeout_seconds", "first_byte_seconds"])
async def test_slow_answers_are_cut(head: bytes, piece: bytes, limit: str) -> None:
    if limit == "first_byte_seconds" and b"\r\n\r\n" in head:
        limit = "timeout_seconds"
    async with far_side({"/hat.jpg": lambda writer: drip(writer, head, piece)}) as side:
        failed = await failure_of(side, **{limit: 0.2})
    assert "did not answer in time" in str(failed)
    assert failed.retryable


async def test_a_slow_name_server_is_not_waited_for() -> None:
    async def never(_: str, __: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with PictureFetcher(FetchLimits(timeout_seconds=0.1), resolve=never) as fetcher:
        with pytest.raises(FetchFailedError, match="did not answer in time"):
            await fetcher.fetch("http://shop.example/")


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(bytes(65536))
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ok(bytes(1001)), id="says so"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1001), id="does not say so"),
        pytest.param(endless, id="has no end"),
        pytest.param(ok(gzip.compress(bytes(1001), mtime=0), "Content-Encoding: gzip"), id="grows"),
        pytest.param(ok(gzip.compress(bytes(10_000_000), mtime=0)[:1000], "Content-Encoding: gzip"), id="is a bomb"),
        pytest.param(ok(zlib.compress(bytes(900_000)), "Content-Encoding: deflate"), id="is another bomb"),
    ],
)
async def test_too_much_is_not_read(answer: Any) -> None:
    async with far_side({"/hat.jpg": answer}) as side:
        failed = await failure_of(side, max_bytes=1000)
    assert "more than the 1,000 bytes" in str(failed)
    assert not failed.retryable


async def test_as_much_as_allowed_is_read() -> None:
    packed = gzip.compress(bytes(1000), mtime=0)
    async with far_side({"/hat.jpg": ok(bytes(1000)), "/packed": ok(packed, "Content-Encoding: gzip")}) as side:
        assert (await fetch(side, max_bytes=1000)).content == bytes(1000)
        assert (await fetch(side, side.url("/packed"), max_bytes=1000)).content == bytes(1000)


@pytest.mark.parametrize(
    ("answer", "said", "retryable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort", "was not read", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshort", "was not read", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n", "was not read", True),
        (b"", "was not read", True),
        (b"SSH-2.0-OpenSSH\r\n", "was not read", True),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", "was not read", True),
        (ok(gzip.compress(b"x" * 500, mtime=0)[:-9], "Content-Encoding: gzip"), "broken encoding", False),
        (ok(b"x" * 500, "Content-Encoding: gzip"), "broken encoding", False),
        (ok(b"x", "Content-Encoding: br"), "encoding br", False),
        (ok(b"x", "Content-Encoding: gzip, gzip"), "encoding gzip, gzip", False),
        (ok(b"x", status="404 Not Found"), "answered 404 Not Found", False),
        (ok(b"x", status="403 Forbidden"), "answered 403 Forbidden", False),
        (ok(b"x", status="206 Partial Content"), "answered 206", False),
        (ok(b"x", status="302 Found"), "answered 302", False),
        (ok(b"x", status="500 Oops"), "answered 500", True),
        (ok(b"x", status="503 Busy"), "answered 503", True),
        (ok(b"x", status="429 Slow"), "answered 429", True),
    ],
)
async def test_what_is_no_picture_fails(answer: bytes, said: str, *, retryable: bool) -> None:
    async def send_and_close(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with far_side({"/hat.jpg": send_and_close}) as side:
        failed = await failure_of(side, side.url("/hat.jpg?secret=1"))
    assert said in str(failed)
    assert f"http://shop.example:{side.port}/hat.jpg" in str(failed)
    assert "secret" not in str(failed)
    assert failed.retryable is retryable


async def test_nothing_listens() -> None:
    async with far_side() as side:
        pass
    assert (await failure_of(side)).retryable


@pytest.mark.parametrize(("errno", "retryable"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
async def test_an_unknown_name_fails(errno: int, *, retryable: bool) -> None:
    async def unknown(_: str, __: int) -> Sequence[str]:
        raise socket.gaierror(errno, "of the resolver")

    async with PictureFetcher(resolve=unknown) as fetcher:
        with pytest.raises(FetchFailedError, match="the name was not found") as failed:
            await fetcher.fetch("http://shop.example/hat.jpg")
    assert failed.value.retryable is retryable


async def test_the_system_looks_names_up() -> None:
    async with far_side({"/hat.jpg": ok(b"picture")}) as side:
        allowed = frozenset({"localhost"})
        async with PictureFetcher(FetchLimits(allowed_hosts=allowed)) as fetcher:
            fetched = await fetcher.fetch(side.url(host="localhost"))
    assert fetched is not None
    assert fetched.content == b"picture"


@pytest.mark.parametrize("pause", ["1", "0.05"])
async def test_a_pause_that_is_asked_for_is_made_once(pause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async with far_side({"/hat.jpg": ok(b"", f"Retry-After: {pause}", status="429 Slow Down")}) as side:
        monkeypatch.setattr("lookalike_client.fetching.asyncio.sleep", note)
        failed = await failure_of(side)
    assert failed.retryable
    assert pauses == [float(pause)]
    assert len(side.heads) == 2


async def test_after_the_pause_the_picture_is_there() -> None:
    async with far_side({"/hat.jpg": ok(b"", "Retry-After: 0.01", status="503 Busy")}) as side:
        answers = iter((side.answers["/hat.jpg"], ok(b"picture")))

        async def next_answer(writer: asyncio.StreamWriter) -> None:
            answer = next(answers)
            assert isinstance(answer, bytes)
            writer.write(answer)

        side.answers["/hat.jpg"] = next_answer
        assert (await fetch(side)).content == b"picture"


async def test_a_longer_pause_than_there_is_time_is_not_made() -> None:
    async with far_side({"/hat.jpg": ok(b"", "Retry-After: 31", status="503 Busy")}) as side:
        assert "answered 503" in str(await failure_of(side))
        assert len(side.heads) == 1


async def test_so_many_are_fetched_at_once() -> None:
    release = asyncio.Event()

    async def wait(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(ok(b"picture"))

    async with far_side({"/hat.jpg": wait}) as side, fetcher_of(side, at_once=3, per_host=2) as fetcher:
        urls = [side.url(), side.url(), side.url(), side.url(host="other.example"), side.url(host="other.example")]
        tasks = [asyncio.create_task(fetcher.fetch(url)) for url in urls]
        while side.busy < 3:  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        hosts = sorted(head.split("Host: ")[1].split(":")[0] for head in side.heads)
        assert hosts == ["other.example", "shop.example", "shop.example"]
        release.set()
        assert all(await asyncio.gather(*tasks))
        assert side.busiest == 3
        assert not fetcher._turns


async def test_a_connection_is_used_again() -> None:
    async with far_side({"/hat.jpg": ok(b"picture")}) as side, fetcher_of(side) as fetcher:
        for _ in range(5):
            await fetcher.fetch(side.url())
        assert (len(side.heads), side.connections) == (5, 1)


def tls_of(*names: str, authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_the_name_is_kept_for_tls() -> None:
    """The far side shows a certificate for it alone, and is told it before."""
    authority, told = trustme.CA(), list[str | None]()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    tls = tls_of("shop.example", authority=authority)
    tls.sni_callback = lambda _, name, __: told.append(name)
    async with far_side({"/hat.jpg": ok(b"picture")}, tls=tls) as side:
        names = Names(shop_example=[[PUBLIC]], other_example=[[PUBLIC]])
        async with PictureFetcher(verify=trust, resolve=names, network=Internet(side)) as fetcher:
            fetched = await fetcher.fetch(side.url(scheme="https"))
            assert fetched is not None
            with pytest.raises(FetchFailedError, match=r"no TLS connection .*other\.example") as failed:
                await fetcher.fetch(side.url(scheme="https", host="other.example"))
    assert not failed.value.retryable
    assert told == ["shop.example", "other.example"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [("unknown authority", "no TLS connection"), ("no tls", "answer in time"), ("tls 1.1", "no TLS connection")],
)
async def test_broken_tls_fails(fault: str, said: str) -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    if fault != "unknown authority":
        authority.configure_trust(trust)
    tls = None if fault == "no tls" else tls_of("shop.example", authority=authority)
    if fault == "tls 1.1" and tls is not None:
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            tls.maximum_version = ssl.TLSVersion.TLSv1_1

    async with far_side({"/hat.jpg": ok(b"picture")}, tls=tls) as side:
        names = Names(shop_example=[[PUBLIC]])
        async with PictureFetcher(
            FetchLimits(timeout_seconds=0.3 if fault == "no tls" else 30),
            verify=trust,
            resolve=names,
            network=Internet(side),
        ) as fetcher:
            with pytest.raises(FetchFailedError, match=said):
                await fetcher.fetch(side.url(scheme="https"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://me:secret@shop.example/hat.jpg", "http://shop.example/hat.jpg"),
        ("me:secret@shop.example/hat.jpg", "shop.example/hat.jpg"),
        ("http://me:sec/ret@shop.example/hat.jpg", "http://shop.example/hat.jpg"),
        ("http://me:sec?ret@shop.example/hat.jpg", "http://shop.example/hat.jpg"),
        ("http:\\\\me:secret@shop.example/hat.jpg", "shop.example/hat.jpg"),
        ("ftp://shop.example/hat.jpg?secret=1#secret", "ftp://shop.example/hat.jpg"),
        ("x" * 1000, "x" * 200),
        ("http://shop.example/\x1b[2J\n", "http://shop.example/\ufffd[2J\ufffd"),
    ],
)
def test_messages_have_no_secrets(text: str, said: str) -> None:
    assert shown(text) == said


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://me:secret@shop.example/hat.jpg?token=secret", "credentials in an URL"),
        ("http://me:secret/x@shop.example/hat.jpg", "it is no URL"),
        ("http://me@shop.example:secret/hat.jpg", "it is no URL"),
    ],
)
async def test_a_refusal_names_the_url_without_secrets(url: str, reason: str) -> None:
    async with PictureFetcher() as fetcher:
        with pytest.raises(FetchRefusedError) as refused:
            await fetcher.fetch(url)
    assert "me:secret" not in str(refused.value)
    assert "token" not in str(refused.value)
    assert f"is not fetched: {reason}" in str(refused.value)


def test_an_allowed_host_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="is no host"):
        PictureFetcher(FetchLimits(allowed_hosts=frozenset({"http://shop.example"})))
