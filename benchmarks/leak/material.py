"""Speech and music to lay under tones, at a known active level."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from benchmarks.leak.press import Float32, samples
from benchmarks.material import corpus

SHORTEST_MS: Final = 500
LONGEST_MS: Final = 20_000


@cache
def pieces(kind: str) -> tuple[Float32, ...]:
    """Give all prompts (``speech``) or pieces of music, each at an active level (RMS) of 1."""
    if kind == "speech":
        sources = [prompt.audio for prompt in corpus.prompts()]
    else:
        sources = np.array_split(corpus.music(), 64)
    long_enough = [audio for audio in sources if audio.size >= samples(SHORTEST_MS)]
    return tuple(
        (audio * np.float32(10 ** (-corpus.active_level_dbfs(audio) / 20))).astype(np.float32)
        for audio in long_enough
        if corpus.active_level_dbfs(audio) > -70
    )


def cover(kind: str, n: int, rng: np.random.Generator) -> Float32:
    """Draw `n` samples of speech or music at an active level (RMS) of 1.

    Parameters
    ----------
    kind : ``speech`` or ``music``.
    n : samples.
    rng : chooses the pieces, and the place within long ones.
    """
    parts: list[Float32] = []
    have = 0
    for index in rng.permutation(len(pieces(kind))):
        audio = pieces(kind)[index]
        at = int(rng.integers(0, max(1, audio.size - samples(LONGEST_MS))))
        parts.append(audio[at : at + samples(LONGEST_MS)])
        have += parts[-1].size
        if have >= n:
            break
    return np.resize(np.concatenate(parts), n)
