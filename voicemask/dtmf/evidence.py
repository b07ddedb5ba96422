"""How much a burst looks like a key press: one number, from a linear model that is data.

The measures of a burst are turned into features in which key presses and speech lie apart by a
plane; the evidence is the signed distance from it, a log-likelihood ratio up to a constant. The
weights are values of the receiver profile. Both decisions read the same evidence: masking early
and wide, decoding late and strict; their thresholds are values of the
profile too.

References
----------
benchmarks/accuracy/train.py fits the weights (logistic regression on drawn conditions against
speech and music without digits).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.dtmf.burst import Bursts
from voicemask.dtmf.goertzel import BLOCK
from voicemask.dtmf.profile import Receiver

F64 = NDArray[np.float64]

LONGEST_BLOCKS: Final = 10
"""A longer tone is no more convincing: a held note is long too."""
_PUREST: Final = 0.003
"""Shares left unexplained below this are quantisation."""


def features(bursts: Bursts) -> F64:
    """Give the features of bursts, shape (m, 12), in the order of `weights`."""
    low, high = np.abs(bursts.low_deviation), np.abs(bursts.high_deviation)
    apart = np.abs(bursts.low_deviation - bursts.high_deviation)
    before = np.minimum(bursts.outside_before, 1)
    after = np.minimum(bursts.outside_after, 1)
    return np.stack(
        [
            np.log2(np.clip(bursts.duration / BLOCK, 1, LONGEST_BLOCKS)),
            np.log10(np.clip(1 - bursts.fit, _PUREST, 1)),
            np.log10(np.clip(1 - bursts.inner_fit, _PUREST, 1)),
            bursts.low_jitter,
            bursts.high_jitter,
            np.minimum(bursts.roughness, 1.5),
            before,
            after,
            np.maximum(before, after),
            np.minimum(np.maximum(low, high), 3),
            np.minimum(apart, 4),
            np.minimum(np.abs(bursts.twist_db + 1), 14),
        ],
        axis=1,
    )


def weights(receiver: Receiver) -> F64:
    """Give the model's weights, shape (12,), in the order of `features`."""
    r = receiver
    return np.array(
        [
            r.weight_duration,
            r.weight_unexplained,
            r.weight_unexplained_blocks,
            r.weight_low_jitter,
            r.weight_high_jitter,
            r.weight_roughness,
            r.weight_before,
            r.weight_after,
            r.weight_outside,
            r.weight_deviation,
            r.weight_apart,
            r.weight_twist,
        ]
    )


def evidence(bursts: Bursts, receiver: Receiver) -> F64:
    """Give the evidence of bursts, shape (m,); bursts no keypad makes have minus infinity."""
    r = receiver
    # a sum over a fixed axis, not a matrix product: the same bits for one row and for a thousand
    value = (features(bursts) * weights(r)).sum(axis=1) + r.weight_bias
    possible = (
        (np.abs(bursts.low_deviation) <= r.deviation_max_percent)
        & (np.abs(bursts.high_deviation) <= r.deviation_max_percent)
        & (bursts.twist_db <= r.twist_max_db)
        & (bursts.twist_db >= r.twist_min_db)
        & (_weaker_dbfs(bursts) >= r.level_min_dbfs)
    )
    return np.where(possible, value, -np.inf)


def _weaker_dbfs(bursts: Bursts) -> F64:
    """Level of the weaker tone of each pair: limits of level are per tone."""
    share = 1 + 10 ** (np.abs(bursts.twist_db) / 10)
    weaker: F64 = bursts.level_dbfs - 10 * np.log10(share)
    return weaker
