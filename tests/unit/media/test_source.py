"""Whose packets a port takes, as a table: who sends, how many, who is taken, where we send to."""

from __future__ import annotations

import struct

import pytest

from voicemask.media.source import Address, Source
from voicemask.ng.plan import Learning, Remote

SDP: Address = ("192.0.2.1", 4000)
PORT: Address = ("192.0.2.1", 4444)
NAT: Address = ("198.51.100.7", 60000)
NAT_2: Address = ("198.51.100.7", 60002)
STRANGER: Address = ("203.0.113.9", 4000)


def packet(ssrc: int = 1) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, 1, 1, ssrc)


def make(learning: Learning = Learning.SYMMETRIC, address: str = SDP[0]) -> Source:
    return Source(Remote(address, SDP[1], SDP[1] + 1, received_from=NAT[0], learning=learning))


def taken(source: Source, sender: Address, n: int, ssrc: int = 1) -> list[bool]:
    return [source.admits(sender, packet(ssrc)) for _ in range(n)]


@pytest.mark.parametrize(
    ("sender", "n_first", "target"),
    [(SDP, 1, SDP), (PORT, 25, SDP), (NAT, 3, NAT), (STRANGER, None, SDP)],
)
def test_who_is_taken_from_which_packet_on(
    sender: Address, n_first: int | None, target: Address
) -> None:
    source = make()
    answers = taken(source, sender, 40)
    first = 40 if n_first is None else n_first - 1
    assert answers == [False] * first + [True] * (40 - first)
    assert source.target == target
    assert source.learnt == (sender if n_first else None)
    assert source.is_exact == (sender == SDP)


@pytest.mark.parametrize("sender", [PORT, NAT, STRANGER])
def test_strict_takes_the_sdps_source_only(sender: Address) -> None:
    source = make(Learning.STRICT)
    assert not any(taken(source, sender, 40))
    assert taken(source, SDP, 1) == [True]


@pytest.mark.parametrize("second", [NAT_2, PORT, STRANGER])
def test_what_is_learnt_is_locked_but_for_the_sdps_own(second: Address) -> None:
    source = make()
    taken(source, NAT, 3)
    assert not any(taken(source, second, 60))
    assert source.target == NAT
    assert taken(source, SDP, 1) == [True]
    assert (source.target, source.learnt) == (SDP, SDP)
    assert not any(taken(source, NAT, 10))


def test_a_run_is_of_one_source_and_one_ssrc() -> None:
    source = make()
    assert taken(source, NAT, 2, ssrc=1) + taken(source, NAT, 2, ssrc=2) == [False] * 4
    assert taken(source, NAT_2, 2, ssrc=2) == [False] * 2
    assert taken(source, NAT, 2, ssrc=2) == [False] * 2
    assert taken(source, NAT, 1, ssrc=2) == [True]
    assert taken(source, NAT, 1, ssrc=9) == [True]  # learnt: the SSRC may change


@pytest.mark.parametrize("zero", ["0.0.0.0", "::"])
def test_a_held_party_gets_nothing_whoever_sends(zero: str) -> None:
    source = make(address=zero)
    assert source.target is None
    taken(source, NAT, 10)
    taken(source, STRANGER, 10)
    assert source.target is None


def test_a_rejected_section_gets_nothing() -> None:
    source = Source(Remote(SDP[0], 0, 0))
    assert source.target is None
    assert not any(taken(source, STRANGER, 30))


@pytest.mark.parametrize("text", ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001"])
def test_ipv6_is_the_same_however_it_is_spelled(text: str) -> None:
    source = Source(Remote(text, 4000, 4001))
    assert source.admits(("2001:db8::1", 4000), packet())
    assert source.is_exact
    assert source.is_host("2001:db8::1")


def test_rtcp_may_come_from_hosts_that_rtp_may_come_from() -> None:
    source = make()
    assert [source.is_host(host) for host in (SDP[0], NAT[0], STRANGER[0])] == [True, True, False]
    taken(source, NAT, 3)
    assert [source.is_host(host) for host in (SDP[0], NAT[0], STRANGER[0])] == [False, True, False]
    assert not make(Learning.STRICT).is_host(NAT[0])
