"""What is measured of a run: the numbers both decisions are taken from.

- ``fit``: the share of the energy that two steady sinusoids explain over the whole stretch. A tone
  keeps its phase for as long as it lasts, the harmonics of a voice do not.
- ``deviation``: how far each tone lies from its nominal frequency, from the phase step per block.
- ``jitter``: how unsteady that phase step is.

In 10 ms the two tones of a pair are not orthogonal, so each block's correlations are solved for
both at once: a strong tone stays out of a weak one's phase.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.dtmf.goertzel import BLOCK, FULL_SCALE, RATE_HZ, TONES_HZ
from voicemask.dtmf.profile import Receiver
from voicemask.dtmf.run import SEGMENT, Runs

MARGIN: Final = 2
"""Blocks looked at before and after a run: its edge, and whether the tone is gone beyond it."""
COLUMNS: Final = SEGMENT + 2 * MARGIN

_EDGE_FLOOR: Final = 0.2
"""Edge blocks with less of the tone's amplitude than this are noise, not its edge."""
_FULL: Final = 0.8
"""Blocks with more of the tone's amplitude than this lie inside it."""
_UNKNOWN: Final = 0.4
"""Amplitude assumed beyond the ends of a stream: cut speech is not a tone that stops."""
_TINY: Final = np.float32(1e-20)

F64 = NDArray[np.float64]
C64 = NDArray[np.complex64]
I64 = NDArray[np.int64]

_COLUMN: Final = np.arange(COLUMNS)
_HZ: Final = np.array([[TONES_HZ[p // 4], TONES_HZ[4 + p % 4]] for p in range(16)], np.float64)
_STEP: Final = np.exp(-2j * np.pi * ((_HZ * BLOCK / RATE_HZ) % 1.0))
_ADVANCE: Final = (_STEP[:, None, :] ** _COLUMN[:, None]).astype(np.complex64)
"""Takes the nominal phase advance back, shape (16 pairs, COLUMNS, 2 tones)."""
_PERCENT: Final = 100 * RATE_HZ / (2 * np.pi * BLOCK) / _HZ
"""Percent of deviation per radian of phase step, shape (16, 2)."""


def _unmixing() -> F64:
    """Matrices that turn a pair's correlations into its amplitudes, shape (16, 4, 4).

    Order: low cosine, low sine, high cosine, high sine; scaled so that without overlap each would
    be the identity.
    """
    result = np.empty((16, 4, 4))
    for pair in range(16):
        phase = 2 * np.pi * ((_HZ[pair][:, None] * np.arange(BLOCK) / RATE_HZ) % 1.0)
        basis = np.stack([np.cos(phase), -np.sin(phase)], axis=1).reshape(4, BLOCK)
        result[pair] = np.linalg.inv(basis @ basis.T) * (BLOCK / 2)
    return result


_UNMIXING: Final = _unmixing().astype(np.float32)


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
    inner_fit : 0..1, the same block by block, the edges' blocks with them.
    low_deviation, high_deviation : percent, signed.
    low_jitter, high_jitter : radian per block, unsteadiness of each tone's phase.
    roughness : spread of the pair's power inside the run, over its mean.
    outside_before, outside_after : share of the amplitude left beyond the edges.
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
    inner_fit: F64
    low_deviation: F64
    high_deviation: F64
    low_jitter: F64
    high_jitter: F64
    roughness: F64
    outside_before: F64
    outside_after: F64
    twist_db: F64
    level_dbfs: F64
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


def measure(
    runs: Runs, table: NDArray[np.float32], receiver: Receiver, n_known: float = inf
) -> Bursts:
    """Measure runs, leaving out those too poor to be anything.

    Parameters
    ----------
    runs : m rows, ordered by stream, then time.
    table : shape (m, COLUMNS, 5), the run's blocks with `MARGIN` blocks either side: low cosine,
        low sine, high cosine, high sine, energy, 16-bit units.
    receiver : thresholds of what is worth measuring.
    n_known : blocks from this one on are not of the stream: it has ended.
    """
    inner = (_COLUMN >= MARGIN) & (MARGIN + runs.n_blocks[:, None] > _COLUMN)
    kept = np.flatnonzero(_is_promising(runs, table, inner, receiver))
    return _measure(runs.take(kept), table[kept], inner[kept], n_known)


def _is_promising(
    runs: Runs, table: NDArray[np.float32], inner: NDArray[np.bool_], receiver: Receiver
) -> NDArray[np.bool_]:
    """Tell rows that deserve the full measurement: the shorter, the more the pair must explain."""
    summed = ((table * table)[..., :4].sum(axis=2) * inner).sum(axis=1)
    total = (table[..., 4] * inner).sum(axis=1)
    r = receiver
    least = np.array([r.run_fit_20_ms, r.run_fit_30_ms, r.run_fit_40_ms]) * (BLOCK / 2)
    least = least[np.minimum(runs.length, 4) - 2]
    promising: NDArray[np.bool_] = summed > least * total
    return promising


def _measure(
    runs: Runs, table: NDArray[np.float32], inner: NDArray[np.bool_], n_known: float
) -> Bursts:
    rows = np.arange(len(runs))
    n_blocks = runs.n_blocks
    head, tail = MARGIN, MARGIN + n_blocks - 1
    energy = table[..., 4]
    # cosine and sine side by side are a complex number: shape (m, COLUMNS, 2 tones)
    tone = np.matmul(table[..., :4], _UNMIXING[runs.pair]).view(np.complex64)
    tone *= _ADVANCE[runs.pair]
    power = tone.real**2 + tone.imag**2
    both = power[..., 0] + power[..., 1]

    filled = _filled(power, inner)
    is_continued = runs.length > SEGMENT
    first_block = runs.last_block - n_blocks + 1
    before = np.where(is_continued | (first_block == 0), 0.0, filled[:, head - 1])
    after = np.where(n_blocks == SEGMENT, 0.0, filled[rows, tail + 1])

    whole = inner & (filled > _FULL)
    n_whole = whole.sum(axis=1)
    # a partly filled block has its weight off its middle, which shifts its phase: leave it out
    # where enough others say the same
    steady = np.where((n_whole >= 3)[:, None], whole, inner)
    level, turn, jitter = _steady(tone, whole, steady, n_whole)
    explained = level[:, 0] + level[:, 1]
    # block by block, so that a jump of phase inside a tone does not cancel it
    n_counted = np.maximum(n_whole, 1)[:, None]
    strength = (power * whole[..., None]).sum(axis=1) / n_counted * (2 / BLOCK) ** 2 + _TINY
    deviation = turn * _PERCENT[runs.pair]
    inside = (both * inner).sum(axis=1)
    return Bursts(
        stream=runs.stream,
        pair=runs.pair,
        first_block=first_block,
        last_block=runs.last_block,
        start=(first_block + 1 - filled[:, head] - before) * float(BLOCK),
        end=(runs.last_block + filled[rows, tail] + after) * float(BLOCK),
        duration=((filled * inner).sum(axis=1) + before + after) * BLOCK,
        fit=explained * n_whole * (BLOCK / 2) / ((energy * whole).sum(axis=1) + _TINY),
        inner_fit=inside * (2 / BLOCK) / ((energy * inner).sum(axis=1) + _TINY),
        low_deviation=deviation[:, 0],
        high_deviation=deviation[:, 1],
        low_jitter=jitter[:, 0],
        high_jitter=jitter[:, 1],
        roughness=_roughness(both, inner, n_blocks),
        outside_before=np.where(first_block < MARGIN, _UNKNOWN, filled[:, 0]),
        outside_after=np.where(
            runs.last_block + MARGIN >= n_known, _UNKNOWN, filled[rows, tail + MARGIN]
        ),
        twist_db=10 * np.log10(strength[:, 1] / strength[:, 0]),
        level_dbfs=10 * np.log10((strength[:, 0] + strength[:, 1]) / float(FULL_SCALE) ** 2),
        is_continued=is_continued,
    )


def _filled(power: F64, inner: NDArray[np.bool_]) -> F64:
    """Share of each block that the pair fills: its amplitude over the amplitude inside the run.

    power : shape (m, COLUMNS, 2). Result: (m, COLUMNS), 0..1.
    """
    inside = power * inner[..., None]
    reference = (inside * power).sum(axis=1) / (inside.sum(axis=1) + _TINY)
    share = np.sqrt(power / (reference[:, None] + _TINY))
    filled: F64 = np.minimum(1.0, (share[..., 0] + share[..., 1]) / 2)
    filled[filled < _EDGE_FLOOR] = 0
    return filled


def _roughness(power: F64, inner: NDArray[np.bool_], n_blocks: I64) -> F64:
    """Spread of the pair's power over the blocks inside a run, edges left out, over its mean."""
    edge = (_COLUMN == MARGIN) | ((MARGIN + n_blocks - 1)[:, None] == _COLUMN)
    inside = inner & (~edge | (n_blocks <= 3)[:, None])
    n_inside = inside.sum(axis=1)
    mean = (power * inside).sum(axis=1) / n_inside
    square = ((power - mean[:, None]) ** 2 * inside).sum(axis=1) / n_inside
    roughness: F64 = np.sqrt(square) / (mean + _TINY)
    return roughness


def _steady(
    tone: C64, whole: NDArray[np.bool_], steady: NDArray[np.bool_], n_whole: I64
) -> tuple[F64, F64, F64]:
    """Fit steady sinusoids to the two tones of each run; tone has shape (m, COLUMNS, 2).

    Returns
    -------
    power : squared amplitudes (16-bit units) over the blocks that lie wholly inside, (m, 2).
    turn : phase step per block against nominal, radian in (-pi, pi], (m, 2).
    jitter : root mean square departure of the single steps from it, radian, (m, 2).
    """
    step = tone[:, 1:] * tone[:, :-1].conj() * (steady[:, 1:] & steady[:, :-1])[..., None]
    turn = np.angle(step.sum(axis=1))
    weight = np.abs(step)
    departure = np.angle(step * _turned(-turn)[:, None])
    jitter = np.sqrt((weight * departure**2).sum(axis=1) / (weight.sum(axis=1) + _TINY))
    unturned = tone * _turned(-turn[:, None] * _COLUMN[:, None])
    aligned = (unturned * whole[..., None]).sum(axis=1)
    # a tone off the bank's frequency loses this much inside one block
    loss = np.sinc(turn / (2 * np.pi)) ** 2
    coherent = (aligned.real**2 + aligned.imag**2) / np.maximum(n_whole, 1)[:, None] ** 2
    return coherent * (2 / BLOCK) ** 2 / loss, turn, jitter


def _turned(phase: F64) -> C64:
    """Unit phasors, by real functions: the complex exponential is several times slower."""
    result = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=result.real)
    np.sin(phase, out=result.imag)
    return result
