"""What is masked stays masked, whatever is negotiated meanwhile."""

from __future__ import annotations

from tests.interop.hearing import assert_all_read, assert_nobody_reads, audio_of
from tests.interop.line import Line
from tests.interop.node import Node
from tests.interop.phone import Call, Exchange
from tests.interop.ports import PortBlock

CARD = "5555555555554444"
AFTER = "0289#*"


def test_new_offer_keeps_the_ports_and_the_bytes(exchange: Exchange) -> None:
    call = exchange.connect()
    customer, agent = call.customer, call.agent
    to_customer, to_agent = call.renegotiate(
        customer, agent, customer.description(), agent.description()
    )
    assert to_customer is not None and to_agent is not None
    assert to_customer.port == call.to_customer.port
    assert to_agent.port == call.to_agent.port
    customer.press(AFTER)
    call.catch_up()
    assert_all_read(agent.line.heard, AFTER)


def test_hold_and_resume_do_not_unmask(exchange: Exchange) -> None:
    call = exchange.connect()
    customer, agent = call.customer, call.agent
    customer.mask("capture")
    call.agent.line.heard.clear()

    on_hold, _ = call.renegotiate(
        agent,
        customer,
        agent.description(direction="sendonly"),
        customer.description(direction="recvonly"),
    )
    assert on_hold is not None and "recvonly" in on_hold.attributes
    customer.press(CARD[:4], "both")
    call.renegotiate(agent, customer, agent.description(), customer.description())
    agent.line.wait_heard(3)
    customer.press(CARD, "both")
    call.catch_up()
    assert_nobody_reads(agent.line.heard)

    customer.mask("release")
    agent.line.heard.clear()
    customer.press(AFTER)
    call.catch_up()
    assert_all_read(agent.line.heard, AFTER)


def test_hold_by_the_zero_address_sends_nothing_and_resumes_masked(exchange: Exchange) -> None:
    call = exchange.connect()
    customer, agent = call.customer, call.agent
    customer.mask("capture")
    call.renegotiate(agent, customer, agent.description(address="0.0.0.0"), customer.description())
    customer.line.catch_up(agent.line)
    agent.line.heard.clear()
    customer.press(CARD[:4])
    assert agent.line.heard == []
    call.renegotiate(agent, customer, agent.description(), customer.description())
    agent.line.wait_heard(3)
    customer.press(CARD)
    call.catch_up()
    assert_nobody_reads(agent.line.heard)


def test_change_of_codec_in_capture_stays_masked(exchange: Exchange) -> None:
    call = exchange.connect()
    customer, agent = call.customer, call.agent
    customer.mask("capture")
    agent.line.heard.clear()
    customer.press(CARD[:4])
    codecs = ("PCMA", "telephone-event")
    to_customer, to_agent = call.renegotiate(
        customer, agent, customer.description(codecs=codecs), agent.description(codecs=codecs)
    )
    customer.talk_to(to_customer, "PCMA")
    agent.talk_to(to_agent, "PCMA")
    customer.press(CARD[4:])
    call.catch_up()
    assert agent.line.heard[-1][1] & 0x7F == 8
    assert_nobody_reads(agent.line.heard)
    customer.mask("release")
    agent.line.heard.clear()
    customer.press(AFTER)
    call.catch_up()
    assert_all_read(agent.line.heard, AFTER)


def test_change_of_the_agents_address_in_capture_stays_masked(
    exchange: Exchange, ports: PortBlock
) -> None:
    call = exchange.connect()
    customer, agent = call.customer, call.agent
    customer.mask("capture")
    elsewhere = Line("127.0.0.1", ports.take(), seed=7)
    before, agent.line = agent.line, elsewhere
    call.renegotiate(agent, customer, agent.description(), customer.description())
    before.fall_silent()
    agent.talk_to(call.to_agent)
    elsewhere.wait_heard(3)
    before.heard.clear()
    customer.press(CARD)
    call.catch_up()
    assert_nobody_reads(elsewhere.heard)
    assert len(audio_of(elsewhere.heard)) > 8000
    assert before.heard == []
    before.close()


def test_change_of_the_customers_address_in_capture_stays_masked(
    exchange: Exchange, ports: PortBlock, node: Node
) -> None:
    call = exchange.connect()
    customer, agent = call.customer, call.agent
    customer.mask("capture")
    agent.line.heard.clear()
    before, customer.line = customer.line, Line("127.0.0.1", ports.take(), seed=8)
    renegotiate_from(call)
    before.fall_silent()
    customer.talk_to(call.to_customer)
    customer.line.wait_heard(3)
    customer.press(CARD, "both")
    agent.line.catch_up(customer.line)
    before.close()
    moved = [packet for packet in agent.line.heard if packet[8:12] == ssrc(customer.line)]
    assert len(moved) > 50
    assert_nobody_reads(moved)


def renegotiate_from(call: Call) -> None:
    call.renegotiate(
        call.customer, call.agent, call.customer.description(), call.agent.description()
    )


def ssrc(line: Line) -> bytes:
    return line.ssrc.to_bytes(4, "big")
