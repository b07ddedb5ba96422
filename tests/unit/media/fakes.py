"""A node and an NG session that do nothing, so that what is around them is tested without numpy."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.errors import NgError
from voicemask.media.events import EventKind, NodeEvent
from voicemask.ng.plan import (
    CallState,
    LocalPort,
    PolicyChange,
    RecordingAction,
    Role,
    StreamTotals,
)

PORT = LocalPort(1, "192.0.2.1", 30000, 30001)


class FakeNode:
    """Two parties of one call, `a` and `b`; keeps what it was asked."""

    def __init__(self, settings: Any = None, _loop: Any = None, **links: Any) -> None:
        self.settings = settings
        self.on_event: Callable[[NodeEvent], None] = links.get("on_event", lambda _: None)
        self.calls = ["call-1"]
        self.policies = {"a": Policy.GUARD, "b": Policy.GUARD}
        self.known: dict[str, Role | None] = {"a": None, "b": None}
        self.changes: list[PolicyChange] = []
        self.digits: list[Digit] = []
        self.infos: list[tuple[str, str, int]] = []
        self.records: list[tuple[RecordingAction, Mapping[str, str]]] = []
        self.is_closed = False

    def call_ids(self) -> Sequence[str]:
        return list(self.calls)

    def state(self, call_id: str) -> CallState:
        self._find(call_id)
        streams = (StreamTotals(PORT, "a", packets_in=3),)
        return CallState(call_id, 1.0, 2.0, streams, dict(self.policies))

    def roles(self, call_id: str) -> Mapping[str, Role | None]:
        self._find(call_id)
        return dict(self.known)

    def set_role(self, call_id: str, tag: str, role: Role) -> None:
        self._find(call_id)
        self.known[tag] = role

    def set_policy(self, call_id: str, change: PolicyChange) -> None:
        self._find(call_id)
        self.changes.append(change)
        policy = change.policy or Policy.GUARD
        for tag in [change.tag] if change.tag else list(self.policies):
            self.policies[tag] = policy
        self.on_event(NodeEvent(EventKind.POLICY_CHANGED, call_id, {"policy": policy.value}))

    def info(self, call_id: str, tag: str, digit: Digit, duration_ms: int) -> None:
        self._find(call_id)
        self.digits.append(digit)
        self.infos.append((call_id, tag, duration_ms))

    def record(self, call_id: str, action: RecordingAction, metadata: Mapping[str, str]) -> None:
        self._find(call_id)
        self.records.append((action, dict(metadata)))

    def statistics(self) -> Mapping[str, Any]:
        return {"calls": len(self.calls), "packets_dropped": {"late": 1}}

    def set_recorder(self, link: Any) -> None:
        self.recorder = link

    def close(self) -> None:
        self.is_closed = True

    def _find(self, call_id: str) -> None:
        if call_id not in self.calls:
            raise NgError("call", "is not known")


class FakeSession:
    """Answers ping, and a call with the ports it could have; raises what it is told to."""

    def __init__(self, media: FakeNode, *_: Any, **__: Any) -> None:
        self._media = media

    def handle(self, datagram: bytes, _source: str, _now_s: float) -> bytes | None:
        from voicemask.ng.message import open_envelope, read_request, write_reply

        envelope = open_envelope(datagram)
        if envelope is None:
            return None
        command = read_request(envelope).text("command")
        if command == "query":
            raise RuntimeError("a bug")
        first = self._media.settings.first_port if self._media.settings else 0
        fields = {"result": "pong" if command == "ping" else "ok", "first-port": first}
        if command == "list":
            fields = {"result": "ok", "calls": [f"call-{first}"]}
        return write_reply(envelope, fields)

    def forget(self, call_id: str) -> None:
        self._media.calls.remove(call_id)


def install() -> None:
    """Put them where `voicemask.media.process` looks for the real ones."""
    node: Any = types.ModuleType("voicemask.media.node")
    node.Node = FakeNode
    session: Any = types.ModuleType("voicemask.ng.session")
    session.NgServer = FakeSession
    sys.modules["voicemask.media.node"] = node
    sys.modules["voicemask.ng.session"] = session


def main() -> None:
    """Be a media process around them; with settings as JSON, the parent of such processes."""
    if len(sys.argv) > 1:
        sys.exit(supervise(json.loads(sys.argv[1])))
    install()
    from voicemask.media.process import main as run

    sys.exit(run())


def supervise(given: Mapping[str, Any]) -> int:
    """Run a service of such processes; its log lines are JSON on stdout."""
    from voicemask.media.options import make_settings
    from voicemask.media.supervisor import Supervisor

    def log(level: str, event: str, facts: Mapping[str, Any]) -> None:
        print(json.dumps({"level": level, "event": event, **facts}), flush=True)

    return Supervisor(make_settings(given), log, (sys.executable, __file__)).run()


if __name__ == "__main__":
    main()
