"""Five attacks on masked audio by someone who knows when each key was pressed.

All but `trained` rest on one statistic: the generalised likelihood ratio of a tone pair in noise of
unknown level. For a window x of L samples and the pair's four-dimensional subspace P it is
``-L/2 log(1 - |Px|^2 / |x|^2)``, comparable between windows of any length. For long windows the
pair may also be off its nominal frequencies.

- *any*: the best window of 5, 10, 20 or 40 ms from 50 ms before to 50 ms after the press.
- *body*: the sum over all windows of the press.
- *onset*: the best window of the first 60 ms.
- *tail*: the best window from 10 ms before to 50 ms after the end.
- *trained*: a linear discriminant that has seen what this masker makes of the other presses
  (benchmarks/leak/trained.py).

The search stops where the neighbouring press begins or ends. Guesses are indexes of keys,
``4 * row + column``.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.conditions import HIGH_HZ, LOW_HZ
from benchmarks.leak.press import N_KEYS, RATE_HZ, Float32, Int64, LeakCall, samples

DEVIATIONS: Final = (-0.015, 0.0, 0.015)
LONG_MS: Final = 20.0
"""From this window length on a deviation of 1.5 % costs fit, so it is searched."""
WINDOWS_MS: Final = (5.0, 10.0, 20.0, 40.0)
FLOOR: Final = (1 / 32768) ** 2
"""Power of one 16-bit step: keeps fits to rounding errors from counting."""
CHUNK: Final = 1 << 15
PAD: Final = samples(200)

Scores = NDArray[np.float32]
"""(n_presses, 16): the higher, the likelier the key."""


@cache
def pair_bases(length: int) -> Float32:
    """Orthonormal bases of the pairs' subspaces.

    Returns
    -------
    (length, n_deviations * 16 * 4) float32.
    """
    deviations = DEVIATIONS if length >= samples(LONG_MS) else (0.0,)
    t = np.arange(length) / RATE_HZ * 2 * np.pi
    bases = []
    for deviation in deviations:
        for low in LOW_HZ:
            for high in HIGH_HZ:
                phases = np.outer(t, np.array([low, high]) * (1 + deviation))
                bases.append(np.linalg.qr(np.hstack([np.cos(phases), np.sin(phases)]))[0])
    return np.hstack(bases).astype(np.float32)


def likelihood_ratio(audio: Float32, starts: Int64, length: int) -> Float32:
    """Log likelihood ratio of every pair in windows of one length.

    Parameters
    ----------
    audio : (n,) float32.
    starts : (n_windows,) first samples.
    length : samples of a window.

    Returns
    -------
    (n_windows, n_deviations, 16) float32, >= 0.
    """
    frames = np.lib.stride_tricks.sliding_window_view(audio, length)
    bases = pair_bases(length)
    out = np.empty((starts.size, bases.shape[1] // (4 * N_KEYS), N_KEYS), np.float32)
    for first in range(0, starts.size, CHUNK):
        x = frames[starts[first : first + CHUNK]]
        total = np.einsum("ij,ij->i", x, x) + np.float32(FLOOR * length)
        fit = np.square(x @ bases).reshape(len(x), -1, N_KEYS, 4).sum(axis=3)
        share = np.minimum(fit / total[:, None, None], np.float32(1 - 1e-6))
        out[first : first + CHUNK] = -0.5 * length * np.log1p(-share)
    return out


def _windows(lo: Int64, hi: Int64, length: int, hop: int) -> tuple[Int64, Int64]:
    """Windows inside each stretch, at least one each, and where each stretch's windows begin."""
    count = np.maximum((hi - lo - length) // hop + 1, 1)
    begin = np.concatenate(([0], np.cumsum(count)[:-1]))
    within = np.arange(int(count.sum())) - np.repeat(begin, count)
    return np.repeat(lo, count) + within * hop, begin


def best_window(audio: Float32, lo: Int64, hi: Int64) -> Scores:
    """Best window of any length within each stretch [lo, hi)."""
    best = np.zeros((lo.size, N_KEYS), np.float32)
    for window_ms in WINDOWS_MS:
        length = samples(window_ms)
        starts, begin = _windows(lo, hi, length, length // 4)
        ratio = likelihood_ratio(audio, starts, length).max(axis=1)
        best = np.maximum(best, np.maximum.reduceat(ratio, begin, axis=0))
    return best


def summed(audio: Float32, lo: Int64, hi: Int64, window_ms: float = 20.0) -> Scores:
    """Sum over windows at half their length, for the deviation that explains most."""
    length = samples(window_ms)
    starts, begin = _windows(lo, hi, length, length // 2)
    ratio = likelihood_ratio(audio, starts, length)
    return np.asarray(np.add.reduceat(ratio, begin, axis=0).max(axis=1), np.float32)


def padded(call: LeakCall, masked: Float32) -> tuple[Float32, Int64, Int64]:
    """Masked audio with room on both sides for windows, and the presses in it."""
    return np.pad(masked, (PAD, PAD)), call.start + PAD, call.end + PAD


def likelihood_attacks(call: LeakCall, masked: Float32) -> dict[str, Scores]:
    """Scores of the four attacks that need no training.

    Parameters
    ----------
    call : the truth.
    masked : (n,) float32, what the masker made of ``call.audio``.
    """
    audio, start, end = padded(call, masked)
    previous_end = np.concatenate(([0], end[:-1]))
    next_start = np.concatenate((start[1:], [audio.size]))
    before = np.maximum(start - samples(50), previous_end)
    after = np.minimum(end + samples(50), next_start)
    return {
        "any": best_window(audio, before, after),
        "body": summed(audio, start, end),
        "onset": best_window(
            audio, np.maximum(start - samples(5), previous_end),
            np.minimum(start + samples(60), next_start),
        ),
        "tail": best_window(audio, end - samples(10), after),
    }  # fmt: skip
