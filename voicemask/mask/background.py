"""The level of a call's own background: what comfort noise has to match.

It is read from before a masked stretch, from blocks that were not masked themselves, so nothing of
a tone is in it: a fill as loud as its tone would tell how loud that was.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from voicemask.dtmf.goertzel import BLOCK, FULL_SCALE, GoertzelBank
from voicemask.mask.fill import LOUDEST_DBFS, QUIETEST_DBFS

HISTORY_BLOCKS: Final = 640
"""What the bank must keep: the masker's lag of three seconds, and what is looked at before it."""
_LOOK_BLOCKS: Final = 250
_LEAST_BLOCKS: Final = 10
_QUIET_SHARE: Final = 0.2
"""The background is what a call sounds like in its quietest fifth."""
_UNKNOWN_DBFS: Final = -60.0
_REMEMBERED: Final = 64


class Background:
    """Background level of several channels.

    Parameters
    ----------
    n_channels : channels.
    bank : where the blocks' energies are read.
    """

    def __init__(self, n_channels: int, bank: GoertzelBank) -> None:
        self._bank = bank
        self._known = [_UNKNOWN_DBFS] * n_channels
        self._masked: list[deque[tuple[int, int]]] = [
            deque(maxlen=_REMEMBERED) for _ in range(n_channels)
        ]

    def leave_out(self, channel: int, start: int, end: int) -> None:
        """Remember a masked stretch (8000 Hz samples): it is not background."""
        self._masked[channel].append((start // BLOCK, -(-end // BLOCK)))

    def level_dbfs(self, channel: int, start: int) -> float:
        """Give the level before sample `start` (8000 Hz), relative to a full-scale sine."""
        last = start // BLOCK
        blocks = np.arange(max(0, last - _LOOK_BLOCKS), last)
        free = np.ones(len(blocks), bool)
        for begin, end in self._masked[channel]:
            free &= (blocks < begin) | (blocks >= end)
        blocks = blocks[free]
        if len(blocks) < _LEAST_BLOCKS:
            return self._known[channel]
        energy = np.sort(self._bank.energy_at(np.full(len(blocks), channel), blocks))
        quiet = float(energy[int(_QUIET_SHARE * len(energy))])
        level = 10 * np.log10(quiet / BLOCK / (float(FULL_SCALE) ** 2 / 2) + 1e-20)
        self._known[channel] = float(np.clip(np.round(level), QUIETEST_DBFS, LOUDEST_DBFS))
        return self._known[channel]
