"""The conditions under which leaks are measured, and the calls made from them.

A condition is one call on one channel: a second of background, then presses of all sixteen keys in
random order with random phases. The table follows what carriers and handsets do (ITU-T Q.24
Annex A for levels, twist, deviation and times) and goes beyond it, since a masker must hide what a
receiver may refuse. Lines are not digitally silent: unless a condition says so each call has its
own noise floor of -55 to -65 dBFS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.leak.damage import DAMAGE
from benchmarks.leak.material import cover
from benchmarks.leak.press import (
    FULL_SCALE_DBM0,
    N_KEYS,
    RATE_HZ,
    Float32,
    Int64,
    LeakCall,
    samples,
    to_pcm16,
)

LOW_HZ: Final = (697.0, 770.0, 852.0, 941.0)
HIGH_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)
LEAD_MS: Final = 1000.0
EVENT_LATE_MS: Final = 60.0
"""A gateway's event carries the time at which its own receiver was sure, 20-60 ms after onset."""
PRESSES: Final = 104
"""Presses of a condition of weight 1; the whole table then has more than 8,000."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of the table.

    Parameters
    ----------
    name, family : what it is, and the group of rows it is plotted with.
    tone_ms, gap_ms : range of durations, drawn evenly per press.
    level_dbm0 : range of the level of the stronger tone.
    twist_db : high minus low.
    deviation : range of the relative frequency error of both tones together.
    noise, snr_db : ``white`` or ``pink`` noise this far under both tones' power, 0-4 kHz.
    under, under_db : ``speech`` or ``music`` this far under both tones' power, as active level.
    damage : key of `DAMAGE`, applied to the whole call.
    clamp_ms : only this much of the tone comes through, the rest is an RFC 4733 event; 0 = all.
    rise_ms : rise and fall time.
    break_ms : a silent break in the middle of the tone.
    silent : no background at all.
    weight : presses relative to the other rows.
    """

    name: str
    family: str
    tone_ms: tuple[float, float] = (50, 100)
    gap_ms: tuple[float, float] = (60, 200)
    level_dbm0: tuple[float, float] = (-16, -6)
    twist_db: float = 0.0
    deviation: tuple[float, float] = (0.0, 0.0)
    noise: str = ""
    snr_db: float = 0.0
    under: str = ""
    under_db: float = 0.0
    damage: str = ""
    clamp_ms: float = 0.0
    rise_ms: float = 0.0
    break_ms: float = 0.0
    silent: bool = False
    weight: int = 1


def _table() -> list[Condition]:
    rows = [
        Condition(f"tone {t} ms", "length", (t, t), (40, 200))
        for t in (15, 20, 25, 30, 40, 60, 80, 100, 200)
    ]
    rows += [
        Condition(f"level {d} dBm0", "level", level_dbm0=(d, d))
        for d in (-3, -9, -15, -20, -25, -30, -35, -40, -45)
    ]
    rows += [Condition(f"twist {d:+} dB", "twist", twist_db=d) for d in (-12, -8, -4, 4, 8, 12)]
    rows += [
        Condition(f"deviation {p:+} %", "deviation", deviation=(p / 100, p / 100))
        for p in (-1.8, -1.5, -1.0, 1.0, 1.5, 1.8)
    ]
    rows += [
        Condition(f"{kind} noise {d} dB", "noise", noise=kind, snr_db=d)
        for kind in ("white", "pink")
        for d in (20, 12, 9, 6, 3)
    ]
    rows += [
        Condition(f"over speech {d} dB", "speech", under="speech", under_db=d, weight=3)
        for d in (20, 15, 10, 6, 3, 0)
    ]
    rows += [
        Condition(f"over music {d} dB", "music", under="music", under_db=d) for d in (15, 10, 6)
    ]
    rows += [Condition(name, "damage", damage=name) for name in DAMAGE]
    rows += [
        Condition(f"clamped {c} ms", "clamped", (80, 160), (60, 200), clamp_ms=c, weight=2)
        for c in (5, 10, 15, 20)
    ]
    rows += [
        Condition("press 600 ms", "shape", (600, 600)),
        Condition("break 10 ms", "shape", (60, 120), break_ms=10),
        Condition("rise 5 ms", "shape", rise_ms=5),
        Condition("silent line", "silent", silent=True),
        Condition("silent line, 40 ms", "silent", (40, 40), (40, 60), silent=True),
    ]
    return rows


CONDITIONS: Final = tuple(_table())

_CLAMPED_BARE: Final = frozenset(f"clamped {c} ms" for c in (5, 10, 15))
_SPEECH_UNDER_10: Final = frozenset(f"over speech {d} dB" for d in (6, 3, 0))


def _names(without: frozenset[str] = frozenset()) -> frozenset[str]:
    return frozenset(c.name for c in CONDITIONS) - without


GROUPS: Final[dict[str, frozenset[str]]] = {
    "all": _names(),
    "guard's scope": _names(_CLAMPED_BARE | _SPEECH_UNDER_10),
    "over speech 6 dB": frozenset({"over speech 6 dB"}),
    "over speech 0 dB": frozenset({"over speech 0 dB"}),
    "clamped": frozenset(c.name for c in CONDITIONS if c.clamp_ms),
}
"""Groups of conditions a figure is given for. ``guard's scope`` is all but clamped onsets of 15 ms
or less (masked by their events) and tones less than 10 dB over the customer's own speech."""


def make_call(condition: Condition, n_presses: int = PRESSES, seed: int = 1) -> LeakCall:
    """Synthesize one condition.

    Parameters
    ----------
    condition : row of the table.
    n_presses : presses before the row's weight.
    seed : of everything random; the condition's name goes into it too.
    """
    return make_call_and_tones(condition, n_presses, seed)[0]


def make_call_and_tones(
    condition: Condition, n_presses: int = PRESSES, seed: int = 1
) -> tuple[LeakCall, Float32]:
    """Synthesize one condition; beside the call its tones alone, (n,), before any damage."""
    rng = np.random.default_rng([seed, *condition.name.encode()])
    n = n_presses * condition.weight
    keys = rng.permutation(np.arange(n) % N_KEYS).astype(np.int64)
    start, end = _schedule(condition, n, rng)
    n_samples = int(end[-1]) + samples(LEAD_MS)
    tones, power = _tones(condition, keys, start, end, n_samples, rng)
    audio = tones + _background(condition, power, n_samples, rng)
    audio = np.clip(audio, -1, 1).astype(np.float32)
    if condition.damage:
        audio = DAMAGE[condition.damage](audio)
    told = _told(condition, start, rng)
    event_end = end if condition.clamp_ms else end[:0]
    call = LeakCall(condition.name, to_pcm16(audio), keys, start, end, told, event_end)
    return call, tones


def _told(c: Condition, start: Int64, rng: np.random.Generator) -> Int64:
    """Where the events say the presses began: after the tone was cut, at most 60 ms late."""
    if not c.clamp_ms:
        return start[:0]
    late = rng.uniform(c.clamp_ms, EVENT_LATE_MS, start.size) * RATE_HZ / 1000
    return start + np.rint(late).astype(np.int64)


def _schedule(c: Condition, n: int, rng: np.random.Generator) -> tuple[Int64, Int64]:
    length = np.rint(rng.uniform(*c.tone_ms, n) * RATE_HZ / 1000).astype(np.int64)
    gap = np.rint(rng.uniform(*c.gap_ms, n) * RATE_HZ / 1000).astype(np.int64)
    start = samples(LEAD_MS) + np.concatenate(([0], np.cumsum(length + gap)[:-1]))
    return start, start + length


def _tones(  # noqa: PLR0917 a call is that many things
    c: Condition, keys: Int64, start: Int64, end: Int64, n_samples: int, rng: np.random.Generator
) -> tuple[Float32, float]:
    """Sum of all tones, and the mean power of a tone pair."""
    out = np.zeros(n_samples)
    powers = []
    for key, first, last in zip(keys, start, end, strict=True):
        stronger = 10 ** ((rng.uniform(*c.level_dbm0) - FULL_SCALE_DBM0) / 20)
        low = stronger * 10 ** (min(0.0, -c.twist_db) / 20)
        high = stronger * 10 ** (min(0.0, c.twist_db) / 20)
        scale = 1 + rng.uniform(*c.deviation)
        phase = rng.uniform(0, 2 * np.pi, 2)
        t = np.arange(last - first) / RATE_HZ * 2 * np.pi * scale
        tone = low * np.cos(LOW_HZ[key // 4] * t + phase[0])
        tone += high * np.cos(HIGH_HZ[key % 4] * t + phase[1])
        out[first:last] += tone * _envelope(c, int(last - first))
        powers.append((low**2 + high**2) / 2)
    return out.astype(np.float32), float(np.mean(powers))


def _envelope(c: Condition, n: int) -> Float32:
    shape = np.ones(n)
    if c.rise_ms:
        rise = samples(c.rise_ms)
        ramp = np.sin(np.pi / 2 * (np.arange(rise) + 0.5) / rise) ** 2
        shape[:rise] *= ramp
        shape[-rise:] *= ramp[::-1]
    if c.break_ms:
        middle, half = n // 2, samples(c.break_ms) // 2
        shape[middle - half : middle + half] = 0
    if c.clamp_ms:
        shape[samples(c.clamp_ms) :] = 0
    return shape.astype(np.float32)


def _background(c: Condition, power: float, n: int, rng: np.random.Generator) -> Float32:
    if c.silent:
        return np.zeros(n, np.float32)
    floor = 10 ** (rng.uniform(-65, -55) / 20) / np.sqrt(2)
    out = rng.standard_normal(n) * floor
    if c.noise:
        level = np.sqrt(power * 10 ** (-c.snr_db / 10))
        noise = rng.standard_normal(n) if c.noise == "white" else _pink(n, rng)
        out += noise * level
    if c.under:
        out += cover(c.under, n, rng) * np.sqrt(power * 10 ** (-c.under_db / 10))
    return np.asarray(out, np.float32)


def _pink(n: int, rng: np.random.Generator) -> Float32:
    """Noise of 3 dB less per octave above 50 Hz, RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 50.0)
    noise = np.fft.irfft(spectrum / np.sqrt(frequency), n)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), np.float32)
