"""Connections to public addresses alone, for names that may have others: each address is checked, then connected to."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore

from lookalike_client.public_addresses import is_public

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The IP addresses of a name, for a port. Raises OSError."""

ADDRESSES_TRIED = 3
"""Of one name, where connecting to the first fails."""


class NotPublicError(Exception):
    """A host has an address that is not public. The message names the host and not the address, which may be secret."""

    def __init__(self, host: str, port: int) -> None:
        """Of a name or an address."""
        super().__init__(f"{host} is, or has, an address that is not public")
        self.place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        """As `allowed` hosts are written."""


class NoNameError(Exception):
    """A name was not found. `may_pass`: the name server did not answer."""

    def __init__(self, reason: Exception | None = None) -> None:
        """From what the resolver raised, if it did."""
        super().__init__("the name was not found")
        self.may_pass = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_AGAIN


class SystemNames:
    """Looks names up as the system does, on threads of its own: a slow name server keeps no other work waiting."""

    def __init__(self, *, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="look-up")

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """A Resolver."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Look-ups that have not begun are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedAddresses(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, where httpcore asks for a name. It keeps the name for TLS."""

    def __init__(
        self,
        resolve: Resolver,
        *,
        allowed: frozenset[tuple[str, int | None]],
        network: httpcore.AsyncNetworkBackend,
    ) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, if all are public. Raises NotPublicError, NoNameError."""
        try:
            addresses = [host] if _is_address(host) else await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise NoNameError(error) from error
        if not {(host, port), (host, None)} & self._allowed and not all(map(is_public, addresses)):
            raise NotPublicError(host, port)
        tried = addresses[:ADDRESSES_TRIED]
        failure: Exception = NoNameError()
        for address in tried:
            try:
                return _Connection(
                    await self._network.connect_tcp(
                        address, port, timeout and timeout / len(tried), local_address, socket_options
                    )
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """As the network does."""
        await self._network.sleep(seconds)


class _Connection(httpcore.AsyncNetworkStream):
    """A connection that is closed where TLS is given up half-way: by a cancellation, httpcore leaves it open."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self.read = stream.read  # type: ignore[method-assign]
        self.write = stream.write  # type: ignore[method-assign]
        self.aclose = stream.aclose  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """The same connection in TLS."""
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self.aclose()
            raise


def _is_address(host: str) -> bool:
    try:
        is_public(host)
    except ValueError:
        return False
    return True
