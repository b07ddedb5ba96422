"""RFC 4733 telephone events: the payload, and the tracker that makes presses of packets.

One key press comes as many packets: updates of a growing duration under one RTP timestamp, and an
end sent three times. `EventTracker` keys events by timestamp, never by the marker bit, so a lost
start, a lost end, a repeated end and a sender without markers all give one event. An event longer
than the 16 bits of its duration goes on as a new segment whose timestamp is where the last one
stopped (section 2.5.1.3); so does the packet of a sender that moves the timestamp in each update.

References
----------
RFC 4733 sections 2.3 (payload), 2.5.1 (procedures), 3.2 (DTMF codes).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from voicemask.capture.digit import Digit
from voicemask.errors import PacketError
from voicemask.rtp.packet import TIMESTAMP_MODULO

REPORT_BYTES: Final = 4
MAX_DURATION: Final = 0xFFFF
ENCODING_NAME: Final = "telephone-event"

_REPORT: Final = struct.Struct("!BBH")
_DTMF: Final = "0123456789*#ABCD"
"""DTMF by event code (RFC 4733 table 3)."""
_N_REMEMBERED: Final = 16
_SEGMENT_SLACK_MS: Final = 25
"""A segment begins within one packet of where the last stopped; two presses are 40 ms apart."""
_SILENT_MS: Final = 300
"""An event nobody updates for this long is over: its end packets were lost."""


@dataclass(frozen=True, slots=True)
class EventReport:
    """One four-byte report of an event.

    Parameters
    ----------
    code : 0..255; 0..15 are DTMF. It tells the key, so it is not printed.
    end : the E bit.
    volume : power level, 0..63 as -dBm0.
    duration : ticks of the event's clock since its timestamp.
    reserved : the R bit, kept for the round trip.
    """

    code: int
    end: bool
    volume: int
    duration: int
    reserved: bool = False

    def __repr__(self) -> str:
        return f"EventReport(code=*, end={self.end}, duration={self.duration})"

    @property
    def digit(self) -> Digit | None:
        """The key of a DTMF code, None for another event (flash, fax tones)."""
        return Digit.of(_DTMF[self.code]) if self.code < len(_DTMF) else None


def parse_event(payload: bytes) -> tuple[EventReport, ...]:
    """Read the reports of an event payload; one packet may hold several.

    Raises
    ------
    PacketError
        The payload is empty or not made of four-byte reports.
    """
    if not payload or len(payload) % REPORT_BYTES:
        raise PacketError(
            "telephone-event packet",
            "its payload is not made of four-byte reports",
            "check the payload types of the stream",
        )
    return tuple(
        EventReport(code, bool(flags & 0x80), flags & 0x3F, duration, bool(flags & 0x40))
        for code, flags, duration in _REPORT.iter_unpack(payload)
    )


def serialize_event(reports: Sequence[EventReport]) -> bytes:
    """Write an event payload."""
    return b"".join(
        _REPORT.pack(
            report.code,
            (0x80 if report.end else 0) | (0x40 if report.reserved else 0) | report.volume,
            report.duration,
        )
        for report in reports
    )


def event_code(digit: Digit) -> int:
    """Give the event code of a key."""
    return next(code for code, key in enumerate(_DTMF) if Digit.of(key) == digit)


@dataclass(slots=True)
class _Open:
    """An event under way; `first` and `last` are unwrapped ticks of the RTP clock."""

    code: int
    first: int
    segment: int
    last: int


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """One event, whole.

    Parameters
    ----------
    start, end : unwrapped RTP ticks; the end is the last one told.
    digit : the key, None for an event that is no key.
    end_told : False where the end packets were lost and the true end may be later.
    """

    start: int
    end: int
    digit: Digit | None
    end_told: bool


class EventTracker:
    """Makes events of the event packets of one stream, given in sequence order.

    Parameters
    ----------
    clock_hz : RTP clock of the stream; event durations count in it too.

    Notes
    -----
    Times are unwrapped by the caller: integers that go on past 2**32.
    """

    def __init__(self, clock_hz: int) -> None:
        self._slack = clock_hz * _SEGMENT_SLACK_MS // 1000
        self._silent = clock_hz * _SILENT_MS // 1000
        self._open: _Open | None = None
        self._done: deque[tuple[int, int]] = deque(maxlen=_N_REMEMBERED)

    def push(self, start: int, report: EventReport) -> list[TrackedEvent]:
        """Take one report under the unwrapped timestamp `start`; give the events it ends."""
        if (start, report.code) in self._done:
            return []
        finished: list[TrackedEvent] = []
        if self._open is not None and not self._continues(self._open, start, report.code):
            finished += self._close(self._open.segment, self._open.code, False)
        end = start + report.duration
        if self._open is None:
            self._open = _Open(report.code, start, start, end)
        else:
            self._open.segment = max(self._open.segment, start)
            self._open.last = max(self._open.last, end)
        if report.end:
            finished += self._close(start, report.code, True)
        return finished

    def advance(self, now: int) -> list[TrackedEvent]:
        """Tell that the stream has reached `now`; give an event whose end never came."""
        if self._open is not None and now - self._open.last > self._silent:
            return self._close(self._open.segment, self._open.code, False)
        return []

    def flush(self) -> list[TrackedEvent]:
        """End of the stream: give the event under way."""
        if self._open is None:
            return []
        return self._close(self._open.segment, self._open.code, False)

    def _continues(self, event: _Open, start: int, code: int) -> bool:
        if code != event.code:
            return False
        at_stop = abs(start - event.last) <= self._slack
        at_limit = abs(start - event.segment - MAX_DURATION) <= self._slack
        return start == event.segment or at_stop or at_limit

    def _close(self, segment: int, code: int, end_told: bool) -> list[TrackedEvent]:
        event = self._open
        assert event is not None
        self._open = None
        self._done.append((segment, code))
        if segment != event.first:
            self._done.append((event.first, code))
        digit = EventReport(event.code, True, 0, 0).digit
        return [TrackedEvent(event.first, max(event.last, event.first + 1), digit, end_told)]


def unwrap(value: int, last: int, modulo: int = TIMESTAMP_MODULO) -> int:
    """Give the integer that equals `value` modulo `modulo` and lies nearest to `last`."""
    delta = (value - last) % modulo
    return last + (delta - modulo if delta >= modulo // 2 else delta)
