"""A client of the NG protocol, and bencode, written for the tests alone."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

TYPES = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


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
    """Asks a media node over UDP or TCP, in bencode or JSON.

    Parameters
    ----------
    kind : ``udp`` or ``tcp``.
    """

    def __init__(self, port: int, kind: str = "udp", *, is_json: bool = False) -> None:
        self._cookies = (f"test_{number}" for number in itertools.count())
        self._is_json, self._is_stream = is_json, kind == "tcp"
        self._socket = socket.socket(type=TYPES[kind])
        self._socket.connect(("127.0.0.1", port))
        self._came = b""

    def ask(self, command: str, timeout_s: float = 3.0, **parameters: Any) -> dict[str, Any]:
        """Send a command; ``from_tag`` is written ``from-tag``. Gives the reply, errors too."""
        cookie, message = self.write(command, **parameters)
        self._socket.settimeout(timeout_s)
        self.send(message)
        while True:
            got, _, reply = self.receive().partition(b" ")
            if got == cookie:
                answer: dict[str, Any] = json.loads(reply) if self._is_json else decode(reply)
                return answer

    def write(self, command: str, **parameters: Any) -> tuple[bytes, bytes]:
        """Make a message; gives its cookie and the whole of it."""
        fields = {"command": command}
        fields |= {name.replace("_", "-"): value for name, value in parameters.items()}
        cookie = next(self._cookies).encode()
        payload = json.dumps(fields).encode() if self._is_json else encode(fields)
        return cookie, cookie + b" " + payload

    def send(self, message: bytes) -> None:
        """Send a message as it is."""
        self._socket.sendall(message)

    def receive(self) -> bytes:
        """Take the next reply as it is."""
        if not self._is_stream:
            return self._socket.recv(65536)
        while True:
            if end := self._end_of_reply():
                reply, self._came = self._came[:end], self._came[end:]
                return reply
            data = self._socket.recv(65536)
            assert data, "the node hung up"
            self._came += data

    def _end_of_reply(self) -> int:
        """Find where the first reply of the stream ends; 0 where it is not whole."""
        start = self._came.find(b" ") + 1
        if not start:
            return 0
        try:
            if self._is_json:
                text = self._came[start:].decode()
                return start + len(text[: json.JSONDecoder().raw_decode(text)[1]].encode())
            return len(self._came) - len(_decode(self._came[start:])[1])
        except (ValueError, IndexError):
            return 0

    def close(self) -> None:
        self._socket.close()
