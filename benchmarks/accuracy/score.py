"""Compare what a detector decoded with what was pressed.

A press is *hit* when a decoded tone with its key overlaps it within 30 ms either side. Further
tones with that key on the same press are *duplicates*, tones with another key are *wrong*, tones on
no press are *false*. Programs that print keys without times are compared as sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.material.keying import RATE_HZ, Press, Recording

Audio = NDArray[np.float32]
Decoded = tuple[str, int, int]
Detector = Callable[[Audio], list[Decoded]]
"""Audio (n,) at 8 kHz in, ``(key, start, end)`` in samples out, in order."""

SLACK_SAMPLES: Final = round(0.030 * RATE_HZ)


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over one or more recordings."""

    presses: int = 0
    hits: int = 0
    wrong: int = 0
    duplicates: int = 0
    false: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.presses + other.presses,
            self.hits + other.hits,
            self.wrong + other.wrong,
            self.duplicates + other.duplicates,
            self.false + other.false,
        )

    @property
    def misses(self) -> int:
        return self.presses - self.hits

    @property
    def is_perfect(self) -> bool:
        """Every press once, and nothing else."""
        return self.hits == self.presses and not (self.wrong + self.duplicates + self.false)

    @property
    def hit_rate(self) -> float:
        return self.hits / self.presses if self.presses else float("nan")


def _overlap(tone: Decoded, press: Press) -> int:
    return min(tone[2], press.end) - max(tone[1], press.start)


def score(decoded: Sequence[Decoded], truth: Sequence[Press]) -> Score:
    """Match decoded tones with presses by time.

    A tone goes to the press it overlaps most; one that is wrong there but right for a neighbour
    within the slack that nothing has hit yet goes to the neighbour.
    """
    starts = np.array([press.start for press in truth], dtype=np.int64)
    hit = [False] * len(truth)
    wrong = duplicates = false = 0
    for tone in decoded:
        after = int(np.searchsorted(starts, tone[2] + SLACK_SAMPLES))
        near = [
            index
            for index in range(max(0, after - 64), after)
            if _overlap(tone, truth[index]) > -SLACK_SAMPLES
        ]
        near.sort(key=lambda index: -_overlap(tone, truth[index]))
        right = [index for index in near if truth[index].key == tone[0]]
        fresh = [index for index in right if not hit[index]]
        if not near:
            false += 1
        elif fresh and (fresh[0] == near[0] or near[0] not in right):
            hit[fresh[0]] = True
        elif right:
            duplicates += 1
        else:
            wrong += 1
    return Score(len(truth), sum(hit), wrong, duplicates, false)


def score_sequence(keys: str, truth: Sequence[Press]) -> Score:
    """Match keys without times: the alignment with the fewest edits.

    Of equal alignments the one with most hits counts. An inserted key that equals its neighbour in
    the alignment is a duplicate, any other insertion false, a substitution wrong.
    """
    pressed = "".join(press.key for press in truth)
    n_pressed, n_keys = len(pressed), len(keys)
    cost = np.zeros((n_pressed + 1, n_keys + 1), dtype=np.int32)
    cost[:, 0] = np.arange(n_pressed + 1)
    cost[0, :] = np.arange(n_keys + 1)
    for i in range(1, n_pressed + 1):
        for j in range(1, n_keys + 1):
            cost[i, j] = min(
                cost[i - 1, j - 1] + (pressed[i - 1] != keys[j - 1]),
                cost[i - 1, j] + 1,
                cost[i, j - 1] + 1,
            )
    return _counted(cost, pressed, keys)


def _counted(cost: NDArray[np.int32], pressed: str, keys: str) -> Score:
    i, j = len(pressed), len(keys)
    hits = wrong = duplicates = false = 0
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (pressed[i - 1] != keys[j - 1]):
            hits += pressed[i - 1] == keys[j - 1]
            wrong += pressed[i - 1] != keys[j - 1]
            i, j = i - 1, j - 1
        elif j and cost[i, j] == cost[i, j - 1] + 1:
            repeats = keys[j - 1] in (keys[j - 2 : j - 1], keys[j : j + 1])
            duplicates += repeats
            false += not repeats
            j -= 1
        else:
            i -= 1
    return Score(len(pressed), hits, wrong, duplicates, false)


def score_detector(detector: Detector, recording: Recording) -> Score:
    """Run a detector over one recording."""
    return score(detector(recording.audio), recording.truth)
