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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol, TypeVar

import voicemask
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Method, Policy
from voicemask.errors import ControlError, InputError, SecretError
from voicemask.media.events import NodeEvent
from voicemask.media.loop import Loop
from voicemask.ng.plan import CallState, PolicyChange, RecordingAction, Role

VERSION: Final = 1
MAX_LINE: Final = 8192
MAX_CLIENTS: Final = 32
MAX_UNSENT: Final = 1 << 20
"""A client that leaves so much unread is dropped."""
_MAX_ID: Final = 2**31 - 1
_MAX_NAME: Final = 512
_MAX_REASON: Final = 200
_MAX_HOLD_MS: Final = 1000
_MAX_DURATION_MS: Final = 60_000
_CREDENTIALS: Final = struct.Struct("3i")
_KEY: Final = re.compile(rb'"key"\s*:\s*"([^"\\]*)"')
_STAR: Final = ord("*")
_E = TypeVar("_E", bound=Enum)


class Steered(Protocol):
    """What the control socket asks of the node."""

    def call_ids(self) -> Sequence[str]:
        """Name the calls."""
        ...

    def state(self, call_id: str) -> CallState:
        """Tell the state of a call."""
        ...

    def roles(self, call_id: str) -> Mapping[str, Role | None]:
        """Tell who is who, by tag."""
        ...

    def set_role(self, call_id: str, tag: str, role: Role) -> None:
        """Settle who a party is."""
        ...

    def set_policy(self, call_id: str, change: PolicyChange) -> None:
        """Change what may be heard; every sink masks by it when this returns."""
        ...

    def info(self, call_id: str, tag: str, digit: Digit, duration_ms: int) -> None:
        """Take a key that signalling told."""
        ...

    def record(self, call_id: str, action: RecordingAction, metadata: Mapping[str, str]) -> None:
        """Start, pause or stop a recording."""
        ...

    def statistics(self) -> Mapping[str, Any]:
        """Count everything."""
        ...


@dataclass(slots=True, eq=False)
class _Client:
    sock: socket.socket
    buffer: bytearray = field(default_factory=lambda: bytearray(MAX_LINE))
    n_filled: int = 0
    unsent: bytearray = field(default_factory=bytearray)
    hears_events: bool = False
    is_dropped: bool = False


class Request:
    """The fields of a request, each read once; what is left over is refused."""

    def __init__(self, fields: dict[str, Any], digit: Digit | None) -> None:
        self._fields = fields
        self._digit = digit

    def text(self, name: str, *, default: str | None = None, limit: int = _MAX_NAME) -> str:
        """Give a text; one without default has to be there."""
        value = self._fields.pop(name, default)
        if not isinstance(value, str) or len(value) > limit or (default is None and not value):
            raise ControlError(f"'{name}'", "is missing, or is no short text", "give a string")
        if not value.isprintable():
            raise ControlError(f"'{name}'", "holds control characters", "leave them out")
        return value

    def number(self, name: str, low: int, high: int) -> int | None:
        """Give a whole number; None where there is none."""
        value = self._fields.pop(name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ControlError(
                f"'{name}'", f"is no whole number from {low} to {high}", "correct it"
            )
        return value

    def choice(self, name: str, kind: type[_E]) -> _E | None:
        """Give a member by its value; None where there is none."""
        value = self._fields.pop(name, None)
        if value is None:
            return None
        for item in kind:
            if value == item.value:
                return item
        names = ", ".join(str(item.value) for item in kind)
        raise ControlError(f"'{name}'", "is none of its values", f"use one of: {names}")

    def key(self) -> Digit:
        """Give the key that was cut out of the line."""
        if self._fields.pop("key", None) != "*" or self._digit is None:
            raise ControlError("'key'", "is not one of 0-9, *, #, A-D", "send one key as a string")
        return self._digit

    def end(self) -> None:
        """Refuse what nobody read: a misspelt field must not be taken for a default."""
        if self._fields:
            raise ControlError("request", "has a field this command does not know", "see hello")


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
        self._node = node
        self._health = health
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
            command = _COMMANDS.get(str(fields.pop("command", "")))
            if command is None:
                cure = f"use one of: {', '.join(_COMMANDS)}"
                raise ControlError("'command'", "is missing or not known", cure)
            result = command(self, client, Request(fields, digit))
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

    def hello(self, _client: _Client, request: Request) -> Any:
        """Tell versions and commands."""
        request.end()
        return {
            "version": VERSION,
            "voicemask": voicemask.__version__,
            "commands": list(_COMMANDS),
        }

    def calls(self, _client: _Client, request: Request) -> Any:
        """Name the calls."""
        request.end()
        return {"calls": list(self._node.call_ids())}

    def call(self, _client: _Client, request: Request) -> Any:
        """Tell the state of a call."""
        call_id = request.text("call")
        request.end()
        return _state(self._node.state(call_id), self._node.roles(call_id))

    def policy(self, _client: _Client, request: Request) -> Any:
        """Change what may be heard; answered when every sink masks by it."""
        call_id = request.text("call")
        tag = self._tag(call_id, request)
        policy = request.choice("policy", _PolicyName)
        if policy is None:
            cure = "name one, or 'default'"
            raise ControlError("'policy'", "is missing", cure)
        change = PolicyChange(
            policy=None if policy is _PolicyName.DEFAULT else Policy(policy.value),
            tag=tag,
            method=request.choice("method", Method),
            fill=request.choice("fill", Fill),
            hold_ms=request.number("hold_ms", 0, _MAX_HOLD_MS),
        )
        request.end()
        self._node.set_policy(call_id, change)
        policies = self._node.state(call_id).policies
        return {"policies": {tag: policy.value for tag, policy in policies.items()}}

    def info(self, _client: _Client, request: Request) -> Any:
        """Take a key that came by SIP INFO."""
        digit = request.key()
        call_id = request.text("call")
        tag = request.text("tag")
        duration_ms = request.number("duration_ms", 0, _MAX_DURATION_MS) or 0
        request.end()
        self._node.info(call_id, tag, digit, duration_ms)
        return {}

    def role(self, _client: _Client, request: Request) -> Any:
        """Tell who a party is."""
        call_id, tag = request.text("call"), request.text("tag")
        role = request.choice("role", Role)
        request.end()
        if role is None:
            raise ControlError("'role'", "is missing", "use customer or agent")
        self._node.set_role(call_id, tag, role)
        return {"roles": _roles(self._node.roles(call_id))}

    def record(self, _client: _Client, request: Request) -> Any:
        """Start, pause, resume or stop the recording of a call."""
        call_id = request.text("call")
        action = request.choice("action", _RecordAction)
        reason = request.text("reason", default="", limit=_MAX_REASON)
        request.end()
        if action is None:
            raise ControlError("'action'", "is missing", "use start, pause, resume or stop")
        metadata = {"reason": reason} if reason else {}
        self._node.record(call_id, _ACTIONS[action], metadata)
        return {"is_recording": self._node.state(call_id).is_recording}

    def events(self, client: _Client, request: Request) -> Any:
        """Tell events on this connection from now on."""
        request.end()
        client.hears_events = True
        return {}

    def stats(self, _client: _Client, request: Request) -> Any:
        """Count everything."""
        request.end()
        return dict(self._node.statistics())

    def health(self, _client: _Client, request: Request) -> Any:
        """Tell how the process does."""
        request.end()
        return {"state": "running", **self._health()}

    def _tag(self, call_id: str, request: Request) -> str:
        """Give the party meant, by tag or by role; empty for the call."""
        tag, role = request.text("tag", default=""), request.choice("role", Role)
        if role is None:
            return tag
        tags = [known for known, its in self._node.roles(call_id).items() if its is role]
        if tag or len(tags) != 1:
            reason = "does not name exactly one party of the call"
            raise ControlError("'role'", reason, "tell roles first, or name a tag")
        return tags[0]


class _PolicyName(Enum):
    OPEN = "open"
    GUARD = "guard"
    CAPTURE = "capture"
    MUTE = "mute"
    DEFAULT = "default"


class _RecordAction(Enum):
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


_ACTIONS: Final = {
    _RecordAction.START: RecordingAction.START,
    _RecordAction.PAUSE: RecordingAction.PAUSE,
    _RecordAction.RESUME: RecordingAction.START,
    _RecordAction.STOP: RecordingAction.STOP,
}
_COMMANDS: Final[Mapping[str, Callable[[ControlServer, _Client, Request], Any]]] = {
    "hello": ControlServer.hello,
    "calls": ControlServer.calls,
    "call": ControlServer.call,
    "policy": ControlServer.policy,
    "info": ControlServer.info,
    "role": ControlServer.role,
    "record": ControlServer.record,
    "events": ControlServer.events,
    "stats": ControlServer.stats,
    "health": ControlServer.health,
}
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


def _roles(roles: Mapping[str, Role | None]) -> dict[str, str | None]:
    return {tag: role.value if role else None for tag, role in roles.items()}


def _state(state: CallState, roles: Mapping[str, Role | None]) -> dict[str, Any]:
    return {
        "call": state.call_id,
        "created_s": state.created_s,
        "last_signal_s": state.last_signal_s,
        "policies": {tag: policy.value for tag, policy in state.policies.items()},
        "roles": _roles(roles),
        "is_recording": state.is_recording,
        "is_degraded": state.is_degraded,
        "streams": [
            {
                "tag": stream.tag,
                "address": stream.port.address,
                "rtp_port": stream.port.rtp_port,
                "rtcp_port": stream.port.rtcp_port,
                "packets_in": stream.packets_in,
                "octets_in": stream.octets_in,
                "packets_out": stream.packets_out,
                "octets_out": stream.octets_out,
                "errors": stream.errors,
                "last_packet_s": stream.last_packet_s,
                "source": stream.source,
            }
            for stream in state.streams
        ],
    }
