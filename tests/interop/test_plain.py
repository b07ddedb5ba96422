"""Calls that nothing masks: both sides hear what was said, to the byte."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.direct import DirectCall
from tests.interop.hearing import assert_all_read, assert_heard_to_the_byte, event_keys
from tests.interop.node import Node
from tests.interop.phone import Exchange
from tests.interop.ports import PortBlock

KEYS = "0417#*"


def test_call_in_guard_carries_every_byte_both_ways(
    exchange: Exchange, node: Node, speech: Any
) -> None:
    call = exchange.connect()
    assert node.calls() == [call.call_id]
    call.customer.line.say(speech[:8000])
    call.agent.line.say(speech[8000:24000])
    call.customer.press(KEYS, "both")
    call.catch_up()
    assert_same_bytes(call.customer.line, call.agent.line)
    assert_all_read(call.agent.line.heard, KEYS)
    assert event_keys(call.agent.line.heard) == KEYS
    call.hang_up()
    assert node.calls() == []


def test_call_in_open_carries_every_byte_both_ways(
    second_node: Node, ports: PortBlock, speech: Any
) -> None:
    call = DirectCall(second_node, ports)
    call.customer.say(speech[:8000])
    call.agent.say(speech[8000:16000])
    call.customer.send_events(KEYS)
    call.customer.wait_said()
    call.catch_up()
    assert_same_bytes(call.customer, call.agent)
    assert event_keys(call.agent.heard) == KEYS
    call.close()


def test_call_over_ipv6_is_carried(exchange: Exchange) -> None:
    customer = exchange.phone("caller", address="::1")
    agent = exchange.phone("callee", address="::1")
    call = exchange.connect(customer=customer, agent=agent)
    assert call.to_agent.address == call.to_customer.address == "::1"
    assert_same_bytes(customer.line, agent.line)


def test_call_between_ipv4_and_ipv6_is_carried(node: Node, ports: PortBlock) -> None:
    call = DirectCall(
        node,
        ports,
        offer={"address-family": "IP6"},
        answer={"address-family": "IP4"},
        addresses=("127.0.0.1", "::1"),
    )
    assert call.to_agent.address == "::1"
    assert call.to_customer.address == "127.0.0.1"
    call.catch_up()
    assert_same_bytes(call.customer, call.agent)
    call.close()


@pytest.mark.parametrize("mux", [False, True], ids=["port-of-its-own", "mux"])
def test_rtcp_is_forwarded_as_it_came(node: Node, ports: PortBlock, mux: bool) -> None:
    call = DirectCall(node, ports, rtcp_mux=mux)
    report = receiver_report(call.customer.ssrc)
    call.customer.send_rtcp(report, mux=mux)
    call.agent.wait_heard_rtcp(1)
    assert call.agent.heard_rtcp == [report]
    call.agent.send_rtcp(receiver_report(call.agent.ssrc), mux=mux)
    call.customer.wait_heard_rtcp(1)
    call.close()


def receiver_report(ssrc: int) -> bytes:
    """RTCP RR of no reports, and an SDES with an empty CNAME (RFC 3550 section 6)."""
    return (
        bytes.fromhex("80c90001")
        + ssrc.to_bytes(4, "big")
        + bytes.fromhex("81ca0002")
        + ssrc.to_bytes(4, "big")
        + bytes.fromhex("01000000")
    )


def assert_same_bytes(one: Any, other: Any) -> None:
    """What each heard is what the other sent: nothing lost, in order, byte by byte."""
    one.wait_heard(10)
    other.wait_heard(10)
    for speaker, hearer in ((one, other), (other, one)):
        assert speaker.sent.index(hearer.heard[0]) <= 5
        assert_heard_to_the_byte(speaker, hearer)
