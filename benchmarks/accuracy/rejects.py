"""Sounds of the telephone network that are not key presses, and presses too short to count.

Each entry gives a recording without truth: whatever is decoded in it is false.

References: ITU-T E.180 and Q.35 (call progress), Q.320 (MF R1), Q.441 (R2), V.21, V.25, T.30 (CNG,
CED), ETSI EN 300 659 (caller ID: CAS and FSK), ITU-T Q.24 Annex A (tones under 20-25 ms, or more
than 3.5 % off, are to be rejected).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.material.keying import (
    HIGH_HZ,
    LOW_HZ,
    RATE_HZ,
    Keying,
    Recording,
    amplitude,
    keyed,
)  # fmt: skip

Make = Callable[[np.random.Generator], Recording]
Sound = NDArray[np.float64]

R1_HZ: Final = (700.0, 900.0, 1100.0, 1300.0, 1500.0, 1700.0)
R2_FORWARD_HZ: Final = (1380.0, 1500.0, 1620.0, 1740.0, 1860.0, 1980.0)
R2_BACKWARD_HZ: Final = (1140.0, 1020.0, 900.0, 780.0, 660.0, 540.0)
R1_LIKE_DTMF: Final = (700.0, 1500.0)
"""R1's digit 7 lies 0.4 and 1.6 % from the DTMF key 3: a receiver may take it for that."""


def _tones(hz: tuple[float, ...], ms: float, dbm0: float, rng: np.random.Generator) -> Sound:
    time_s = np.arange(round(ms * RATE_HZ / 1000)) / RATE_HZ
    parts = [np.sin(2 * np.pi * f * time_s + rng.uniform(0, 2 * np.pi)) for f in hz]
    return np.asarray(amplitude(dbm0) * np.sum(parts, axis=0), dtype=np.float64)


def _silent(ms: float) -> Sound:
    return np.zeros(round(ms * RATE_HZ / 1000))


def _recording(*sounds: Sound) -> Recording:
    whole = np.concatenate([_silent(300), *sounds, _silent(300)])
    return Recording(np.clip(whole, -1.0, 1.0).astype(np.float32), ())


def _cadence(
    *steps: tuple[tuple[float, ...], float, float], repeats: int = 10, dbm0: float = -10.0
) -> Make:
    """Play tones (Hz, ms on, ms off) in turn, over and over."""

    def make(rng: np.random.Generator) -> Recording:
        return _recording(
            *(
                part
                for _ in range(repeats)
                for hz, on_ms, off_ms in steps
                for part in (_tones(hz, on_ms, dbm0, rng), _silent(off_ms))
            )
        )

    return make


def _pairs(frequencies: tuple[float, ...], skip: tuple[float, ...] = ()) -> Make:
    pairs = [pair for pair in combinations(frequencies, 2) if pair != skip]
    return _cadence(*((pair, 70.0, 70.0) for pair in pairs), repeats=4)


def _untrue(keying: Keying) -> Make:
    """Key presses that a receiver is to ignore."""
    return lambda rng: replace(keyed(keying, rng), truth=())


def _fsk(
    space_hz: float, mark_hz: float, baud: float, seconds: float = 1.0, bursts: int = 8
) -> Make:
    def make(rng: np.random.Generator) -> Recording:
        parts: list[Sound] = []
        for _ in range(bursts):
            bits = rng.integers(0, 2, round(seconds * baud))
            hz = np.repeat(np.where(bits, mark_hz, space_hz), round(RATE_HZ / baud))
            parts += [amplitude(-13) * np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ), _silent(300)]
        return _recording(*parts)

    return make


def _sweep(low_hz: float, high_hz: float, period_s: float, harmonics: int = 1) -> Make:
    """A siren: frequency swings between two limits, triangular, for 30 s."""

    def make(rng: np.random.Generator) -> Recording:
        time_s = np.arange(30 * RATE_HZ) / RATE_HZ
        swing = np.abs(2 * ((time_s / period_s + rng.uniform()) % 1) - 1)
        phase = 2 * np.pi * np.cumsum(low_hz + (high_hz - low_hz) * swing) / RATE_HZ
        sound = sum(np.sin(order * phase) / order for order in range(1, harmonics + 1))
        return _recording(amplitude(-8) * np.asarray(sound))

    return make


def _single_tones(rng: np.random.Generator) -> Recording:
    levels = (-3.0, -10.0, -20.0, -30.0)
    return _recording(
        *(
            part
            for dbm0 in levels
            for hz in LOW_HZ + HIGH_HZ
            for part in (_tones((hz,), 100, dbm0, rng), _silent(70))
        )
    )


def _same_group(rng: np.random.Generator) -> Recording:
    pairs = (*combinations(LOW_HZ, 2), *combinations(HIGH_HZ, 2))
    return _recording(
        *(part for pair in pairs * 4 for part in (_tones(pair, 100, -10, rng), _silent(70)))
    )


def _qam(carrier_hz: float, baud: float) -> Make:
    """A voice-band modem after training: random symbols around one carrier, 20 s."""

    def make(rng: np.random.Generator) -> Recording:
        n_samples = 20 * RATE_HZ
        step = RATE_HZ / baud
        symbols = rng.choice((-3, -1, 1, 3), (2, int(n_samples / step) + 2))
        at = (np.arange(n_samples) / step).astype(int)
        level = symbols[0, at] + 1j * symbols[1, at]
        carrier = np.exp(2j * np.pi * carrier_hz * np.arange(n_samples) / RATE_HZ)
        return _recording(amplitude(-13) / 4 * np.real(level * carrier))

    return make


_PLAIN: Final = Keying()


def _short(ms: float) -> Make:
    return _untrue(replace(_PLAIN, tone_ms=ms, pause_ms=100))


def _off(low: float, high: float) -> Make:
    return _untrue(replace(_PLAIN, low_percent=low, high_percent=high))


REJECTS: Final[dict[str, Make]] = {
    **{f"{ms} ms tones": _short(ms) for ms in (10, 15, 20, 22)},
    "both tones 3.5 % high": _off(3.5, 3.5),
    "both tones 3.5 % low": _off(-3.5, -3.5),
    "tones 3.5 % apart each": _off(3.5, -3.5),
    "low tone 5 % off": _off(5, 0),
    "high tone 4 % off": _off(0, 4),
    "both tones 4.5 % high": _off(4.5, 4.5),
    "both tones 6 % low": _off(-6, -6),
    "both tones 8 % high": _off(8, 8),
    "high tone 8 % off": _off(0, 8),
    "-60 dBm0 per tone": _untrue(_PLAIN.at_level(-60)),
    "single tones": _single_tones,
    "pairs within one group": _same_group,
    "US dial tone": _cadence(((350.0, 440.0), 10000, 500), repeats=2),
    "US busy": _cadence(((480.0, 620.0), 500, 500)),
    "US ringback": _cadence(((440.0, 480.0), 2000, 1000), repeats=6),
    "UK dial tone": _cadence(((350.0, 450.0), 10000, 500), repeats=2),
    "EU 425 Hz": _cadence(((425.0,), 250, 250), ((425.0,), 1000, 400)),
    "AU 400-425-450 Hz": _cadence(((400.0, 425.0, 450.0), 400, 200)),
    "special information tone": _cadence(
        ((950.0,), 330, 0), ((1400.0,), 330, 0), ((1800.0,), 330, 1000)
    ),
    "special information tone, US": _cadence(
        ((985.2,), 380, 0), ((1428.5,), 276, 0), ((1776.7,), 380, 500)
    ),
    "howler": _cadence(((1400.0, 2060.0, 2450.0, 2600.0), 100, 100), repeats=50, dbm0=-12),
    "fax CNG": _cadence(((1100.0,), 500, 3000), repeats=5),
    "fax CED": _cadence(((2100.0,), 3300, 500), repeats=3),
    "MF R1": _pairs(R1_HZ, R1_LIKE_DTMF),
    "R2 forward": _pairs(R2_FORWARD_HZ),
    "R2 backward": _pairs(R2_BACKWARD_HZ),
    "caller ID alert (CAS)": _cadence(((2130.0, 2750.0), 80, 400), repeats=30),
    "caller ID FSK, Bell 202": _fsk(2200, 1200, 1000),
    "V.21, low channel": _fsk(1180, 980, 320),
    "V.21, high channel": _fsk(1850, 1650, 320),
    "V.22 guard tone": _cadence(((1200.0, 1800.0), 3000, 200), repeats=4),
    "modem, 1800 Hz carrier": _qam(1800, 2400),
    "modem, 1200 Hz carrier": _qam(1200, 600),
    "siren, slow": _sweep(500, 1800, 4.0, harmonics=3),
    "siren, fast": _sweep(600, 1500, 0.3, harmonics=3),
    "siren, pure": _sweep(600, 1700, 2.0),
    "two-tone horn": _cadence(((435.0,), 500, 0), ((580.0,), 500, 0), repeats=20),
}
