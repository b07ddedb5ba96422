"""Bursts: stretches in which one pair of tones leads, and what is measured of each.

The bank's gate leaves a few blocks in a hundred of speech. Where consecutive gated blocks agree on
the leading low and high tone they form a run; a run that ends, or reaches `SEGMENT` blocks, gives
one `Burst` row with the measures both decisions are taken from:

- ``fit``: the share of the energy that two steady sinusoids explain over the whole stretch. A tone
  keeps its phase for as long as it lasts, the harmonics of a voice do not.
- ``deviation``: how far each tone lies from its nominal frequency, from the phase step per block.
- ``jitter``: how unsteady that phase step is.

Invariant: rows depend on the streams' samples alone, not on how they were batched.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.dtmf.goertzel import BLOCK, FULL_SCALE, RATE_HZ, TONES_HZ, GoertzelBank
from voicemask.dtmf.profile import Receiver

SEGMENT: Final = 12
"""Blocks after which a long run is reported and goes on as a new row."""

_TONES: Final = np.array(TONES_HZ, np.float64)
_STEP: Final = np.exp(-2j * np.pi * ((_TONES * BLOCK / RATE_HZ) % 1.0))
"""Takes a block's nominal phase advance back, per tone."""
_POWERS: Final = _STEP[:, None] ** np.arange(SEGMENT + 4)


def _unmixing() -> F64:
    """Matrices that turn a pair's correlations into its amplitudes, shape (16, 4, 4).

    In 10 ms the two tones and their mirror frequencies are not orthogonal; solving for both at once
    keeps a strong tone out of a weak one's phase. Order: low cosine, low sine, high cosine, high
    sine; scaled so that without overlap it would be the identity.
    """
    phase = 2 * np.pi * ((_TONES[:, None] * np.arange(BLOCK) / RATE_HZ) % 1.0)
    parts = np.stack([np.cos(phase), -np.sin(phase)], axis=1)  # (8, 2, BLOCK)
    result = np.empty((16, 4, 4))
    for pair in range(16):
        row, col = divmod(pair, 4)
        basis = np.concatenate([parts[row], parts[col + 4]])
        result[pair] = np.linalg.inv(basis @ basis.T) * (BLOCK / 2)
    return result


_UNMIXING: Final = _unmixing()
_LEAST_FIT: Final = np.array([1.0, 1.0, 0.5, 0.4, 0.33])
"""Share of energy the pair must hold in runs of 0, 1, 2, 3, 4 and more blocks to be measured."""
_MARGIN: Final = 2
"""Blocks looked at before and after a run: its edge, and whether the tone is gone beyond it."""
_EDGE_FLOOR: Final = 0.2
"""Edge blocks with less of the tone's amplitude than this are noise, not its edge."""
_FULL: Final = 0.8
"""Blocks with more of the tone's amplitude than this lie inside it."""

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
C128 = NDArray[np.complex128]
C64 = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Bursts:
    """Rows of equal length m, ordered by stream, then time.

    Parameters
    ----------
    stream, pair : index of the stream; ``4 * row + column`` of the keypad.
    first_block, last_block : blocks of the run, both inside it.
    start, end : samples at 8000 Hz, from the partly filled blocks at the edges.
    duration : samples of the tone at full amplitude (gaps count for nothing).
    fit : 0..1, share of the energy explained by two steady sinusoids.
    low_deviation, high_deviation : percent, signed.
    low_jitter, high_jitter : radian per block, unsteadiness of each tone's phase.
    twist_db : high minus low, signed.
    level_dbfs : of the pair, relative to a full-scale sine.
    is_continued : the row goes on from the row before it.
    """

    stream: I64
    pair: I64
    first_block: I64
    last_block: I64
    start: F64
    end: F64
    duration: F64
    fit: F64
    low_deviation: F64
    high_deviation: F64
    low_jitter: F64
    high_jitter: F64
    twist_db: F64
    level_dbfs: F64
    roughness: F64
    outside_before: F64
    outside_after: F64
    inner_fit: F64
    is_continued: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.stream)

    def take(self, which: NDArray[np.bool_] | I64) -> Bursts:
        """Give some of the rows."""
        return Bursts(*(getattr(self, item.name)[which] for item in fields(self)))

    def then(self, later: Bursts) -> Bursts:
        """Give the rows of both, in order."""
        both = Bursts(
            *(
                np.concatenate([getattr(self, item.name), getattr(later, item.name)])
                for item in fields(self)
            )
        )
        return both.take(np.lexsort((both.last_block, both.stream)))


class BurstFinder:
    """Finds bursts in `n_streams` streams at 8000 Hz.

    Parameters
    ----------
    n_streams : streams fed together.
    receiver : thresholds.
    history_blocks : blocks that stay readable in `bank`.
    """

    def __init__(self, n_streams: int, receiver: Receiver, history_blocks: int = 0) -> None:
        self.bank = GoertzelBank(n_streams, receiver, max(history_blocks, SEGMENT + 8))
        self._pair = np.full(n_streams, -1, np.int64)  # of the newest block; -1: not gated
        self._length = np.zeros(n_streams, np.int64)  # of the run it ends, in blocks
        self._waiting = _Runs.none()  # for the blocks after them

    def push(self, audio: NDArray[np.float32] | NDArray[np.int16]) -> Bursts:
        """Feed (n_streams, n) samples, float32 (full scale +-1.0) or int16; give complete rows."""
        n_before = self.bank.n_blocks
        streams, blocks = self.bank.push(audio)
        if self.bank.n_blocks == n_before:
            return self._measure(_Runs.none())
        spectrum = self.bank.spectrum_at(streams, blocks)
        power = spectrum[:, :8] ** 2 + spectrum[:, 8:] ** 2
        pairs = 4 * power[:, :4].argmax(axis=1) + power[:, 4:].argmax(axis=1)
        runs = self._waiting.then(self._runs(streams, blocks, pairs, n_before))
        ready = runs.last_block + _MARGIN < self.bank.n_blocks
        self._waiting = runs.take(~ready)
        return self._measure(runs.take(ready).in_order())

    def flush(self) -> Bursts:
        """End the streams: silence closes what is open."""
        n_streams = self.bank.n_streams
        return self.push(np.zeros((n_streams, (_MARGIN + 2) * BLOCK), np.float32))

    def _runs(self, streams: I64, blocks: I64, pairs: I64, n_before: int) -> _Runs:
        """Join gated blocks into runs, carrying those open at the end of the last call."""
        index = np.arange(len(streams))
        joins = np.zeros(len(streams), bool)
        joins[1:] = (
            (streams[1:] == streams[:-1])
            & (blocks[1:] == blocks[:-1] + 1)
            & (pairs[1:] == pairs[:-1])
        )
        resumes = (blocks == n_before) & (self._pair[streams] == pairs)
        head = np.maximum.accumulate(np.where(joins, 0, index))
        carried = np.where(resumes, self._length[streams], 0)
        length = index - head + 1 + carried[head]

        n_open = self.bank.n_blocks - 1
        ends = np.ones(len(streams), bool)
        ends[:-1] = ~joins[1:]
        ends &= blocks < n_open
        reported = np.flatnonzero(ends | (length % SEGMENT == 0))
        closing = self._length > 0
        closing[streams[resumes]] = False
        closing &= self._length % SEGMENT != 0  # a full segment was reported already
        closed = np.flatnonzero(closing)
        runs = _Runs(
            stream=np.concatenate([closed, streams[reported]]),
            pair=np.concatenate([self._pair[closed], pairs[reported]]),
            last_block=np.concatenate([np.full(len(closed), n_before - 1), blocks[reported]]),
            length=np.concatenate([self._length[closed], length[reported]]),
        )
        self._pair[:] = -1
        self._length[:] = 0
        newest = blocks == n_open
        self._pair[streams[newest]] = pairs[newest]
        self._length[streams[newest]] = length[newest]
        return runs.worth_measuring()

    def _measure(self, runs: _Runs) -> Bursts:
        """Measure each run; all rows at once, shape (m, SEGMENT + 2 * _MARGIN)."""
        column = np.arange(SEGMENT + 2 * _MARGIN)
        block = runs.first_block[:, None] - _MARGIN + column
        inner = (column >= _MARGIN) & (column < _MARGIN + runs.n_blocks[:, None])
        row, col = np.divmod(runs.pair, 4)
        stream = runs.stream[:, None]
        low = self.bank.tone_at(stream, block, row[:, None])
        high = self.bank.tone_at(stream, block, col[:, None] + 4)
        energy = self.bank.energy_at(stream, block)
        kept = _is_promising(runs, low, high, energy, inner)
        return _measure(
            runs.take(kept), low[kept], high[kept], energy[kept].astype(np.float64), inner[kept]
        )


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs to report: shape (m,) each; `length` counts from the start of the run."""

    stream: I64
    pair: I64
    last_block: I64
    length: I64

    @classmethod
    def none(cls) -> _Runs:
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, empty)

    @property
    def n_blocks(self) -> I64:
        """Blocks of the row: the run's since its last full segment."""
        return (self.length - 1) % SEGMENT + 1

    @property
    def first_block(self) -> I64:
        return self.last_block - self.n_blocks + 1

    def take(self, which: NDArray[np.bool_] | I64) -> _Runs:
        return _Runs(
            self.stream[which], self.pair[which], self.last_block[which], self.length[which]
        )

    def then(self, later: _Runs) -> _Runs:
        return _Runs(
            np.concatenate([self.stream, later.stream]),
            np.concatenate([self.pair, later.pair]),
            np.concatenate([self.last_block, later.last_block]),
            np.concatenate([self.length, later.length]),
        )

    def in_order(self) -> _Runs:
        """Order by stream, then time."""
        return self.take(np.lexsort((self.last_block, self.stream)))

    def worth_measuring(self) -> _Runs:
        """Drop runs of one block: nothing can be said of them."""
        return self.take(self.length >= 2)


def _is_promising(
    runs: _Runs, low: C64, high: C64, energy: NDArray[np.float32], inner: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell rows that deserve the full measurement: the shorter, the more the pair must explain."""
    power = low.real**2 + low.imag**2 + high.real**2 + high.imag**2
    explained = np.where(inner, power, 0).sum(axis=1)
    total = np.where(inner, energy, 0).sum(axis=1)
    least = _LEAST_FIT[np.minimum(runs.length, len(_LEAST_FIT) - 1)]
    return explained > least * (BLOCK / 2) * total


def _measure(
    runs: _Runs, low_raw: C64, high_raw: C64, energy: F64, inner: NDArray[np.bool_]
) -> Bursts:
    """Measure rows of shape (m, SEGMENT + 2 * _MARGIN)."""
    row, col = np.divmod(runs.pair, 4)
    mixed = np.stack([low_raw.real, low_raw.imag, high_raw.real, high_raw.imag], axis=-1)
    parts = np.matmul(mixed.astype(np.float64), _UNMIXING[runs.pair])
    low = (parts[..., 0] + 1j * parts[..., 1]) * _POWERS[row]
    high = (parts[..., 2] + 1j * parts[..., 3]) * _POWERS[col + 4]
    n_blocks = runs.n_blocks
    is_continued = runs.length > SEGMENT
    filled = np.minimum(1.0, (_filled(low, inner) + _filled(high, inner)) / 2)
    filled[filled < _EDGE_FLOOR] = 0
    rows = np.arange(len(n_blocks))
    head, tail = _MARGIN, _MARGIN + n_blocks - 1
    before = np.where(is_continued | (runs.first_block == 0), 0.0, filled[:, head - 1])
    after = np.where(n_blocks == SEGMENT, 0.0, filled[rows, tail + 1])
    outside_before = np.where(runs.first_block < 2, 0.0, filled[:, head - 2])
    outside_after = filled[rows, tail + 2]
    whole = inner & (filled > _FULL)
    n_whole = whole.sum(axis=1)
    total = np.where(whole, energy, 0).sum(axis=1) + 1e-20

    # a partly filled block has its weight off its middle, which shifts its phase: leave it out
    # where enough others say the same
    steady = np.where((n_whole >= 3)[:, None], whole, inner)
    low_power, low_turn, low_jitter = _steady(low, whole, steady, n_whole)
    high_power, high_turn, high_jitter = _steady(high, whole, steady, n_whole)
    to_percent = 100 * RATE_HZ / (2 * np.pi * BLOCK)
    return Bursts(
        stream=runs.stream,
        pair=runs.pair,
        first_block=runs.first_block,
        last_block=runs.last_block,
        start=(runs.first_block + 1 - filled[rows, head] - before) * BLOCK,
        end=(runs.last_block + filled[rows, tail] + after) * BLOCK,
        duration=(np.where(inner, filled, 0).sum(axis=1) + before + after) * BLOCK,
        fit=(low_power + high_power) * n_whole * (BLOCK / 2) / total,
        low_deviation=low_turn * to_percent / _TONES[row],
        high_deviation=high_turn * to_percent / _TONES[col + 4],
        low_jitter=low_jitter,
        high_jitter=high_jitter,
        twist_db=10 * np.log10((high_power + 1e-20) / (low_power + 1e-20)),
        level_dbfs=10 * np.log10((low_power + high_power) / FULL_SCALE**2 + 1e-20),
        roughness=_roughness(low, high, inner, n_blocks),
        outside_before=outside_before,
        outside_after=outside_after,
        inner_fit=_inner_fit(low, high, energy, inner),
        is_continued=is_continued,
    )


def _filled(tone: NDArray[np.complex128], inner: NDArray[np.bool_]) -> F64:
    """Share of each block that the tone fills: its amplitude over the amplitude inside the run."""
    amplitude = np.abs(tone)
    square = np.where(inner, amplitude**2, 0)
    reference = np.sqrt((square**2).sum(axis=1) / (square.sum(axis=1) + 1e-20))
    return amplitude / (reference[:, None] + 1e-20)


def _roughness(low: C128, high: C128, inner: NDArray[np.bool_], n_blocks: I64) -> F64:
    """Spread of the pair's power over the blocks inside a run, edges left out, over its mean."""
    column = np.arange(inner.shape[1])
    edge = (column == _MARGIN) | (column == (_MARGIN + n_blocks - 1)[:, None])
    inside = inner & (~edge | (n_blocks <= 3)[:, None])
    n_inside = inside.sum(axis=1)
    power = np.abs(low) ** 2 + np.abs(high) ** 2
    mean = np.where(inside, power, 0).sum(axis=1) / n_inside
    square = np.where(inside, (power - mean[:, None]) ** 2, 0).sum(axis=1) / n_inside
    return np.sqrt(square) / (mean + 1e-20)


def _inner_fit(low: C128, high: C128, energy: F64, inner: NDArray[np.bool_]) -> F64:
    """Share of the energy that the pair explains block by block."""
    power = (np.abs(low) ** 2 + np.abs(high) ** 2) * (2 / BLOCK)
    return np.where(inner, power, 0).sum(axis=1) / (np.where(inner, energy, 0).sum(axis=1) + 1e-20)


def _steady(
    tone: NDArray[np.complex128],
    whole: NDArray[np.bool_],
    steady: NDArray[np.bool_],
    n_whole: I64,
) -> tuple[F64, F64, F64]:
    """Fit one steady sinusoid to a run.

    Returns
    -------
    power : squared amplitude (16-bit units) over the blocks that lie wholly inside.
    turn : phase step per block against nominal, radian in (-pi, pi].
    jitter : root mean square departure of the single steps from it, radian.
    """
    both = steady[:, 1:] & steady[:, :-1]
    step = np.where(both, tone[:, 1:] * tone[:, :-1].conj(), 0)
    turn = np.angle(step.sum(axis=1))
    weight = np.abs(step)
    departure = np.angle(step * np.exp(-1j * turn)[:, None])
    jitter = np.sqrt((weight * departure**2).sum(axis=1) / (weight.sum(axis=1) + 1e-20))
    column = np.arange(tone.shape[1])
    aligned = np.where(whole, tone * np.exp(-1j * turn[:, None] * column), 0)
    # a tone off the bank's frequency loses this much inside one block
    loss = np.sinc(turn / (2 * np.pi)) ** 2
    coherent = np.abs(aligned.sum(axis=1)) ** 2 / np.maximum(n_whole, 1) ** 2
    return coherent * (2 / BLOCK) ** 2 / loss, turn, jitter
