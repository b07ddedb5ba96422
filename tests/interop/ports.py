"""Local ports that no other test process uses.

A session holds a block of ports by listening on its first one for as long as it runs, so pytest
workers, and several runs on one machine, never share a port.
"""

from __future__ import annotations

import socket
from itertools import cycle

SIZE = 500
FIRST, LAST = 10000, 30000
N_FOR_MEDIA = 200


class PortBlock:
    """A block of ports of 127.0.0.1: the first locks it, the last 200 are the media node's."""

    def __init__(self) -> None:
        self._lock, base = _lock_block()
        self.media = range(base + SIZE - N_FOR_MEDIA, base + SIZE)
        self._next = cycle(range(base + 2, self.media.start, 2))

    def take(self) -> int:
        """Give an even port whose successor is free too."""
        for port in self._next:
            if _is_free(port) and _is_free(port + 1):
                return port
        raise AssertionError("unreachable: the ports go round")

    def close(self) -> None:
        self._lock.close()


def _lock_block() -> tuple[socket.socket, int]:
    for base in range(FIRST, LAST, SIZE):
        lock = socket.socket()
        try:
            lock.bind(("127.0.0.1", base))
            lock.listen()
        except OSError:
            lock.close()
        else:
            return lock, base
    raise RuntimeError(f"no free block of {SIZE} ports between {FIRST} and {LAST}")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
