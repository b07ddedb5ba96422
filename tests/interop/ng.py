"""A client of the NG protocol, and bencode, written for the tests alone."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Mapping, Sequence
from typing import Any


def encode(value: Any) -> bytes:
    """Write a value as bencode."""
    match value:
        case str():
            return encode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case int():
            return b"i%de" % value
        case Mapping():
            items = sorted((key.encode(), item) for key, item in value.items())
            return b"d" + b"".join(encode(key) + encode(item) for key, item in items) + b"e"
        case Sequence():
            return b"l" + b"".join(map(encode, value)) + b"e"
    raise TypeError(type(value).__name__)


def decode(data: bytes) -> Any:
    """Read one value."""
    value, rest = _decode(data)
    assert rest == b"", "something follows the value"
    return value


def _decode(data: bytes) -> tuple[Any, bytes]:
    kind = data[:1]
    if kind == b"i":
        number, _, rest = data[1:].partition(b"e")
        return int(number), rest
    if kind in {b"l", b"d"}:
        items, rest = [], data[1:]
        while rest[:1] != b"e":
            item, rest = _decode(rest)
            items.append(item)
        if kind == b"l":
            return items, rest[1:]
        return dict(zip(items[::2], items[1::2], strict=True)), rest[1:]
    length, _, rest = data.partition(b":")
    n_bytes = int(length)
    return rest[:n_bytes].decode("utf-8", "surrogateescape"), rest[n_bytes:]


class NgClient:
    """Asks a media node over UDP."""

    def __init__(self, port: int) -> None:
        self._cookies = (f"test_{number}" for number in itertools.count())
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))

    def ask(self, command: str, timeout_s: float = 3.0, **parameters: Any) -> dict[str, Any]:
        """Send a command; ``from_tag`` is written ``from-tag``. Gives the reply, errors too."""
        message = {"command": command}
        message |= {name.replace("_", "-"): value for name, value in parameters.items()}
        self._socket.settimeout(timeout_s)
        cookie = next(self._cookies).encode()
        self._socket.send(cookie + b" " + encode(message))
        while True:
            got, _, reply = self._socket.recv(65536).partition(b" ")
            if got == cookie:
                answer: dict[str, Any] = decode(reply)
                return answer

    def close(self) -> None:
        self._socket.close()
