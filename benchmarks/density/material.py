"""What the calls of the load carry: conversations of prompts, customers pressing keys now and then.

Silence would cost a masker less than calls do, and tones all the time more.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.conditions import HIGH_HZ, LOW_HZ
from benchmarks.leak.press import N_KEYS, RATE_HZ
from benchmarks.material import corpus
from voicemask.audio.g711 import Law, encode

N_LOOPS: Final = 64
LOOP_S: Final = 10
KEYS_PER_LOOP: Final = 4
TONE_SAMPLES: Final = RATE_HZ // 10
TONE_AMPLITUDE: Final = 0.12
"""Per tone; -15 dBm0."""
TALK_DBFS: Final = -20.0
NOISE: Final = 10 ** (-60 / 20)
FRAME_SAMPLES: Final = 160


def loops(seed: int = 1) -> NDArray[np.uint8]:
    """Make PCMU payloads of conversations, (N_LOOPS, n_frames, 160); odd ones hold no key."""
    rng = np.random.default_rng(seed)
    talk = corpus.speech(TALK_DBFS)
    n = LOOP_S * RATE_HZ
    out = np.empty((N_LOOPS, n // FRAME_SAMPLES, FRAME_SAMPLES), np.uint8)
    for index in range(N_LOOPS):
        at = int(rng.integers(0, talk.size - n))
        audio = talk[at : at + n] + rng.standard_normal(n) * NOISE
        # parties take turns: each talks in its half of the loop
        half = slice(0, n // 2) if index % 2 else slice(n // 2, n)
        audio[half] = rng.standard_normal(n // 2) * NOISE
        if index % 2 == 0:
            _press(audio, rng)
        pcm = np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16)
        out[index] = encode(pcm, Law.MU).reshape(out[index].shape)
    return out


def _press(audio: NDArray[np.floating], rng: np.random.Generator) -> None:
    t = np.arange(TONE_SAMPLES) * 2 * np.pi / RATE_HZ
    for press in range(KEYS_PER_LOOP):
        key = int(rng.integers(N_KEYS))
        at = int(rng.integers(0, RATE_HZ // 2)) + press * RATE_HZ
        tone = np.sin(LOW_HZ[key // 4] * t) + np.sin(HIGH_HZ[key % 4] * t)
        audio[at : at + TONE_SAMPLES] += TONE_AMPLITUDE * tone
