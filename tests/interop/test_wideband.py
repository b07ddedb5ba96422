"""Calls in G.722 and Opus: carried to the byte, and masked by packets a decoder can follow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import resample_poly

from tests.interop.coder import Coder
from tests.interop.direct import CUSTOMER, DirectCall
from tests.interop.hearing import (
    Samples,
    assert_heard_to_the_byte,
    assert_no_tone,
    decoded,
    level_db,
)
from tests.interop.line import Line, keyed
from tests.interop.node import Events, Node
from tests.interop.ports import PortBlock

CARD = "378282246310005"
AFTER = "0289#*"
CODECS = ("G722", "opus")
WORDS = "Yes, seventy-six dollars; shall I press the six digits first?"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """A sentence at 48 kHz, with all that the synthesizer says up to 11 kHz."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    subprocess.run(["espeak-ng", "-w", str(path), WORDS], check=True)
    audio, rate_hz = sf.read(path, dtype="float32")
    return np.asarray(resample_poly(audio, 48000, rate_hz) * 0.2, np.float32)


@pytest.fixture
def control(node: Node) -> Iterator[Events]:
    with closing(node.events()) as control:
        yield control


@pytest.fixture(params=CODECS)
def call(request: pytest.FixtureRequest, node: Node, ports: PortBlock) -> Iterator[DirectCall]:
    with closing(DirectCall(node, ports, codecs=(request.param,))) as call:
        yield call


def test_wideband_call_in_guard_and_in_open_carries_every_byte(
    call: DirectCall, control: Events, speech: Samples
) -> None:
    call.agent.say(spoken(call, speech[:48000]))
    press(call, AFTER)
    control.ask("policy", call=call.call_id, policy="open")
    press(call, AFTER)
    call.catch_up()
    assert_heard_to_the_byte(call.customer, call.agent)
    assert_heard_to_the_byte(call.agent, call.customer)


@pytest.mark.parametrize(("method", "loss_db"), [("suppress", 3), ("fill", 1)])
def test_capture_hides_keys_and_keeps_the_speech_beside_them(
    call: DirectCall, control: Events, speech: Samples, method: str, loss_db: float
) -> None:
    start_capture(call, control, method)
    before = spoken(call, speech[:60000])
    call.agent.say(before)
    call.customer.say(before)
    press(call, CARD, over=spoken(call, speech))
    n_pressed = len(call.agent.heard)
    call.customer.say(before)
    call.customer.wait_said()
    call.catch_up()
    assert_heard_to_the_byte(call.agent, call.customer)
    assert_unbroken(call.agent)
    heard, rate_hz = decoded(call.agent.heard, call.codecs[0])
    assert_no_tone(heard, rate_hz)
    said_db = level_db(before)
    after, _ = decoded(call.agent.heard[n_pressed + 5 :], call.codecs[0])
    for part in (heard, after):
        assert said_db - loss_db < level_db(part[: len(before)]) < said_db + 1


def test_mute_lets_nothing_of_a_wideband_party_through(
    call: DirectCall, control: Events, speech: Samples
) -> None:
    control.ask("policy", call=call.call_id, policy="mute", tag=CUSTOMER)
    for line in (call.agent, call.customer):
        line.heard.clear()
    call.agent.say(spoken(call, speech[:48000]))
    press(call, CARD[:8], over=spoken(call, speech))
    call.catch_up()
    assert_heard_to_the_byte(call.agent, call.customer)
    heard, rate_hz = decoded(call.agent.heard, call.codecs[0])
    assert_no_tone(heard, rate_hz)
    assert not set(call.agent.heard) & set(call.customer.sent)
    # the first packets are heard by a decoder that has not forgotten what came before
    assert level_db(heard[rate_hz // 10 :]) < -45


def test_wideband_party_is_heard_to_the_byte_once_capture_is_over(
    call: DirectCall, control: Events
) -> None:
    start_capture(call, control, "suppress")
    press(call, CARD[:4])
    control.ask("policy", call=call.call_id, policy="default")
    call.catch_up()
    call.agent.heard.clear()
    press(call, AFTER)
    call.catch_up()
    assert_heard_to_the_byte(call.customer, call.agent)


def test_change_between_narrow_and_wide_in_capture_stays_masked(
    node: Node, ports: PortBlock, control: Events
) -> None:
    with closing(DirectCall(node, ports)) as call:
        start_capture(call, control, "suppress")
        press(call, CARD[:5])
        call.switch("G722", "PCMU", "telephone-event")
        press(call, CARD[5:10])
        call.switch("PCMU", "telephone-event")
        press(call, CARD[10:])
        call.catch_up()
        assert_unbroken(call.agent)
        for codec in ("PCMU", "G722"):
            heard, rate_hz = decoded(call.agent.heard, codec)
            assert len(heard) > rate_hz // 2
            assert_no_tone(heard, rate_hz)
        assert not set(call.agent.heard) & set(call.customer.sent)


def test_codec_nobody_can_decode_is_filled_in_capture_and_told(
    node: Node, ports: PortBlock, control: Events
) -> None:
    with closing(DirectCall(node, ports, codecs=("G729", "PCMU", "telephone-event"))) as call:
        assert call.done("query")["degraded"] == 0
        start_capture(call, control, "suppress")
        control.wait_for("degraded", call.call_id)
        call.agent.wait_heard(50)
        assert call.done("query")["degraded"] == 1
        assert {packet[1] & 0x7F for packet in call.agent.heard} == {0}
        heard, _ = decoded(call.agent.heard, "PCMU")
        assert level_db(heard) < -45
        payloads = {packet[12:] for packet in call.customer.sent}
        assert not [packet for packet in call.agent.heard if packet[12:] in payloads]


def test_recording_of_a_wideband_call_is_wide_and_holds_no_key(
    node: Node, ports: PortBlock, control: Events, speech: Samples
) -> None:
    with closing(DirectCall(node, ports, codecs=("G722",))) as call:
        call.done("start recording")
        before = spoken(call, speech[:60000])
        call.customer.say(before)
        press(call, CARD[:8])
        start_capture(call, control, "suppress")
        press(call, CARD[8:])
        call.done("delete", from_tag=CUSTOMER)
        control.wait_for("recording_ended", call.call_id)
    recorded = node.recording_of(call.call_id)
    assert recorded.rate_hz == 16000
    for channel in recorded.audio:
        assert_no_tone(channel, recorded.rate_hz)
    loudest = max(level_db(s) for s in np.array_split(recorded.audio.sum(axis=0), 4))
    assert loudest == pytest.approx(level_db(before), abs=6)


def spoken(call: DirectCall, speech: Samples) -> Samples:
    """Speech at the rate of the call's codec."""
    rate_hz = Coder(call.codecs[0]).rate_hz
    return np.asarray(resample_poly(speech, rate_hz, 48000), np.float32)


def press(call: DirectCall, keys: str, *, over: Samples | None = None) -> None:
    """Press keys as tones, from the customer."""
    tones = keyed(keys, rate_hz=Coder(call.codecs[0]).rate_hz, over_speech=over)
    call.customer.say(tones.audio[0])
    call.customer.wait_said()


def start_capture(call: DirectCall, control: Events, method: str) -> None:
    """Capture from the customer; what was heard before is forgotten."""
    asked = {"tag": CUSTOMER, "policy": "capture", "method": method}
    control.ask("policy", call=call.call_id, **asked)
    for line in (call.agent, call.customer):
        line.heard.clear()


def assert_unbroken(line: Line) -> None:
    """No packet is missing."""
    numbers = [int.from_bytes(packet[2:4], "big") for packet in line.heard]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
