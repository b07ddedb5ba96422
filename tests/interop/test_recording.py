"""Recordings that the proxy asks for hold the call, and none of the keys."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from tests.interop.hearing import assert_no_tone
from tests.interop.node import Node, Recorded
from tests.interop.phone import Call, Exchange
from voicemask.recording.metadata import State

CARD = "5555555555554444"


@pytest.mark.parametrize("how", ["tones", "events", "both"])
def test_recording_from_the_offer_on_holds_no_key_outside_capture(
    exchange: Exchange, node: Node, speech: Any, how: str
) -> None:
    call = exchange.connect("X-Offer: record-call=on")
    call.agent.line.say(speech[:16000])
    call.customer.press(CARD, how)
    recorded = hang_up_and_open(call, node)
    assert_no_tones_in(recorded)
    assert loudness(recorded) == pytest.approx(loudness_of(speech), abs=6)


def test_recording_started_in_mid_call_holds_no_key_of_a_capture(
    exchange: Exchange, node: Node, speech: Any
) -> None:
    call = exchange.connect()
    call.customer.mask("record")
    call.customer.line.say(speech[:8000])
    call.customer.line.wait_said()
    call.customer.mask("capture")
    call.customer.press(CARD, over=speech)
    call.customer.mask("release")
    call.customer.press("0289#*")
    recorded = hang_up_and_open(call, node)
    assert_no_tones_in(recorded)
    assert recorded.entry.state is State.COMPLETE


def test_recording_stopped_by_the_proxy_ends_there(
    exchange: Exchange, node: Node, speech: Any
) -> None:
    call = exchange.connect("X-Offer: record-call=on")
    call.customer.line.say(speech[:8000])
    call.customer.line.wait_said()
    with closing(node.events()) as events:
        call.customer.mask("stop-recording")
        events.wait_for("recording_ended", call.call_id)
    call.customer.line.say(speech[:16000])
    call.customer.line.wait_said()
    recorded = node.recording_of(call.call_id)
    assert recorded.audio.shape[1] < 2.0 * recorded.rate_hz
    call.hang_up()


def test_pause_outlives_a_new_offer(exchange: Exchange, node: Node, speech: Any) -> None:
    call = exchange.connect("X-Offer: record-call=on")
    customer, agent = call.customer, call.agent
    assert node.ng.ask("pause recording", call_id=call.call_id)["result"] == "ok"
    call.renegotiate(customer, agent, customer.description(), agent.description())
    customer.line.say(speech[:16000])
    customer.line.wait_said()
    recorded = hang_up_and_open(call, node)
    assert float(np.abs(recorded.audio).max()) < 0.01
    assert recorded.audio.shape[1] > 1.8 * recorded.rate_hz


def hang_up_and_open(call: Call, node: Node) -> Recorded:
    with closing(node.events()) as events:
        call.hang_up()
        events.wait_for("recording_ended", call.call_id)
    return node.recording_of(call.call_id)


def assert_no_tones_in(recorded: Recorded) -> None:
    for channel in recorded.audio:
        assert_no_tone(channel, recorded.rate_hz)


def loudness(recorded: Recorded) -> float:
    """Level of the agent's loudest second, dB of full scale."""
    return loudness_of(recorded.audio[1], recorded.rate_hz)


def loudness_of(audio: Any, rate_hz: int = 8000) -> float:
    seconds = audio[: len(audio) // rate_hz * rate_hz].reshape(-1, rate_hz)
    return float(20 * np.log10(np.sqrt((seconds**2).mean(axis=1)).max() + 1e-9))
