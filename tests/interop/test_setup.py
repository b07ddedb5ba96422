"""How calls begin and end: what the proxy does is what the node has, and no port is left over."""

from __future__ import annotations

import pytest

from tests.interop.hearing import assert_all_read, assert_nobody_reads
from tests.interop.node import Node
from tests.interop.phone import Call, Exchange

KEYS = "0417#*"
CARD = "378282246310005"


def test_early_media_flows_and_the_answer_changes_nothing(exchange: Exchange, node: Node) -> None:
    customer, agent = exchange.phone("caller"), exchange.phone("callee")
    invited = exchange.invite(customer, agent)
    agent.talk_to(invited.sdp)
    described = agent.description()
    agent.sip.do("183", described)
    early = customer.sip.expect("183")
    customer.talk_to(early.sdp)
    customer.line.wait_heard(5)
    agent.line.wait_heard(5)
    agent.sip.do("200", described)
    answered = customer.sip.expect("200")
    agent.sip.expect("confirmed")
    assert early.sdp is not None and answered.sdp is not None
    assert (answered.tag, answered.sdp.port) == (early.tag, early.sdp.port)
    customer.press(KEYS)
    agent.line.catch_up(customer.line)
    assert_all_read(agent.line.heard, KEYS)
    assert len(node.calls()) == 1


def test_capture_begun_before_the_answer_goes_on_after_it(exchange: Exchange, node: Node) -> None:
    customer, agent = exchange.phone("caller"), exchange.phone("callee")
    invited = exchange.invite(customer, agent)
    agent.talk_to(invited.sdp)
    described = agent.description()
    agent.sip.do("183", described)
    customer.talk_to(customer.sip.expect("183").sdp)
    agent.line.wait_heard(5)
    assert node.ng.ask("block DTMF", call_id=invited.call_id)["result"] == "ok"
    agent.line.heard.clear()
    agent.sip.do("200", described)
    customer.sip.expect("200")
    agent.sip.expect("confirmed")
    customer.press(CARD, "both")
    agent.line.catch_up(customer.line)
    assert_nobody_reads(agent.line.heard)


def test_cancelled_call_frees_its_ports(exchange: Exchange, node: Node) -> None:
    customer, agent = exchange.phone("caller"), exchange.phone("callee")
    exchange.invite(customer, agent)
    agent.sip.do("180")
    customer.sip.expect("180")
    assert len(node.calls()) == 1
    customer.sip.do("cancel")
    agent.sip.expect("cancelled")
    customer.sip.expect("487")
    assert node.calls() == []


def test_refused_call_frees_its_ports(exchange: Exchange, node: Node) -> None:
    customer, agent = exchange.phone("caller"), exchange.phone("callee")
    exchange.invite(customer, agent)
    agent.sip.do("486")
    customer.sip.expect("486")
    agent.sip.expect("ended")
    assert node.calls() == []


def test_call_nobody_answers_frees_its_ports(exchange: Exchange, node: Node) -> None:
    customer, agent = exchange.phone("caller"), exchange.phone("callee")
    exchange.invite(customer, agent, "X-Ring-Ms: 1000")
    agent.sip.do("180")
    agent.sip.expect("cancelled")
    customer.sip.expect("408")
    assert node.calls() == []


@pytest.mark.parametrize("per_branch", [False, True], ids=["one-offer", "offer-per-branch"])
def test_forked_call_goes_to_who_answers(exchange: Exchange, node: Node, per_branch: bool) -> None:
    customer = exchange.phone("caller")
    first, second = exchange.phone("callee"), exchange.phone("callee")
    extra = ["X-Per-Branch: yes"] if per_branch else []
    fork = f"X-Fork: sip:agent@127.0.0.1:{second.sip.port}"
    to_first = exchange.invite(customer, first, fork, *extra)
    invited = second.sip.expect("invited")
    assert to_first.sdp is not None and invited.sdp is not None
    assert (to_first.sdp.port != invited.sdp.port) == per_branch
    first.sip.do("183", first.description())
    one = customer.sip.expect("183")
    second.sip.do("183", second.description())
    other = customer.sip.expect("183")
    assert one.tag != other.tag
    second.sip.do("200", second.description())
    answered = customer.sip.expect("200")
    second.talk_to(invited.sdp)
    second.sip.expect("confirmed")
    first.sip.expect("cancelled")
    assert answered.tag == other.tag
    customer.talk_to(answered.sdp)
    second.line.wait_heard(5)
    assert len(node.calls()) == 1
    customer.mask("capture")
    second.line.heard.clear()
    customer.press(CARD, "both")
    second.line.catch_up(customer.line)
    assert_nobody_reads(second.line.heard)
    assert first.line.heard == []
    customer.sip.do("bye")
    second.sip.expect("ended")
    assert node.calls() == []


@pytest.mark.parametrize("who", ["customer", "agent"])
def test_bye_of_either_side_deletes_the_call(exchange: Exchange, node: Node, who: str) -> None:
    call: Call = exchange.connect()
    call.hang_up(getattr(call, who))
    assert node.calls() == []


def test_ports_come_back_after_many_calls(node: Node, exchange: Exchange) -> None:
    before = node.used_ports()
    for _ in range(3):
        call = exchange.connect()
        assert node.used_ports() > before
        call.hang_up()
    assert node.used_ports() == before
