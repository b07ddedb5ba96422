"""Local ports that no other test process uses.

A session holds a block of ports by listening on its first one for as long as it runs, so pytest
workers, and several runs on one machine, never share a port.
"""

from __future__ import annotations

import socket
from itertools import cycle

SIZE = 500
FIRST_PORTS = (*range(61000, 65000, SIZE), *range(10000, 30000, SIZE))
"""Of the blocks; first those above what the kernel gives out, where unit tests bind nothing."""
N_FOR_MEDIA = 300
N_PER_NODE = 60


class PortBlock:
    """A block of ports of loopback: the first locks it, the last ones are for media nodes."""

    def __init__(self) -> None:
        self._lock, base = _lock_block()
        first = base + SIZE - N_FOR_MEDIA
        self._ranges = iter(range(first, base + SIZE, N_PER_NODE))
        self._next = cycle(range(base + 2, first, 2))

    def take_range(self) -> range:
        """Give a media node its RTP ports."""
        first = next(self._ranges)
        return range(first, first + N_PER_NODE)

    def take(self) -> int:
        """Give an even port whose successor is free too."""
        for port in self._next:
            if _is_free(port) and _is_free(port + 1):
                return port
        raise AssertionError("unreachable: the ports go round")

    def close(self) -> None:
        self._lock.close()


def _lock_block() -> tuple[socket.socket, int]:
    for base in FIRST_PORTS:
        lock = socket.socket()
        try:
            lock.bind(("127.0.0.1", base))
            lock.listen()
        except OSError:
            lock.close()
        else:
            return lock, base
    raise RuntimeError(f"no free block of {SIZE} ports")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
