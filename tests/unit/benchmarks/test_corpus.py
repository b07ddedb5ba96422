"""Levels of the material the benchmarks use."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.material.corpus import active_level_dbfs, normalised


def words(level_dbfs: float) -> np.ndarray:
    """Noise with pauses: what is active lies at the level, half the time is silent."""
    rng = np.random.default_rng(3)
    audio = rng.normal(0, 10 ** (level_dbfs / 20), 16000)
    audio[4000:8000] = audio[12000:] = 0
    return audio.astype(np.float32)


def test_active_level_leaves_pauses_out() -> None:
    assert active_level_dbfs(words(-27)) == pytest.approx(-27, abs=0.2)


@pytest.mark.parametrize("level_dbfs", [-20.0, -35.0])
def test_normalised_brings_audio_to_the_level(level_dbfs: float) -> None:
    made = normalised(words(-27), level_dbfs)
    assert active_level_dbfs(made) == pytest.approx(level_dbfs, abs=0.01)


def test_normalised_to_nothing_keeps_the_level() -> None:
    audio = words(-27)
    np.testing.assert_array_equal(normalised(audio, None), audio)
