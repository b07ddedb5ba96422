"""Bursts: stretches in which one pair of tones leads, from audio to measured rows.

The bank's gate leaves a few blocks in a hundred of speech. Where consecutive gated blocks agree on
the leading low and high tone they form a run; a run that ends, or reaches `SEGMENT` blocks, is
measured and gives one row of `Bursts`.

Invariant: rows depend on the streams' samples alone, not on how they were batched.
"""

from __future__ import annotations

from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.dtmf.goertzel import BLOCK, GoertzelBank
from voicemask.dtmf.measure import COLUMNS, MARGIN, Bursts, measure
from voicemask.dtmf.profile import Receiver
from voicemask.dtmf.run import SEGMENT, RunJoiner, Runs

_SPARE: Final = 8
"""Blocks kept beyond what a measurement reads: calls of any length come between."""

__all__ = ["SEGMENT", "BurstFinder", "Bursts"]


class BurstFinder:
    """Finds bursts in `n_streams` streams at 8000 Hz.

    Parameters
    ----------
    n_streams : streams fed together.
    receiver : thresholds.
    history_blocks : blocks that stay readable in `bank`.
    patience_blocks : gated blocks may wait this long to be looked at together: over many streams
        the calls of a measurement cost more than its numbers.
    """

    def __init__(
        self,
        n_streams: int,
        receiver: Receiver,
        history_blocks: int = 0,
        patience_blocks: int = 0,
    ) -> None:
        self.bank = GoertzelBank(
            n_streams, receiver, max(history_blocks, COLUMNS + patience_blocks + _SPARE)
        )
        self.lag_blocks = SEGMENT + MARGIN + patience_blocks + 1
        """A burst is reported at the latest this many blocks after its start."""
        self._patience = patience_blocks
        self._joiner = RunJoiner(n_streams)
        self._receiver = receiver
        self._n_known = inf
        self.n_measured = 0
        """Blocks whose runs are known."""
        self._none = self._measure(Runs.none())
        self._waiting = Runs.none()  # for the blocks after them

    def push(self, audio: NDArray[np.float32] | NDArray[np.int16]) -> Bursts:
        """Feed (n_streams, n) samples, float32 (full scale +-1.0) or int16; give complete rows."""
        bank = self.bank
        bank.push(audio)
        if bank.n_blocks - self.n_measured <= self._patience and self._n_known == inf:
            return self._none
        streams, blocks, pairs = bank.take_gated()
        runs = self._joiner.push(streams, blocks, pairs, self.n_measured, bank.n_blocks)
        self.n_measured = bank.n_blocks
        runs = self._waiting.then(runs)
        ready = runs.last_block + MARGIN < bank.n_blocks
        self._waiting = runs.take(~ready)
        return self._measure(runs.take(ready).in_order())

    @property
    def n_known(self) -> int:
        """Every burst that starts before this block has been reported."""
        return self.bank.n_blocks - self.lag_blocks

    def flush(self) -> Bursts:
        """End the streams: silence closes what is open."""
        n_streams = self.bank.n_streams
        self._n_known = self.bank.n_blocks
        return self.push(np.zeros((n_streams, (MARGIN + 2) * BLOCK), np.float32))

    def _measure(self, runs: Runs) -> Bursts:
        first = runs.last_block - runs.n_blocks + 1
        block = first[:, None] - MARGIN + np.arange(COLUMNS)
        table = self.bank.pair_at(runs.stream[:, None], block, runs.pair[:, None])
        return measure(runs, table, self._receiver, self._n_known)
