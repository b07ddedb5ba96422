"""Several processes behind one NG address."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicemask.media import dispatcher as module
from voicemask.media.dispatcher import Dispatcher, process_of, serve_forwarded
from voicemask.media.loop import Loop
from voicemask.media.ng_server import Reply, bind
from voicemask.media.options import Endpoint
from voicemask.ng import bencode
from voicemask.ng.message import Envelope

N = 3


class Service:
    """A dispatcher and processes that say who they are."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.dispatcher = Dispatcher(self.loop, N)
        self.seen: list[tuple[int, bytes, str]] = []
        self.silent: set[int] = set()
        for index in range(N):
            self.start(index)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.dispatcher.serve(bind(Endpoint("udp", "127.0.0.1", port)))
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.connect(("127.0.0.1", port))
        self.client.setblocking(False)

    def start(self, index: int) -> None:
        def answer(message: bytes, source: str, reply: Reply) -> None:
            self.seen.append((index, message, source))
            if index in self.silent:
                return
            cookie, payload = message.split(b" ", 1)
            told = {"result": "ok", "calls": [f"c{index}"], "n": {"in": index, f"p{index}": 1}}
            is_json = payload.startswith(b"{")
            reply(cookie + b" " + (json.dumps(told).encode() if is_json else bencode.encode(told)))

        serve_forwarded(self.loop, self.dispatcher.connect(index), answer)

    def ask(self, payload: bytes, n_rounds: int = 6) -> bytes:
        self.client.send(b"k " + payload)
        for _ in range(n_rounds):
            self.loop.run_once(0.01)
        try:
            return self.client.recv(70_000)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.client.close()
        for index in range(N):
            self.dispatcher.disconnect(index)
        for _ in range(3):
            self.loop.run_once(0)
        self.dispatcher._sockets.close()
        self.loop.close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()
    assert service.errors == []


def query(call_id: str) -> bytes:
    return bencode.encode({"command": "query", "call-id": call_id})


def test_a_call_always_meets_the_same_process(service: Service) -> None:
    for number in range(20):
        for _ in range(2):
            service.ask(query(f"call-{number}"))
    by_call: dict[bytes, set[int]] = {}
    for index, message, _ in service.seen:
        by_call.setdefault(message, set()).add(index)
    assert all(len(indexes) == 1 for indexes in by_call.values())
    assert {index for index, _, _ in service.seen} == set(range(N))


def test_processes_of_calls_are_the_same_in_every_run() -> None:
    assert [process_of(f"call-{number}", 4) for number in range(8)] == [2, 0, 2, 0, 3, 1, 3, 1]


def test_a_message_comes_whole_and_with_its_source(service: Service) -> None:
    assert service.ask(query("x")).startswith(b"k d")
    ((_, message, source),) = service.seen
    assert message == b"k " + query("x")
    assert source == "{}:{}".format(*service.client.getsockname())


def test_ping_is_answered_by_the_first(service: Service) -> None:
    service.silent |= {0, 2}
    assert b"2:p1" in service.ask(b"d7:command4:pinge")
    assert service.dispatcher._pending == {}
    assert b'"p1"' in service.ask(b'{"command":"ping"}')


def test_ping_is_an_error_where_nobody_is(service: Service) -> None:
    for index in range(N):
        service.dispatcher.disconnect(index)
    assert b"error-reason" in service.ask(b"d7:command4:pinge")


@pytest.mark.parametrize("as_json", [False, True])
def test_list_and_statistics_are_put_together(service: Service, as_json: bool) -> None:
    asked = {"command": "list", "limit": 2}
    payload = json.dumps(asked).encode() if as_json else bencode.encode(asked)
    reply = service.ask(payload, 12)
    if as_json:
        told = json.loads(reply[2:])
        assert told["calls"] == ["c0", "c1"]
        assert told["n"] == {"in": 3, "p0": 1, "p1": 1, "p2": 1}
    else:
        decoded = bencode.decode(reply[2:])
        assert isinstance(decoded, dict)
        assert decoded[b"calls"] == [b"c0", b"c1"]
        assert decoded[b"n"] == {b"in": 3, b"p0": 1, b"p1": 1, b"p2": 1}


def test_calls_of_a_process_that_is_gone_get_an_error(service: Service) -> None:
    lost = process_of("call-x", N)
    service.dispatcher.disconnect(lost)
    assert b"error-reason" in service.ask(query("call-x"))
    other = next(f"c{n}" for n in range(99) if process_of(f"c{n}", N) != lost)
    assert b"result2:ok" in service.ask(query(other))
    service.start(lost)
    assert b"result2:ok" in service.ask(query("call-x"))


def test_a_process_that_dies_over_a_request_answers_it_with_an_error(service: Service) -> None:
    at = process_of("call-x", N)
    service.silent.add(at)
    assert service.ask(query("call-x")) == b""
    service.dispatcher.disconnect(at)
    assert b"error-reason" in service.client.recv(1000)
    assert service.dispatcher._pending == {}


def test_a_process_that_does_not_answer_is_answered_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    at = process_of("call-x", N)
    service.silent.add(at)
    assert service.ask(query("call-x")) == b""
    service.dispatcher._expire()
    assert b"error-reason" in service.client.recv(1000)


def test_list_of_those_that_answer_comes_without_the_rest(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    service.silent.add(1)
    assert service.ask(b"d7:command4:liste", 12) == b""
    service.dispatcher._expire()
    decoded = bencode.decode(service.client.recv(1000)[2:])
    assert isinstance(decoded, dict)
    assert sorted(decoded[b"calls"]) == [b"c0", b"c2"]


@pytest.mark.parametrize("payload", [b"d4:oopse", b"{", b"dd", b"d7:command"])
def test_what_names_no_call_or_is_no_request_is_an_error(service: Service, payload: bytes) -> None:
    assert b"error" in service.ask(payload)


def test_noise_is_not_answered(service: Service) -> None:
    service.client.send(b"noise")
    assert service.ask(b"") == b""


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    payload=st.one_of(
        st.binary(max_size=100),
        st.dictionaries(
            st.sampled_from(["command", "call-id", "limit", "sdp", "flags"]),
            st.one_of(st.text(max_size=8), st.integers(-5, 5), st.sampled_from(["list", "ping"])),
        ).map(bencode.encode),
    )
)
def test_any_message_is_survived(service: Service, payload: bytes) -> None:
    service.ask(payload)
    assert service.errors == []


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(frame=st.binary(min_size=1, max_size=60))
def test_any_answer_of_a_process_is_survived(service: Service, frame: bytes) -> None:
    heard: list[bytes] = []
    envelope = Envelope(b"k", b"d7:command4:liste")
    pending = module._Pending(envelope, heard.append, module._Whose.ALL, 1, {0, 1})
    service.dispatcher._pending[10**6] = pending
    service.dispatcher._settle(10**6, 0, b"k " + frame)
    service.dispatcher._settle(10**6, 1, b"k d6:result2:oke")
    assert len(heard) == 1
