"""One NG address before several media processes: each call belongs to one, by its call-id.

The parent forwards a message whole and brings the reply back. It reads no more of it than the
command and the call-id. Requests about no call are answered here or put together from the answers
of all. A process that is gone or does not read gets its calls' requests answered with an error, so
that the proxy can try another node.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from voicemask.errors import InputError, NgError
from voicemask.media.loop import Loop
from voicemask.media.ng_server import Answer, NgSockets, Reply
from voicemask.ng import bencode
from voicemask.ng.message import (
    Encoding,
    Envelope,
    error_reply,
    open_envelope,
    read_request,
    write_reply,
)

PATIENCE_S: Final = 3.0
MAX_PENDING: Final = 10_000
_HEAD: Final = struct.Struct("!QH")
_TOKEN: Final = struct.Struct("!Q")
_MAX_FORWARDED: Final = 1 << 17
_SOCKET_BYTES: Final = 4 << 20
_IN_A_ROW: Final = 32
_FRACTION: Final = re.compile(r"[0-9]+\.[0-9]{6}")


def process_of(call_id: str, n_processes: int) -> int:
    """Give the process a call belongs to; the same in every run."""
    return zlib.crc32(call_id.encode()) % n_processes


class _Whose(Enum):
    """Whose answer a request wants."""

    CALL = "call"
    """The process of the call."""
    ALL = "all"
    """Everybody's, put together."""
    ANY = "any"
    """The first."""


_WHOSE: Final = {"list": _Whose.ALL, "statistics": _Whose.ALL, "ping": _Whose.ANY}


@dataclass(slots=True, eq=False)
class _Pending:
    """A request under way to one process or to all."""

    envelope: Envelope
    reply: Reply
    whose: _Whose
    limit: int | None
    waiting_for: set[int] = field(default_factory=set)
    due_s: float = 0.0
    parts: list[bytes] = field(default_factory=list)


class Dispatcher:
    """The parent's side."""

    def __init__(self, loop: Loop, n_processes: int) -> None:
        self._loop = loop
        self._links: list[socket.socket | None] = [None] * n_processes
        self._pending: dict[int, _Pending] = {}
        self._n_sent = 0
        self._sockets = NgSockets(loop, self._dispatch)
        self.n_failed = 0
        loop.call_later(1.0, self._expire)

    def serve(self, sock: socket.socket) -> None:
        """Take NG from a bound socket."""
        self._sockets.serve(sock)

    def connect(self, index: int) -> socket.socket:
        """Make the link to a process that is about to start; give its end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        ours.setblocking(False)
        self.disconnect(index)
        self._links[index] = ours
        self._loop.add_reader(ours.fileno(), lambda: self._on_reply(index, ours))
        return theirs

    def disconnect(self, index: int) -> None:
        """Forget a process; what it was asked gets an error."""
        link = self._links[index]
        if link is None:
            return
        self._links[index] = None
        self._loop.remove(link.fileno())
        link.close()
        for token, pending in list(self._pending.items()):
            if index in pending.waiting_for:
                self._settle(token, index, None)

    def _dispatch(self, message: bytes, source: str, reply: Reply) -> None:
        envelope = open_envelope(message)
        if envelope is None:
            return
        try:
            request = read_request(envelope)
            command, call_id = request.text("command"), request.text("call-id")
            whose = _WHOSE.get(command, _Whose.CALL)
            limit = request.integer("limit") if whose is _Whose.ALL else None
            pending = _Pending(envelope, reply, whose, limit)
            self._ask(pending, message, source, call_id if whose is _Whose.CALL else None)
        except InputError as error:
            reply(write_reply(envelope, error_reply(error)))

    def _ask(
        self, pending: _Pending, message: bytes, source: str, call_id: str | None = None
    ) -> None:
        """Forward to the process of a call, or to all that are there."""
        indexes = range(len(self._links))
        if call_id is not None:
            indexes = range(at := process_of(call_id, len(self._links)), at + 1)
        if len(self._pending) >= MAX_PENDING:
            raise _busy()
        self._n_sent += 1
        name = source.encode()
        frame = _HEAD.pack(self._n_sent, len(name)) + name + message
        pending.due_s = time.monotonic() + PATIENCE_S
        pending.waiting_for = {index for index in indexes if self._forward(index, frame)}
        if not pending.waiting_for:
            self.n_failed += 1
            raise _busy()
        self._pending[self._n_sent] = pending

    def _forward(self, index: int, frame: bytes) -> bool:
        link = self._links[index]
        if link is None:
            return False
        try:
            link.send(frame)
        except OSError:
            return False
        return True

    def _on_reply(self, index: int, link: socket.socket) -> None:
        for _ in range(_IN_A_ROW):
            try:
                frame = link.recv(_MAX_FORWARDED)
            except BlockingIOError:
                return
            except OSError:
                frame = b""
            if len(frame) < _TOKEN.size:
                # hung up: the process is ending, its parent will see
                if self._links[index] is link:
                    self.disconnect(index)
                return
            (token,) = _TOKEN.unpack_from(frame)
            self._settle(token, index, frame[_TOKEN.size :])

    def _settle(self, token: int, index: int, answer: bytes | None) -> None:
        """Take the answer of one process; reply when all have given theirs."""
        pending = self._pending.get(token)
        if pending is None or index not in pending.waiting_for:
            return
        pending.waiting_for.discard(index)
        if answer:
            pending.parts.append(answer)
        is_enough = answer and pending.whose is _Whose.ANY
        if pending.waiting_for and not is_enough:
            return
        del self._pending[token]
        self._reply(pending)

    def _reply(self, pending: _Pending) -> None:
        if not pending.parts:
            self.n_failed += 1
            pending.reply(write_reply(pending.envelope, error_reply(_busy())))
        elif pending.whose is _Whose.ALL:
            pending.reply(_merge(pending))
        else:
            pending.reply(pending.parts[0])

    def _expire(self) -> None:
        now_s = time.monotonic()
        for token, pending in list(self._pending.items()):
            if pending.due_s <= now_s:
                del self._pending[token]
                self._reply(pending)
        self._loop.call_later(1.0, self._expire)


def _busy() -> NgError:
    return NgError("media process", "is not there", "try another node, or this one in a moment")


def _merge(pending: _Pending) -> bytes:
    """Put the answers of all processes together: numbers added, lists joined."""
    is_json = pending.envelope.encoding is Encoding.JSON
    whole: Any = None
    for part in pending.parts:
        envelope = open_envelope(part)
        if envelope is None:
            continue
        with contextlib.suppress(ValueError, InputError):
            read: Callable[[bytes], Any] = json.loads if is_json else bencode.decode
            value = read(envelope.payload)
            whole = value if whole is None else _add(whole, value)
    if whole is None:
        return pending.parts[0]
    if pending.limit is not None and isinstance(whole, dict):
        name: Any = "calls" if is_json else b"calls"
        if isinstance(whole.get(name), list):
            whole[name] = whole[name][: max(pending.limit, 0)]
    payload = json.dumps(whole).encode() if is_json else bencode.encode(whole)
    return pending.envelope.cookie + b" " + payload


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        names = [*left, *(name for name in right if name not in left)]
        return {
            name: _add(left[name], right[name])
            if name in left and name in right
            else left.get(name, right.get(name))
            for name in names
        }
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left + right
    if _is_fraction(left) and _is_fraction(right):
        return f"{float(left) + float(right):.6f}"
    return left


def _is_fraction(value: Any) -> bool:
    """Whether it is a fraction as statistics write it, which bencode has none of."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return isinstance(text, str) and _FRACTION.fullmatch(text) is not None


def serve_forwarded(loop: Loop, link: socket.socket, answer: Answer) -> None:
    """Answer in a media process what its parent forwards."""
    link.setblocking(False)

    def on_frame() -> None:
        for _ in range(_IN_A_ROW):
            try:
                frame = link.recv(_MAX_FORWARDED)
            except BlockingIOError:
                return
            if len(frame) < _HEAD.size:
                loop.remove(link.fileno())
                link.close()
                return
            token, length = _HEAD.unpack_from(frame)
            start = _HEAD.size + length
            source = frame[_HEAD.size : start].decode()
            answer(frame[start:], source, lambda said, token=token: reply(token, said))  # type: ignore[misc]

    def reply(token: int, said: bytes) -> None:
        # a parent that does not read is a dead one; the proxy asks again
        with contextlib.suppress(OSError):
            link.send(_TOKEN.pack(token) + said)

    loop.add_reader(link.fileno(), on_frame)
