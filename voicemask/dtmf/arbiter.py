"""One key press, however many ways it was told.

A key may arrive as an in-band tone, as an RFC 4733 event and as a SIP INFO, of which any may be
missing, late, broken or sent twice. The arbiter takes sightings in stream time and gives one
`KeyPress` for each press:

- pieces of a tone with a gap of 20 ms or less are one press, and so are segments of an event that
  touch; real repeats are 40 ms apart (ITU-T Q.24) and stay two, though events may outlast theirs;
- carriers of one key are joined one to one and in order, within the lags seen in gateways: an
  event starts up to 200 ms after its tone, an INFO comes up to 1.5 s after the key went down;
- a piece of tone inside an event of the same key (or the reverse) belongs to it.

Sightings are handled in the order of their ends, as a simulation over stream time, so what comes
out depends on the sightings and not on when they were handed in.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from voicemask.capture.digit import Digit

BRIDGE_MS: Final = 20
"""Longest gap in the tone of one press: Q.24 bridges 10-20 ms and asks pauses of 30-70 ms."""
EVENT_LEAD_MS: Final = 60
"""An event may carry a timestamp this much before the tone is heard."""
EVENT_LAG_MS: Final = 200
"""Gateways stamp an event 20-60 ms after onset; some as late as their whole decision."""
INFO_LEAD_MS: Final = 100
INFO_LAG_MS: Final = 1500
"""A SIP INFO comes after the key went down, with signalling delay of up to about a second."""
SETTLE_MS: Final = 2000
"""A press is told when no carrier can still join it; above INFO_LAG_MS."""
_INSIDE: Final = 0.8
"""Share of a piece that must lie within the other carrier for it to belong there."""
_N_TOLD: Final = 64


class Carrier(Enum):
    """How a key press was told."""

    TONE = "tone"
    EVENT = "event"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class KeyPress:
    """One key press ``[start, end)``, in samples of its channel's stream time.

    Parameters
    ----------
    channel : index of the channel in its call.
    start, end : earliest start and latest end of its tone and event; of the INFO without them.
    digit : the key, which does not print.
    carriers : all that told it.
    """

    channel: int
    digit: Digit
    start: int
    end: int
    carriers: frozenset[Carrier]


@dataclass(frozen=True, slots=True, order=True)
class _Sighting:
    end: int
    start: int
    order: int
    carrier: Carrier = field(compare=False)
    digit: Digit = field(compare=False)


_ORDER: Final = {carrier: index for index, carrier in enumerate(Carrier)}


@dataclass(slots=True, eq=False)
class _Press:
    digit: Digit
    parts: dict[Carrier, tuple[int, int]]

    @property
    def end(self) -> int:
        return max(end for _, end in self.parts.values())

    def extent(self) -> tuple[int, int]:
        """Start and end by tone and event; by INFO where there is nothing else."""
        heard = [part for carrier, part in self.parts.items() if carrier is not Carrier.INFO]
        heard = heard or list(self.parts.values())
        return min(start for start, _ in heard), max(end for _, end in heard)


class Arbiter:
    """Merges the carriers of one channel.

    Parameters
    ----------
    channel : index given in each `KeyPress`.
    rate_hz : samples of stream time in a second.
    """

    def __init__(self, channel: int, rate_hz: int) -> None:
        self._channel = channel
        self._rate_hz = rate_hz
        self._waiting: list[_Sighting] = []
        self._open: list[_Press] = []
        self._told: deque[_Press] = deque(maxlen=_N_TOLD)

    def tone(self, start: int, end: int, digit: Digit) -> None:
        """Take an in-band tone ``[start, end)``."""
        self._take(start, end, Carrier.TONE, digit)

    def event(self, start: int, end: int, digit: Digit) -> None:
        """Take an RFC 4733 event ``[start, end)``, whole."""
        self._take(start, end, Carrier.EVENT, digit)

    def info(self, at: int, digit: Digit) -> None:
        """Take a SIP INFO that came at `at`."""
        self._take(at, at, Carrier.INFO, digit)

    def advance(self, until: int) -> list[KeyPress]:
        """Tell that all sightings that end before `until` were given; give the presses settled."""
        given: list[KeyPress] = []
        while self._waiting and self._waiting[0].end <= until:
            sighting = heapq.heappop(self._waiting)
            given += self._settle(sighting.end)
            self._join(sighting)
        return given + self._settle(until)

    def flush(self) -> list[KeyPress]:
        """End of the call: give all that is left."""
        last = max(
            [sighting.end for sighting in self._waiting] + [press.end for press in self._open],
            default=0,
        )
        return self.advance(last + self._samples(SETTLE_MS))

    def _take(self, start: int, end: int, carrier: Carrier, digit: Digit) -> None:
        heapq.heappush(self._waiting, _Sighting(end, start, _ORDER[carrier], carrier, digit))

    def _samples(self, ms: int) -> int:
        return ms * self._rate_hz // 1000

    def _settle(self, now: int) -> list[KeyPress]:
        settled = [p for p in self._open if p.end + self._samples(SETTLE_MS) <= now]
        if not settled:
            return []
        settled.sort(key=lambda press: (press.end, press.extent()))
        self._open = [press for press in self._open if press not in settled]
        self._told.extend(settled)
        return [
            KeyPress(self._channel, press.digit, *press.extent(), frozenset(press.parts))
            for press in settled
        ]

    def _join(self, sighting: _Sighting) -> _Press | None:
        """Give the sighting to the press it belongs to, or begin one, which is given back.

        Presses already told still take what belongs to them: the tone of a long press ends
        seconds after its INFO was told, and is no second press.
        """
        known = [press for press in (*self._told, *self._open) if press.digit == sighting.digit]
        press = (
            next((p for p in known if self._goes_on(p, sighting)), None)
            or next((p for p in known if self._same_press(p, sighting)), None)
            or next((p for p in known if _inside(sighting, p)), None)
        )
        is_new = press is None
        if press is None:
            press = _Press(sighting.digit, {})
            self._open.append(press)
        start, end = press.parts.get(sighting.carrier, (sighting.start, sighting.end))
        part = (min(start, sighting.start), max(end, sighting.end))
        press.parts[sighting.carrier] = part
        self._absorb(press, sighting.carrier)
        return press if is_new else None

    def _goes_on(self, press: _Press, sighting: _Sighting) -> bool:
        """Whether the sighting goes on where the same carrier of the press stopped."""
        part = press.parts.get(sighting.carrier)
        if part is None or sighting.carrier is Carrier.INFO:
            return False
        bridged = self._samples(BRIDGE_MS) if sighting.carrier is Carrier.TONE else 0
        return sighting.start - part[1] <= bridged

    def _same_press(self, press: _Press, sighting: _Sighting) -> bool:
        """Whether the sighting is another carrier of the press."""
        if sighting.carrier in press.parts:
            return False
        if sighting.carrier is Carrier.INFO:
            start = press.extent()[0]
            return self._in_step(sighting.end - start, INFO_LEAD_MS, INFO_LAG_MS)
        if Carrier.INFO in press.parts and len(press.parts) == 1:
            at = press.parts[Carrier.INFO][1]
            return self._in_step(at - sighting.start, INFO_LEAD_MS, INFO_LAG_MS)
        start = press.extent()[0]
        lag = start - sighting.start if sighting.carrier is Carrier.TONE else sighting.start - start
        return self._in_step(lag, EVENT_LEAD_MS, EVENT_LAG_MS)

    def _in_step(self, lag: int, lead_ms: int, lag_ms: int) -> bool:
        return -self._samples(lead_ms) <= lag <= self._samples(lag_ms)

    def _absorb(self, press: _Press, carrier: Carrier) -> None:
        """Take in open presses that only told pieces of what this carrier told whole."""
        if carrier is Carrier.INFO or len(press.parts) == 1:
            return
        start, end = press.parts[carrier]
        other = Carrier.EVENT if carrier is Carrier.TONE else Carrier.TONE
        pieces = [
            p
            for p in self._open
            if p is not press
            and p.digit == press.digit
            and set(p.parts) == {other}
            and _share_within(p.parts[other], (start, end)) >= _INSIDE
        ]
        self._open = [p for p in self._open if p not in pieces]


class PromptArbiter(Arbiter):
    """Tells a press at its first sighting; what else tells it later joins in silence.

    For a call that is going on: someone waits for the key. Sightings are joined in the order they
    are given; an event is given anew whenever it is known to have lasted longer.
    """

    def __init__(self, channel: int, rate_hz: int) -> None:
        super().__init__(channel, rate_hz)
        self._new: list[KeyPress] = []
        self._latest = 0

    def take_new(self) -> list[KeyPress]:
        """Give the presses that were seen for the first time since this was last asked."""
        new, self._new = self._new, []
        return new

    def _take(self, start: int, end: int, carrier: Carrier, digit: Digit) -> None:
        self._latest = max(self._latest, end)
        self._settle(self._latest)
        press = self._join(_Sighting(end, start, _ORDER[carrier], carrier, digit))
        if press is not None:
            carriers = frozenset(press.parts)
            self._new.append(KeyPress(self._channel, digit, *press.extent(), carriers))


def _share_within(piece: tuple[int, int], whole: tuple[int, int]) -> float:
    overlap = min(piece[1], whole[1]) - max(piece[0], whole[0])
    return max(overlap, 0) / max(piece[1] - piece[0], 1)


def _inside(sighting: _Sighting, press: _Press) -> bool:
    """Whether a tone lies within the press's event, or an event within its tone."""
    if sighting.carrier is Carrier.INFO:
        return False
    other = Carrier.EVENT if sighting.carrier is Carrier.TONE else Carrier.TONE
    if other not in press.parts:
        return False
    return _share_within((sighting.start, sighting.end), press.parts[other]) >= _INSIDE
