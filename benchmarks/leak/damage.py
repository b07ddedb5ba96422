"""What happens to a customer's audio before a masker sees it: codecs, loss, echo.

Every function takes and gives (n,) float32 at 8 kHz, aligned with what went in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.leak.press import Float32, samples
from benchmarks.material import codecs

LOSS_SEED: Final = 4733


def echo(audio: Float32, delay_ms: float = 30.0, level_db: float = -15.0) -> Float32:
    """Add one reflection."""
    delay = samples(delay_ms)
    out = audio.copy()
    out[delay:] += np.float32(10 ** (level_db / 20)) * audio[:-delay]
    return out


def lose_packets(audio: Float32, share: float = 0.03) -> Float32:
    """Lose 20 ms packets at random; the receiver repeats the one before."""
    size = samples(20)
    n = audio.size // size
    source = np.arange(n)
    lost = np.random.default_rng(LOSS_SEED).random(n) < share
    lost[0] = False
    source[lost] = -1
    source = np.maximum.accumulate(source)
    out = audio.copy()
    out[: n * size] = audio[: n * size].reshape(n, size)[source].reshape(-1)
    return out


DAMAGE: Final[dict[str, Callable[[Float32], Float32]]] = {
    "mu-law": codecs.ulaw,
    "A-law": codecs.alaw,
    "GSM": codecs.gsm,
    "G.729": codecs.g729,
    "G.722": codecs.g722,
    "Opus 12k": codecs.opus_12k,
    "loss 3 %": lose_packets,
    "echo 30 ms": echo,
    "echo 30 ms, GSM": lambda audio: codecs.gsm(echo(audio)),
}
"""Name of the damage -> what it does."""
