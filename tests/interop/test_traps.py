"""Where a relay answers `ok` and does not mask: each way is masked here, or refused."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.interop.direct import AGENT, CUSTOMER, DirectCall
from tests.interop.hearing import assert_nobody_reads, event_keys
from tests.interop.line import keyed
from tests.interop.node import Node
from tests.interop.ports import PortBlock
from voicemask.audio.g711 import Law, encode
from voicemask.synthetic import make_call

CARD = "4111111111111111"


@pytest.fixture
def call(node: Node, ports: PortBlock) -> Iterator[DirectCall]:
    call = DirectCall(node, ports)
    yield call
    call.close()


@pytest.mark.parametrize(
    ("mode", "delay"),
    [("silence", None), ("tone", None), ("random", None), ("zero", None), ("silence", 1)],
)
def test_mode_without_enough_delay_masks_all_the_same(
    call: DirectCall, mode: str, delay: int | None
) -> None:
    extra = {} if delay is None else {"delay-buffer": delay}
    call.done("block DTMF", **{"DTMF-security": mode}, **extra)
    assert_masked(call, CARD[:6])


@pytest.mark.parametrize("mode", ["DTMF", "no-such-mode"])
def test_mode_that_would_tell_keys_is_refused_or_masks(call: DirectCall, mode: str) -> None:
    reply = call.ask("block DTMF", **{"DTMF-security": mode})
    if reply["result"] == "ok":
        assert_masked(call, CARD[:6])
    else:
        assert reply["error-reason"]


def test_tones_are_masked_though_events_were_negotiated(call: DirectCall) -> None:
    assert "telephone-event" in call.to_agent.text
    call.done("block DTMF")
    assert_masked(call, CARD, how="tones")


def test_events_do_not_become_tones(call: DirectCall) -> None:
    call.done("block DTMF", **{"DTMF-security": "silence"})
    assert_masked(call, CARD, how="events")


@pytest.mark.parametrize("command", ["block DTMF", "block media", "silence media"])
def test_masking_one_party_leaves_the_other_alone(call: DirectCall, command: str) -> None:
    call.done(command, from_tag=CUSTOMER, flags=["directional"])
    call.customer.heard.clear()
    assert_masked(call, CARD[:6])
    assert set(call.customer.heard) <= set(call.agent.sent)


def test_policy_outlives_offers(call: DirectCall) -> None:
    call.done("block DTMF")
    call.negotiate(version=2)
    call.negotiate(version=3)
    assert_masked(call, CARD[:6])


def test_codec_that_cannot_be_examined_does_not_pass_in_capture(
    node: Node, ports: PortBlock
) -> None:
    call = DirectCall(node, ports, codecs=("PCMU", "G729", "telephone-event"))
    call.done("block DTMF")
    secret = bytes(range(100, 120))
    for _ in range(5):
        call.customer.send_raw(18, secret)
    call.catch_up()
    assert not [packet for packet in call.agent.heard if secret in packet]
    call.done("unblock DTMF")
    call.customer.send_raw(18, secret)
    call.catch_up()
    assert [packet for packet in call.agent.heard if secret in packet]
    call.close()


@pytest.mark.parametrize("payload_type", [8, 96, 102])
def test_payload_type_nobody_negotiated_is_no_way_round(
    call: DirectCall, payload_type: int
) -> None:
    call.done("block DTMF")
    pcm = np.round(make_call("5", tone_ms=400, lead_ms=0).audio[0][:3200] * 32768)
    tone = encode(pcm.astype(np.int16), Law.A).tobytes()
    call.agent.heard.clear()
    for start in range(0, len(tone), 160):
        call.customer.send_raw(payload_type, tone[start : start + 160])
    call.catch_up()
    heard = b"".join(packet[12:] for packet in call.agent.heard)
    assert not [start for start in range(0, 3200, 160) if tone[start : start + 160] in heard]


def test_second_ssrc_is_masked_as_the_first(call: DirectCall) -> None:
    call.done("block DTMF")
    call.customer.ssrc += 0x1000
    assert_masked(call, CARD[:6])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("copies_ssrc", [True, False], ids=["same-ssrc", "other-ssrc"])
def test_stranger_can_neither_speak_nor_take_the_call_over(
    call: DirectCall, host: str, copies_ssrc: bool
) -> None:
    ssrc = call.customer.ssrc if copies_ssrc else 0x0BAD0BAD
    for line in (call.agent, call.customer):
        line.heard.clear()
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.bind((host, 0))
        stranger.setblocking(False)
        for number in range(50):
            head = struct.pack("!BBHII", 0x80, 0, 3000 + number, number * 160, ssrc)
            stranger.sendto(head + bytes(160), (call.to_customer.address, call.to_customer.port))
        call.customer.wait_heard(10)
        call.agent.wait_heard(10)
        with pytest.raises(BlockingIOError):
            stranger.recv(2048)
    assert set(call.agent.heard) <= set(call.customer.sent)


def test_keys_of_a_trigger_start_and_end_masking(node: Node, ports: PortBlock) -> None:
    triggers = {"DTMF-security-trigger": "silence", "trigger": "*7", "trigger-end": "#9"}
    call = DirectCall(node, ports, offer=triggers)
    call.customer.send_events("*7")
    call.customer.wait_said()
    call.agent.wait_heard(10)
    assert_masked(call, CARD[:6], how="events")
    call.customer.send_events("#9")
    call.customer.wait_said()
    call.agent.wait_heard(10)
    call.agent.heard.clear()
    call.customer.send_events("028")
    call.customer.wait_said()
    call.catch_up()
    assert event_keys(call.agent.heard) == "028"
    call.close()


@pytest.mark.parametrize("command", ["block DTMF", "block media", "start recording", "query"])
def test_unknown_call_is_an_error(node: Node, command: str) -> None:
    reply = node.ng.ask(command, call_id="no-such-call")
    assert reply == {"result": "error", "error-reason": "Unknown call-id"}


def test_unknown_party_is_an_error(call: DirectCall) -> None:
    reply = call.ask("block DTMF", from_tag="no-such-tag", flags=["directional"])
    assert reply["result"] == "error"
    assert reply["error-reason"]


def test_playing_digits_into_a_call_is_refused(call: DirectCall) -> None:
    reply = call.ask("play DTMF", code="5", from_tag=AGENT)
    assert reply["result"] == "error"
    assert "5" not in reply["error-reason"]


def assert_masked(call: DirectCall, keys: str, how: str = "both", **settings: Any) -> None:
    """What the customer presses now is not heard by the agent."""
    call.agent.heard.clear()
    made = keyed(keys, **settings)
    if how == "events":
        call.customer.send_events(keys)
    elif how == "tones":
        call.customer.say(made.audio[0])
    else:
        call.customer.say_with_events(made)
    call.customer.wait_said()
    call.customer.wait_heard(2)
    if call.agent.heard:
        assert_nobody_reads(call.agent.heard)
