"""Loudness of telephone audio after ITU-R BS.1770-4, one channel, at 8 kHz.

K-weighting (annex 1: a high shelf of 4 dB near 1.7 kHz and a high pass near 38 Hz, here designed
for 8 kHz by the bilinear transform from the analogue prototypes), blocks of 400 ms at 75 % overlap,
absolute gate at -70 LUFS, relative gate 10 LU under the gated mean.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

RATE_HZ: Final = 8000
SHELF: Final = (1681.974450955533, 0.7071752369554196, 3.999843853973347)
"""Frequency, Q and gain of the prototype behind BS.1770's 48 kHz shelf coefficients."""
HIGH_PASS: Final = (38.13547087602444, 0.5003270373238773)
"""Frequency and Q of the prototype behind its high pass."""
OFFSET_DB: Final = -0.691
ABSOLUTE_GATE_LUFS: Final = -70.0
RELATIVE_GATE_LU: Final = -10.0


def k_weighting(rate_hz: int = RATE_HZ) -> Float64:
    """Second-order sections (2, 6) of the K-weighting."""
    frequency, q, gain_db = SHELF
    k = np.tan(np.pi * frequency / rate_hz)
    top = 10 ** (gain_db / 20)
    mid = top**0.4996667741545416
    shelf = np.array([top + mid * k / q + k * k, 2 * (k * k - top), top - mid * k / q + k * k])
    shelf = np.concatenate([shelf, [1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k]])
    frequency, q = HIGH_PASS
    k = np.tan(np.pi * frequency / rate_hz)
    high = np.array([1.0, -2.0, 1.0, 1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    high[:3] *= high[3]
    sections = np.vstack([shelf, high])
    return np.asarray(sections / sections[:, 3:4], np.float64)


def loudness_lufs(audio: Float32) -> float:
    """Give the gated loudness of audio (n,), full scale +-1; -inf when nothing passes the gate."""
    weighted = sosfilt(k_weighting(), audio.astype(np.float64))
    step = RATE_HZ // 10
    if audio.size < 4 * step:
        return float("-inf")
    power = np.square(weighted[: audio.size // step * step]).reshape(-1, step).mean(axis=1)
    blocks = np.convolve(power, np.full(4, 0.25), mode="valid")
    blocks = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if blocks.size == 0:
        return float("-inf")
    blocks = blocks[_lufs(blocks) > _lufs(blocks.mean()) + RELATIVE_GATE_LU]
    return float(_lufs(blocks.mean()))


def rms_db(audio: Float32) -> float:
    """Give the plain level of audio (n,), dB re full scale +-1."""
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-20))


def _lufs(power: Float64 | np.floating) -> Float64:
    return np.asarray(OFFSET_DB + 10 * np.log10(np.asarray(power) + 1e-20), np.float64)
