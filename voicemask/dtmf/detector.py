"""Decoding: which bursts are key presses by the letter of a profile.

`Detector` is the strict one of the two decisions: what it reports is a digit. What may only be one
is masked all the same (`voicemask.mask.finder`).

Bursts of one pair are bridged over short interruptions; what comes out is a press when it lasts
long enough and its evidence suffices, by itself or beside that of its neighbours.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from math import inf, log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.resample import StreamResampler
from voicemask.capture.digit import Digit
from voicemask.dtmf.burst import BurstFinder, Bursts
from voicemask.dtmf.evidence import LONGEST_BLOCKS, evidence
from voicemask.dtmf.goertzel import BLOCK, RATE_HZ
from voicemask.dtmf.profile import Receiver, load_profile

Audio = NDArray[np.float32] | NDArray[np.int16]

_EDGE_MS: Final = 2.0
"""How far off the edges of a burst may be: a gap of the bridged length must not look longer."""
_MANY: Final = 64
"""From this many channels on, bursts are measured together every few ticks."""
_PATIENCE_BLOCKS: Final = 14
_PUSH_SAMPLES: Final = 1 << 23
"""`detect` feeds this much at a time, over all channels: bounded memory at full speed."""


@dataclass(frozen=True, slots=True)
class Tone:
    """One decoded key press.

    Parameters
    ----------
    channel : index of the channel.
    start, end : samples at the rate of the audio given, ``[start, end)``.
    digit : the key, which does not print.
    level_dbfs : level of the pair relative to a full-scale sine.
    twist_db : high minus low, signed.
    """

    channel: int
    start: int
    end: int
    digit: Digit
    level_dbfs: float
    twist_db: float


@dataclass(slots=True)
class _Press:
    """A press being put together from bursts of one pair."""

    pair: int
    start: float
    end: float
    duration: float
    evidence: float
    level_dbfs: float
    twist_db: float

    def add(self, other: _Press, weight_duration: float) -> None:
        """Go on with the next burst; the evidence is the better one's, for the whole length."""
        longest = LONGEST_BLOCKS * BLOCK
        whole = min(self.duration + other.duration, longest)
        self.evidence = max(
            part.evidence + weight_duration * log2(whole / min(max(part.duration, BLOCK), whole))
            for part in (self, other)
        )
        self.end = other.end
        self.duration += other.duration


class Decoder:
    """Turns the bursts of several streams into tones.

    A press is reported when its evidence suffices by itself, or when it suffices near one that
    does: keys are pressed in rows. Tones come in order within a stream, so a doubtful one holds
    those after it back for `context_ms` at most.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._gap = (receiver.max_gap_ms + _EDGE_MS) * RATE_HZ / 1000
        self._context = receiver.context_ms * RATE_HZ / 1000
        self._shortest = receiver.min_tone_ms * RATE_HZ / 1000
        self._open: dict[int, _Press] = {}
        self._waiting: dict[int, deque[_Press]] = {}
        self._sure_end: dict[int, float] = {}

    def push(self, bursts: Bursts, n_known: int) -> list[Tone]:
        """Take new bursts of all streams; those that start before block `n_known` are all there.

        Returns
        -------
        Tones at 8000 Hz that nothing later can change, ordered by stream, then start.
        """
        if len(bursts):
            self._take(bursts)
        if not self._open and not self._waiting:
            return []
        horizon = n_known * BLOCK
        for stream in [s for s, press in self._open.items() if press.end + self._gap < horizon]:
            self._close(stream)
        return self._resolve(horizon)

    def flush(self) -> list[Tone]:
        """End of the streams: give what is still open."""
        for stream in list(self._open):
            self._close(stream)
        return self._resolve(inf)

    def _take(self, bursts: Bursts) -> None:
        r = self._receiver
        value = evidence(bursts, r)
        possible = np.flatnonzero(value > -inf)
        columns = (
            bursts.stream,
            bursts.pair,
            bursts.start,
            bursts.end,
            bursts.duration,
            value,
            bursts.level_dbfs,
            bursts.twist_db,
        )
        for stream, *values in zip(*(c[possible].tolist() for c in columns), strict=True):
            press = _Press(*values)
            before = self._open.get(stream)
            if before is not None:
                if before.pair == press.pair and press.start - before.end <= self._gap:
                    before.add(press, r.weight_duration)
                    continue
                self._close(stream)
            self._open[stream] = press

    def _close(self, stream: int) -> None:
        press = self._open.pop(stream)
        if press.duration >= self._shortest and press.evidence >= self._receiver.evidence_near:
            self._waiting.setdefault(stream, deque()).append(press)

    def _resolve(self, horizon: float) -> list[Tone]:
        tones: list[Tone] = []
        for stream in sorted(self._waiting):
            waiting = self._waiting[stream]
            while waiting:
                accepted = self._is_accepted(stream, waiting, horizon)
                if accepted is None:
                    break
                press = waiting.popleft()
                if accepted:
                    tones.append(_tone(stream, press))
            if not waiting:
                del self._waiting[stream]
        return tones

    def _is_accepted(self, stream: int, waiting: deque[_Press], horizon: float) -> bool | None:
        """Decide on the first press that waits; None where that needs the future."""
        press, sure = waiting[0], self._receiver.evidence_sure
        if press.evidence >= sure:
            self._sure_end[stream] = press.end
            return True
        if press.start - self._sure_end.get(stream, -inf) <= self._context:
            return True
        latest = press.end + self._context
        if any(other.evidence >= sure and other.start <= latest for other in waiting):
            return True
        opened = self._open.get(stream)
        is_over = horizon > latest and (opened is None or opened.start > latest)
        return False if is_over else None


def _tone(stream: int, press: _Press) -> Tone:
    return Tone(
        channel=stream,
        start=max(0, round(press.start)),
        end=round(press.end),
        digit=Digit(press.pair),
        level_dbfs=press.level_dbfs,
        twist_db=press.twist_db,
    )


class Detector:
    """Streaming detector: audio in, decoded tones out.

    Parameters
    ----------
    n_channels : channels fed together.
    rate_hz : their sample rate, 8000 Hz or more.
    profile : name or path of a detector profile.

    Raises
    ------
    ProfileError
        The profile does not load.
    CodecError
        The rate is below 8000 Hz.
    """

    def __init__(self, n_channels: int, rate_hz: int = RATE_HZ, profile: str = "decode") -> None:
        receiver = load_profile(profile).receiver
        self._rate_hz = rate_hz
        self._resampler = StreamResampler(n_channels, rate_hz, RATE_HZ)
        patience = _PATIENCE_BLOCKS if n_channels >= _MANY else 0
        self._finder = BurstFinder(n_channels, receiver, patience_blocks=patience)
        self._decoder = Decoder(receiver)

    def push(self, audio: Audio) -> list[Tone]:
        """Feed (n_channels, n) samples, float32 (full scale +-1.0) or int16; any n, also 0."""
        n_measured = self._finder.n_measured
        bursts = self._finder.push(self._resampler.push(audio))
        # nothing was looked at: nothing can have become certain
        return self._decode(bursts) if self._finder.n_measured > n_measured else []

    def flush(self) -> list[Tone]:
        """End the streams; give the tones that were still open."""
        tones = self._decode(self._finder.push(self._resampler.flush()))
        tones += self._decode(self._finder.flush())
        return tones + at_rate(self._decoder.flush(), self._rate_hz)

    def _decode(self, bursts: Bursts) -> list[Tone]:
        return at_rate(self._decoder.push(bursts, self._finder.n_known), self._rate_hz)


def at_rate(tones: list[Tone], rate_hz: int) -> list[Tone]:
    """Give tones found at 8000 Hz with their samples counted at `rate_hz`."""
    if rate_hz == RATE_HZ:
        return tones
    scale = rate_hz / RATE_HZ
    return [replace(t, start=round(t.start * scale), end=round(t.end * scale)) for t in tones]


def detect(audio: Audio, rate_hz: int = RATE_HZ, profile: str = "decode") -> list[Tone]:
    """Find every key press of a recording.

    Parameters
    ----------
    audio : shape (n,) or (n_channels, n), float32 (full scale +-1.0) or int16.
    rate_hz : sample rate.
    profile : name or path of a detector profile.

    Returns
    -------
    Tones ordered by start.
    """
    if audio.ndim == 1:
        audio = audio[None]
    detector = Detector(audio.shape[0], rate_hz, profile)
    step = max(1, _PUSH_SAMPLES // audio.shape[0])
    tones: list[Tone] = []
    for begin in range(0, audio.shape[1], step):
        tones += detector.push(audio[:, begin : begin + step])
    tones += detector.flush()
    return sorted(tones, key=lambda tone: (tone.start, tone.channel))
