"""Garbage on every port while a call runs and its keys are captured."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.interop.direct import CUSTOMER, DirectCall
from tests.interop.faults.presses import Presses
from tests.interop.faults.service import FaultPorts, Service

N_DATAGRAMS = 3000


def garbage(chance: random.Random, ssrc: int) -> bytes:
    """One datagram that is none, or whose header lies."""
    fixed = struct.pack("!HII", chance.randrange(65536), chance.randrange(2**32), ssrc)
    tail = chance.randbytes(chance.choice((0, 1, 3, 4, 20, 160, 172)))
    some = chance.randrange(256)
    lying = struct.pack("!HH", 0xBEDE, chance.choice((1, 40, 65535)))
    report = struct.pack("!BBH", some, chance.randrange(256), 0xFFFF)
    kinds = (
        chance.randbytes(chance.randrange(20)),
        chance.randbytes(chance.choice((1400, 1600, 9000, 60000))),
        bytes([some, chance.randrange(256)]) + fixed + tail,
        bytes([0x80 | chance.randrange(16), 0]) + fixed + tail,
        b"\x90\x00" + fixed + lying + tail,
        b"\xa0\x00" + fixed + tail + bytes([chance.choice((0, 5, 255))]),
        bytes([0x80, 101]) + fixed + report * chance.choice((1, 1, 50)) + tail[:1],
        bytes([0x80 | chance.randrange(32), chance.randrange(192, 224)]) + tail,
        bytes([0x80, chance.choice((3, 8, 9, 13, 18, 96, 127))]) + fixed + tail,
    )
    return chance.choice(kinds)


class Flood:
    """Sends garbage from a thread until it has sent its share.

    Parameters
    ----------
    sock : what it leaves by; the caller's own, or a stranger's.
    """

    def __init__(
        self, sock: socket.socket, to: list[tuple[str, int]], seed: int, ssrc: int
    ) -> None:
        self._sock, self._to, self._ssrc = sock, to, ssrc
        self._chance = random.Random(seed)
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for number in range(N_DATAGRAMS):
            for address in self._to:
                with suppress(OSError):
                    self._sock.sendto(garbage(self._chance, self._ssrc), address)
            if number % 5 == 0:
                self._pause.wait(0.005)

    def join(self) -> None:
        self._thread.join()


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.99", 0))
        yield sock


def test_strangers_garbage_changes_nothing_of_a_call(
    service: Service, call: DirectCall, stranger: socket.socket
) -> None:
    presses = Presses(40, seed=5)
    call.done("block DTMF", from_tag=CUSTOMER)
    call.agent.wait_heard(10)
    there = [call.to_customer, call.to_agent]
    to = [(side.address, port) for side in there for port in (side.port, side.rtcp_port)]
    flood = Flood(stranger, [*to, ("127.0.0.1", service.ng_port)], 1, call.customer.ssrc)
    presses.said_by(call.customer)
    call.customer.wait_said(30)
    flood.join()
    call.catch_up()
    heard = {packet[2:4] for packet in call.agent.heard}
    assert len(heard) == len(call.agent.heard)
    assert call.agent.broken == 0
    presses.assert_nothing_heard(call.agent.heard, call.customer.sent)


@pytest.mark.parametrize(
    "command", ["", "block DTMF", "block media"], ids=["guard", "capture", "mute"]
)
def test_the_callers_own_garbage_ends_no_process_and_no_other_call(
    service: Service, ports: FaultPorts, call: DirectCall, command: str
) -> None:
    pid = service.media_pid
    call.done("start recording")
    if command:
        call.done(command, from_tag=CUSTOMER)
    with closing(DirectCall(service, ports)) as other:
        n_before, n_call = len(other.agent.heard), len(call.agent.heard)
        side = call.to_customer
        to = [(side.address, side.port), (side.address, side.port), (side.address, side.rtcp_port)]
        floods = [
            Flood(call.customer._rtp, to, 2, call.customer.ssrc),
            Flood(call.customer._rtp, to, 3, 77),
        ]
        for flood in floods:
            flood.join()
        other.catch_up()
        numbers = [struct.unpack_from("!H", packet, 2)[0] for packet in other.agent.heard]
        assert (numbers[-1] - numbers[n_before]) % 65536 + n_before + 1 == len(numbers)
    assert service.media_pid == pid
    if command:
        # no event, and nothing that was not agreed on and looked into
        assert {packet[1] & 0x7F for packet in call.agent.heard[n_call:]} <= {0, 13}
    call.agent.wait_heard(10)
    call.done("delete", from_tag=CUSTOMER)
    assert service.recordings_of(call.call_id)


def test_garbage_on_the_control_socket_is_answered_or_dropped(
    service: Service, call: DirectCall
) -> None:
    chance = random.Random(6)
    lines = [
        b'{"id":1,"command":"list"}', b'{"id":1,"command":"policy","call":"x","policy":"capture"}',
        b'{"id":2,"command":"key","call":"x","tag":"y","key":"5"}', b"[]", b"{}", b"null",
        b'{"id":',
    ]  # fmt: skip
    for number in range(300):
        with closing(socket.socket(socket.AF_UNIX)) as sock, suppress(OSError):
            sock.connect(str(service.folder / "control"))
            data = bytearray(b"\n".join(chance.choices(lines, k=5)))
            for _ in range(chance.randrange(10)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            sock.settimeout(0.05)
            sock.sendall(bytes(data) * (2000 if number % 50 == 0 else 1))
            if number % 2:
                sock.sendall(b"\n" * chance.randrange(3))
                sock.recv(4096)
    call.agent.wait_heard(10)
