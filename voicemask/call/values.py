"""The values that go into a call and come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.arbiter import KeyPress
from voicemask.mask.span import Span
from voicemask.rtp.reorder import DEFAULT_DEPTH
from voicemask.rtp.sdp import DEFAULT_PTIME_MS, PayloadType

CUSTOMER = 0
"""Channel of the customer, left in a recording."""
AGENT = 1
"""Channel of the agent, right in a recording."""


@dataclass(frozen=True, slots=True)
class LegPlan:
    """What is known of one direction before its first packet.

    Parameters
    ----------
    channel : `CUSTOMER` or `AGENT`: who speaks in this direction.
    payload_types : meaning of each payload type number, in order of preference.
    masked : False only for the agent's direction when the customer's side is known.
    ptime_ms : packet time until packets tell.
    encrypted : SRTP: nothing of it can be examined.
    """

    channel: int
    payload_types: Mapping[int, PayloadType]
    masked: bool = True
    ptime_ms: int = DEFAULT_PTIME_MS
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """How a call is masked; the same for both directions.

    Parameters
    ----------
    policy, fill : what is masked, and with what.
    rate_hz : rate in which spans and presses are told.
    hold_ms : how far masking stays behind the newest packet.
    block_ms : step in which it goes on.
    lag_ms : how far a masked direction may lag at most; None: as far as detection asks.
    depth : packets the reorder buffer holds at most.
    """

    policy: Policy
    fill: Fill
    rate_hz: int
    hold_ms: int
    block_ms: int
    lag_ms: int | None = None
    depth: int = DEFAULT_DEPTH


@dataclass(frozen=True, slots=True)
class Arrival:
    """One datagram as it arrived.

    Parameters
    ----------
    channel : direction it belongs to.
    index : the caller's own number for it; comes back in `Sent`.
    at_ns : when, in nanoseconds of stream time since the call began. Only the places of runs of
        packets are taken from it, never a decision.
    data : the UDP payload.
    """

    channel: int
    index: int
    at_ns: int
    data: bytes


class Verdict(Enum):
    """What became of a packet."""

    PASSED = "passed"
    """Its bytes are the ones it came with."""
    PATCHED = "patched"
    """Some or all of its audio was replaced."""
    FILLED = "filled"
    """It was an event, or could not be decoded: fill stands in its place."""
    DROPPED = "dropped"
    """It left the call: a duplicate, too late to examine, or nothing could stand in for it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet on its way out; `data` is None when it was dropped."""

    channel: int
    index: int
    verdict: Verdict
    data: bytes | None


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Masked audio of one channel for the recording.

    Parameters
    ----------
    channel : which.
    start : samples at `rate_hz` since the call began; chunks of a channel come in order, and
        between two of them is silence.
    rate_hz : rate of this audio.
    samples : int16, shape (n,).
    """

    channel: int
    start: int
    rate_hz: int
    samples: NDArray[np.int16]


@dataclass(slots=True)
class Output:
    """What a step of the call gave.

    `sent` is in order within a channel; spans and presses are in samples of the call's rate.
    """

    sent: list[Sent] = field(default_factory=list)
    audio: list[AudioChunk] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    presses: list[KeyPress] = field(default_factory=list)

    def extend(self, other: Output) -> None:
        """Add what a later step gave."""
        self.sent += other.sent
        self.audio += other.audio
        self.spans += other.spans
        self.presses += other.presses
