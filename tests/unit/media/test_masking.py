"""The mask room: what fails or comes too fast is silence; nothing passes as it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.unit.media.parties import CALL, EventKind, FakeVault, Two
from voicemask.capture.policy import Method, Policy
from voicemask.live.batch import make_payloads
from voicemask.live.values import Ready, SteadyReady
from voicemask.media import masking
from voicemask.media.masking import MaskRoom
from voicemask.ng.plan import PolicyChange

SILENCE = b"\xff" * 160


@pytest.fixture
def two() -> Iterator[Two]:
    rig = Two(vault=FakeVault())
    yield rig
    rig.close()


def room(two: Two) -> MaskRoom:
    return two.node._room


def alerts(two: Two) -> list[object]:
    return [e.details["reason"] for e in two.events if e.kind is EventKind.ALERT]


def test_only_the_stream_that_cannot_be_rendered_is_silence(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.set(Policy.CAPTURE)
    broken = two.port(two.at_a).live

    def fail(ready: Sequence[Ready | SteadyReady]) -> list[bytes | None]:
        for item in ready:
            if (item[0] if isinstance(item, tuple) else item.stream) is broken:
                raise ZeroDivisionError("4111111111111111")
        return make_payloads(ready)

    monkeypatch.setattr(masking, "make_payloads", fail)
    said = []
    for _ in range(12):
        said += two.take(two.a, two.at_a) + two.take(two.b, two.at_b)
    two.until(lambda: len(two.b.listen()) == 12 and len(two.a.listen()) == 12)
    assert set(two.b.heard) == {SILENCE}
    assert SILENCE not in two.a.heard
    assert not set(said) & {*two.a.heard, *two.b.heard}
    # one alert a second at most, and it does not tell what the error said
    assert alerts(two) == ["rendering failed: ZeroDivisionError"]
    assert room(two).n_errors == 12
    assert two.node.statistics()["packets_filled"]["overload or error"] == 12


def test_more_than_there_is_time_for_is_silence(two: Two) -> None:
    two.set(Policy.CAPTURE)
    room(two)._cost_s = 1.0  # a renderer so slow that sixteen is the most
    for _ in range(30):
        two.a.say(two.at_a)
    port = two.port(two.at_a)
    for _ in range(30):
        port.on_rtp()
    assert port.n_in == 30
    two.until(lambda: len(two.b.listen()) == 30)
    n_silent = two.b.heard.count(SILENCE)
    assert n_silent >= 30 - 17
    assert room(two).n_silenced == n_silent
    assert not set(two.a.said) & set(two.b.heard)
    assert alerts(two) == ["overload: more packets than there is time for"]


def test_a_key_is_told_once_though_telling_fails(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.set(Policy.CAPTURE)
    told: list[object] = []

    def fail(*told_of: object) -> None:
        told.append(told_of)
        raise RuntimeError

    monkeypatch.setattr(room(two), "_on_press", fail)
    two.a.press(two.at_a, 5)
    two.until(lambda: bool(told))
    two.serve(0.05)
    assert len(told) == 1
    assert [type(error) for error in two.errors] == [RuntimeError]
    assert room(two)._timer is not None  # it ticks on
    two.errors.clear()


def test_what_leaves_the_room_has_been_sent(two: Two) -> None:
    two.set(Policy.CAPTURE)
    two.take(two.a, two.at_a, 3)
    stream = two.port(two.at_a).live
    assert stream is not None
    room(two).leave(stream)
    two.until(lambda: len(two.b.listen()) == 3)
    two.port(two.at_a).live = None
    two.node._heard.pop(stream)


def test_what_is_held_of_a_party_that_is_gone_goes_nowhere(two: Two) -> None:
    two.set(Policy.CAPTURE)
    two.take(two.a, two.at_a, 3)
    n_sent = len(two.b.listen())
    stream = two.port(two.at_a).live
    assert stream is not None
    room(two).forget(stream)
    stream.flush()
    room(two)._send_ready()
    assert len(two.b.listen()) == n_sent
    two.port(two.at_a).live = None


def test_ticks_are_counted_by_their_lateness(two: Two) -> None:
    for late_s in (0.0, 0.0005, 0.0006, 0.3, 7.0):
        room(two)._note_lateness(late_s)
    told = room(two).lateness_histogram()
    counts = told["counts"]
    assert isinstance(counts, dict)
    assert counts == {
        "0.0005": 2, "0.001": 1, "0.002": 0, "0.005": 0, "0.01": 0, "0.02": 0, "0.05": 0,
        "0.1": 0, "0.5": 1, "inf": 1,
    }  # fmt: skip
    assert told["sum"] == pytest.approx(7.3011)


def test_the_room_ticks_only_while_there_is_somebody(two: Two) -> None:
    assert (room(two).n_streams, room(two).n_heard, room(two)._timer) == (0, 0, None)
    two.set(Policy.CAPTURE)
    assert (room(two).n_streams, room(two).n_heard) == (2, 2)
    two.set(Policy.MUTE)
    assert (room(two).n_streams, room(two).n_heard) == (2, 0)
    two.set(None)
    two.serve(0.02)
    assert (room(two).n_streams, room(two)._timer) == (0, None)
    assert 0 <= room(two).hearing_share() < 1


def test_steps_of_the_detector_that_were_missed_are_counted(two: Two) -> None:
    two.set(Policy.CAPTURE)
    room(two)._next_step_s -= 0.15
    two.until(lambda: room(two).n_missed > 0)
    assert room(two).n_missed >= 5
    assert two.node.statistics()["ticks_missed"] == room(two).n_missed


def test_a_listeners_packets_go_nowhere(two: Two) -> None:
    stream = object()
    room(two).nowhere.append((stream, b"", b"", 0))  # type: ignore[arg-type]
    assert room(two).nowhere == []


def test_without_a_vault_nobody_decodes_keys() -> None:
    rig = Two()
    try:
        rig.set(Policy.CAPTURE)
        assert (room(rig).n_streams, room(rig).n_heard) == (2, 0)
        rig.node.set_policy(CALL, PolicyChange(Policy.CAPTURE, method=Method.FILL))
        assert (room(rig).n_streams, room(rig).n_heard) == (2, 2)
    finally:
        rig.close()
