"""What the recorder is told of a call, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.media.parties import CALL, EventKind, FakeLink, Phone, Two
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.errors import NgError
from voicemask.media.settings import Customer
from voicemask.ng.plan import Fork, ForkKind, LocalPort, MediumPlan, RecordingAction, Role
from voicemask.recording.link import ForkPacket, RecorderEvent, RecordingState

START, PAUSE, STOP = RecordingAction.START, RecordingAction.PAUSE, RecordingAction.STOP


@pytest.fixture
def link() -> Iterator[FakeLink]:
    link = FakeLink()
    yield link
    link.close()


@pytest.fixture
def two(link: FakeLink) -> Iterator[Two]:
    rig = Two(Customer.CALLER, recorder=link)
    yield rig
    rig.close()


def record(two: Two, action: RecordingAction, **metadata: str) -> None:
    two.node.record(CALL, action, metadata)


def end_event(key: int, state: RecordingState, reason: str = "") -> Any:
    return RecorderEvent(key, state, reason)


def test_a_recording_gets_both_parties_as_they_came(two: Two, link: FakeLink) -> None:
    assert not two.node.state(CALL).is_recording
    two.take(two.a, two.at_a)
    record(two, START, reason="asked")
    said_a, said_b = two.take(two.a, two.at_a, 3), two.take(two.b, two.at_b, 2)
    assert [(k, c, d[12:]) for k, c, d in link.packets] == [
        *((1, 0, payload) for payload in said_a),
        *((1, 1, payload) for payload in said_b),
    ]
    ((_, key, start),) = [item for item in link.told if item[0] == "start"]
    assert key == 1
    assert start.call_id == CALL
    assert start.policies == {0: Policy.GUARD, 1: Policy.GUARD}
    assert [leg.masked for leg in start.legs] == [True, False]
    assert start.recording_id is not None
    assert not start.returns_packets
    assert two.node.state(CALL).is_recording
    assert two.node.statistics()["recordings"] == 1
    record(two, START)  # again: nothing
    assert link.kinds() == ["start"]


def test_the_recorder_hears_of_policies_in_the_order_of_the_packets(
    two: Two, link: FakeLink
) -> None:
    record(two, START)
    two.take(two.a, two.at_a)
    two.set(Policy.CAPTURE)
    assert link.told[-1] == ("policy", 1, 0, Policy.CAPTURE)
    two.set(Policy.MUTE, "b")
    # b is named: from now on its direction is masked in recordings too
    assert [item[:3] for item in link.told[-2:]] == [("plan", 1, 1), ("policy", 1, 1)]
    two.set(Policy.MUTE, "b")
    n_told = len([item for item in link.told if item[0] != "tick"])
    two.apply()
    assert len([item for item in link.told if item[0] != "tick"]) == n_told
    (said,) = two.take(two.a, two.at_a)
    assert link.packets[-1][2][12:] == said  # it masks by itself, from what came


def test_a_new_plan_and_new_roles_are_told(two: Two, link: FakeLink) -> None:
    record(two, START)
    two.apply(payload_types=two.a.remote().payload_types[:1])
    assert [item[:3] for item in link.told if item[0] == "plan"] == [("plan", 1, 0), ("plan", 1, 1)]
    two.node.set_role(CALL, "b", Role.CUSTOMER)
    (said,) = two.take(two.b, two.at_b)
    assert link.packets[-1][:2] == (1, 0)  # the customer is on the left from now on
    assert link.packets[-1][2][12:] == said


def test_pause_and_start_again(two: Two, link: FakeLink) -> None:
    with pytest.raises(NgError, match="start it first"):
        record(two, PAUSE)
    record(two, START)
    record(two, PAUSE, reason="payment")
    record(two, PAUSE)
    assert not two.node.state(CALL).is_recording
    record(two, START)
    assert two.node.state(CALL).is_recording
    assert link.kinds() == ["start", "pause", "resume"]
    record(two, STOP, reason="asked")
    record(two, STOP)
    assert link.told[-1] == ("stop", 1, "asked")
    n = len(link.packets)
    two.take(two.a, two.at_a)
    assert len(link.packets) == n
    record(two, START)
    assert link.kinds()[-1] == "start"


def test_what_becomes_of_a_recording_is_told(two: Two, link: FakeLink) -> None:
    record(two, START)
    link.give(end_event(1, RecordingState.FAILED, "the disk is full"))
    two.until(lambda: EventKind.RECORDING_FAILED in two.kinds())
    assert two.node.statistics()["recordings_failed"] == 1
    two.node.end(CALL)
    assert link.told[-1] == ("stop", 1, "hangup")
    link.give(end_event(1, RecordingState.ENDED), end_event(77, RecordingState.ENDED))
    two.until(lambda: EventKind.RECORDING_ENDED in two.kinds())
    assert two.kinds().count(EventKind.RECORDING_ENDED) == 1
    two.serve(0.05)
    n_told = len(link.told)
    two.serve(0.25)
    assert len(link.told) == n_told  # nobody is recorded: no ticks


def test_a_key_by_info_is_told_to_each_recording(two: Two, link: FakeLink) -> None:
    record(two, START)
    two.node.info(CALL, "a", Digit.of("4"), 100)
    assert link.told[-1] == ("info", 1, 0, Digit.of("4"))
    with pytest.raises(NgError, match="Unknown tag"):
        two.node.info(CALL, "nobody", Digit.of("4"))
    assert link.kinds() == ["start", "info"]


def test_without_a_recorder_nothing_is_recorded() -> None:
    two = Two()
    with pytest.raises(NgError, match="--recordings"):
        record(two, START)
    with pytest.raises(NgError, match="--recordings"):
        two.node.set_fork(Fork(CALL, "f", ForkKind.RECORDER, (), ()))
    assert two.node._call(CALL).forks == {}
    two.node.info(CALL, "a", Digit.of("4"))
    two.close()


def test_another_recorder_goes_on(two: Two, link: FakeLink) -> None:
    record(two, START, reason="asked")
    record(two, PAUSE)
    link.is_closed, link.n_lost = True, 3
    link.give()
    two.serve(0.05)  # it is no longer listened to
    other = FakeLink()
    two.node.set_recorder(other)  # type: ignore[arg-type]
    assert other.kinds() == ["start", "pause"]
    start = other.told[0][2]
    assert start.extra == {"reason": "asked", "continues": "after the recorder ended"}
    two.take(two.a, two.at_a)
    assert [item[0] for item in other.packets] == [other.told[0][1]]
    assert link.packets == []
    assert two.node.statistics()["link_drops"] == {"recorder": 3}
    two.node.end(CALL)
    other.close()


class _Forked:
    """A subscriber to what both say."""

    def __init__(self, two: Two, kind: ForkKind) -> None:
        self.two = two
        self.phones: tuple[Phone, Phone] = (two.phone(), two.phone())
        self.ports: tuple[LocalPort, LocalPort] = (two.node.reserve(4), two.node.reserve(4))
        self.kind = kind

    def tell(self, *, answered: bool) -> None:
        media = tuple(
            MediumPlan(port, phone.remote(direction="recvonly") if answered else None)
            for port, phone in zip(self.ports, self.phones, strict=True)
        )
        sources = (self.two.at_a, self.two.at_b)
        self.two.node.set_fork(Fork(CALL, "fork", self.kind, sources, media))


def test_a_recorder_fork_gets_what_the_recorder_gives_back_and_nothing_else(
    two: Two, link: FakeLink
) -> None:
    fork = _Forked(two, ForkKind.RECORDER)
    fork.tell(answered=False)
    ((_, key, start),) = [item for item in link.told if item[0] == "start"]
    assert start.returns_packets
    assert start.recording_id is None
    assert not two.node.state(CALL).is_recording
    fork.tell(answered=True)
    two.take(two.a, two.at_a, 2)
    two.take(two.b, two.at_b, 2)
    assert len(link.packets) == 4
    packets = ((key, 0, b"masked 0"), (key, 1, b"masked 1"), (key + 1, 0, b"of another call"))
    link.give(*(ForkPacket(k, channel, bytes(12) + data) for k, channel, data in packets))
    two.until(lambda: all(phone.listen() for phone in fork.phones))
    two.serve(0.02)
    assert [phone.listen() for phone in fork.phones] == [[b"masked 0"], [b"masked 1"]]
    two.node.end_fork(CALL, "fork")
    assert link.kinds()[-1] == "stop"
    link.give(ForkPacket(key, 0, bytes(12) + b"too late"))
    two.take(two.a, two.at_a)
    assert len(link.packets) == 4


def test_recording_and_fork_get_the_same(two: Two, link: FakeLink) -> None:
    record(two, START)
    fork = _Forked(two, ForkKind.RECORDER)
    fork.tell(answered=True)
    two.set(Policy.CAPTURE)
    two.take(two.a, two.at_a)
    assert [item[:2] for item in link.packets] == [(1, 0), (2, 0)]
    assert [item[1:3] for item in link.told if item[0] == "policy"] == [(1, 0), (2, 0)]
    two.node.end(CALL)
    assert [item[1] for item in link.told if item[0] == "stop"] == [1, 2]


def test_a_monitor_hears_what_the_other_hears_whatever_is_offered_again() -> None:
    two = Two(Customer.CALLER)
    fork = _Forked(two, ForkKind.MONITOR)
    fork.tell(answered=False)
    two.take(two.a, two.at_a)
    fork.tell(answered=True)
    monitor = fork.phones[0]
    said = two.take(two.a, two.at_a, 2)
    two.until(lambda: monitor.listen() == said)
    two.apply(payload_types=two.a.remote().payload_types[:1])
    said += two.take(two.a, two.at_a, 2)
    two.until(lambda: monitor.listen() == said)
    two.set(Policy.CAPTURE)
    masked = two.take(two.a, two.at_a, 5)
    said_b = two.take(two.b, two.at_b, 5)
    two.until(lambda: len(monitor.listen()) == 9 and len(two.b.listen()) == 10)
    assert not set(masked) & set(monitor.heard)
    assert monitor.heard[4:] == two.b.heard[5:]
    two.until(lambda: fork.phones[1].listen() == said_b)
    two.node.end_fork(CALL, "fork")
    two.set(None)
    two.take(two.a, two.at_a)
    two.until(lambda: len(two.b.listen()) == 11)
    assert len(monitor.listen()) == 9
    with pytest.raises(NgError, match="Unknown tag"):
        two.node.end_fork(CALL, "fork")
    two.close()
