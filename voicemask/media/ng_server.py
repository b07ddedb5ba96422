"""The sockets NG comes in by: datagrams and streams to the session, its replies back.

The session is free of I/O. What it may not do is end the process: an error nobody expected is
counted and answered as an error, so that the proxy does not wait for its timeout.
"""

from __future__ import annotations

import errno
import functools
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from voicemask.errors import ConfigError, InputError
from voicemask.media.loop import Loop
from voicemask.media.options import Endpoint

MAX_DATAGRAM: Final = 65535
MAX_CLIENTS: Final = 64
MAX_UNSENT: Final = 1 << 20
"""A TCP client that leaves so many bytes of replies unread is dropped."""
_BATCH: Final = 32
_BACKLOG: Final = 64
_UNEXPECTED: Final = b"d12:error-reason14:internal error6:result5:errore"
_TOO_LONG: Final = b"d12:error-reason38:reply too long for a datagram, use TCP6:result5:errore"


Reply = Callable[[bytes], None]
Answer = Callable[[bytes, str, Reply], None]


class Session(Protocol):
    """What answers NG; see `voicemask.ng.session`."""

    def handle(self, datagram: bytes, source: str, now_s: float) -> bytes | None:
        """Answer one message; None where there is nothing to say."""
        ...


class Feed(Protocol):
    """Cuts a TCP stream into messages."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, give the messages that are whole; NgError where there can be none."""
        ...


def new_feed() -> Feed:
    """Make what cuts a TCP stream into messages."""
    from voicemask.ng.feed import NgFeed  # noqa: PLC0415, start-up time

    return NgFeed()


@dataclass(slots=True, eq=False)
class _Client:
    sock: socket.socket
    source: str
    feed: Feed
    unsent: bytearray = field(default_factory=bytearray)


def _cookie(message: bytes) -> bytes:
    return message[:257].split(b" ", 1)[0] + b" "


def name_of(address: Any) -> str:
    """Give a socket's peer as ``IP:PORT``, IPv6 in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(endpoint: Endpoint) -> socket.socket:
    """Open the socket of an NG address.

    Raises
    ------
    ConfigError
        The address is taken, is not this machine's, or may not be used.
    """
    family = socket.AF_INET6 if endpoint.family == 6 else socket.AF_INET
    kind = socket.SOCK_DGRAM if endpoint.kind == "udp" else socket.SOCK_STREAM
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind((endpoint.host, endpoint.port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        reason = f"cannot be bound ({error.strerror or error})"
        raise ConfigError(
            f"--ng {endpoint}", reason, "use a free address of this machine"
        ) from None
    sock.setblocking(False)
    return sock


class Answerer:
    """Answers messages by a session of this process.

    Parameters
    ----------
    on_error : told of an error nobody expected.
    """

    def __init__(self, session: Session, on_error: Callable[[BaseException], None]) -> None:
        self._session = session
        self._on_error = on_error
        self.n_requests = 0
        self.n_errors = 0

    def answer(self, message: bytes, source: str, reply: Reply) -> None:
        """Answer one message, whatever it is and whatever goes wrong."""
        self.n_requests += 1
        try:
            said = self._session.handle(message, source, time.monotonic())
        except Exception as error:  # noqa: BLE001, the outermost edge: a bug is answered, not fatal
            self.n_errors += 1
            self._on_error(error)
            said = _cookie(message) + _UNEXPECTED
        if said is not None:
            reply(said)


class NgSockets:
    """Takes messages from sockets that are bound already, and brings replies back.

    Parameters
    ----------
    answer : takes a message, its source and what to reply by, now or later.
    new_feed : makes what cuts a TCP stream into messages.
    """

    def __init__(self, loop: Loop, answer: Answer, new_feed: Callable[[], Feed] = new_feed) -> None:
        self._loop = loop
        self._answer = answer
        self._new_feed = new_feed
        self._sockets: list[socket.socket] = []
        self._clients: dict[int, _Client] = {}
        self.n_unsent = 0
        self.n_refused_clients = 0

    def serve(self, sock: socket.socket) -> None:
        """Serve a bound datagram or a listening stream socket; it is ours from now on."""
        self._sockets.append(sock)
        if sock.type == socket.SOCK_DGRAM:
            self._loop.add_reader(sock.fileno(), lambda: self._on_datagrams(sock))
        else:
            self._loop.add_reader(sock.fileno(), lambda: self._on_connection(sock))

    def close(self) -> None:
        """Take no more requests."""
        for client in list(self._clients.values()):
            self._drop(client)
        for sock in self._sockets:
            self._loop.remove(sock.fileno())
            sock.close()
        self._sockets.clear()

    def _on_datagrams(self, sock: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                message, address = sock.recvfrom(MAX_DATAGRAM)
            except OSError:
                return
            self._answer(message, name_of(address), functools.partial(self._reply, sock, address))

    def _reply(self, sock: socket.socket, address: Any, reply: bytes) -> None:
        try:
            sock.sendto(reply, address)
        except OSError as error:
            # a full socket: the proxy asks again
            self.n_unsent += 1
            if error.errno == errno.EMSGSIZE:
                self._reply(sock, address, _cookie(reply) + _TOO_LONG)

    def _on_connection(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS:
            self.n_refused_clients += 1
            sock.close()
            return
        sock.setblocking(False)
        client = _Client(sock, name_of(address), self._new_feed())
        self._clients[sock.fileno()] = client
        self._loop.add_reader(sock.fileno(), lambda: self._on_stream(client))

    def _on_stream(self, client: _Client) -> None:
        try:
            data = client.sock.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            messages = client.feed.feed(data) if data else []
        except InputError:
            data = b""
        if not data:
            self._drop(client)
            return
        for message in messages:
            self._answer(message, client.source, functools.partial(self._send, client))

    def _send(self, client: _Client, reply: bytes) -> None:
        if client.sock.fileno() in self._clients:
            client.unsent += reply
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        try:
            while client.unsent:
                del client.unsent[: client.sock.send(client.unsent)]
        except BlockingIOError:
            if len(client.unsent) > MAX_UNSENT:
                self._drop(client)
            else:
                self._loop.add_writer(client.sock.fileno(), lambda: self._flush(client))
            return
        except OSError:
            self._drop(client)
            return
        self._loop.remove_writer(client.sock.fileno())

    def _drop(self, client: _Client) -> None:
        fd = client.sock.fileno()
        if self._clients.pop(fd, None) is not None:
            self._loop.remove(fd)
            client.sock.close()
