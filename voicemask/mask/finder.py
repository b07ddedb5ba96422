"""Where tones are, for masking: early, wide, and with the whole neighbourhood in view.

A burst is masked when its evidence suffices by itself, or when it suffices within `context_ms` of a
burst that is a tone beyond doubt: digits come in rows, and speech that looks a little like a tone
is left alone where nobody is keying. A masked stretch grows for as long as the pair's amplitude
holds, and gets a guard on either side, for what codecs and echoes smear.

The rest is waiting: what is not known to be free of tones is not final. Stretches depend on the
samples alone, not on how they were batched.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.dtmf.burst import SEGMENT, BurstFinder, Bursts
from voicemask.dtmf.evidence import evidence
from voicemask.dtmf.goertzel import BLOCK, RATE_HZ
from voicemask.dtmf.profile import Receiver

GROWTH: Final = 24
"""Blocks either side of a burst in which its tone is followed on."""
_ROW: Final = 4
"""So many doubtful bursts within the context of one make it a tone."""
_HELD: Final = 0.45
"""A block holds the tone on while both tones keep this share of their amplitude."""
_MISSES: Final = 2
"""Blocks in a row that may fall short before the tone is over."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch to mask: samples ``[start, end)`` at 8000 Hz of one channel."""

    channel: int
    start: int
    end: int
    level_dbfs: float


@dataclass(slots=True)
class _Candidate:
    start: float
    end: float
    evidence: float
    level_dbfs: float


class SpanFinder:
    """Finds the stretches of several channels that guard has to fill.

    Parameters
    ----------
    n_channels : channels fed together.
    receiver : thresholds of the mask profile.
    history_blocks : blocks that stay readable in the bank.
    longest_lag : `final_until` stays behind by no more (8000 Hz samples), at the price of masking
        doubtful candidates that are too long to wait for their context; None: none is.
    """

    def __init__(
        self,
        n_channels: int,
        receiver: Receiver,
        history_blocks: int,
        longest_lag: int | None = None,
    ) -> None:
        self._receiver = receiver
        self._guard = receiver.guard_ms * RATE_HZ / 1000
        self._context = receiver.context_ms * RATE_HZ / 1000
        self.bursts = BurstFinder(n_channels, receiver, max(history_blocks, 4 * GROWTH))
        # what a candidate of no length at all waits for, and how long a candidate may be then
        patience = (self.bursts.lag_blocks + GROWTH + 1) * BLOCK + self._context + self._guard
        self._n_longest: float = (SEGMENT + 2 * GROWTH) * BLOCK
        self._is_bounded = longest_lag is not None
        if longest_lag is not None:
            self._n_longest = min(self._n_longest, max(0, longest_lag - ceil(patience)))
        self._late: Bursts | None = None  # bursts whose neighbourhood is not there yet
        self._waiting: list[deque[_Candidate]] = [deque() for _ in range(n_channels)]
        self._anchor_end = [-inf] * n_channels
        # starts of the latest candidates that count as one of a row
        self._row: list[deque[float]] = [deque(maxlen=_ROW) for _ in range(n_channels)]

    @property
    def lag_samples(self) -> int:
        """How far `final_until` stays behind the input, at most (8000 Hz samples)."""
        # a candidate may start this much before the end that its context is counted from
        blocks = self.bursts.lag_blocks + GROWTH + 1
        waits = blocks * BLOCK + ceil(self._context) + ceil(self._guard)
        return waits + int(self._n_longest)

    def push(self, audio: NDArray[np.float32]) -> tuple[list[Stretch], Bursts]:
        """Feed (n_channels, n) samples at 8000 Hz.

        Returns
        -------
        stretches : those decided now, ordered by channel, then start; they may overlap.
        bursts : all bursts of this call, for the decoder.
        """
        bursts = self.bursts.push(audio)
        return self._advance(bursts, self.n_blocks), bursts

    def flush(self) -> tuple[list[Stretch], Bursts]:
        """End of the input: decide on everything."""
        bursts = self.bursts.flush()
        return self._advance(bursts, inf), bursts

    @property
    def n_blocks(self) -> int:
        """Blocks read so far."""
        return self.bursts.bank.n_blocks

    @property
    def final_until(self) -> int:
        """No stretch decided later starts before this sample (8000 Hz)."""
        return max(0, self.n_blocks * BLOCK - self.lag_samples)

    def _advance(self, bursts: Bursts, n_blocks: float) -> list[Stretch]:
        if self._late is not None:
            bursts = self._late.then(bursts)
        ready = bursts.last_block + GROWTH < n_blocks
        self._late = bursts.take(~ready) if not ready.all() else None
        if ready.any():
            self._take(bursts.take(ready))
        # every burst that starts before this sample has been taken
        horizon = inf if n_blocks == inf else (n_blocks - self.bursts.lag_blocks - GROWTH) * BLOCK
        decided: list[Stretch] = []
        for channel, waiting in enumerate(self._waiting):
            while waiting and self._decide(channel, waiting, horizon, decided):
                pass
        return decided

    def _take(self, bursts: Bursts) -> None:
        value = evidence(bursts, self._receiver)
        likely = np.flatnonzero(value >= self._receiver.evidence_near)
        if not len(likely):
            return
        bursts = bursts.take(likely)
        starts, ends = self._grown(bursts)
        for channel, *values in zip(
            bursts.stream.tolist(),
            starts.tolist(),
            ends.tolist(),
            value[likely].tolist(),
            bursts.level_dbfs.tolist(),
            strict=True,
        ):
            self._waiting[channel].append(_Candidate(*values))

    def _grown(self, bursts: Bursts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Follow each tone on, before and after its burst."""
        bank = self.bursts.bank
        row, col = np.divmod(bursts.pair, 4)
        stream = bursts.stream[:, None]

        def amplitudes(blocks: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
            low = np.abs(bank.tone_at(stream, blocks, row[:, None]))
            high = np.abs(bank.tone_at(stream, blocks, col[:, None] + 4))
            return low, high

        n_inner = np.minimum(bursts.last_block - bursts.first_block + 1, SEGMENT)
        column = np.arange(SEGMENT)
        inner = column < n_inner[:, None]
        reference = [
            np.where(inner, level, 0).max(axis=1)
            for level in amplitudes(bursts.first_block[:, None] + column)
        ]

        def held(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
            low, high = amplitudes(blocks)
            holds = (low >= _HELD * reference[0][:, None]) & (high >= _HELD * reference[1][:, None])
            holds &= blocks >= 0
            return _reach(holds)

        steps = np.arange(1, GROWTH + 1)
        before = held(bursts.first_block[:, None] - steps)
        after = held(bursts.last_block[:, None] + steps)
        starts = np.where(before > 0, (bursts.first_block - before) * float(BLOCK), bursts.start)
        ends = np.where(after > 0, (bursts.last_block + 1 + after) * float(BLOCK), bursts.end)
        return starts, ends

    def _decide(
        self, channel: int, waiting: deque[_Candidate], horizon: float, decided: list[Stretch]
    ) -> bool:
        """Decide on the candidate that waits longest; False where that needs the future."""
        candidate, r = waiting[0], self._receiver
        latest = candidate.end + self._context
        excess = 0.0
        if self._is_bounded:
            # a long one may not wait as long: it is masked, or, when it is hardly anything, gets
            # less of what follows to be judged by
            excess = max(0.0, candidate.end - candidate.start - self._n_longest)
        if candidate.evidence >= r.evidence_anchor:
            self._anchor_end[channel] = max(self._anchor_end[channel], candidate.end)
        is_masked = (
            candidate.evidence >= r.evidence_sure
            or candidate.start - self._anchor_end[channel] <= self._context
            or any(c.evidence >= r.evidence_anchor and c.start <= latest for c in waiting)
            or self._is_in_a_row(channel, waiting, latest)
            or (excess > 0 and candidate.evidence >= r.evidence_row)
        )
        if not is_masked and horizon <= latest - excess:
            return False
        waiting.popleft()
        if candidate.evidence >= r.evidence_row:
            self._row[channel].append(candidate.start)
        if is_masked:
            decided.append(
                Stretch(
                    channel=channel,
                    start=max(0, floor(candidate.start - self._guard)),
                    end=ceil(candidate.end + self._guard),
                    level_dbfs=candidate.level_dbfs,
                )
            )
        return True

    def _is_in_a_row(self, channel: int, waiting: deque[_Candidate], latest: float) -> bool:
        """Tell whether enough candidates stand close together: chance does not key in rows."""
        candidate, least = waiting[0], self._receiver.evidence_row
        before = sum(candidate.start - start <= self._context for start in self._row[channel])
        after = sum(c.evidence >= least and c.start <= latest for c in waiting)
        return before + after >= _ROW


def _reach(holds: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give how far each row (m, n) holds, counted from the left, short misses bridged."""
    n = holds.shape[1]
    # a run of misses longer than allowed ends it
    missed = np.zeros((len(holds), n + _MISSES), np.int64)
    missed[:, _MISSES:] = ~holds
    window = np.zeros((len(holds), n), np.int64)
    for i in range(_MISSES + 1):
        window += missed[:, i : i + n]
    over = window > _MISSES
    stop = np.where(over.any(axis=1), over.argmax(axis=1), n)
    reached = holds & (np.arange(n) < stop[:, None])
    return np.where(reached.any(axis=1), n - reached[:, ::-1].argmax(axis=1), 0)
