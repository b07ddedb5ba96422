"""Subscriptions, as a SIPREC recorder or a listening supervisor has them: none is a way round."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.direct import DirectCall
from tests.interop.hearing import assert_all_read, assert_nobody_reads, audio_of, event_keys
from tests.interop.line import keyed
from tests.interop.node import Node
from tests.interop.ports import PortBlock

CARD = "4111111111111111"
AFTER = "0289#*"


@pytest.fixture
def call(node: Node, ports: PortBlock) -> Iterator[DirectCall]:
    call = DirectCall(node, ports)
    yield call
    call.close()


def test_subscriber_joining_in_capture_hears_no_key_and_the_agent_none_either(
    call: DirectCall,
) -> None:
    call.done("block DTMF")
    subscriber = call.subscribe()
    call.agent.heard.clear()
    press(call, CARD)
    call.catch_up()
    assert_nobody_reads(call.agent.heard)
    for line in subscriber.lines:
        line.wait_heard(100)
        assert_nobody_reads(line.heard)
    subscriber.close()


def test_recorder_hears_no_key_outside_capture_though_the_agent_does(call: DirectCall) -> None:
    subscriber = call.subscribe()
    call.agent.heard.clear()
    press(call, CARD)
    call.catch_up()
    assert_all_read(call.agent.heard, CARD)
    for line in subscriber.lines:
        line.wait_heard(100)
        assert_nobody_reads(line.heard)
    subscriber.close()


def test_monitor_hears_what_the_agent_hears(call: DirectCall) -> None:
    subscriber = call.subscribe(flags=["all", "monitor"])
    call.done("block DTMF")
    for line in (call.agent, *subscriber.lines):
        line.heard.clear()
    press(call, CARD)
    call.catch_up()
    for line in subscriber.lines:
        line.wait_heard(5)
        assert_nobody_reads(line.heard)
    call.done("unblock DTMF")
    for line in (call.agent, *subscriber.lines):
        line.heard.clear()
    press(call, AFTER)
    call.catch_up()
    heard = [line.heard for line in subscriber.lines if event_keys(line.heard)]
    assert [event_keys(packets) for packets in heard] == [AFTER]
    assert audio_of(heard[0]).any()
    subscriber.close()


def test_unsubscribed_recorder_hears_nothing_more(call: DirectCall) -> None:
    subscriber = call.subscribe()
    subscriber.lines[0].wait_heard(1)
    subscriber.unsubscribe()
    for line in subscriber.lines:
        line.heard.clear()
    press(call, AFTER)
    call.catch_up()
    assert [line.heard for line in subscriber.lines] == [[] for _ in subscriber.lines]
    assert event_keys(call.agent.heard) == AFTER
    subscriber.close()


def press(call: DirectCall, keys: str) -> None:
    """Tones with events beside them, from the customer."""
    call.customer.say_with_events(keyed(keys))
    call.customer.wait_said()
