"""Suppression: taking the tones' subspace out of every block, without any decision.

Each 10 ms block (hop 5 ms, sine window on analysis and synthesis) is projected away from the span
of the eight tones and of their neighbours within the tolerance. Whatever was keyed, nothing of it
is left in a block: an onset too short to detect, a tone under speech, one too faint to hear. Speech
loses the same band.

The windows' squares add up to one, so a stretch without anything in the band comes back as it was.
Each block is one matrix product of a fixed shape, so the result does not depend on batching.

References
----------
benchmarks/leak and benchmarks/harm print what attacks still read, and what is left of speech.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.dtmf.goertzel import TONES_HZ

F32 = NDArray[np.float32]

HOP_MS: Final = 5
SPREAD_PERCENT: Final = (-1.8, 0.0, 1.8)
"""Neighbours of each tone that are taken out too: the widest a keypad may be off (Q.24, NTT)."""
_RANK_FLOOR: Final = 0.05
"""Directions weaker than this share of the strongest are combinations of the others."""
_TILE: Final = 64


@cache
def subspace(rate_hz: int) -> tuple[F32, F32]:
    """Window (n,) and orthonormal basis (n, rank) of the windowed tones."""
    n_block = 2 * hop_samples(rate_hz)
    time = np.arange(n_block) + 0.5
    window = np.sin(np.pi * time / n_block)
    hz = np.outer(TONES_HZ, 1 + np.array(SPREAD_PERCENT) / 100).ravel()
    phase = 2 * np.pi * np.outer(time / rate_hz, hz)
    tones = window[:, None] * np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    basis, strength, _ = np.linalg.svd(tones, full_matrices=False)
    kept = basis[:, strength > _RANK_FLOOR * strength[0]]
    return window.astype(np.float32), np.ascontiguousarray(kept, np.float32)


def hop_samples(rate_hz: int) -> int:
    """Half a block."""
    return round(HOP_MS * rate_hz / 1000)


class Suppressor:
    """Streaming suppression of several channels.

    Parameters
    ----------
    n_channels : channels fed together.
    rate_hz : sample rate.

    Notes
    -----
    The output has the input's time line and lags it by at most one block.
    """

    def __init__(self, n_channels: int, rate_hz: int) -> None:
        self._hop = hop_samples(rate_hz)
        self._window, self._basis = subspace(rate_hz)
        # the first block starts one hop before the stream
        self._held = np.zeros((n_channels, self._hop), np.float32)
        self._overlap = np.zeros((n_channels, self._hop), np.float32)
        self._n_skip = self._hop
        self._n_in = 0
        self._n_out = 0

    def push(self, audio: F32) -> F32:
        """Feed (n_channels, n) samples; give those that are done, (n_channels, m)."""
        self._n_in += audio.shape[1]
        held = np.concatenate([self._held, audio], axis=1)
        hop = self._hop
        n_blocks = max(0, held.shape[1] // hop - 1)
        out = np.empty((held.shape[0], n_blocks * hop), np.float32)
        for channel, samples in enumerate(held):
            if n_blocks:
                out[channel] = self._project(channel, samples[: (n_blocks + 1) * hop])
        self._held = held[:, n_blocks * hop :].copy()
        skip = min(self._n_skip, out.shape[1])
        self._n_skip -= skip
        self._n_out += out.shape[1] - skip
        return out[:, skip:]

    def flush(self) -> F32:
        """End of the input: give the rest."""
        rest = self._n_in - self._n_out
        out = self.push(np.zeros((self._held.shape[0], 2 * self._hop), np.float32))
        return out[:, :rest]

    def _project(self, channel: int, samples: F32) -> F32:
        """Suppress n + 1 hops of samples into n finished hops."""
        hop = self._hop
        n_blocks = len(samples) // hop - 1
        n_tiled = -(-n_blocks // _TILE) * _TILE
        blocks = np.zeros((n_tiled, 2 * hop), np.float32)
        hops = samples.reshape(n_blocks + 1, hop)
        blocks[:n_blocks, :hop] = hops[:-1]
        blocks[:n_blocks, hop:] = hops[1:]
        blocks *= self._window
        tiles = blocks.reshape(-1, _TILE, 2 * hop)
        inside = np.matmul(np.matmul(tiles, self._basis), self._basis.T)
        blocks -= inside.reshape(n_tiled, 2 * hop)
        blocks *= self._window
        halves = blocks[:n_blocks].reshape(n_blocks, 2, hop)
        out = halves[:, 0].copy()
        out[0] += self._overlap[channel]
        out[1:] += halves[:-1, 1]
        self._overlap[channel] = halves[-1, 1]
        return out.ravel()
