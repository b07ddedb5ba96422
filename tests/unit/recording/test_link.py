"""The link to the recorder: in order, never blocking, and honest about what it dropped."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from uuid import UUID

import pytest

from voicemask.call import LegPlan
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.recording.link import (
    ForkPacket,
    RecorderEvent,
    RecorderLink,
    RecordingState,
    StartRecording,
    parse_info,
    parse_plan,
    parse_start,
)
from voicemask.recording.wire import Frame, FrameKind, LinkEnd
from voicemask.rtp.sdp import PayloadType

PLAN = LegPlan(
    0,
    {0: PayloadType(0, "PCMU", 8000), 101: PayloadType(101, "telephone-event", 8000, 1, "0-15")},
    masked=False,
    ptime_ms=30,
)
START = StartRecording(
    call_id="a@b",
    legs=(PLAN, LegPlan(1, {8: PayloadType(8, "PCMA", 8000)}, encrypted=True)),
    policies={0: Policy.CAPTURE},
    clock_ns=7,
    started_at=1.5,
    recording_id=UUID(int=5),
    returns_packets=True,
    customer="1001",
    agent="2002",
    extra={"reason": "asked"},
    fill=Fill.TONE,
)
Pair = tuple[RecorderLink, LinkEnd]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    link, end = RecorderLink(ours), LinkEnd(theirs)
    yield link, end
    link.close()
    end.close()


def frames(pair: Pair) -> list[Frame]:
    pair[0].flush()
    return list(pair[1].frames())


def test_a_start_comes_over_whole(pair: Pair) -> None:
    pair[0].start(3, START)
    (frame,) = frames(pair)
    assert (frame.kind, frame.key) == (FrameKind.START, 3)
    assert parse_start(frame.body) == START


def test_a_plan_comes_over_whole(pair: Pair) -> None:
    pair[0].plan(3, 0, PLAN, 9)
    (frame,) = frames(pair)
    assert (frame.channel, frame.at_ns) == (0, 9)
    assert parse_plan(frame.body) == PLAN


def test_frames_keep_their_order(pair: Pair) -> None:
    link = pair[0]
    link.packet(1, 0, 10, b"one")
    link.policy(1, 0, Policy.MUTE, 11)
    link.packet(1, 1, 12, b"two")
    link.tick(13)
    link.pause(1, "asked")
    link.resume(1)
    link.stop(1)
    kinds = [frame.kind for frame in frames(pair)]
    assert kinds == [
        FrameKind.PACKET,
        FrameKind.POLICY,
        FrameKind.PACKET,
        FrameKind.TICK,
        FrameKind.PAUSE,
        FrameKind.RESUME,
        FrameKind.STOP,
    ]


@pytest.mark.parametrize("key", "0123456789*#ABCD")
def test_a_digit_comes_over_as_one_byte(pair: Pair, key: str) -> None:
    pair[0].info(1, 0, 10, Digit.of(key), 250)
    (frame,) = frames(pair)
    assert len(frame.body) == 3
    assert parse_info(frame) == (Digit.of(key), 250)


def test_a_digit_is_overwritten_once_it_was_queued(pair: Pair) -> None:
    link = pair[0]
    link.info(1, 0, 10, Digit.of("5"), 250)
    (body,) = [part for part in link._parts if isinstance(part, bytearray)]
    assert any(body)
    link.flush()
    assert not any(body)


def test_what_comes_back_is_read_as_values(pair: Pair) -> None:
    link, end = pair
    end.put(FrameKind.FORK, 1, 3, 0, b"packet")
    end.put(FrameKind.EVENT, 0, 3, 0, b"failed no space left")
    end.flush()
    assert link.read() == [
        ForkPacket(3, 1, b"packet"),
        RecorderEvent(3, RecordingState.FAILED, "no space left"),
    ]


def test_frames_cut_by_the_socket_are_put_together(pair: Pair) -> None:
    link, end = pair
    link.packet(1, 0, 10, bytes(range(256)))
    link.flush()
    data = end._sock.recv(1 << 16)
    other, again = socket.socketpair()
    split = LinkEnd(again)
    for at in range(0, len(data), 7):
        other.send(data[at : at + 7])
        came = list(split.frames())
    assert [frame.body for frame in came] == [bytes(range(256))]
    other.close()
    split.close()


def test_a_recorder_that_does_not_read_costs_packets_and_says_how_many() -> None:
    ours, theirs = socket.socketpair()
    link, end = RecorderLink(ours, bound_bytes=50_000), LinkEnd(theirs)
    n_sent = 0
    while not link.n_lost:
        link.packet(1, 0, n_sent, bytes(172))
        link.flush()
        n_sent += 1
    for k in range(9):
        link.packet(1, 0, n_sent + k, bytes(172))
    link.policy(1, 0, Policy.CAPTURE, n_sent + 9)  # never dropped
    came = list(end.frames())
    while link.wants_write:
        link.flush()
        came += end.frames()
    kinds = [frame.kind for frame in came]
    assert link.n_lost == 10
    assert kinds.count(FrameKind.PACKET) == n_sent - 1
    assert kinds.count(FrameKind.POLICY) == 1
    (lost,) = [frame for frame in came if frame.kind == FrameKind.LOST]
    assert (lost.at_ns, lost.body) == (n_sent - 1, b"10 %d" % (n_sent + 8))
    link.close()
    end.close()


def test_a_recorder_that_misses_what_steers_it_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    link = RecorderLink(ours, bound_bytes=1000)
    for k in range(10_000):
        link.policy(1, 0, Policy.CAPTURE, k)
        link.flush()
    assert link.is_closed
    link.packet(1, 0, 0, b"late")
    link.flush()
    assert link.read() == []
    theirs.close()


def test_the_end_of_the_other_side_is_seen(pair: Pair) -> None:
    link, end = pair
    end.close()
    assert link.read() == []
    assert link.is_closed


def test_a_frame_longer_than_any_of_ours_ends_the_link(pair: Pair) -> None:
    link, end = pair
    end._sock.send(b"\xff" * 64)
    assert link.read() == []
    assert link.is_closed
