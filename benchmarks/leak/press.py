"""A call with known key presses: what the attacker is granted, and what a masker is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000
N_KEYS = 16
FULL_SCALE_DBM0 = 3.14
"""Level of a full-scale sine, ITU-T G.711 (mu-law; A-law says 3.14 too)."""

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def samples(ms: float) -> int:
    """Samples of a time in milliseconds at 8 kHz."""
    return round(ms * RATE_HZ / 1000)


@dataclass(frozen=True, slots=True)
class LeakCall:
    """One channel of one condition.

    Parameters
    ----------
    condition : name of the condition.
    audio : (n,) float32, full scale +-1, on the 16-bit grid.
    keys, start, end : (n_presses,) int64; index ``4 * row + column`` of the key, and the stretch
        in which the customer held it, samples. This is what the attacker knows (but the keys).
    event_start, event_end : the same presses as their RFC 4733 events tell them; empty where the
        condition has no events.
    """

    condition: str
    audio: Float32
    keys: Int64
    start: Int64
    end: Int64
    event_start: Int64
    event_end: Int64


def to_pcm16(audio: NDArray[np.floating]) -> Float32:
    """Round to the 16-bit grid and clip, as a file or a linear codec would.

    Parameters
    ----------
    audio : any shape, full scale +-1.
    """
    steps = np.clip(np.rint(np.asarray(audio, np.float64) * 32768), -32768, 32767)
    return (steps / 32768).astype(np.float32)
