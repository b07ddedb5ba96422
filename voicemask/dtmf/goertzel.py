"""The Goertzel bank: eight tones in every 10 ms block, over many streams or one long file.

A Goertzel filter evaluated once a block is a correlation with a cosine and a sine, so a bank over
many blocks is one matrix product. The same code serves a tick (two blocks of each of 1000 streams)
and a file (thousands of blocks of one stream); only the memory order differs, so that the long axis
is always the contiguous one.

Invariant: a block's numbers do not depend on how the input was batched. Every product is a BLAS
call of one fixed shape (`_TILE` columns), so rounding is the same whatever stands beside a block;
what follows is elementwise. The tile is also small enough that BLAS stays on one thread and uses
its small-matrix path.

References
----------
ITU-T Q.23 (11/88) clause 6: the eight frequencies.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.dtmf.profile import Receiver

RATE_HZ: Final = 8000
"""The bank's sample rate."""
BLOCK: Final = 80
"""Samples in a block: 10 ms, the resolution of every decision."""
LOW_HZ: Final = (697, 770, 852, 941)
HIGH_HZ: Final = (1209, 1336, 1477, 1633)
TONES_HZ: Final = LOW_HZ + HIGH_HZ

_PAIR_COLUMNS: Final = np.array(
    [[p // 4, p // 4 + 8, p % 4 + 4, p % 4 + 12, 16] for p in range(16)]
)
_TILE: Final = 64
_WIDE: Final = 64
"""From this many streams on, streams and not blocks are the contiguous axis."""
_PIECE: Final = 2048
"""Blocks analysed at a time: their samples and spectra stay in the second-level cache."""
_WIDE_PIECE: Final = 2
"""The same over many streams: one tick."""
FULL_SCALE: Final = np.float32(32768)
"""Samples are kept in 16-bit units: integers need no scaling, and a power of two is exact."""

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


def _bank() -> F32:
    """Correlators, shape (16, BLOCK): eight cosines, eight negative sines, unit amplitude."""
    turns = np.outer(np.array(TONES_HZ, np.float64) / RATE_HZ, np.arange(BLOCK))
    phase = 2 * np.pi * (turns % 1.0)
    return np.concatenate([np.cos(phase), -np.sin(phase)]).astype(np.float32)


_BANK: Final = _bank()


class GoertzelBank:
    """Blocks of `n_streams` streams, with a window of the latest ones.

    Parameters
    ----------
    n_streams : streams fed together.
    receiver : thresholds; the gate's are used here.
    history_blocks : blocks that stay readable behind the newest one.

    Notes
    -----
    Block ``b`` of a stream covers its samples ``[b * BLOCK, (b + 1) * BLOCK)``; blocks are counted
    from the start of the stream. Samples are not kept, only their correlations.
    """

    def __init__(self, n_streams: int, receiver: Receiver, history_blocks: int) -> None:
        self.n_streams = n_streams
        self.n_blocks = 0
        """Blocks analysed so far (the same for every stream)."""
        self._history = history_blocks
        self._gate_fit = np.float32(receiver.gate_fit * BLOCK / 2)
        self._gate_twist = np.float32(10 ** (-receiver.gate_twist_db / 10))
        self._floor = np.float32(FULL_SCALE**2 * BLOCK / 2 * 10 ** (receiver.gate_level_dbfs / 10))
        self._wide = n_streams >= _WIDE
        self._rows = -(-n_streams // _TILE) * _TILE if self._wide else n_streams
        self._piece = _WIDE_PIECE if self._wide else _PIECE
        self._samples = np.zeros((self._rows, self._piece * BLOCK), np.float32)
        self._result = np.zeros((17, 0 if self._wide else _PIECE), np.float32)
        self._gates: list[NDArray[np.bool_]] = []
        self._scratch = np.zeros((16, self._rows if self._wide else _PIECE), np.float32)
        self._rest = np.zeros((n_streams, 0), np.float32)
        self._slots = 0
        self._at = np.zeros((self._rows, 0, 17), np.float32)
        self._reserve(history_blocks + _WIDE_PIECE)

    def _reserve(self, slots: int) -> None:
        """Make a ring of `slots` blocks, keeping those that are readable.

        Block ``b`` stands in slot ``b % slots``. The memory order is (block, tone, stream) for many
        streams and (stream, tone, block) for few, so that the long axis is contiguous; `_at` shows
        both as (stream, block, tone).
        """
        shape = (slots, 17, self._rows) if self._wide else (self._rows, 17, slots)
        table = np.zeros(shape, np.float32)  # 16 correlations, then the energy
        at = table.transpose(2, 0, 1) if self._wide else table.transpose(0, 2, 1)
        if self._slots:
            kept = np.arange(max(0, self.n_blocks - self._slots), self.n_blocks)
            at[:, kept % slots] = self._at[:, kept % self._slots]
        self._table, self._at, self._slots = table, at, slots

    def push(self, audio: F32 | NDArray[np.int16]) -> None:
        """Analyse what completes blocks; a shorter rest waits for the next call.

        Parameters
        ----------
        audio : shape (n_streams, n); float32 with full scale +-1.0, or int16.
        """
        n_rest = self._rest.shape[1]
        n_new = (n_rest + audio.shape[1]) // BLOCK
        if self._history + n_new > self._slots:
            self._reserve(self._history + n_new)
        gate = np.empty((n_new, self._rows) if self._wide else (self._rows, n_new), bool)
        taken = done = 0
        while done < n_new:
            slot = (self.n_blocks + done) % self._slots
            n_piece = min(self._piece, n_new - done, self._slots - slot)
            samples = self._samples[: self.n_streams, : n_piece * BLOCK]
            n_taken = n_piece * BLOCK - n_rest
            samples[:, :n_rest] = self._rest[:, :n_rest]
            _copy_in_units(samples[:, n_rest:], audio[:, taken : taken + n_taken])
            slots, blocks = slice(slot, slot + n_piece), slice(done, done + n_piece)
            if self._wide:
                self._analyse_across(self._table[slots], gate[blocks])
            else:
                self._analyse_along(self._table[:, :, slots], gate[:, blocks])
            taken, n_rest, done = taken + n_taken, 0, done + n_piece
        self._rest = np.concatenate([self._rest[:, :n_rest], _in_units(audio[:, taken:])], axis=1)
        self.n_blocks += n_new
        self._gates.append(gate)

    def take_gated(self) -> tuple[I64, I64, I64]:
        """Give the gated blocks of the calls since the last time this was asked.

        Blocks whose neighbours are known and shut are left out: one block is no run.

        Returns
        -------
        streams, blocks, pairs : shape (m,) each, ordered by stream, then block; the strongest low
            and high tone of each as ``4 * row + column``.
        """
        gate = np.concatenate(self._gates, axis=0 if self._wide else 1)
        self._gates.clear()
        _drop_alone(gate if self._wide else gate.T)
        outer, inner = np.divmod(np.flatnonzero(gate), max(1, gate.shape[1]))
        if self._wide:
            order = np.argsort(inner, kind="stable")
            outer, inner = inner[order], outer[order]
        n_blocks = gate.shape[0 if self._wide else 1]
        return self._plausible(outer, inner + self.n_blocks - n_blocks)

    def _plausible(self, streams: I64, blocks: I64) -> tuple[I64, I64, I64]:
        """Name the leading pair of gated blocks; leave out faint ones and single tones."""
        table = self._at[streams, blocks % self._slots]
        square = table[:, :16] ** 2
        power = square[:, :8] + square[:, 8:]
        row, column = power[:, :4].argmax(axis=1), power[:, 4:].argmax(axis=1)
        index = np.arange(len(streams))
        low, high = power[index, row], power[index, column + 4]
        kept = np.minimum(low, high) > np.maximum(low, high) * self._gate_twist
        kept &= table[:, 16] > self._floor
        kept = np.flatnonzero(kept)
        return streams[kept], blocks[kept], (4 * row + column)[kept]

    def _analyse_across(self, table: F32, gate: NDArray[np.bool_]) -> None:
        """Fill a few blocks of many streams: table (n, 17, rows), gate (n, rows)."""
        blocks = self._samples.reshape(self._rows, -1, BLOCK)[:, : len(table)]
        for i, row in enumerate(table):
            _correlate(blocks[:, i], row[:16])
            np.einsum("sk,sk->s", blocks[:, i], blocks[:, i], out=row[16])
            self._gate(row, gate[i])
        gate[:, self.n_streams :] = False

    def _analyse_along(self, table: F32, gate: NDArray[np.bool_]) -> None:
        """Fill many blocks of few streams: table (rows, 17, n), gate (rows, n)."""
        n_new = table.shape[2]
        n_tiled = -(-n_new // _TILE) * _TILE
        for row in range(self._rows):
            blocks = self._samples[row, : n_tiled * BLOCK].reshape(n_tiled, BLOCK)
            # in the cache first: the table's rows lie pages apart
            result = self._result[:, :n_tiled]
            _correlate(blocks, result[:16])
            np.einsum("nk,nk->n", blocks, blocks, out=result[16])
            self._gate(result[:, :n_new], gate[row])
            table[row] = result[:, :n_new]

    def _gate(self, table: F32, gate: NDArray[np.bool_]) -> None:
        """Tell which blocks may belong to a tone; table has shape (17, n), gate (n,)."""
        n = table.shape[1]
        # one scratch for all: temporaries of this size cost more in page faults than in sums
        power = np.multiply(table[:16], table[:16], out=self._scratch[:, :n])
        power = np.add(power[:8], power[8:], out=power[:8])
        pairs = np.maximum(power[0::2], power[1::2], out=self._scratch[8:12, :n])
        groups = np.maximum(pairs[0::2], pairs[1::2], out=self._scratch[12:14, :n])
        pair = np.add(groups[0], groups[1], out=self._scratch[14, :n])
        least = np.multiply(table[16], self._gate_fit, out=self._scratch[15, :n])
        np.greater(pair, least, out=gate)

    def pair_at(self, streams: I64, blocks: I64, pairs: I64) -> F32:
        """Correlations with a pair, and the energy: shape (*broadcast, 5), 16-bit units.

        Order: low cosine, low sine, high cosine, high sine, energy. Blocks outside the window read
        as the nearest one inside: mask them by their number.
        """
        slots = self._slots_of(blocks)
        table: F32 = self._at[streams[..., None], slots[..., None], _PAIR_COLUMNS[pairs]]
        return table

    def _slots_of(self, blocks: I64) -> I64:
        newest = self.n_blocks - 1
        oldest = max(0, self.n_blocks - self._slots)
        return np.minimum(np.maximum(blocks, oldest), newest) % self._slots

    def tone_at(self, streams: I64, blocks: I64, tones: I64) -> NDArray[np.complex64]:
        """Complex correlation with one tone each (index 0..7), 16-bit units, shape as broadcast."""
        slots = self._slots_of(blocks)
        result = np.empty(np.broadcast(streams, slots, tones).shape, np.complex64)
        result.real = self._at[streams, slots, tones]
        result.imag = self._at[streams, slots, tones + 8]
        return result

    def energy_at(self, streams: I64, blocks: I64) -> F32:
        """Energy of blocks: sum of squares over BLOCK samples, 16-bit units."""
        energy: F32 = self._at[streams, self._slots_of(blocks), 16]
        return energy


def _drop_alone(gate: NDArray[np.bool_]) -> None:
    """Shut the blocks (n, rows) between two shut ones; at the ends a neighbour is not known."""
    if len(gate) > 2:
        gate[1:-1] &= gate[:-2] | gate[2:]


def _correlate(rows: F32, out: F32) -> None:
    """Correlate rows (m, BLOCK) into out (16, m), in tiles of one shape; _TILE divides m."""
    tiles = rows.reshape(-1, _TILE, BLOCK).transpose(0, 2, 1)
    np.matmul(_BANK, tiles, out=out.reshape(16, -1, _TILE).transpose(1, 0, 2))


def _in_units(audio: F32 | NDArray[np.int16]) -> F32:
    """Give samples as float32 in 16-bit units, always a copy."""
    result = np.empty(audio.shape, np.float32)
    _copy_in_units(result, audio)
    return result


def _copy_in_units(target: F32, audio: F32 | NDArray[np.int16]) -> None:
    if audio.dtype == np.int16:
        np.copyto(target, audio)
    else:
        np.multiply(audio, FULL_SCALE, out=target)
