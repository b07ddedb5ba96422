"""Calls with known digits, for the people who test: ours, and yours through the pytest plugin.

The same arguments and seed give the same samples on one machine; across machines the last bit of a
float may differ, which rounding to 16 bits hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS, Digit

Float32 = NDArray[np.float32]

_LOW_HZ: Final = (697.0, 770.0, 852.0, 941.0)
_HIGH_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)
"""ITU-T Q.23."""


@dataclass(frozen=True, slots=True)
class TrueTone:
    """One tone as it was made: ``[start, end)`` in samples of its channel."""

    channel: int
    start: int
    end: int
    digit: Digit


@dataclass(frozen=True, slots=True)
class SyntheticCall:
    """A made call and the truth about it.

    Parameters
    ----------
    audio : (n_channels, n) float32, full scale is +-1.0.
    rate_hz : samples per second.
    truth : its tones, in order.
    """

    audio: Float32
    rate_hz: int
    truth: tuple[TrueTone, ...]


def dtmf_tone(
    key: str,
    *,
    tone_ms: float = 80.0,
    level_dbfs: float = -10.0,
    twist_db: float = 0.0,
    deviation_percent: float = 0.0,
    rate_hz: int = 8000,
    phases: tuple[float, float] = (0.0, 0.0),
) -> Float32:
    """Make one tone, (n,) float32.

    Parameters
    ----------
    key : one of ``0-9 * # A-D``.
    tone_ms : length.
    level_dbfs : level of the stronger of the two tones, dB relative to a full-scale sine.
    twist_db : high group minus low group, signed.
    deviation_percent : both frequencies off by this, signed.
    rate_hz : samples per second.
    phases : start phases of the low and the high tone, radians.

    Raises
    ------
    SecretError
        The text is not one key.
    """
    Digit.of(key)  # refuses what is no key
    index = KEYS.index(key.upper())
    low_db = level_dbfs - max(0.0, twist_db)
    high_db = level_dbfs + min(0.0, twist_db)
    time_s = np.arange(round(tone_ms * rate_hz / 1000)) / rate_hz
    turns = 2 * np.pi * (1 + deviation_percent / 100) * time_s
    low = 10 ** (low_db / 20) * np.sin(_LOW_HZ[index // 4] * turns + phases[0])
    high = 10 ** (high_db / 20) * np.sin(_HIGH_HZ[index % 4] * turns + phases[1])
    return (low + high).astype(np.float32)


def make_call(
    keys: str | Sequence[str],
    *,
    tone_ms: float = 80.0,
    pause_ms: float = 80.0,
    level_dbfs: float = -10.0,
    twist_db: float = 0.0,
    deviation_percent: float = 0.0,
    rate_hz: int = 8000,
    lead_ms: float = 500.0,
    tail_ms: float = 500.0,
    over_speech: Float32 | None = None,
    noise_dbfs: float | None = -60.0,
    n_channels: int = 1,
    channel: int = 0,
    seed: int = 0,
) -> SyntheticCall:
    """Make a call in which these keys are pressed.

    Parameters
    ----------
    keys : what is pressed, in order; may be empty.
    tone_ms, pause_ms : rhythm.
    level_dbfs, twist_db, deviation_percent : as `dtmf_tone`.
    lead_ms, tail_ms : before the first and after the last tone.
    over_speech : (n,) at `rate_hz`, added as it is to the channel of the tones, repeated or cut to
        the length of the call; the tones go over it.
    noise_dbfs : white noise on every channel, its RMS relative to that of a full-scale sine; None
        for none.
    n_channels, channel : how many channels, and which one holds the tones.
    seed : of noise and of the tones' start phases.

    Raises
    ------
    SecretError
        A key is not one.
    """
    random = np.random.default_rng(seed)
    pieces, truth = [], []
    position = round(lead_ms * rate_hz / 1000)
    for key in keys:
        first, second = random.uniform(0, 2 * np.pi, 2)
        tone = dtmf_tone(
            key,
            tone_ms=tone_ms,
            level_dbfs=level_dbfs,
            twist_db=twist_db,
            deviation_percent=deviation_percent,
            rate_hz=rate_hz,
            phases=(float(first), float(second)),
        )
        pieces.append(tone)
        truth.append(TrueTone(channel, position, position + len(tone), Digit.of(key)))
        position += len(tone) + round(pause_ms * rate_hz / 1000)
    n_samples = position + round(tail_ms * rate_hz / 1000)
    audio = _background(random, n_channels, n_samples, noise_dbfs)
    if over_speech is not None and len(over_speech):
        audio[channel] += np.resize(over_speech.astype(np.float32), n_samples)
    for mark, tone in zip(truth, pieces, strict=True):
        audio[channel, mark.start : mark.end] += tone
    return SyntheticCall(np.clip(audio, -1.0, 1.0), rate_hz, tuple(truth))


def _background(
    random: np.random.Generator, n_channels: int, n_samples: int, noise_dbfs: float | None
) -> Float32:
    if noise_dbfs is None:
        return np.zeros((n_channels, n_samples), np.float32)
    rms = 10 ** (noise_dbfs / 20) / np.sqrt(2)
    noise = random.standard_normal((n_channels, n_samples), dtype=np.float32)
    return noise * np.float32(rms)
