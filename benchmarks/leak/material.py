"""Speech and music to lay under tones, at a known active level.

From Debian's asterisk prompt and music-on-hold packages, see `CORPUS_DIRS`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from benchmarks.leak.press import Float32, Int64, samples

CORPUS_DIRS: Final = {
    "speech": Path("/usr/share/asterisk/sounds"),
    "music": Path("/usr/share/asterisk/moh"),
}
NOT_SPEECH: Final = ("beep", "silence", "tone", "dtmf", "ring", "busy", "screech", "tt-monkeys")
ACTIVE_BELOW_PEAK_DB: Final = 20.0
"""Frames this far under the loud ones (95th percentile) count as pause."""


@cache
def files(kind: str) -> tuple[Path, ...]:
    """Sound files of ``speech`` or ``music``, sorted.

    Raises
    ------
    FileNotFoundError
        The Debian packages are not installed.
    """
    found = sorted(p for p in CORPUS_DIRS[kind].rglob("*.wav") if not p.is_symlink())
    found = [
        p for p in found if not any(w in str(p.relative_to(CORPUS_DIRS[kind])) for w in NOT_SPEECH)
    ]
    if not found:
        raise FileNotFoundError(
            f"no {kind} in {CORPUS_DIRS[kind]}: install asterisk-core-sounds-*-wav and "
            "asterisk-moh-opsound-wav"
        )
    return tuple(found)


def active_rms(audio: Float32) -> float:
    """RMS over the frames of 20 ms that are not pauses."""
    size = samples(20)
    power = np.mean(audio[: audio.size // size * size].reshape(-1, size) ** 2, axis=1)
    floor = np.quantile(power, 0.95) * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)
    return float(np.sqrt(np.mean(power[power >= floor])))


def cover(kind: str, n: int, rng: np.random.Generator) -> Float32:
    """Draw `n` samples of speech or music, every file at an active level of 1.

    Parameters
    ----------
    kind : ``speech`` or ``music``.
    n : samples.
    rng : chooses files, and the place within long ones.
    """
    parts: list[Float32] = []
    have = 0
    order: Int64 = rng.permutation(len(files(kind)))
    while have < n:
        for index in order:
            audio, _ = soundfile.read(files(kind)[index], dtype="float32")
            if audio.size < samples(500):
                continue
            if audio.size > samples(30_000):
                at = int(rng.integers(0, audio.size - samples(20_000)))
                audio = audio[at : at + samples(20_000)]
            level = active_rms(audio)
            if level < 1e-4:
                continue
            parts.append((audio / np.float32(level)).astype(np.float32))
            have += audio.size
            if have >= n:
                break
    return np.concatenate(parts)[:n]
