"""A small NG client of the benchmarks' own: bencode over UDP, a cookie before each message.

It shares no code with the relay it drives, so that a mistake of the relay's parser is not answered
by the same mistake here. Requests are sent again as Kamailio does it, with the same cookie.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Mapping, Sequence
from typing import Final

Value = str | int | Sequence["Value"] | Mapping[str, "Value"]

TRIES: Final = 5
WAIT_S: Final = 1.0
LARGEST_BYTES: Final = 65_536


class NgRefusedError(RuntimeError):
    """The relay answered with an error, or not at all."""


def bencode(value: Value) -> bytes:
    """Write a value; keys of mappings are sorted."""
    match value:
        case str():
            raw = value.encode()
            return b"%d:%s" % (len(raw), raw)
        case int():
            return b"i%de" % value
        case Mapping():
            parts = (bencode(key) + bencode(value[key]) for key in sorted(value))
            return b"d" + b"".join(parts) + b"e"
        case _:
            return b"l" + b"".join(map(bencode, value)) + b"e"


def bdecode(data: bytes) -> Value:
    """Read one value; what follows it is ignored."""
    return _read(data, 0)[0]


def _read(data: bytes, at: int) -> tuple[Value, int]:
    kind = data[at : at + 1]
    if kind == b"i":
        stop = data.index(b"e", at)
        return int(data[at + 1 : stop]), stop + 1
    if kind == b"l":
        return _read_items(data, at + 1)
    if kind == b"d":
        items, at = _read_items(data, at + 1)
        return {str(key): item for key, item in zip(items[::2], items[1::2], strict=True)}, at
    colon = data.index(b":", at)
    stop = colon + 1 + int(data[at:colon])
    return data[colon + 1 : stop].decode("utf-8", "replace"), stop


def _read_items(data: bytes, at: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    while data[at : at + 1] != b"e":
        item, at = _read(data, at)
        items.append(item)
    return items, at + 1


class NgClient:
    """Asks one relay, one request at a time.

    Parameters
    ----------
    address : host and UDP port the relay listens on.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(address)
        self._cookies = itertools.count(1)

    def ask(
        self, command: str, fields: Mapping[str, Value] | None = None, tries: int = TRIES
    ) -> dict[str, Value]:
        """Send a command and give the reply.

        Parameters
        ----------
        command : ``offer``, ``block DTMF``, ...
        fields : the rest of the message.
        tries : how often it is sent before giving up.

        Raises
        ------
        NgRefusedError
            No reply, or ``result=error``.
        """
        cookie = b"bench_%d" % next(self._cookies)
        message = cookie + b" " + bencode({"command": command, **(fields or {})})
        for _ in range(tries):
            reply = self._exchange(cookie, message)
            if reply is not None:
                break
        else:
            raise NgRefusedError(f"{command}: no reply")
        if reply.get("result") not in {"ok", "pong", "load limit"}:
            raise NgRefusedError(f"{command}: {reply.get('error-reason', reply.get('result'))}")
        return reply

    def _exchange(self, cookie: bytes, message: bytes) -> dict[str, Value] | None:
        self._socket.settimeout(WAIT_S)
        try:
            self._socket.send(message)
            while True:
                said, _, body = self._socket.recv(LARGEST_BYTES).partition(b" ")
                if said == cookie:
                    reply = bdecode(body)
                    return reply if isinstance(reply, dict) else None
        except (TimeoutError, ConnectionRefusedError):
            return None

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
