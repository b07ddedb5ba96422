"""Presses a masker left alone: the plainest failure, and the first to look at when tuning one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.leak.press import Float32, LeakCall

COVERED_SHARE: Final = 0.9


def missed(calls: Sequence[LeakCall], outputs: Sequence[Float32]) -> dict[str, int]:
    """Count presses of which less than 90 % of the samples changed, by condition.

    Clamped calls are left out: most of their presses is no tone. Means something only for maskers
    that replace what they find, such as `guard`.
    """
    counts = {}
    for call, output in zip(calls, outputs, strict=True):
        if call.event_start.size:
            continue
        changed = np.concatenate(([0], np.cumsum(output != call.audio)))
        share = (changed[call.end] - changed[call.start]) / (call.end - call.start)
        if np.any(share < COVERED_SHARE):
            counts[call.condition] = int(np.sum(share < COVERED_SHARE))
    return counts
