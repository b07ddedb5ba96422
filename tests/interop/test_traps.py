"""Where a relay answers `ok` and does not mask: each way is masked here, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.direct import AGENT, CUSTOMER, DirectCall
from tests.interop.hearing import assert_nobody_reads
from tests.interop.node import Node
from tests.interop.ports import PortBlock
from voicemask.synthetic import make_call

CARD = "4111111111111111"
MODES = ["silence", "tone", "random", "zero", "DTMF", "off"]


@pytest.fixture
def call(node: Node, ports: PortBlock) -> Iterator[DirectCall]:
    call = DirectCall(node, ports)
    yield call
    call.close()


@pytest.mark.parametrize("delay", [None, 1, 20], ids=["no-delay", "1-ms", "20-ms"])
@pytest.mark.parametrize("mode", ["silence", "tone", "random", "zero"])
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


@pytest.mark.parametrize("command", ["block media", "silence media"])
@pytest.mark.parametrize("how", ["events", "both"])
def test_blocking_media_blocks_events_too(call: DirectCall, command: str, how: str) -> None:
    call.done(command)
    assert_masked(call, CARD[:6], how=how)


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
    made = make_call(keys, lead_ms=100, tail_ms=100, **settings)
    if how == "events":
        call.customer.send_events(keys)
    elif how == "tones":
        call.customer.say(made.audio[0])
    else:
        starts = [tone.start for tone in made.truth]
        call.customer.say_with_events(made.audio[0], keys, starts, 80)
    call.customer.wait_said()
    call.customer.wait_heard(2)
    if call.agent.heard:
        assert_nobody_reads(call.agent.heard)
