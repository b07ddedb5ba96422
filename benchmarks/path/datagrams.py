"""Many datagrams a system call: sendmmsg and recvmmsg through ctypes, over numpy memory.

No Python statement is run per packet: addresses, buffers and lengths are columns of arrays that
the kernel reads as its `mmsghdr`. So one core of Python drives what one core of a relay can carry.
Arrival times are the kernel's (SO_TIMESTAMPNS), taken when a packet comes in, not when it is read.

References
----------
recvmmsg(2), sendmmsg(2), socket(7); layouts are those of 64-bit Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

SO_TIMESTAMPNS: Final = 35
SO_RCVBUFFORCE: Final = 33
BUFFER_BYTES: Final = 64 << 20
SLOT_BYTES: Final = 512
"""Room for one datagram; longer ones are cut (RTP of 60 ms G.711 has 492 bytes)."""

Address = np.dtype([("family", "<u2"), ("port", ">u2"), ("ip", "u1", 4), ("zero", "u1", 8)])
_Vector = np.dtype([("base", "<u8"), ("length", "<u8")])
_Message = np.dtype(
    [
        ("name", "<u8"), ("name_length", "<u4"), ("pad1", "<u4"),
        ("vectors", "<u8"), ("n_vectors", "<u8"),
        ("control", "<u8"), ("control_length", "<u8"), ("flags", "<i4"), ("pad2", "<u4"),
        ("length", "<u4"), ("pad3", "<u4"),
    ]
)  # fmt: skip
_Control = np.dtype(
    [("length", "<u8"), ("level", "<i4"), ("type", "<i4"), ("s", "<i8"), ("ns", "<i8")]
)

_libc = ctypes.CDLL(None, use_errno=True)
_MESSAGE_BYTES: Final = _Message.itemsize
_DONT_WAIT: Final = int(socket.MSG_DONTWAIT)


def addresses(ip: str, ports: NDArray[np.integer]) -> NDArray[np.void]:
    """Make socket addresses of one IPv4 address and many ports."""
    out = np.zeros(len(ports), Address)
    out["family"] = socket.AF_INET
    out["port"] = ports
    out["ip"] = np.frombuffer(socket.inet_aton(ip), np.uint8)
    return out


def open_socket(ip: str) -> socket.socket:
    """Open a UDP socket that stamps arrivals and has room for a second of heavy traffic."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((ip, 0))
    return sock


class Outbox:
    """Datagrams of two parts each (header, payload), sent in runs of neighbours.

    Parameters
    ----------
    sock : what they leave by.
    to : (n,) addresses.
    """

    def __init__(self, sock: socket.socket, to: NDArray[np.void]) -> None:
        self._fd = sock.fileno()
        self._to = np.ascontiguousarray(to)
        self._vectors = np.zeros((len(to), 2), _Vector)
        self._messages = np.zeros(len(to), _Message)
        self._messages["name"] = self._to.ctypes.data + Address.itemsize * np.arange(len(to))
        self._messages["name_length"] = Address.itemsize
        self._messages["vectors"] = self._vectors.ctypes.data + 2 * _Vector.itemsize * np.arange(
            len(to)
        )
        self._messages["n_vectors"] = 2
        self._base = self._messages.ctypes.data

    def fill(
        self,
        header: NDArray[np.integer],
        header_bytes: int | NDArray[np.integer],
        payload: NDArray[np.integer],
        payload_bytes: int | NDArray[np.integer],
    ) -> None:
        """Point every message at its header and payload: (n,) addresses in memory, and lengths."""
        self._vectors["base"][:, 0] = header
        self._vectors["length"][:, 0] = header_bytes
        self._vectors["base"][:, 1] = payload
        self._vectors["length"][:, 1] = payload_bytes

    def send(self, first: int, stop: int) -> None:
        """Send messages [first, stop); waits where the socket's buffer is full."""
        while first < stop:
            sent = _libc.sendmmsg(
                self._fd,
                ctypes.c_void_p(self._base + first * _MESSAGE_BYTES),
                ctypes.c_uint(stop - first),
                0,
            )
            if sent < 0:
                _raise_unless({errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED, errno.ENOBUFS})
                continue
            first += sent

    def send_stamped(self, first: int, stop: int, stamps: NDArray[np.int64]) -> None:
        """Send, and write when each left: a system call's time is shared out evenly.

        Parameters
        ----------
        stamps : (stop - first,) int64, ns of the real-time clock; written.
        """
        before = time.time_ns()
        self.send(first, stop)
        n = stop - first
        stamps[:] = before + (time.time_ns() - before) * np.arange(1, n + 1) // n


class Inbox:
    """Datagrams as they came, a batch at a time.

    After `receive` gave n, rows [0, n) of `data`, `length`, `port` (of the sender) and `at_ns`
    hold the batch, until the next one.
    """

    def __init__(self, sock: socket.socket, n_slots: int = 1024) -> None:
        self._fd = sock.fileno()
        self._n_slots = n_slots
        self.data: NDArray[np.uint8] = np.zeros((n_slots, SLOT_BYTES), np.uint8)
        self._from = np.zeros(n_slots, Address)
        self._control = np.zeros((n_slots, 2), _Control)
        self._vectors = np.zeros(n_slots, _Vector)
        self._vectors["base"] = self.data.ctypes.data + SLOT_BYTES * np.arange(n_slots)
        self._vectors["length"] = SLOT_BYTES
        self._messages = np.zeros(n_slots, _Message)
        for name, memory, size in (
            ("name", self._from, Address.itemsize),
            ("vectors", self._vectors, _Vector.itemsize),
            ("control", self._control, 2 * _Control.itemsize),
        ):
            self._messages[name] = memory.ctypes.data + size * np.arange(n_slots)
        self._messages["n_vectors"] = 1

    @property
    def length(self) -> NDArray[np.uint32]:
        """Bytes of each datagram."""
        return self._messages["length"]

    @property
    def port(self) -> NDArray[np.uint16]:
        """Port each came from."""
        return self._from["port"]

    @property
    def at_ns(self) -> NDArray[np.int64]:
        """When each arrived, ns of the real-time clock."""
        stamp = self._control[:, 0]
        return np.asarray(stamp["s"] * 1_000_000_000 + stamp["ns"], np.int64)

    def receive(self) -> int:
        """Take what is there, at most one batch, without waiting."""
        self._messages["name_length"] = Address.itemsize
        self._messages["control_length"] = 2 * _Control.itemsize
        got = _libc.recvmmsg(
            self._fd,
            ctypes.c_void_p(self._messages.ctypes.data),
            ctypes.c_uint(self._n_slots),
            _DONT_WAIT,
            None,
        )
        if got < 0:
            _raise_unless({errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED})
            return 0
        return int(got)


def _raise_unless(tolerated: set[int]) -> None:
    code = ctypes.get_errno()
    if code not in tolerated:
        raise OSError(code, os.strerror(code))
