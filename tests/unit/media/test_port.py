"""One port: what it takes, what it passes, what it counts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.media.parties import LOCAL, Phone, Rig, Two, rtcp, rtp
from voicemask.capture.policy import Policy
from voicemask.media.ports import RECEIVE_BYTES
from voicemask.ng.plan import LocalPort
from voicemask.rtp.sdes import CryptoKey
from voicemask.rtp.sdp import PayloadType
from voicemask.rtp.srtp import SrtpContext

SOUND = bytes(range(160))

LOCKED = RECEIVE_BYTES * 2 // 512 + 16
"""Packets after which all that strangers may have queued is through."""


@pytest.fixture
def two() -> Iterator[Two]:
    rig = Two()
    yield rig
    rig.close()


def take_locked(two: Two) -> list[bytes]:
    """Have the first party speak until its port is locked, and the second listen meanwhile."""
    said: list[bytes] = []
    for _ in range(LOCKED // 16):
        said += two.take(two.a, two.at_a, 16)
        two.b.listen()
    return said


def send_raw(phone: Phone, data: bytes, local: LocalPort, *, to_rtcp: bool = False) -> None:
    number = local.rtcp_port if to_rtcp else local.rtp_port
    phone.sock.sendto(data, (local.address, number))


@pytest.fixture
def ears() -> Iterator[socket.socket]:
    """A socket that hears RTCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOCAL, 0))
        sock.setblocking(False)
        yield sock


def everything(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(4096))
        except BlockingIOError:
            return found


def test_packets_go_both_ways_with_the_bytes_they_came_with(two: Two) -> None:
    said = two.take(two.a, two.at_a, 100), two.take(two.b, two.at_b, 100)
    two.until(lambda: len(two.b.listen()) == 100 and len(two.a.listen()) == 100)
    assert (two.b.heard, two.a.heard) == said
    port = two.port(two.at_a)
    assert (port.n_in, port.n_out, port.octets_in, port.n_errors) == (100, 100, 17200, 0)
    assert port.source == two.a.address


def test_a_stranger_is_not_heard_before_nor_after_the_party(two: Two) -> None:
    stranger = two.phone()
    port = two.port(two.at_a)
    for n in range(1, 20):
        stranger.say(two.at_a)
        two.until(lambda n=n: port.n_strangers == n)  # type: ignore[misc]
    take_locked(two)  # by now the kernel keeps strangers out
    assert port._is_connected
    stranger.say(two.at_a)
    two.take(two.a, two.at_a)
    two.until(lambda: len(two.b.listen()) == LOCKED + 1)
    assert not set(stranger.said) & set(two.b.heard)
    assert stranger.listen() == []


def test_a_new_remote_is_heard_after_the_old_one_was_locked(two: Two) -> None:
    take_locked(two)
    old, two.a = two.a, two.phone()
    two.apply()
    old.say(two.at_a)
    two.until(lambda: two.port(two.at_a).n_strangers == 1)
    said = take_locked(two)
    two.until(lambda: len(two.b.listen()) == 2 * LOCKED)
    assert two.b.heard[LOCKED:] == said
    assert two.port(two.at_a)._is_connected


def test_a_held_party_gets_nothing_and_speaks_again_later(two: Two) -> None:
    two.take(two.a, two.at_a, 2)
    two.take(two.b, two.at_b, 2)
    two.apply(address="0.0.0.0")
    two.b.say(two.at_b)
    two.serve(0.05)
    two.apply()
    two.take(two.a, two.at_a)
    two.until(lambda: len(two.b.listen()) == 3)
    assert len(two.a.listen()) == 2


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", bytes(11), bytes(200), b"\xff" * 300, b"\x40" + bytes(20), b"\x80\xc8\x00\x06"],
)
def test_what_is_not_rtp_goes_nowhere(two: Two, data: bytes) -> None:
    two.take(two.a, two.at_a, 2)
    send_raw(two.a, data, two.at_a)
    send_raw(two.a, data, two.at_a, to_rtcp=True)
    two.take(two.a, two.at_a)
    two.until(lambda: len(two.b.listen()) == 3)
    assert two.port(two.at_a).n_unusable >= 1


def test_rtcp_goes_where_the_party_wants_it(two: Two, ears: socket.socket) -> None:
    two.apply(rtcp_port=ears.getsockname()[1])
    two.take(two.a, two.at_a)
    report = rtcp(two.a.ssrc)
    send_raw(two.a, report, two.at_a, to_rtcp=True)
    heard: list[bytes] = []
    two.until(lambda: bool(heard.extend(everything(ears)) or heard))
    assert heard == [report]
    stranger = two.phone("127.0.0.2")
    send_raw(stranger, report, two.at_a, to_rtcp=True)
    two.until(lambda: two.port(two.at_a).n_strangers == 1)
    assert everything(ears) == []


def test_rtcp_shares_the_port_where_agreed(two: Two) -> None:
    two.apply(rtcp_mux=True)
    two.take(two.a, two.at_a)
    two.take(two.b, two.at_b)
    send_raw(two.a, rtcp() + rtcp(), two.at_a)
    two.until(lambda: len(two.b.listen()) == 2)
    assert two.b.heard[1] == (rtcp() + rtcp())[12:]


@pytest.mark.parametrize("mux", [False, True])
@pytest.mark.parametrize("number", [64, 72, 77, 79, 95])
def test_rtp_that_begins_like_rtcp_is_masked(
    two: Two, ears: socket.socket, number: int, mux: bool
) -> None:
    types = (PayloadType(number, "telephone-event", 8000),)
    two.apply(payload_types=types, rtcp_mux=mux, rtcp_port=ears.getsockname()[1])
    two.set(Policy.MUTE)
    for seq in (1, 5, 41):
        for payload in (bytes((5, 10, 0, 160)), SOUND):
            data = rtp(seq, payload, number | 0x80, two.a.ssrc)
            send_raw(two.a, data, two.at_a)
            send_raw(two.a, data, two.at_a, to_rtcp=True)
    two.until(lambda: two.port(two.at_a).n_in == 6)
    two.serve()
    assert everything(ears) == []
    assert two.b.listen() == []


def test_rtp_that_begins_like_rtcp_is_relayed_as_it_came(two: Two) -> None:
    data = rtp(3, SOUND, 72 | 0x80, two.a.ssrc)
    send_raw(two.a, data, two.at_a)
    two.until(lambda: two.b.listen() == [SOUND])


@pytest.mark.parametrize("kind", ["video", "text", "image", "application"])
@pytest.mark.parametrize("policy", [Policy.CAPTURE, Policy.MUTE])
def test_other_media_are_withheld_while_policy_masks(two: Two, kind: str, policy: Policy) -> None:
    two.apply(kind=kind)
    (first,) = two.take(two.a, two.at_a)
    two.until(lambda: two.b.listen() == [first])
    two.set(policy)
    two.take(two.a, two.at_a, 5)
    send_raw(two.a, b"no RTP at all: T.38", two.at_a)
    send_raw(two.a, rtcp(), two.at_a, to_rtcp=True)
    two.serve(0.05)
    two.set(None)
    (last,) = two.take(two.a, two.at_a)
    two.until(lambda: two.b.listen() == [first, last])


def test_a_party_that_turns_to_fax_while_masked_is_withheld_and_masked_again(two: Two) -> None:
    two.set(Policy.CAPTURE)
    said = two.take(two.a, two.at_a, 3)
    two.apply(kind="image", protocol="udptl", payload_types=())
    said += two.take(two.a, two.at_a, 3)
    two.apply()
    said += two.take(two.a, two.at_a, 3)
    two.until(lambda: len(two.b.listen()) == 6)
    assert not set(said) & set(two.b.heard)


def key(seed: int) -> CryptoKey:
    return CryptoKey(1, "AES_CM_128_HMAC_SHA1_80", bytes([seed]) * 30)


def test_srtp_on_one_side(two: Two) -> None:
    context = SrtpContext(key(1))
    two.a.ssrc = 5
    remote = two.a.remote(protocol="RTP/SAVP", receive_key=key(1), send_key=key(2))
    port = two.port(two.at_a)
    port.set_remote(remote)
    send_raw(two.a, context.protect(rtp(1, SOUND)), two.at_a)
    two.until(lambda: two.b.listen() == [SOUND])
    # nothing that is not under the key is heard; the kernel keeps the stranger out
    forged = two.phone()
    send_raw(forged, rtp(2, SOUND), two.at_a)
    send_raw(two.a, rtp(3, SOUND), two.at_a)
    send_raw(two.a, b"\x80\xc8" + bytes(40), two.at_a)
    two.until(lambda: port.n_unusable == 2)
    two.take(two.b, two.at_b)
    two.until(lambda: bool(two.a.listen()))
    assert two.a.heard[0] not in two.b.said  # encrypted
    assert len(two.a.heard[0]) == 160 + 10
    assert two.b.listen() == [SOUND]


def test_a_remote_that_cannot_be_sent_to_is_counted() -> None:
    rig: Any = Two()
    rig.port(rig.at_b).set_remote(rig.b.remote(address="2001:db8::1"))
    rig.take(rig.a, rig.at_a)
    assert rig.port(rig.at_b).n_send_errors == 1
    rig.close()


def test_ipv6() -> None:
    rig = Rig()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    rig.close()
    from voicemask.media.settings import NodeSettings, RtpAddress

    rig = Rig(settings=NodeSettings((RtpAddress("::1", "::1"),), 10000, 19999))
    a, b = rig.phone("::1"), rig.phone("::1")
    at_a, at_b = rig.node.reserve(6), rig.node.reserve(6)
    rig.port(at_a).set_remote(a.remote(address="0:0:0:0:0:0:0:1"))
    rig.port(at_b).set_remote(b.remote())
    rig.port(at_a).sinks = (rig.port(at_b),)
    said = rig.take(a, at_a, 70)
    rig.until(lambda: b.listen() == said)
    rig.close()
