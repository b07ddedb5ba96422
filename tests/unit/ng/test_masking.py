"""Masking by NG: what rtpengine answers with `ok` and does not do, is done here or is an error."""

from __future__ import annotations

import pytest

from tests.unit.ng.fakes import FakeMedia, Proxy
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.ng.plan import PolicyChange, Trigger

CAPTURE = PolicyChange(Policy.CAPTURE)
DEFAULT = PolicyChange(None)


def mute(tag: str = "") -> PolicyChange:
    return PolicyChange(Policy.MUTE, tag, fill=Fill.SILENCE)


def keys(text: str) -> tuple[Digit, ...]:
    return tuple(Digit.of(key) for key in text)


@pytest.fixture
def call(proxy: Proxy) -> Proxy:
    proxy.talk()
    return proxy


def test_block_dtmf_without_delay_buffer_masks(call: Proxy, media: FakeMedia) -> None:
    assert call.ask("block DTMF") == {"result": "ok"}
    assert call.ask("unblock DTMF") == {"result": "ok"}
    assert media.policies == [CAPTURE, DEFAULT]


@pytest.mark.parametrize(
    ("mode", "fill"),
    [
        ("silence", Fill.SILENCE),
        ("drop", Fill.SILENCE),
        ("tone", Fill.TONE),
        ("random", Fill.NOISE),
        ("zero", Fill.NOISE),
        ("DTMF", Fill.NOISE),
    ],
)
def test_every_mode_masks(call: Proxy, media: FakeMedia, mode: str, fill: Fill) -> None:
    wishes = {"DTMF-security": mode, "delay-buffer": "60", "flags": ["detect-DTMF"]}
    assert call.ask("block DTMF", **wishes)["result"] == "ok"
    assert media.policies == [PolicyChange(Policy.CAPTURE, fill=fill, hold_ms=60)]


def test_an_unknown_mode_is_an_error(call: Proxy, media: FakeMedia) -> None:
    assert call.ask("block DTMF", DTMF_security="maybe")["result"] == "error"
    assert not media.policies


def test_mode_off_ends_masking(call: Proxy, media: FakeMedia) -> None:
    call.ask("block DTMF")
    call.ask("block DTMF", DTMF_security="off")
    assert media.policies == [CAPTURE, DEFAULT]


@pytest.mark.parametrize(
    "who", [{}, {"from_tag": "1A"}, {"from_tag": "1A", "to_tag": "1B"}, {"from_tag": "9Z"}]
)
def test_a_proxy_that_names_no_party_means_the_call(
    call: Proxy, media: FakeMedia, who: dict[str, str]
) -> None:
    # some proxies always add their from-tag; only `directional` makes it count
    assert call.ask("block DTMF", **who)["result"] == "ok"
    assert media.policies == [CAPTURE]


@pytest.mark.parametrize(
    "who",
    [{"from_tag": "1B", "flags": ["directional"]}, {"address": "10.0.0.2"}, {"label": "customer"}],
)
def test_a_party_can_be_named(call: Proxy, media: FakeMedia, who: dict[str, object]) -> None:
    call.answer(label="customer")
    call.ask("block DTMF", **who)
    call.ask("unblock DTMF", **who)
    assert media.policies == [PolicyChange(Policy.CAPTURE, "1B"), PolicyChange(None, "1B")]


@pytest.mark.parametrize(
    "who",
    [{"from_tag": "9Z", "flags": ["directional"]}, {"address": "10.9.9.9"}, {"label": "nobody"}],
)
def test_a_party_that_is_not_there_is_an_error(
    call: Proxy, media: FakeMedia, who: dict[str, object]
) -> None:
    assert call.ask("block DTMF", **who)["result"] == "error"
    assert not media.policies


def test_a_party_that_has_not_answered_cannot_be_named(proxy: Proxy, media: FakeMedia) -> None:
    proxy.offer(to_label="customer")
    assert proxy.ask("block DTMF", label="customer")["result"] == "error"
    assert not media.policies


@pytest.mark.parametrize("what", ["block media", "silence media"])
def test_blocked_media_are_muted_events_and_all(call: Proxy, media: FakeMedia, what: str) -> None:
    call.ask(what)
    call.ask(f"un{what}")
    assert media.policies == [mute(), DEFAULT]


def test_unblocking_media_does_not_unmask_keys(call: Proxy, media: FakeMedia) -> None:
    call.ask("block DTMF")
    call.ask("block media")
    call.ask("silence media")
    call.ask("unblock media")
    call.ask("unsilence media")
    assert media.policies == [CAPTURE, mute(), mute(), mute(), CAPTURE]


def test_unblocking_the_call_does_not_unmask_a_party(call: Proxy, media: FakeMedia) -> None:
    call.ask("block DTMF", from_tag="1A", flags=["directional"])
    call.ask("block DTMF")
    call.ask("unblock DTMF")
    assert media.policies[-2:] == [DEFAULT, PolicyChange(Policy.CAPTURE, "1A")]
    call.ask("unblock DTMF", flags=["all"])
    assert media.policies[-1] == DEFAULT


def test_a_partys_wish_takes_nothing_from_the_calls(call: Proxy, media: FakeMedia) -> None:
    call.ask("block media")
    call.ask("block DTMF", from_tag="1A", flags=["directional"])
    assert media.policies == [mute(), mute("1A")]


def test_unblock_ends_what_a_trigger_began(call: Proxy, media: FakeMedia) -> None:
    call.ask("unblock DTMF")
    call.ask("unblock DTMF", from_tag="1A", flags=["directional"])
    assert media.policies == [DEFAULT, PolicyChange(None, "1A")]


def test_masking_survives_a_reinvite(call: Proxy, media: FakeMedia) -> None:
    call.ask("block DTMF")
    call.offer(to_tag="1B")
    call.answer()
    call.offer(from_tag="1B", to_tag="1A")
    call.answer(from_tag="1B", to_tag="1A")
    assert media.policies == [CAPTURE], "nothing takes it back"


def test_a_partys_masking_follows_it_to_another_tag(call: Proxy, media: FakeMedia) -> None:
    call.ask("block DTMF", from_tag="1B", flags=["directional"])
    call.answer(to_tag="2B")  # another phone behind the same port
    assert media.policies[-1] == PolicyChange(Policy.CAPTURE, "2B")


def test_ok_is_not_said_where_it_cannot_be_done(call: Proxy, media: FakeMedia) -> None:
    media.failing = {"set_policy"}
    reason = "set_policy: cannot be done"
    assert call.ask("block DTMF") == {"result": "error", "error-reason": reason}
    media.failing = set()
    call.ask("block media")
    call.ask("unblock media")
    assert media.policies[-1] == DEFAULT, "a wish that failed is not kept"


def test_an_offer_can_block_at_once(proxy: Proxy, media: FakeMedia) -> None:
    proxy.offer(flags=["block DTMF"], DTMF_security="tone")
    assert media.policies == [PolicyChange(Policy.CAPTURE, "1A", fill=Fill.TONE)]


def test_triggers_are_keys_that_print_nowhere(call: Proxy, media: FakeMedia) -> None:
    wishes = {"trigger": "*11", "trigger-end": "#", "trigger-end-digits": 4}
    reply = call.ask("block DTMF", **wishes)
    assert media.triggers == [Trigger(keys("*11"), keys("#"))]
    assert not media.policies, "masking begins with the trigger"
    assert "trigger-end-digits" in reply["warning"]
    assert "*11" not in repr(media.triggers)


def test_an_offers_trigger_is_its_partys_and_set_once(proxy: Proxy, media: FakeMedia) -> None:
    wishes = {"trigger": "*1", "end trigger": "*2", "DTMF-security-trigger": "silence"}
    proxy.offer(**wishes)
    proxy.answer()
    proxy.offer(to_tag="1B", **wishes)
    assert media.triggers == [Trigger(keys("*1"), keys("*2"), "1A")]


def test_a_trigger_end_that_goes_on_masking_never_ends(call: Proxy, media: FakeMedia) -> None:
    wishes = {"trigger": "*1", "trigger-end": "*2", "DTMF-security-trigger-end": "silence"}
    call.ask("block DTMF", **wishes)
    assert media.triggers == [Trigger(keys("*1"), ())]


def test_a_trigger_that_is_no_key_is_an_error_that_does_not_tell_it(call: Proxy) -> None:
    reason = call.ask("block DTMF", trigger="4111x")["error-reason"]
    assert reason == "trigger: holds what is not a key"


@pytest.mark.parametrize("hold", ["-1", 1001, "60ms"])
def test_a_delay_buffer_that_is_no_time_is_an_error(call: Proxy, hold: object) -> None:
    assert call.ask("block DTMF", delay_buffer=hold)["result"] == "error"


@pytest.mark.parametrize(
    "command",
    ["play DTMF", "play media", "stop media", "start forwarding", "stop forwarding", "publish"],
)
def test_what_is_not_done_is_refused_with_the_reason(call: Proxy, command: str) -> None:
    reply = call.ask(command, code="4")
    assert reply["result"] == "error"
    assert "is not supported; " in reply["error-reason"]


def test_an_unknown_command_is_an_error(call: Proxy) -> None:
    reply = {"result": "error", "error-reason": "Unrecognized command"}
    assert call.ask("dance") == call.ask("") == reply


@pytest.mark.parametrize("command", ["block DTMF", "unblock media", "silence media"])
def test_an_unknown_call_is_an_error(proxy: Proxy, command: str) -> None:
    assert proxy.ask(command) == {"result": "error", "error-reason": "Unknown call-id"}
