"""Whose packets a port takes: the SDP's address first, a learnt one where there is a reason.

Anyone who guesses a port can send to it. So a source is taken when it is the one the SDP names, at
any time; or, until that one speaks, when it sends from the SDP's host (another port: asymmetric
RTP) or from the host the signalling came from (a NAT rewrote the SDP's address). The last two have
to send a run of packets of one SSRC first, and are then locked.

What we send goes to the SDP's address, but for the NAT: nobody else can move it.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from voicemask.ng.plan import Learning, Remote

Address = tuple[str, int]

_NAT_PACKETS: Final = 3
"""In a row, from the signalling's host, before they are taken."""
_PORT_PACKETS: Final = 25
"""In a row, from another port of the SDP's host: half a second in which the right one is silent."""
_SSRC: Final = slice(8, 12)


class Source:
    """Tells packets of the party from those of strangers.

    Parameters
    ----------
    remote : what its SDP says.
    """

    __slots__ = ("_candidate", "_hosts", "_n_seen", "expected", "learnt", "target")

    def __init__(self, remote: Remote) -> None:
        address = _canonical(remote.address)
        self.expected: Address = (address, remote.port)
        self.learnt: Address | None = None
        """The source packets are taken from; None before the first."""
        self.target: Address | None = self.expected if remote.port else None
        """Where packets to the party go."""
        if address in ("0.0.0.0", "::"):
            self.target = None
        self._hosts: dict[str, int] = {}
        if remote.learning is Learning.SYMMETRIC:
            self._hosts[address] = _PORT_PACKETS
            received_from = _canonical(remote.received_from)
            if received_from and received_from != address:
                self._hosts[received_from] = _NAT_PACKETS
        self._candidate: tuple[Address, bytes] | None = None
        self._n_seen = 0

    @property
    def is_exact(self) -> bool:
        """Whether the party sends from where its SDP says."""
        return self.learnt == self.expected

    def admits(self, source: Address, data: bytes) -> bool:
        """Tell whether a packet is the party's."""
        if source == self.learnt:
            return True
        if source == self.expected:
            self.learnt = source
            if self.target is not None:
                self.target = source
            return True
        if self.learnt is not None or source[0] not in self._hosts:
            return False
        return self._learns(source, data)

    def _learns(self, source: Address, data: bytes) -> bool:
        """Count a run of packets of one source; take it when it is long enough."""
        candidate = (source, bytes(data[_SSRC]))
        if candidate != self._candidate:
            self._candidate, self._n_seen = candidate, 0
        self._n_seen += 1
        if self._n_seen < self._hosts[source[0]]:
            return False
        self.learnt = source
        if source[0] != self.expected[0] and self.target is not None:
            self.target = source
        return True

    def is_host(self, host: str) -> bool:
        """Tell whether RTCP may come from this host."""
        if self.learnt is not None:
            return host == self.learnt[0]
        return host == self.expected[0] or host in self._hosts


def _canonical(address: str) -> str:
    """An address as the kernel writes it; IPv6 has many ways."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
