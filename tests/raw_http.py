"""HTTP spoken over a bare socket, where a client library would not say what is to be said."""

import contextlib
import http.client
import socket
import time
from dataclasses import dataclass

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; status 0 and no body where the connection was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class NoAnswerError(AssertionError):
    """Nothing came back in time, or not all of it."""


def exchange(
    address: tuple[str, int], raw: bytes, *, method: str = "GET", patience: float = PATIENCE_SECONDS
) -> Answer:
    """Send these bytes over a connection of their own. Raises NoAnswerError."""
    started = time.monotonic()
    with socket.create_connection(address, timeout=patience) as open_:
        with contextlib.suppress(ConnectionError):  # it has answered, and hung up
            open_.sendall(raw)
        response = http.client.HTTPResponse(open_, method=method)
        try:
            response.begin()
            body = response.read()
        except (http.client.RemoteDisconnected, http.client.BadStatusLine, ConnectionError):
            return Answer(status=0, headers={}, body=b"", seconds=time.monotonic() - started)
        except (TimeoutError, http.client.IncompleteRead) as error:
            raise NoAnswerError(f"no whole answer in {patience:g} s: {error!r}") from error
        finally:
            response.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=headers, body=body, seconds=time.monotonic() - started)
