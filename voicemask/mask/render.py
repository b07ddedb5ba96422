"""Masked audio of many packets at once, each from its own samples and a little on either side.

What a live leg needs is a masker without memory: given a packet and 10 ms before and after it, say
what may leave in its place. The audio is cut into blocks of 10 ms (hop 5 ms, sine window on
analysis and synthesis); each becomes one of three things:

- **suppressed**: projected away from the span of the eight tones and their neighbours;
- **fill**: where the pair explains nearly all of a block, and in the blocks beside it: what the
  projection leaves of a pure tone is little, but it tells the key to whoever learns its shape;
- **kept**: with the method `fill`, where nothing asked for fill.

A block that touches a sample which is not there (before a gap, after the newest packet) is fill.

Invariant: a packet's output depends on its row alone, not on the rows beside it: the products are
BLAS calls of one fixed shape, the rest is elementwise.

References
----------
benchmarks/leak/run.py and benchmarks/path/leak.py print what attacks still read of the output,
benchmarks/harm/run.py what is left of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from voicemask.capture.policy import Fill
from voicemask.mask.fill import NOISE_MASK, noise_table, tone_table
from voicemask.mask.suppress import hop_samples, subspace

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

FULL_SCALE: Final = np.float32(32768)
PURE: Final = np.float32(0.9)
"""A block of which the tones' span explains more than this is filled, not only suppressed."""
_FAINT: Final = np.float32(1e-7 * 2**30)
"""Energy of a windowed block below which nothing is heard, 16-bit units: -83 dBFS."""
_TILE: Final = 64


def lead_samples(rate_hz: int) -> int:
    """Samples a row needs on either side of its packet: 10 ms."""
    return 2 * hop_samples(rate_hz)


def row_samples(n_packet: int, rate_hz: int) -> int:
    """Length of the row of a packet of `n_packet` samples: whole hops, a lead on either side."""
    hop = hop_samples(rate_hz)
    return (-(-n_packet // hop) + 4) * hop


class Rendered:
    """Output of `render`.

    Parameters
    ----------
    audio : (m, n_packet) masked packets, 16-bit units.
    touched : (m, n_packet) bool, samples that are not the ones that came in; None for all.
    quiet_power : (m,) mean square of each row's quietest suppressed block; infinite where all is
        fill. None where it was not asked for.
    """

    __slots__ = ("audio", "quiet_power", "touched")

    def __init__(
        self, audio: F32, touched: NDArray[np.bool_] | None, quiet_power: F32 | None
    ) -> None:
        self.audio = audio
        self.touched = touched
        self.quiet_power = quiet_power


def render(
    rows: F32,
    n_packet: int,
    rate_hz: int,
    unsafe: NDArray[np.bool_] | None,
    *,
    suppresses: bool,
    fill: Fill,
    positions: Sequence[int],
    levels_dbfs: Sequence[float],
    measures: bool = True,
) -> Rendered:
    """Mask packets.

    Parameters
    ----------
    rows : (m, row_samples) contiguous, 16-bit units: the packet from `lead_samples` on.
    n_packet : samples of each packet.
    rate_hz : sample rate.
    unsafe : (m, row_samples // hop) bool, hops that are not there or are to be filled;
        None for none.
    suppresses : take the tones out of what is not filled; otherwise it is kept.
    fill : what stands in.
    positions : (m,) stream time of each packet's first sample; the fill depends on it.
    levels_dbfs : (m,) level of the background, for comfort noise.
    measures : look for the quietest block of each row.
    """
    hop = hop_samples(rate_hz)
    m, n_row = rows.shape
    n_hops = n_row // hop
    hops = rows.reshape(m, n_hops, hop)
    out = hops[:, 2:-2].copy()
    is_fill: NDArray[np.bool_] | None = None
    if unsafe is not None:
        is_fill = unsafe[:, :-1] | unsafe[:, 1:]
    quiet: F32 | None = None
    if suppresses:
        shares, inside, energy = _shares(rows, hop, rate_hz)
        is_pure = inside > PURE * energy
        is_pure &= energy > _FAINT
        is_fill = is_pure if is_fill is None else is_fill | is_pure
        is_fill = _widened(is_fill) if is_fill.any() else None
        if measures:
            rest = energy - inside
            if is_fill is not None:
                rest[is_fill] = np.inf
            # the window's mean square is one half
            quiet = np.maximum(rest.min(axis=1), 0) / np.float32(hop)
        if is_fill is not None:
            shares[is_fill] = 0
        out -= _back(shares, rate_hz)
    wanted = None if is_fill is None else is_fill[:, 1:-1]
    if wanted is not None and wanted.any():
        row, block = np.nonzero(wanted)
        where = np.array(positions, np.int64)[row] + (block - 1) * hop
        levels = np.array(levels_dbfs, np.float32)[row]
        # both windows take all of the audio away, and put the fill in its place
        away = np.concatenate([hops[row, block + 1], hops[row, block + 2]], axis=1)
        away -= _filled(fill, where, 2 * hop, rate_hz, levels)
        away *= _matrices(rate_hz).window_squared
        _subtract(out, row, block - 1, away[:, :hop])
        _subtract(out, row, block, away[:, hop:])
    touched = None
    if not suppresses:
        touched = np.zeros((m, n_packet), bool)
        if wanted is not None:
            by_hop = wanted[:, :-1] | wanted[:, 1:]
            touched = np.repeat(by_hop, hop, axis=1)[:, :n_packet]
    return Rendered(out.reshape(m, -1)[:, :n_packet], touched, quiet)


def _subtract(out: F32, row: I64, at: I64, away: F32) -> None:
    """Subtract from hops ``out[row, at]``, as far as they are the packet's; no hop comes twice."""
    inside = (at >= 0) & (at < out.shape[1])
    out[row[inside], at[inside]] -= away[inside]


class _Matrices(NamedTuple):
    """The tones' span by halves of a block, windows over it.

    Parameters
    ----------
    to_shares : (hop, 2 * rank) of a hop as a block's first half, and as its second.
    to_energy : (hop, 2) the same of squares.
    to_samples : (2 * rank, hop) a hop's samples from the block it is the second half of, and from
        the one it is the first half of.
    window_squared : (2 * hop,)
    """

    to_shares: F32
    to_energy: F32
    to_samples: F32
    window_squared: F32


@cache
def _matrices(rate_hz: int) -> _Matrices:
    window, basis = subspace(rate_hz)
    hop = len(window) // 2
    windowed = window[:, None] * basis
    squared = window**2
    return _Matrices(
        np.ascontiguousarray(np.concatenate([windowed[:hop], windowed[hop:]], axis=1)),
        np.ascontiguousarray(np.stack([squared[:hop], squared[hop:]], axis=1)),
        np.ascontiguousarray(np.concatenate([windowed[hop:], windowed[:hop]], axis=1).T),
        squared,
    )


def _shares(rows: F32, hop: int, rate_hz: int) -> tuple[F32, F32, F32]:
    """Shares of each block in the tones' span (m, n, rank), their energy and the block's (m, n)."""
    to_shares, to_energy, _, _ = _matrices(rate_hz)
    m, n_row = rows.shape
    n_hops = n_row // hop
    n = m * n_hops
    storage = _tiled(n, hop)
    storage[:n] = rows.reshape(n, hop)
    tiles = storage.reshape(-1, _TILE, hop)
    by_half = np.matmul(tiles, to_shares).reshape(len(storage), 2, -1)[:n]
    by_half = by_half.reshape(m, n_hops, 2, -1)
    shares = by_half[:, :-1, 0] + by_half[:, 1:, 1]
    np.multiply(storage, storage, out=storage)
    squares = np.matmul(tiles, to_energy).reshape(len(storage), 2)[:n].reshape(m, n_hops, 2)
    energy = squares[:, :-1, 0] + squares[:, 1:, 1]
    inside = np.einsum("mbk,mbk->mb", shares, shares)
    return shares, inside, energy


def _back(shares: F32, rate_hz: int) -> F32:
    """What the shares (m, n, rank) are in samples of the packet's hops: (m, n - 3, hop)."""
    m, n_blocks, rank = shares.shape
    n_out = n_blocks - 3
    n = m * n_out
    storage = _tiled(n, 2 * rank)
    pairs = storage[:n].reshape(m, n_out, 2, rank)
    pairs[:, :, 0] = shares[:, 1:-2]
    pairs[:, :, 1] = shares[:, 2:-1]
    back = np.matmul(storage.reshape(-1, _TILE, 2 * rank), _matrices(rate_hz).to_samples)
    samples: F32 = back.reshape(len(storage), -1)[:n].reshape(m, n_out, -1)
    return samples


def _tiled(n: int, width: int) -> F32:
    """Room for n rows, in whole tiles; what is beyond them is zero."""
    storage = np.empty((-(-n // _TILE) * _TILE, width), np.float32)
    storage[n:] = 0
    return storage


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Set the neighbours of what is set, along each row."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    return wide


def _filled(fill: Fill, positions: I64, n: int, rate_hz: int, levels_dbfs: F32) -> F32:
    """Fill of `n` samples at each position (m,); shape (m, n)."""
    if fill is Fill.SILENCE:
        return np.zeros((len(positions), n), np.float32)
    place = positions[:, None] + np.arange(n)
    if fill is Fill.TONE:
        tone: F32 = tone_table(rate_hz)[place % rate_hz]
        return tone * FULL_SCALE
    gain = (10 ** (levels_dbfs / 20) / np.sqrt(2)).astype(np.float32) * FULL_SCALE
    noise: F32 = noise_table()[place & NOISE_MASK] * gain[:, None]
    return noise
