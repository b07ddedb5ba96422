"""NG's sockets: replies go back where requests came from, and a bug ends nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from voicemask.errors import ConfigError, NgError
from voicemask.media import ng_server
from voicemask.media.loop import Loop
from voicemask.media.ng_server import Answerer, NgSockets, bind, name_of
from voicemask.media.options import Endpoint

PING, PONG = b"c1 d7:command4:pinge", b"c1 d6:result4:ponge"


class Session:
    """Answers ping; what else comes meets a bug, or a reply that is too long."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def handle(self, datagram: bytes, source: str, now_s: float) -> bytes | None:
        assert now_s > 0
        self.sources.append(source)
        if datagram == b"noise":
            return None
        if datagram == b"c2 long":
            return b"c2 " + b"x" * 70_000
        if datagram != PING:
            raise RuntimeError("4242")
        return PONG


class Lines:
    """Messages end in a line feed; a line too long is no stream of ours."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > 100:
            raise NgError("stream", "has no message")
        return whole


class Served:
    """Sockets served on this thread."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.session = Session()
        self.answerer = Answerer(self.session, self.errors.append)
        self.sockets = NgSockets(self.loop, self.answerer.answer, Lines)

    def serve(self, kind: str, host: str = "127.0.0.1") -> socket.socket:
        """Serve a free port; give a client of it."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        what = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
        with socket.socket(family, what) as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
        self.sockets.serve(bind(Endpoint(kind, host, port)))
        client = socket.socket(family, what)
        client.connect((host, port))
        client.settimeout(2)
        return client

    def run(self) -> None:
        for _ in range(4):
            self.loop.run_once(0.01)


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.sockets.close()
    served.loop.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_is_answered_to_its_source(served: Served, host: str) -> None:
    with served.serve("udp", host) as client:
        client.send(PING)
        served.run()
        assert client.recv(100) == PONG
        assert served.session.sources == [name_of(client.getsockname())]


def test_what_needs_no_answer_gets_none(served: Served) -> None:
    with served.serve("udp") as client:
        client.send(b"noise")
        client.send(PING)
        served.run()
        assert client.recv(100) == PONG


def test_a_bug_is_answered_as_an_error_and_told(served: Served) -> None:
    with served.serve("udp") as client:
        client.send(b"c9 d7:command5:offere")
        client.send(PING)
        served.run()
        reply = client.recv(200)
        assert reply.startswith(b"c9 d12:error-reason")
        assert b"4242" not in reply
        assert client.recv(100) == PONG
    assert [type(error) for error in served.errors] == [RuntimeError]
    assert (served.answerer.n_requests, served.answerer.n_errors) == (2, 1)


def test_a_reply_too_long_for_a_datagram_says_so(served: Served) -> None:
    with served.serve("udp") as client:
        client.send(b"c2 long")
        served.run()
        assert b"use TCP" in client.recv(200)


def test_a_stream_is_cut_into_messages_and_answered_in_order(served: Served) -> None:
    with served.serve("tcp") as client:
        client.sendall(PING + b"\n" + PING[:5])
        served.run()
        client.sendall(PING[5:] + b"\n")
        served.run()
        assert client.recv(200) == PONG + PONG


def test_a_stream_that_is_none_is_hung_up(served: Served) -> None:
    with served.serve("tcp") as client:
        client.sendall(b"x" * 200)
        served.run()
        assert client.recv(100) == b""


def test_a_stream_that_is_not_read_is_hung_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ng_server, "MAX_UNSENT", 100_000)
    with served.serve("tcp") as client:
        client.setblocking(False)
        for _ in range(2000):
            try:
                client.send(b"c2 long\n" * 20)
            except OSError:
                break
            served.loop.run_once(0)
            if not served.sockets._clients:
                break
        assert served.sockets._clients == {}


def test_more_streams_than_allowed_are_hung_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ng_server, "MAX_CLIENTS", 1)
    with served.serve("tcp") as first:
        served.run()
        with socket.create_connection(first.getpeername(), timeout=2) as second:
            served.run()
            assert second.recv(10) == b""
        first.sendall(PING + b"\n")
        served.run()
        assert first.recv(100) == PONG
    assert served.sockets.n_refused_clients == 1


def test_an_address_that_is_taken_is_refused_in_words() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        endpoint = Endpoint("udp", "127.0.0.1", holder.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot be bound"):
            bind(endpoint)
