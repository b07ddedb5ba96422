"""The control socket as the SIP gateway and a person with a shell meet it."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.media.fakes import FakeNode
from voicemask.capture.digit import KEYS, Digit
from voicemask.capture.policy import Fill, Method, Policy
from voicemask.media.control import MAX_CLIENTS, MAX_LINE, ControlServer
from voicemask.media.control_commands import COMMANDS
from voicemask.media.events import EventKind, NodeEvent
from voicemask.media.loop import Loop
from voicemask.ng.plan import PolicyChange, RecordingAction, Role


class Served:
    """A server, its node, and clients that talk to it on this thread."""

    def __init__(self, folder: Path) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        listener = socket.socket(socket.AF_UNIX)
        self.path = folder / "control.sock"
        listener.bind(str(self.path))
        listener.listen(64)
        self.node = FakeNode()
        self.server = ControlServer(
            self.loop, listener, self.node, lambda: {"errors": 0}, self.errors.append
        )
        self.node.on_event = self.server.publish
        self.clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(str(self.path))
        self.clients.append(client)
        self.loop.run_once(0)
        return client

    def say(self, client: socket.socket, data: bytes) -> bytes:
        """Send bytes and give all that comes back."""
        heard = b""
        while data:
            data = data[client.send(data) :]
            heard += self.hear(client)
        return heard

    def hear(self, client: socket.socket) -> bytes:
        heard = b""
        for _ in range(3):
            self.loop.run_once(0)
            try:
                heard += client.recv(1 << 20)
            except (BlockingIOError, ConnectionError):
                continue
        return heard

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask one thing on a connection of its own."""
        client = self.connect()
        lines = self.say(client, json.dumps(request).encode() + b"\n").splitlines()
        client.close()
        reply: dict[str, Any] = json.loads(lines[-1])
        return reply

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.server.close()
        self.loop.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.close()
    assert served.errors == []


def test_hello_tells_version_and_commands(served: Served) -> None:
    reply = served.ask(id=7, command="hello")
    assert (reply["id"], reply["ok"]) == (7, True)
    assert set(reply["result"]["commands"]) == set(COMMANDS)


def test_call_tells_its_state_and_roles(served: Served) -> None:
    served.node.known["b"] = Role.AGENT
    assert served.ask(command="calls")["result"] == {"calls": ["call-1"]}
    state = served.ask(command="call", call="call-1")["result"]
    assert state["policies"] == {"a": "guard", "b": "guard"}
    assert state["roles"] == {"a": None, "b": "agent"}
    assert state["streams"][0]["packets_in"] == 3


def test_policy_is_answered_with_what_masks_now(served: Served) -> None:
    asked = {"policy": "capture", "method": "fill", "fill": "silence", "hold_ms": 240}
    reply = served.ask(command="policy", call="call-1", tag="a", **asked)
    assert reply["result"] == {"policies": {"a": "capture", "b": "guard"}}
    assert served.node.changes == [
        PolicyChange(Policy.CAPTURE, "a", Method.FILL, Fill.SILENCE, 240, "control")
    ]


def test_policy_default_goes_back_to_what_is_configured(served: Served) -> None:
    served.ask(command="policy", call="call-1", policy="default")
    assert served.node.changes == [PolicyChange(None, origin="control")]


def test_policy_names_a_party_by_its_role(served: Served) -> None:
    served.ask(command="role", call="call-1", tag="b", role="customer")
    served.ask(command="policy", call="call-1", role="customer", policy="mute")
    assert served.node.changes == [PolicyChange(Policy.MUTE, "b", origin="control")]
    refused = served.ask(command="policy", call="call-1", role="agent", policy="mute")
    assert refused["error"]["type"] == "ControlError"


@pytest.mark.parametrize(
    ("action", "done"),
    [
        ("start", RecordingAction.START),
        ("pause", RecordingAction.PAUSE),
        ("resume", RecordingAction.START),
        ("stop", RecordingAction.STOP),
    ],
)
def test_record_passes_its_reason_on(served: Served, action: str, done: RecordingAction) -> None:
    assert served.ask(command="record", call="call-1", action=action, reason="asked")["ok"]
    assert served.node.records == [(done, {"reason": "asked"})]


@pytest.mark.parametrize("key", KEYS)
def test_info_hands_the_key_on_as_a_digit(served: Served, key: str) -> None:
    reply = served.ask(id=1, command="info", call="call-1", tag="a", key=key, duration_ms=90)
    assert reply == {"id": 1, "ok": True, "result": {}}
    assert served.node.digits == [Digit.of(key)]
    assert served.node.infos == [("call-1", "a", 90)]


def test_info_leaves_no_key_in_the_buffer(served: Served) -> None:
    client = served.connect()
    line = b'{"command":"info","call":"call-1","tag":"a","key":"7"}\n'
    served.say(client, line + line[:-4])
    (kept,) = served.server._clients.values()
    # what follows a whole line waits for its end; the line itself is gone
    assert bytes(kept.buffer[kept.n_filled :]) == bytes(MAX_LINE - kept.n_filled)
    served.say(client, line[-4:])
    assert not any(kept.buffer)
    assert len(served.node.digits) == 2


@pytest.mark.parametrize(
    "line",
    [
        '{"command":"info","call":"call-1","tag":"a","key":"42"}',
        '{"command":"info","call":"call-1","tag":"a","key":4}',
        '{"command":"info","call":"call-1","tag":"a","key":"4","key":"2"}',
        '{"command":"info","call":"call-1","k\\u0065y":"4"}',
        '{"command":"info","call":"call-1","tag":"a","key":"\\u0034"}',
        '{"command":"info","call":"call-1","digit":"4242424242"}',
        '{"command":"info","call":"call-1"}',
        '{"command":"4242424242"}',
        '{"id":4242424242,"command":"hello"}',
        '{"id":"4242424242","command":"hello"}',
        '{"command":"policy","call":"call-1","policy":"4242424242"}',
        '"4242424242"',
        "4242424242",
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(served: Served, line: str) -> None:
    heard = served.say(served.connect(), line.encode() + b"\n")
    reply = json.loads(heard)
    assert reply["ok"] is False
    assert "42" not in heard.decode()
    assert served.node.digits == []


def test_a_call_that_is_not_there_is_an_error_with_its_type(served: Served) -> None:
    error = served.ask(command="policy", call="x", policy="mute")["error"]
    assert (error["type"], error["reason"]) == ("NgError", "is not known")


@pytest.mark.parametrize(
    "request_fields",
    [
        {"command": "policy", "call": "call-1"},
        {"command": "policy", "call": "call-1", "policy": "mute", "hold": 3},
        {"command": "policy", "call": "call-1", "policy": "mute", "hold_ms": True},
        {"command": "policy", "call": "", "policy": "mute"},
        {"command": "policy", "call": 5, "policy": "mute"},
        {"command": "role", "call": "call-1", "tag": "a"},
        {"command": "record", "call": "call-1"},
        {"command": "record", "call": "call-1", "action": "start", "reason": "x" * 300},
        {"command": "call", "call": "a\nb"},
        {"command": ["hello"]},
        {},
    ],
)
def test_a_request_that_is_not_clear_changes_nothing(
    served: Served, request_fields: dict[str, Any]
) -> None:
    reply = served.ask(**request_fields)
    assert reply["error"]["type"] == "ControlError"
    assert served.node.changes == served.node.records == []


def test_an_error_of_ours_is_answered_and_told(served: Served) -> None:
    def fail() -> Mapping[str, Any]:
        raise RuntimeError("secret 4242")

    served.node.statistics = fail  # type: ignore[method-assign]
    reply = served.ask(id=3, command="stats")
    assert reply["error"]["type"] == "InternalError"
    assert "4242" not in json.dumps(reply)
    assert [type(error) for error in served.errors] == [RuntimeError]
    served.errors.clear()


def test_events_come_to_who_asked_for_them(served: Served) -> None:
    hearer, other = served.connect(), served.connect()
    served.say(hearer, b'{"command":"events"}\n')
    served.server.publish(NodeEvent(EventKind.KEY_PRESSED, "call-1", {"n_keys": 3}))
    said = json.loads(served.hear(hearer))
    assert said == {"event": "key_pressed", "call": "call-1", "details": {"n_keys": 3}}
    assert served.hear(other) == b""


def test_health_says_how_it_does(served: Served) -> None:
    assert served.ask(command="health")["result"] == {"state": "running", "errors": 0}


def test_a_line_without_end_drops_the_client(served: Served) -> None:
    client = served.connect()
    heard = served.say(client, b"1" * MAX_LINE)
    assert json.loads(heard)["error"]["subject"] == "line"
    assert served.server._clients == {}


def test_a_client_that_does_not_read_is_dropped(served: Served) -> None:
    client = served.connect()
    served.say(client, b'{"command":"events"}\n')
    event = NodeEvent(EventKind.ALERT, "call", {"text": "x" * 50_000})
    n_events = 0
    while served.server._clients:
        served.server.publish(event)
        n_events += 1
        assert n_events < 1000
    assert served.server.n_dropped == 1


def test_a_client_that_reads_slowly_gets_all_of_it(served: Served) -> None:
    client = served.connect()
    served.say(client, b'{"command":"events"}\n')
    event = NodeEvent(EventKind.ALERT, "call", {"text": "x" * 50_000})
    for _ in range(10):
        served.server.publish(event)
    heard = b""
    while heard.count(b"\n") < 10:
        heard += served.hear(client)
    assert served.server.n_dropped == 0


def test_more_clients_than_allowed_are_refused(served: Served) -> None:
    for _ in range(MAX_CLIENTS + 2):
        served.connect()
    assert len(served.server._clients) == MAX_CLIENTS
    assert served.server.n_refused == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
def test_another_account_is_refused(served: Served, tmp_path: Path) -> None:
    temporary = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(temporary) and folder != temporary:
            folder.chmod(0o755)
    served.path.chmod(0o666)
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(served.path))
        except OSError:
            os._exit(2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    served.loop.run_once(0.5)
    assert served.server.n_refused == 1


LINES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(str.encode),
    st.dictionaries(
        st.sampled_from(["id", "command", "call", "tag", "role", "policy", "key", "action"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=8),
            st.sampled_from([*COMMANDS, "call-1", "a", "mute", "start", "customer"]),
            st.lists(st.integers(), max_size=2),
        ),
    ).map(lambda fields: json.dumps(fields).encode()),
)
CANARY = "8675309"


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=st.lists(LINES, max_size=4), cut=st.integers(1, 100))
def test_any_bytes_are_answered_and_nothing_is_repeated(
    served: Served, lines: list[bytes], cut: int
) -> None:
    client = served.connect()
    info = f'{{"command":"info","call":"call-1","tag":"a","key":"{CANARY}"}}'.encode()
    data = b"\n".join([*lines, info, b""])
    heard = b""
    for start in range(0, len(data), cut):
        try:
            heard += served.say(client, data[start : start + cut])
        except OSError:
            break
    assert CANARY.encode() not in heard
    assert all(isinstance(json.loads(line), dict) for line in heard.splitlines())
    assert served.errors == []
    client.close()
    served.loop.run_once(0)
    assert served.ask(command="hello")["ok"]


def test_a_served_line_costs_no_growing_buffer(served: Served) -> None:
    client = served.connect()
    for _ in range(20):
        served.say(client, b'{"command":"calls"}\n' * 50)
    (kept,) = served.server._clients.values()
    assert len(kept.buffer) == MAX_LINE
    assert not kept.unsent


def test_every_command_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "control.md").read_text(encoding="utf-8")
    assert all(f"| `{command}` |" in text for command in COMMANDS)
    assert all(f"`{kind.value}`" in text for kind in EventKind)
