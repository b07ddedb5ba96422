"""The frames between the media process and its recorder, and a socket's end that never blocks.

A frame is a head (length of its body, kind, channel, key, nanoseconds) and a body. What a body
holds depends on the kind: bytes as they came, one byte, or JSON. Nothing is ever unpickled.

Overflow: when more waits than the bound, frames that may be dropped are, and are counted; those
that steer a recording wait. If even they pass twice the bound, the other end is taken for dead and
this end closes: a recorder that misses a change of policy must not go on.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

HEAD: Final = struct.Struct("<IBBIq")
MAX_BODY: Final = 1 << 20
BOUND_BYTES: Final = 4 << 20
"""At 100 calls, some three seconds of packets."""
_READ_BYTES: Final = 1 << 18
_READS: Final = 4
"""Reads at a time: what was read has to be worked on, however fast more comes."""


class FrameKind(IntEnum):
    """What a frame says."""

    START = 1
    PACKET = 2
    POLICY = 3
    PLAN = 4
    INFO = 5
    PAUSE = 6
    RESUME = 7
    STOP = 8
    LOST = 9
    TICK = 10
    FORK = 11
    EVENT = 12


class Frame(NamedTuple):
    """A frame as read."""

    kind: int
    channel: int
    key: int
    at_ns: int
    body: bytes


class LinkEnd:
    """One end of a stream socket: frames out without blocking, frames in.

    Parameters
    ----------
    sock : connected stream socket; it is made non-blocking and belongs to this end.
    bound_bytes : what may wait to be sent.
    """

    def __init__(self, sock: socket.socket, bound_bytes: int = BOUND_BYTES) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._bound = bound_bytes
        self._parts: list[bytes | bytearray] = []
        self._n_waiting = 0
        self._sending = bytearray()
        self._n_sent = 0
        self._read = bytearray()
        self.is_closed = False
        """The other end is gone, or was given up; nothing is sent or read any more."""

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._sock.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether something waits that the socket did not take."""
        return self._n_waiting > 0 and not self.is_closed

    @property
    def is_full(self) -> bool:
        """Whether what may be dropped is dropped now."""
        return self._n_waiting > self._bound or self.is_closed

    def put(
        self, kind: int, channel: int, key: int, at_ns: int, body: bytes | bytearray = b""
    ) -> None:
        """Queue a frame; nothing once this end is closed."""
        if self.is_closed:
            return
        self._parts.append(HEAD.pack(len(body), kind, channel, key, at_ns))
        self._parts.append(body)
        self._n_waiting += len(body) + HEAD.size
        if self._n_waiting > 2 * self._bound:
            self.close()

    def flush(self) -> None:
        """Send as much as the socket takes at once."""
        while self._n_waiting and not self.is_closed:
            if not self._sending:
                self._sending = bytearray().join(self._parts)
                _wipe(self._parts)
                self._n_sent = 0
            try:
                with memoryview(self._sending) as view:
                    n = self._sock.send(view[self._n_sent :])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()
                return
            self._n_sent += n
            self._n_waiting -= n
            if self._n_sent == len(self._sending):
                _overwrite(self._sending)
                self._sending = bytearray()

    def frames(self) -> Iterator[Frame]:
        """Give frames that are there; at the end of the stream the end is closed."""
        for _ in range(_READS):
            if self.is_closed:
                return
            try:
                data = self._sock.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self.close()
                return
            self._read += data
            yield from self._split()

    def _split(self) -> Iterator[Frame]:
        at, buffer, unpack = 0, self._read, HEAD.unpack_from
        while len(buffer) - at >= HEAD.size:
            n_body, kind, channel, key, at_ns = unpack(buffer, at)
            if n_body > MAX_BODY:
                self.close()
                return
            end = at + HEAD.size + n_body
            if end > len(buffer):
                break
            yield Frame(kind, channel, key, at_ns, bytes(buffer[at + HEAD.size : end]))
            at = end
        rest = buffer[at:]
        _overwrite(buffer)
        self._read = rest

    def close(self) -> None:
        """Let go of the socket; what waits is overwritten."""
        self.is_closed = True
        _wipe(self._parts)
        _overwrite(self._sending)
        _overwrite(self._read)
        self._sending, self._read = bytearray(), bytearray()
        self._n_waiting = 0
        self._sock.close()


def _wipe(parts: list[bytes | bytearray]) -> None:
    """Empty a list of parts; those that can be are overwritten."""
    for part in parts:
        if isinstance(part, bytearray):
            _overwrite(part)
    parts.clear()


def _overwrite(buffer: bytearray) -> None:
    """Leave zeros where audio or keys were."""
    buffer[:] = bytes(len(buffer))
