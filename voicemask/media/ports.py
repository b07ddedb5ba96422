"""The local UDP ports calls are relayed through: opened in pairs, given out oldest first."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import itertools
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from voicemask.errors import ConfigError, NgBusyError, NgError
from voicemask.media.settings import RtpAddress
from voicemask.ng.plan import LocalPort

RECEIVE_BYTES: Final = 1 << 16
"""Room for about 150 packets, three seconds: a process that stands still for so long loses nothing,
and what waited longer is of no use to anyone who listens."""
_EXPEDITED: Final = 46 << 2
"""DSCP EF, RFC 3246: voice."""
_IN_USE: Final = (errno.EADDRINUSE, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Pair:
    """The sockets of a `LocalPort`; one where RTP and RTCP share it."""

    local: LocalPort
    rtp: socket.socket
    rtcp: socket.socket | None


class PortPool:
    """Opens and closes pairs within the range.

    Parameters
    ----------
    addresses : local addresses; the first of a family is its default.
    first, last : RTP ports, inclusive; RTP gets even ones.

    Raises
    ------
    ConfigError
        No address, or no whole pair in the range.
    """

    def __init__(self, addresses: Sequence[RtpAddress], first: int, last: int) -> None:
        self._addresses = tuple(addresses)
        self._free = deque(range(first + first % 2, last, 2))
        self._numbers = itertools.count(1)
        if not self._addresses:
            raise ConfigError("--rtp-address", "names no address", "give a local one")
        if not self._free:
            raise ConfigError("--rtp-ports", "holds no pair of ports", "give a wider range")

    @property
    def n_free(self) -> int:
        """Pairs that are not in use by us."""
        return len(self._free)

    def open(self, family: int, *, rtcp_mux: bool = False, interface: str = "") -> Pair:
        """Open a pair.

        Raises
        ------
        NgError
            No such interface, or none of this family.
        NgBusyError
            No port is free.
        """
        address = self._address(family, interface)
        for _ in range(len(self._free)):
            port = self._free.popleft()
            pair = self._bound(address, port, rtcp_mux)
            if pair is not None:
                return pair
            self._free.append(port)
        raise NgBusyError("RTP ports", "none is free", "widen --rtp-ports or add a node")

    def close(self, pair: Pair) -> None:
        """Close a pair; its ports are the last to be used again."""
        pair.rtp.close()
        if pair.rtcp is not None:
            pair.rtcp.close()
        self._free.append(pair.local.rtp_port)

    def _address(self, family: int, interface: str) -> RtpAddress:
        for address in self._addresses:
            is_named = not interface or address.name == interface
            if is_named and ipaddress.ip_address(address.bind).version == family:
                return address
        subject = f"interface '{interface[:32]}'" if interface else f"IPv{family}"
        raise NgError(subject, "this node has no such address", "see --rtp-address")

    def _bound(self, address: RtpAddress, port: int, rtcp_mux: bool) -> Pair | None:
        sockets: list[socket.socket] = []
        try:
            for number in (port,) if rtcp_mux else (port, port + 1):
                sockets.append(_open(address.bind, number))
        except OSError as error:
            for sock in sockets:
                sock.close()
            if error.errno in _IN_USE:
                return None
            reason = f"cannot be opened ({os.strerror(error.errno or 0)})"
            cure = "check --rtp-address and the limit of open files"
            raise NgBusyError("RTP ports", reason, cure) from None
        rtcp_port = port if rtcp_mux else port + 1
        local = LocalPort(next(self._numbers), address.advertised, port, rtcp_port)
        return Pair(local, sockets[0], sockets[1] if len(sockets) > 1 else None)


def _open(host: str, port: int) -> socket.socket:
    is_v6 = ":" in host
    sock = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        if is_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def disconnect(sock: socket.socket) -> None:
    """Let a connected UDP socket receive from anyone again (POSIX: connect to AF_UNSPEC)."""
    libc = ctypes.CDLL(None, use_errno=True)
    unspecified = (ctypes.c_char * 16)()
    libc.connect(sock.fileno(), unspecified, 16)
