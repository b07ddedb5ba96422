"""The control socket: what NG has no word for, as lines of JSON; docs/control.md lists them.

A request names a command and is answered once, under its id. A key that comes in (the SIP gateway
passes SIP INFO on) is cut out of the line before the line is decoded: it becomes a `Digit`, its
bytes are overwritten, and no reply, error or log repeats anything of a line but its id, a small
number. Only the account we run as, and root, may connect.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from voicemask.capture.digit import Digit
from voicemask.errors import ControlError, InputError, SecretError
from voicemask.media.control_commands import EVENTS, Commands, Request, Steered
from voicemask.media.events import NodeEvent
from voicemask.media.loop import Loop

MAX_LINE: Final = 8192
MAX_CLIENTS: Final = 32
MAX_UNSENT: Final = 1 << 20
"""A client that leaves so much unread is dropped."""
_MAX_ID: Final = 2**31 - 1
_CREDENTIALS: Final = struct.Struct("3i")
_KEY: Final = re.compile(rb'"key"\s*:\s*"([^"\\]*)"')


@dataclass(slots=True, eq=False)
class _Client:
    sock: socket.socket
    buffer: bytearray = field(default_factory=lambda: bytearray(MAX_LINE))
    n_filled: int = 0
    unsent: bytearray = field(default_factory=bytearray)
    hears_events: bool = False
    is_dropped: bool = False


class ControlServer:
    """Serves the control socket.

    Parameters
    ----------
    listener : bound and listening.
    node : what is steered.
    health : tells how the process does.
    on_error : told of an error nobody expected.
    """

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        node: Steered,
        health: Callable[[], Mapping[str, Any]],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._commands = Commands(node, health)
        self._on_error = on_error
        self._clients: dict[int, _Client] = {}
        self.n_refused = 0
        self.n_dropped = 0
        listener.setblocking(False)
        loop.add_reader(listener.fileno(), self._on_connection)

    def publish(self, event: NodeEvent) -> None:
        """Tell an event to whoever asked for them."""
        hearers = [client for client in self._clients.values() if client.hears_events]
        if hearers:
            said = {"event": event.kind.value, "call": event.call_id, "details": {**event.details}}
            line = _line(said)
            for client in hearers:
                self._send(client, line)

    def close(self) -> None:
        """Hang up on everyone."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._loop.remove(self._listener.fileno())
        self._listener.close()

    def _on_connection(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS or not _is_ours(sock):
            self.n_refused += 1
            sock.close()
            return
        sock.setblocking(False)
        client = _Client(sock)
        self._clients[sock.fileno()] = client
        self._loop.add_reader(sock.fileno(), lambda: self._on_readable(client))

    def _on_readable(self, client: _Client) -> None:
        with memoryview(client.buffer) as view:
            try:
                n_read = client.sock.recv_into(view[client.n_filled :])
            except BlockingIOError:
                return
            except OSError:
                n_read = 0
            if n_read == 0:
                self._drop(client)
                return
            client.n_filled += n_read
            self._take_lines(client, view)
            if client.n_filled == MAX_LINE:
                self._send(client, _refusal(None, _TOO_LONG))
                self._drop(client)

    def _take_lines(self, client: _Client, view: memoryview) -> None:
        start = 0
        while (end := client.buffer.find(b"\n", start, client.n_filled)) >= 0:
            try:
                reply = self._answer(client, view[start:end])
            finally:
                view[start:end] = bytes(end - start)
            start = end + 1
            self._send(client, reply)
            if client.is_dropped:
                return
        n_left = client.n_filled - start
        view[:n_left] = view[start : client.n_filled]
        view[n_left : client.n_filled] = bytes(client.n_filled - n_left)
        client.n_filled = n_left

    def _answer(self, client: _Client, line: memoryview) -> bytes:
        request_id: int | None = None
        try:
            digit = _cut_key(line)
            fields = _decode(line)
            request_id = _request_id(fields)
            command = fields.pop("command", None)
            result = self._commands.run(command, Request(fields, digit))
            client.hears_events |= command == EVENTS
        except InputError as error:
            return _refusal(request_id, error)
        except Exception as error:  # noqa: BLE001, the outermost edge: a bug is answered, not fatal
            self._on_error(error)
            return _refusal(request_id, None)
        return _line({"id": request_id, "ok": True, "result": result})

    def _send(self, client: _Client, line: bytes) -> None:
        if not client.is_dropped:
            client.unsent += line
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        fd = client.sock.fileno()
        try:
            while client.unsent:
                del client.unsent[: client.sock.send(client.unsent)]
        except BlockingIOError:
            if len(client.unsent) > MAX_UNSENT:
                self.n_dropped += 1
                self._drop(client)
            else:
                self._loop.add_writer(fd, lambda: self._flush(client))
        except OSError:
            self._drop(client)
        else:
            self._loop.remove_writer(fd)

    def _drop(self, client: _Client) -> None:
        fd = client.sock.fileno()
        if self._clients.pop(fd, None) is not None:
            client.is_dropped = True
            client.buffer[:] = bytes(MAX_LINE)
            self._loop.remove(fd)
            client.sock.close()


_TOO_LONG: Final = ControlError("line", f"is longer than {MAX_LINE} bytes", "send shorter lines")


def _is_ours(sock: socket.socket) -> bool:
    size = _CREDENTIALS.size
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    return uid in (0, os.geteuid())


def _cut_key(line: memoryview) -> Digit | None:
    """Make the key of a line a `Digit` and overwrite it; None where there is not exactly one."""
    digits: list[Digit | None] = []
    for start, end in [match.span(1) for match in _KEY.finditer(line)]:
        try:
            digits.append(Digit.of(chr(line[start])) if end - start == 1 else None)
        except SecretError:
            digits.append(None)
        line[start:end] = b"*" * (end - start)
    return digits[0] if len(digits) == 1 else None


def _decode(line: memoryview) -> dict[str, Any]:
    try:
        fields = json.loads(line.tobytes())
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ControlError("line", "is no JSON object", "send one object a line")
    return fields


def _request_id(fields: dict[str, Any]) -> int | None:
    value = fields.pop("id", None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_ID:
        raise ControlError("'id'", f"is no whole number from 0 to {_MAX_ID}", "count requests")
    return value


def _refusal(request_id: int | None, error: InputError | None) -> bytes:
    if error is None:
        said = {"type": "InternalError", "subject": "voicemask", "reason": "failed", "cure": ""}
    else:
        said = {
            "type": type(error).__name__,
            "subject": error.subject,
            "reason": error.reason,
            "cure": error.cure,
        }
    return _line({"id": request_id, "ok": False, "error": said})


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, default=str, separators=(",", ":")).encode() + b"\n"
