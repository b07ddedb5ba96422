"""Maskers to compare: yardsticks that know the truth, simple ones, peers, and ours."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.signal import iirnotch, sosfilt, tf2sos

from benchmarks.leak.conditions import HIGH_HZ, LOW_HZ
from benchmarks.leak.press import RATE_HZ, Float32, LeakCall, samples
from benchmarks.leak.table import CallMasker

NOTCH_Q: Final = 15.0
"""Each notch is about as wide as the deviation a receiver must accept, +-1.8 % and its skirts."""


def unmasked(call: LeakCall) -> Float32:
    """Pass everything."""
    return call.audio


def truth(before_ms: float, after_ms: float) -> CallMasker:
    """Mute every press from `before_ms` before its true start to `after_ms` after its true end."""

    def mask(call: LeakCall) -> Float32:
        out = call.audio.copy()
        for start, end in zip(call.start, call.end, strict=True):
            out[start - samples(before_ms) : end + samples(after_ms)] = 0
        return out

    return mask


def notches(call: LeakCall) -> Float32:
    """Eight fixed notches in series, always on."""
    sos = np.vstack([tf2sos(*iirnotch(f, NOTCH_Q, RATE_HZ)) for f in (*LOW_HZ, *HIGH_HZ)])
    return sosfilt(sos, call.audio.astype(np.float64)).astype(np.float32)


MASKERS: Final[dict[str, CallMasker]] = {
    "none": unmasked,
    "truth, 5 ms late": truth(-5, 0),
    "truth": truth(0, 0),
    "truth, 40 ms either side": truth(40, 40),
    "notches": notches,
}
