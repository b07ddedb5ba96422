"""A party of one socket that a test drives packet by packet, without a thread."""

from __future__ import annotations

import select
import socket
import struct
import time

from tests.interop.description import describe, read
from tests.interop.faults.service import Service

FRAME_S = 0.01
"""Twice as fast as a phone, to save time."""


class Party:
    """Sends packets of one payload, so that what comes out tells who sent it.

    Parameters
    ----------
    mark : octet its payloads are made of.
    """

    def __init__(self, mark: int, ssrc: int, address: str = "127.0.0.1", port: int = 0) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, port))
        self.sock.setblocking(False)
        self.address, self.port = self.sock.getsockname()
        self.mark, self.ssrc = mark, ssrc
        self.sequence = 100 * mark
        self.to = ("127.0.0.1", 0)
        self.heard: list[bytes] = []

    def say(self) -> None:
        """Send one packet."""
        self.sequence += 1
        fixed = (0x80, 0, self.sequence % 65536, self.sequence * 160 % 2**32, self.ssrc)
        self.sock.sendto(struct.pack("!BBHII", *fixed) + bytes([self.mark]) * 160, self.to)

    def listen(self) -> None:
        """Take what came."""
        while True:
            try:
                self.heard.append(self.sock.recv(2048))
            except (BlockingIOError, ConnectionRefusedError):
                return

    def await_heard(self, n_packets: int, timeout_s: float = 5.0) -> None:
        """Listen until so many have come in all; what is still missing then stays so."""
        end_s = time.monotonic() + timeout_s
        while len(self.heard) < n_packets and time.monotonic() < end_s:
            select.select([self.sock], [], [], 0.05)
            self.listen()

    def await_mark(self, mark: int, timeout_s: float = 5.0) -> None:
        """Listen until a party is heard; where it does not come, go on."""
        end_s = time.monotonic() + timeout_s
        while mark not in self.marks() and time.monotonic() < end_s:
            select.select([self.sock], [], [], 0.05)
            self.listen()

    def marks(self, since: int = 0) -> set[int]:
        """Who was heard, by the octets of the payloads."""
        return {packet[-1] for packet in self.heard[since:]}


def turns(n: int, *parties: Party) -> None:
    """Let every party send and listen, n times."""
    for _ in range(n):
        for party in parties:
            party.say()
        time.sleep(FRAME_S)
        for party in parties:
            party.listen()


def connect(service: Service, call_id: str, caller: Party, callee: Party) -> None:
    """Set a call up between the two."""
    both = {"call_id": call_id, "from_tag": "a", "replace": ["origin", "session-connection"]}
    offered = describe(caller.address, caller.port, ("PCMU",))
    to_callee = service.ng.ask("offer", sdp=offered, **both)
    assert to_callee["result"] == "ok", to_callee
    answered = describe(callee.address, callee.port, ("PCMU",))
    to_caller = service.ng.ask("answer", sdp=answered, to_tag="b", **both)
    assert to_caller["result"] == "ok", to_caller
    caller.to = ("127.0.0.1", read(to_caller["sdp"]).port)
    callee.to = ("127.0.0.1", read(to_callee["sdp"]).port)
