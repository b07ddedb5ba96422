"""Sequences of key presses as tones, with the truth of what was pressed and when.

A `Keying` says how somebody keys (durations, levels, frequency errors, shape of one tone); `keyed`
draws the keys, their phases and order from a seeded generator and gives a `Recording`.

References: ITU-T Q.23 for the frequencies; 0 dBm0 is 3.14 dB under a full-scale sine (ITU-T G.711).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

Audio = NDArray[np.float32]

RATE_HZ: Final = 8000
KEYS: Final = "123A456B789C*0#D"
LOW_HZ: Final = (697.0, 770.0, 852.0, 941.0)
HIGH_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)
FULL_SCALE_DBM0: Final = 3.14
MARGIN_MS: Final = 300


class Press(NamedTuple):
    """A key and the samples its tone covers, ``[start, end)``."""

    key: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Recording:
    """Audio (n,) float32 of +-1.0 at 8 kHz, and every press in it in order."""

    audio: Audio
    truth: tuple[Press, ...]

    def with_audio(self, audio: NDArray[np.floating]) -> Recording:
        """Keep the truth, replace the sound."""
        return replace(self, audio=np.asarray(audio, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Keying:
    """How keys are pressed.

    Levels are dBm0 per tone; deviations are percent of the nominal frequency plus `offset_hz`.
    `gap_ms` is cut out of the middle of each tone, `jump_deg` is the phase step there, `rise_ms`
    the length of the raised-cosine edges, `ring_ms` the time constant of a tail after the end,
    `am_depth` the depth 0..1 of amplitude modulation at `am_hz`. `via_hz` makes the sound at that
    rate and resamples it. `keys` fixes the keys instead of drawing them.
    """

    tone_ms: float = 70.0
    pause_ms: float = 70.0
    low_dbm0: float = -10.0
    high_dbm0: float = -10.0
    low_percent: float = 0.0
    high_percent: float = 0.0
    offset_hz: float = 0.0
    rise_ms: float = 0.0
    ring_ms: float = 0.0
    gap_ms: float = 0.0
    jump_deg: float = 0.0
    am_hz: float = 0.0
    am_depth: float = 0.0
    spread_ms: float = 0.0
    n_keys: int = 160
    keys: str = ""
    via_hz: int = RATE_HZ

    def at_level(self, dbm0: float) -> Keying:
        return replace(self, low_dbm0=dbm0, high_dbm0=dbm0)

    def with_twist(self, twist_db: float) -> Keying:
        """Move the high tone by `twist_db` against the low one; the louder stays at its level."""
        return replace(
            self,
            low_dbm0=self.low_dbm0 - max(0.0, twist_db),
            high_dbm0=self.high_dbm0 + min(0.0, twist_db),
        )


def amplitude(dbm0: float) -> float:
    """Peak of a sine of that level, full scale = 1.0."""
    return float(10 ** ((dbm0 - FULL_SCALE_DBM0) / 20))


def drawn_keys(n_keys: int, rng: np.random.Generator) -> str:
    """Draw keys in random order, every key equally often (repeats come by themselves)."""
    deck = np.resize(np.arange(16), n_keys)
    return "".join(KEYS[index] for index in rng.permutation(deck))


def _envelope(keying: Keying, n_samples: int, n_tail: int, rate_hz: int) -> NDArray[np.float64]:
    envelope = np.ones(n_samples + n_tail)
    n_edge = min(round(keying.rise_ms * rate_hz / 1000), n_samples // 2)
    if n_edge:
        edge = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n_edge) + 0.5) / n_edge)
        envelope[:n_edge] *= edge
        envelope[n_samples - n_edge : n_samples] *= edge[::-1]
    if n_tail:
        envelope[n_samples:] = np.exp(-np.arange(n_tail) / (keying.ring_ms * rate_hz / 1000))
    n_gap = round(keying.gap_ms * rate_hz / 1000)
    if n_gap:
        middle = (n_samples - n_gap) // 2
        envelope[middle : middle + n_gap] = 0.0
    return envelope


def tone(key: str, keying: Keying, n_samples: int, rng: np.random.Generator) -> Audio:
    """Synthesise one press at `keying.via_hz`; the tail of a ringing line adds to `n_samples`."""
    rate_hz = keying.via_hz
    n_tail = round(3 * keying.ring_ms * rate_hz / 1000)
    index = KEYS.index(key)
    time_s = np.arange(n_samples + n_tail) / rate_hz
    jump = np.where(np.arange(time_s.size) >= n_samples // 2, np.deg2rad(keying.jump_deg), 0.0)
    sound = np.zeros(time_s.size)
    for nominal_hz, percent, dbm0 in (
        (LOW_HZ[index // 4], keying.low_percent, keying.low_dbm0),
        (HIGH_HZ[index % 4], keying.high_percent, keying.high_dbm0),
    ):
        hz = nominal_hz * (1 + percent / 100) + np.copysign(keying.offset_hz, percent)
        phase = rng.uniform(0, 2 * np.pi)
        sound += amplitude(dbm0) * np.sin(2 * np.pi * hz * time_s + phase + jump)
    if keying.am_depth:
        sound *= 1 + keying.am_depth * np.sin(2 * np.pi * keying.am_hz * time_s)
    return (sound * _envelope(keying, n_samples, n_tail, rate_hz)).astype(np.float32)


def keyed(keying: Keying, rng: np.random.Generator) -> Recording:
    """Draw a sequence of presses and synthesise it, with 0.3 s of silence at both ends."""
    rate_hz = keying.via_hz
    scale = rate_hz / 1000
    keys = keying.keys or drawn_keys(keying.n_keys, rng)
    cursor = round(MARGIN_MS * scale)
    placed: list[tuple[int, Audio]] = []
    truth: list[Press] = []
    for key in keys:
        spread = rng.uniform(0, keying.spread_ms)
        n_samples = round(keying.tone_ms * scale)
        placed.append((cursor, tone(key, keying, n_samples, rng)))
        end = cursor + n_samples
        truth.append(Press(key, cursor * RATE_HZ // rate_hz, end * RATE_HZ // rate_hz))
        # a fraction of a sample between presses, so that starts do not share a grid
        cursor = end + round((keying.pause_ms + spread) * scale) + int(rng.integers(0, 3))
    audio = np.zeros(cursor + round(MARGIN_MS * scale), dtype=np.float32)
    for start, sound in placed:
        audio[start : start + sound.size] += sound
    if rate_hz != RATE_HZ:
        ratio = Fraction(RATE_HZ, rate_hz)
        audio = resample_poly(audio, ratio.numerator, ratio.denominator).astype(np.float32)
    return Recording(np.clip(audio, -1.0, 1.0), tuple(truth))


def joined(recordings: list[Recording]) -> Recording:
    """Play recordings one after the other; the truth moves along."""
    truth: list[Press] = []
    now = 0
    for recording in recordings:
        truth += [Press(p.key, p.start + now, p.end + now) for p in recording.truth]
        now += recording.audio.size
    return Recording(np.concatenate([recording.audio for recording in recordings]), tuple(truth))
