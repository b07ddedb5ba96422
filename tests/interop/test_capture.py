"""Capture begins in mid-call, by what the proxy is told: from then on no key is heard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.interop.direct import DirectCall
from tests.interop.hearing import (
    assert_all_read,
    assert_heard_to_the_byte,
    assert_nobody_reads,
    audio_of,
    event_keys,
)
from tests.interop.line import keyed
from tests.interop.node import Node
from tests.interop.phone import Exchange
from tests.interop.ports import PortBlock

CARD = "4111111111111111"
AFTER = "0289#*"


@pytest.mark.parametrize("how", ["tones", "events", "both"])
def test_block_dtmf_by_the_proxy_hides_keys_from_then_on(exchange: Exchange, how: str) -> None:
    call = exchange.connect()
    call.customer.mask("capture")
    call.agent.line.heard.clear()
    call.customer.press(CARD, how)
    call.catch_up()
    masked = list(call.agent.line.heard)
    assert_nobody_reads(masked)
    call.customer.mask("release")
    call.agent.line.heard.clear()
    call.customer.press(AFTER, how)
    call.catch_up()
    if how != "events":
        assert_all_read(call.agent.line.heard, AFTER)
    if how != "tones":
        assert event_keys(call.agent.line.heard) == AFTER


def test_keys_before_capture_are_heard_and_those_after_it_began_are_not(
    exchange: Exchange, speech: Any
) -> None:
    call = exchange.connect()
    call.customer.press(AFTER)
    call.catch_up()
    assert_all_read(call.agent.line.heard, AFTER)
    call.customer.mask("capture")
    call.agent.line.heard.clear()
    call.customer.press(CARD, over=speech)
    call.catch_up()
    assert_nobody_reads(call.agent.line.heard)
    assert loudness(call.agent.line.heard) > 0.3 * float(np.std(speech))


@pytest.mark.parametrize("what", ["block-media", "silence-media"])
@pytest.mark.parametrize("how", ["both", "events"])
def test_block_or_silence_media_lets_nothing_of_the_customer_through(
    exchange: Exchange, speech: Any, what: str, how: str
) -> None:
    call = exchange.connect()
    call.customer.mask(what)
    call.agent.line.heard.clear()
    call.customer.line.say(speech[:4000])
    call.customer.press(CARD[:8], how)
    call.customer.mask(f"un{what}")
    masked = list(call.agent.line.heard)
    assert_nobody_reads(masked)
    assert loudness(masked) < 0.05 * float(np.std(speech))
    call.agent.line.heard.clear()
    call.customer.press(AFTER, how)
    call.catch_up()
    assert event_keys(call.agent.line.heard) == AFTER


def test_agent_is_heard_to_the_byte_while_the_customer_is_masked(
    exchange: Exchange, speech: Any
) -> None:
    call = exchange.connect("X-Offer: label=customer", "X-Answer: label=agent")
    call.customer.mask("capture")
    call.agent.line.say(speech[:12000])
    call.customer.press(CARD[:8], "both")
    call.catch_up()
    assert_heard_to_the_byte(call.agent.line, call.customer.line)
    assert_nobody_reads(call.agent.line.heard)


def test_capture_by_fill_keeps_the_bytes_of_all_but_the_keys(
    second_node: Node, ports: PortBlock, speech: Any
) -> None:
    call = DirectCall(second_node, ports)
    call.done("block DTMF")
    call.agent.wait_heard(20)
    for line in (call.agent, call.customer):
        line.heard.clear()
    call.agent.say(speech[:16000])
    call.customer.say(np.concatenate([speech[:16000], keyed(CARD[:6]).audio[0]]))
    call.customer.wait_said()
    call.catch_up()
    assert_nobody_reads(call.agent.heard)
    sent = set(call.customer.sent)
    n_kept = sum(packet in sent for packet in call.agent.heard)
    assert n_kept >= 80
    assert_heard_to_the_byte(call.agent, call.customer)
    call.close()


def test_capture_keeps_order_time_and_source_of_the_stream(exchange: Exchange) -> None:
    call = exchange.connect()
    call.customer.mask("capture")
    call.agent.line.heard.clear()
    call.customer.press(CARD[:8])
    call.catch_up()
    headers = {packet[2:12] for packet in call.customer.line.sent}
    heard = [packet[2:12] for packet in call.agent.line.heard]
    assert set(heard) <= headers
    assert heard == sorted(heard)
    assert len(audio_of(call.agent.line.heard)) == 160 * len(heard)


def test_mask_that_cannot_be_refuses_so_that_the_proxy_knows(exchange: Exchange) -> None:
    call = exchange.connect()
    call.customer.mask("capture", "DTMF-security=no-such-mode", is_done=False)


def loudness(packets: list[bytes]) -> float:
    """RMS of what was heard, full scale 1.0; 0 for nothing."""
    audio = audio_of(packets)
    return float(np.std(audio)) if len(audio) else 0.0
