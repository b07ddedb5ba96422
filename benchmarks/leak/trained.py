"""The trained attack: a linear discriminant over what this masker made of other presses.

Features see everything the four likelihood attacks see (their scores per key), and beyond them the
energies at the eight tones and between them in short windows around both ends and over the body,
and the level frame by frame, which tells when fills begin and end and how loud they are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.attacks import FLOOR, Scores, padded
from benchmarks.leak.conditions import HIGH_HZ, LOW_HZ
from benchmarks.leak.press import N_KEYS, RATE_HZ, Float32, Int64, LeakCall, samples

Float64 = NDArray[np.float64]

EDGE_MS: Final = (-25, -15, -10, -5, 0, 5, 10, 20, 30, 45)
BETWEEN_HZ: Final = (650.0, 733.0, 811.0, 896.0, 1030.0, 1273.0, 1406.0, 1555.0, 1720.0)
N_FOLDS: Final = 20
SHRINKAGE: Final = 0.05


def _tone_energies(audio: Float32, starts: Int64, window_ms: float) -> Float64:
    """Log energies at tones and between them, relative to the window's mean; (n, 17)."""
    length = samples(window_ms)
    frames = np.lib.stride_tricks.sliding_window_view(audio, length)[starts]
    t = np.arange(length) / RATE_HZ
    turn = np.exp(-2j * np.pi * np.outer(t, (*LOW_HZ, *HIGH_HZ, *BETWEEN_HZ)))
    turn *= np.hanning(length + 2)[1:-1, None]
    bank = np.hstack([turn.real, turn.imag]).astype(np.float32)
    n = bank.shape[1] // 2
    parts = np.square(frames @ bank)
    log = np.log(parts[:, :n] + parts[:, n:] + FLOOR * length)
    return np.asarray(log - log.mean(axis=1, keepdims=True), np.float64)


def _levels(audio: Float32, anchors: Int64) -> Float64:
    """Log power of frames of 5 ms from 60 ms before to 60 ms after each anchor; (n, 24)."""
    length = samples(5)
    cumulated = np.concatenate(([0.0], np.cumsum(np.square(audio, dtype=np.float64))))
    edges = anchors[:, None] + np.arange(-12, 13) * length
    return np.asarray(np.log(np.diff(cumulated[edges], axis=1) / length + FLOOR), np.float64)


def _over_body(audio: Float32, start: Int64, end: Int64) -> Float64:
    """Mean log energies of up to five 20 ms windows spread over the press; (n, 17)."""
    last = np.maximum(end - samples(20), start)
    places = [start + ((last - start) * k) // 4 for k in range(5)]
    windows = [_tone_energies(audio, place, 20.0) for place in places]
    return np.asarray(np.mean(windows, axis=0), np.float64)


def features(call: LeakCall, masked: Float32, scores: dict[str, Scores]) -> Float64:
    """Everything a trained attacker looks at.

    Parameters
    ----------
    call : the truth (times only are used).
    masked : (n,) float32.
    scores : of the likelihood attacks.

    Returns
    -------
    (n_presses, n_features) float64.
    """
    audio, start, end = padded(call, masked)
    parts: list[Float64] = []
    for score in scores.values():
        relative = np.sqrt(score.astype(np.float64))
        parts.append(relative - relative.mean(axis=1, keepdims=True))
    for offset_ms in EDGE_MS:
        parts.append(_tone_energies(audio, start + samples(offset_ms), 10.0))
        parts.append(_tone_energies(audio, end + samples(offset_ms), 10.0))
    parts.append(_over_body(audio, start, end))
    parts.append(_levels(audio, start))
    parts.append(_levels(audio, end))
    return np.hstack(parts)


def discriminate(x: Float64, keys: Int64, seed: int = 0) -> Int64:
    """Guess every press by a shrunken linear discriminant that was trained without its fold.

    Parameters
    ----------
    x : (n, n_features).
    keys : (n,) truth, 0..15.
    seed : of the folds.

    Returns
    -------
    (n,) int64 guesses.
    """
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    onehot = np.eye(N_KEYS)[keys]
    fold = np.random.default_rng(seed).permutation(keys.size) % min(N_FOLDS, keys.size)
    gram, sums, counts = x.T @ x, onehot.T @ x, onehot.sum(axis=0)
    guesses = np.zeros(keys.size, np.int64)
    for k in range(int(fold.max()) + 1):
        test = fold == k
        held, held_hot = x[test], onehot[test]
        n_class = np.maximum(counts - held_hot.sum(axis=0), 1)
        means = (sums - held_hot.T @ held) / n_class[:, None]
        within = gram - held.T @ held - (means.T * n_class) @ means
        within /= n_class.sum()
        within = (1 - SHRINKAGE) * within + SHRINKAGE * np.diag(np.diag(within) + 1e-6)
        weights = np.linalg.solve(within, means.T)
        guesses[test] = np.argmax(held @ weights - 0.5 * np.sum(means.T * weights, axis=0), axis=1)
    return guesses
