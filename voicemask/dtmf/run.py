"""Runs: consecutive gated blocks that agree on the leading pair of tones.

Only the few gated blocks are looked at. A run may go on over any number of calls; what is open at
the end of a call is carried per stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]

SEGMENT: Final = 12
"""Blocks after which a long run is reported and goes on as a new row."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs to report: shape (m,) each; `length` counts from the start of the run."""

    stream: I64
    pair: I64
    last_block: I64
    length: I64

    @classmethod
    def none(cls) -> Runs:
        """Give no runs."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, empty)

    def __len__(self) -> int:
        return len(self.stream)

    @property
    def n_blocks(self) -> I64:
        """Blocks of the row: the run's since its last full segment."""
        return (self.length - 1) % SEGMENT + 1

    def take(self, which: NDArray[np.bool_] | I64) -> Runs:
        """Give some of the rows."""
        return Runs(
            self.stream[which], self.pair[which], self.last_block[which], self.length[which]
        )

    def then(self, later: Runs) -> Runs:
        """Give the rows of both."""
        if not len(self):
            return later
        if not len(later):
            return self
        return Runs(
            np.concatenate([self.stream, later.stream]),
            np.concatenate([self.pair, later.pair]),
            np.concatenate([self.last_block, later.last_block]),
            np.concatenate([self.length, later.length]),
        )

    def in_order(self) -> Runs:
        """Order by stream, then time."""
        return self.take(np.lexsort((self.last_block, self.stream)))


class RunJoiner:
    """Joins the gated blocks of `n_streams` streams into runs."""

    def __init__(self, n_streams: int) -> None:
        self._pair = np.full(n_streams, -1, np.int64)  # of the newest block; -1: not gated
        self._length = np.zeros(n_streams, np.int64)  # of the run it ends, in blocks
        self._resumed = np.zeros(n_streams, bool)
        self._carried = np.zeros(0, np.int64)  # streams whose newest block is gated

    def push(self, streams: I64, blocks: I64, pairs: I64, n_before: int, n_blocks: int) -> Runs:
        """Take the gated blocks among ``[n_before, n_blocks)``, ordered by stream, then block.

        Returns
        -------
        The runs of two blocks and more that ended, and each full segment of longer ones.
        """
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

        newest = blocks == n_blocks - 1
        ends = ~newest
        ends[:-1] &= ~joins[1:]
        reported = np.flatnonzero((ends | (length % SEGMENT == 0)) & (length >= 2))
        runs = self._closed(streams[resumes], n_before).then(
            Runs(streams[reported], pairs[reported], blocks[reported], length[reported])
        )
        self._pair[self._carried] = -1
        self._length[self._carried] = 0
        self._carried = streams[newest]
        self._pair[self._carried] = pairs[newest]
        self._length[self._carried] = length[newest]
        return runs

    def _closed(self, resumed: I64, n_before: int) -> Runs:
        """Runs that were open and do not go on; a full segment was reported already."""
        length = self._length[self._carried]
        open_ = self._carried[(length >= 2) & (length % SEGMENT != 0)]
        self._resumed[resumed] = True
        closed = open_[~self._resumed[open_]]
        self._resumed[resumed] = False
        return Runs(
            closed,
            self._pair[closed],
            np.full(len(closed), n_before - 1),
            self._length[closed],
        )
