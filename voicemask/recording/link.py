"""The media process's end of the link to its recorder: it never waits, and says what it dropped.

What steers a recording and its packets go over in the order they were given, so a change of policy
takes effect between the packets it came between. A key stands for one call. Times are nanoseconds
of stream time, since the call began; `StartRecording.clock_ns` ties them to the ticks.

Use it in the loop: call `packet` and the rest as they come, `flush` once a round, `tick` every 50
to 100 ms (also when nothing comes: a recording goes on through silence), `read` when the descriptor
can be read, and `flush` when `wants_write` and it can be written.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from uuid import UUID

from voicemask.call import LegPlan
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.recording.wire import BOUND_BYTES, HEAD, Frame, FrameKind, LinkEnd
from voicemask.rtp.event import EventReport, event_code
from voicemask.rtp.sdp import PayloadType

POLICIES: Final = tuple(Policy)
_PACKET: Final = int(FrameKind.PACKET)
_MAX_DURATION_MS: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class StartRecording:
    """A call that is recorded, or whose masked packets are wanted, or both.

    Parameters
    ----------
    call_id : of the signalling.
    legs : plan of each direction.
    policies : by channel, from the start; a channel that is not there has `guard`.
    clock_ns : what `tick` tells when the stream time of this call is 0.
    started_at : Unix time of then, in seconds.
    recording_id : None writes no file.
    returns_packets : masked packets come back as `ForkPacket`.
    customer, agent : labels of the parties.
    extra : what else is kept with the recording.
    fill : what masked audio is replaced with.
    """

    call_id: str
    legs: tuple[LegPlan, ...]
    policies: Mapping[int, Policy] = field(default_factory=dict)
    clock_ns: int = 0
    started_at: float = 0.0
    recording_id: UUID | None = None
    returns_packets: bool = False
    customer: str = ""
    agent: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    fill: Fill = Fill.NOISE


class RecordingState(Enum):
    """What became of a recording."""

    STARTED = "started"
    FAILED = "failed"
    """It is not written now: the disk, the keys, an error of ours. Forks may go on."""
    RESUMED = "resumed"
    """It is written again after it failed; what is missing is noted in it."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RecorderEvent:
    """What the recorder tells of a key; `reason` holds no path and no key press."""

    key: int
    state: RecordingState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ForkPacket:
    """A masked packet that comes back."""

    key: int
    channel: int
    data: bytes


@dataclass(slots=True)
class _Lost:
    n_packets: int
    first_ns: int
    last_ns: int


class RecorderLink(LinkEnd):
    """The media process's end.

    Parameters
    ----------
    sock : one socket of a pair; it belongs to this end from here on.
    bound_bytes : what may wait; packets beyond it are dropped, counted and told.
    """

    def __init__(self, sock: socket.socket, bound_bytes: int = BOUND_BYTES) -> None:
        super().__init__(sock, bound_bytes)
        self._lost: dict[tuple[int, int], _Lost] = {}
        self.n_lost = 0
        """Packets dropped because the recorder did not take them."""

    def start(self, key: int, recording: StartRecording) -> None:
        """Begin a call under a key that is not in use."""
        self.put(FrameKind.START, 0, key, 0, _start_body(recording))

    def packet(self, key: int, channel: int, at_ns: int, data: bytes) -> None:
        """Give a datagram as it came in."""
        if self._n_waiting > self._bound or self.is_closed:
            self._lose(key, channel, at_ns)
            return
        parts = self._parts
        parts.append(HEAD.pack(len(data), _PACKET, channel, key, at_ns))
        parts.append(data)
        self._n_waiting += len(data) + HEAD.size

    def policy(self, key: int, channel: int, policy: Policy, at_ns: int) -> None:
        """Set what may be heard of a channel from `at_ns` on."""
        self.put(FrameKind.POLICY, channel, key, at_ns, bytes([POLICIES.index(policy)]))

    def plan(self, key: int, channel: int, plan: LegPlan, at_ns: int) -> None:
        """Go on with another plan of a channel."""
        self.put(FrameKind.PLAN, channel, key, at_ns, json.dumps(_plan_facts(plan)).encode())

    def info(self, key: int, channel: int, at_ns: int, digit: Digit, duration_ms: int) -> None:
        """Give a SIP INFO digit: what is around it is masked."""
        body = bytearray(3)
        body[0] = event_code(digit)
        body[1:] = min(max(0, duration_ms), _MAX_DURATION_MS).to_bytes(2, "little")
        self.put(FrameKind.INFO, channel, key, at_ns, body)

    def pause(self, key: int, reason: str, at_ns: int = 0) -> None:
        """Write nothing from `at_ns` on (0: from what is there); the time line goes on."""
        self.put(FrameKind.PAUSE, 0, key, at_ns, reason.encode())

    def resume(self, key: int, at_ns: int = 0) -> None:
        """Write again."""
        self.put(FrameKind.RESUME, 0, key, at_ns)

    def stop(self, key: int, reason: str = "hangup", at_ns: int = 0) -> None:
        """End a call; its recording is finished, and `RecorderEvent` says so."""
        self.put(FrameKind.STOP, 0, key, at_ns, reason.encode())

    def tick(self, clock_ns: int) -> None:
        """Tell the time of the clock that `StartRecording.clock_ns` is told in."""
        if not self.is_full:
            self.put(FrameKind.TICK, 0, 0, clock_ns)

    def flush(self) -> None:
        """Send what the socket takes at once; what is left goes with the next flush."""
        super().flush()
        if self._lost and not self.is_full:
            for (key, channel), lost in self._lost.items():
                body = b"%d %d" % (lost.n_packets, lost.last_ns)
                self.put(FrameKind.LOST, channel, key, lost.first_ns, body)
            self._lost.clear()
            super().flush()

    def read(self) -> list[ForkPacket | RecorderEvent]:
        """Give what came back; empty too when the recorder is gone (`is_closed`)."""
        came: list[ForkPacket | RecorderEvent] = []
        for frame in self.frames():
            if frame.kind == FrameKind.FORK:
                came.append(ForkPacket(frame.key, frame.channel, frame.body))
            elif frame.kind == FrameKind.EVENT:
                state, _, reason = frame.body.decode("utf-8", "replace").partition(" ")
                came.append(RecorderEvent(frame.key, RecordingState(state), reason))
        return came

    def _lose(self, key: int, channel: int, at_ns: int) -> None:
        self.n_lost += 1
        if self.is_closed:
            return
        lost = self._lost.setdefault((key, channel), _Lost(0, at_ns, at_ns))
        lost.n_packets += 1
        lost.last_ns = at_ns


def _plan_facts(plan: LegPlan) -> dict[str, Any]:
    return {
        "channel": plan.channel,
        "types": [
            (number, t.number, t.encoding, t.clock_hz, t.n_channels, t.fmtp)
            for number, t in plan.payload_types.items()
        ],
        "masked": plan.masked,
        "ptime_ms": plan.ptime_ms,
        "encrypted": plan.encrypted,
    }


def _plan_of(facts: dict[str, Any]) -> LegPlan:
    return LegPlan(
        facts["channel"],
        {number: PayloadType(*rest) for number, *rest in facts["types"]},
        facts["masked"],
        facts["ptime_ms"],
        facts["encrypted"],
    )


def _start_body(recording: StartRecording) -> bytes:
    facts = {
        "call_id": recording.call_id,
        "legs": [_plan_facts(plan) for plan in recording.legs],
        "policies": {channel: policy.value for channel, policy in recording.policies.items()},
        "clock_ns": recording.clock_ns,
        "started_at": recording.started_at,
        "recording_id": None if recording.recording_id is None else str(recording.recording_id),
        "returns_packets": recording.returns_packets,
        "customer": recording.customer,
        "agent": recording.agent,
        "extra": dict(recording.extra),
        "fill": recording.fill.value,
    }
    return json.dumps(facts).encode()


def parse_start(body: bytes) -> StartRecording:
    """Read the body of a START frame."""
    facts = json.loads(body)
    facts["legs"] = tuple(_plan_of(plan) for plan in facts["legs"])
    facts["policies"] = {int(ch): Policy(value) for ch, value in facts["policies"].items()}
    name = facts["recording_id"]
    facts["recording_id"] = None if name is None else UUID(name)
    facts["fill"] = Fill(facts["fill"])
    return StartRecording(**facts)


def parse_plan(body: bytes) -> LegPlan:
    """Read the body of a PLAN frame."""
    return _plan_of(json.loads(body))


def parse_info(frame: Frame) -> tuple[Digit | None, int]:
    """Read the digit and duration in ms of an INFO frame."""
    report = EventReport(frame.body[0], end=True, volume=0, duration=0)
    return report.digit, int.from_bytes(frame.body[1:3], "little")
