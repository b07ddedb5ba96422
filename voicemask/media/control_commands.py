"""The commands of the control socket: a request's fields in, the node asked, a result out.

What a command is given is checked field by field, and nothing of it comes back in an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol, TypeVar

import voicemask
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Method, Policy
from voicemask.errors import ControlError
from voicemask.ng.plan import CallState, PolicyChange, RecordingAction, Role

VERSION: Final = 1
EVENTS: Final = "events"
"""The command after which a connection hears events; the server sees to it."""
_MAX_NAME: Final = 512
_MAX_REASON: Final = 200
_MAX_HOLD_MS: Final = 1000
_MAX_DURATION_MS: Final = 60_000
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


class Commands:
    """What can be asked.

    Parameters
    ----------
    node : what is steered.
    health : tells how the process does.
    """

    def __init__(self, node: Steered, health: Callable[[], Mapping[str, Any]]) -> None:
        self._node = node
        self._health = health

    def run(self, name: object, request: Request) -> Any:
        """Carry a command out; give its result.

        Raises
        ------
        ControlError
            The command is not known, or a field is missing or wrong.
        NgError
            There is no such call or party, or it cannot be done.
        """
        command = COMMANDS.get(str(name))
        if command is None:
            cure = f"use one of: {', '.join(COMMANDS)}"
            raise ControlError("'command'", "is missing or not known", cure)
        return command(self, request)

    def hello(self, request: Request) -> Any:
        """Tell versions and commands."""
        request.end()
        return {
            "version": VERSION,
            "voicemask": voicemask.__version__,
            "commands": list(COMMANDS),
        }

    def calls(self, request: Request) -> Any:
        """Name the calls."""
        request.end()
        return {"calls": list(self._node.call_ids())}

    def call(self, request: Request) -> Any:
        """Tell the state of a call."""
        call_id = request.text("call")
        request.end()
        return _state(self._node.state(call_id), self._node.roles(call_id))

    def policy(self, request: Request) -> Any:
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
            origin="control",
        )
        request.end()
        self._node.set_policy(call_id, change)
        policies = self._node.state(call_id).policies
        return {"policies": {tag: policy.value for tag, policy in policies.items()}}

    def info(self, request: Request) -> Any:
        """Take a key that came by SIP INFO."""
        digit = request.key()
        call_id = request.text("call")
        tag = request.text("tag")
        duration_ms = request.number("duration_ms", 0, _MAX_DURATION_MS) or 0
        request.end()
        self._node.info(call_id, tag, digit, duration_ms)
        return {}

    def role(self, request: Request) -> Any:
        """Tell who a party is."""
        call_id, tag = request.text("call"), request.text("tag")
        role = request.choice("role", Role)
        request.end()
        if role is None:
            raise ControlError("'role'", "is missing", "use customer or agent")
        self._node.set_role(call_id, tag, role)
        return {"roles": _roles(self._node.roles(call_id))}

    def record(self, request: Request) -> Any:
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

    def hear_events(self, request: Request) -> Any:
        """Tell events on this connection from now on, which is up to the server."""
        request.end()
        return {}

    def stats(self, request: Request) -> Any:
        """Count everything."""
        request.end()
        return dict(self._node.statistics())

    def health(self, request: Request) -> Any:
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
COMMANDS: Final[Mapping[str, Callable[[Commands, Request], Any]]] = {
    "hello": Commands.hello,
    "calls": Commands.calls,
    "call": Commands.call,
    "policy": Commands.policy,
    "info": Commands.info,
    "role": Commands.role,
    "record": Commands.record,
    EVENTS: Commands.hear_events,
    "stats": Commands.stats,
    "health": Commands.health,
}


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
