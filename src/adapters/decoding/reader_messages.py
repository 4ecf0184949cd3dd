"""What a decoder and its reader processes say to each other: a JSON object and bytes, after the lengths of both.

They are not pickles, so that a picture that takes over a reader gets no further.
"""

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

_LENGTHS = struct.Struct(">IQ")


class DisconnectedError(Exception):
    """The other end is gone."""


def send(connection: socket.socket, head: Mapping[str, Any], body: bytes | memoryview = b"") -> None:
    """One message. Raises OSError."""
    text = json.dumps(head).encode()
    connection.sendall(_LENGTHS.pack(len(text), len(body)) + text)
    if body:
        connection.sendall(body)


def receive_head(connection: socket.socket) -> tuple[Any, int]:
    """The JSON of the next message, and how many bytes follow it. Raises DisconnectedError, OSError, ValueError."""
    lengths = memoryview(bytearray(_LENGTHS.size))
    receive_into(connection, lengths)
    text_length, body_length = _LENGTHS.unpack(lengths)
    if text_length > 64 * 1024:
        raise ValueError(f"a message of {text_length:,} bytes")
    text = memoryview(bytearray(text_length))
    receive_into(connection, text)
    return json.loads(bytes(text)), body_length


def receive_into(connection: socket.socket, target: memoryview) -> None:
    """Exactly as many bytes as `target` has. Raises DisconnectedError, OSError."""
    while target:
        received = connection.recv_into(target)
        if not received:
            raise DisconnectedError
        target = target[received:]
