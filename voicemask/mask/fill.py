"""What stands in for a masked stretch: comfort noise, a flat tone, or silence.

A fill is a function of the sample's place in the stream and of the level of the background before
the stretch, and of nothing else: it cannot tell the key.
"""

from __future__ import annotations

from functools import cache
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from voicemask.capture.policy import Fill

F32 = NDArray[np.float32]

TONE_HZ: Final = 400
"""The flat tone: outside both DTMF groups, dull enough to talk over."""
TONE_DBFS: Final = -30.0
QUIETEST_DBFS: Final = -72.0
"""Comfort noise is never fainter: a dead line sounds like a lost call."""
LOUDEST_DBFS: Final = -38.0
"""Comfort noise is never louder, whatever stood for background."""

_TABLE_BITS: Final = 17
NOISE_MASK: Final = (1 << _TABLE_BITS) - 1
"""A place in stream time, by this, is an index into the loop of noise."""
_NOISE_SEED: Final = 3389  # RFC 3389, comfort noise
_ROLL_OFF: Final = 0.6
"""One-pole low pass: background noise falls with frequency."""


@cache
def noise_table() -> F32:
    """A loop of noise, root mean square 1.0; read from a place that the stream's time gives."""
    white = np.random.default_rng(_NOISE_SEED).standard_normal(1 << _TABLE_BITS)
    spectrum = np.fft.rfft(white)
    pole = _ROLL_OFF * np.exp(-2j * np.pi * np.arange(len(spectrum)) / (1 << _TABLE_BITS))
    shaped = np.fft.irfft(spectrum / (1 - pole))
    return np.asarray(shaped / np.sqrt(np.mean(shaped**2)), np.float32)


@cache
def tone_table(rate_hz: int) -> F32:
    """One second of the flat tone: whole periods, so the phase needs no large numbers."""
    phase = np.arange(rate_hz) * (2 * np.pi * TONE_HZ / rate_hz)
    return np.asarray(10 ** (TONE_DBFS / 20) * np.sin(phase), np.float32)


def filled(
    fill: Fill, *, channel: int, start: int, end: int, rate_hz: int, level_dbfs: float
) -> F32:
    """Make the fill of samples ``[start, end)``.

    Parameters
    ----------
    fill : the kind.
    channel : two channels get different noise.
    start, end : samples from the start of the stream at `rate_hz`.
    level_dbfs : of the background, relative to a full-scale sine; for comfort noise only.

    Returns
    -------
    Audio of shape (end - start,), full scale = +-1.0.
    """
    match fill:
        case Fill.NOISE:
            table = noise_table()
            place = (np.arange(start, end) + 40_503 * channel) & (len(table) - 1)
            noise: F32 = table[place] * np.float32(10 ** (level_dbfs / 20) / np.sqrt(2))
            return noise
        case Fill.TONE:
            return tone_table(rate_hz)[np.arange(start, end) % rate_hz]
        case Fill.SILENCE:
            return np.zeros(end - start, np.float32)
        case _:
            assert_never(fill)
