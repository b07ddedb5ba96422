"""The background's level: read where nobody keys, and kept within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.dtmf.goertzel import GoertzelBank
from voicemask.dtmf.profile import load_profile
from voicemask.mask.background import HISTORY_BLOCKS, Background
from voicemask.mask.fill import LOUDEST_DBFS, QUIETEST_DBFS

RECEIVER = load_profile("mask").receiver


def noise(level_dbfs: float, n_samples: int = 16_000) -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    return (random.normal(0, 10 ** (level_dbfs / 20) / np.sqrt(2), n_samples)).astype(np.float32)


def background_of(*channels: NDArray[np.float32]) -> Background:
    bank = GoertzelBank(len(channels), RECEIVER, HISTORY_BLOCKS)
    bank.push(np.stack(channels))
    return Background(len(channels), bank)


@pytest.mark.parametrize("level_dbfs", [-65.0, -50.0, -42.0])
def test_background_is_the_level_of_the_noise(level_dbfs: float) -> None:
    found = background_of(noise(level_dbfs)).level_dbfs(0, 16_000)
    assert found == pytest.approx(level_dbfs, abs=2)


def test_background_is_what_lies_between_words() -> None:
    audio = noise(-50)
    words = np.arange(16_000) % 4000 < 2800
    audio[words] += noise(-20)[words]
    assert background_of(audio).level_dbfs(0, 16_000) == pytest.approx(-50, abs=2)


def test_background_leaves_masked_stretches_out() -> None:
    audio = noise(-60)
    audio[2000:16_000] = noise(-40)[2000:]
    background = background_of(audio)
    background.leave_out(0, 2000, 16_000)
    assert background.level_dbfs(0, 16_000) == pytest.approx(-60, abs=2)


def test_background_of_channels_is_their_own() -> None:
    background = background_of(noise(-65), noise(-45))
    assert background.level_dbfs(0, 16_000) == pytest.approx(-65, abs=2)
    assert background.level_dbfs(1, 16_000) == pytest.approx(-45, abs=2)


@pytest.mark.parametrize(("level_dbfs", "bound"), [(-95, QUIETEST_DBFS), (-10, LOUDEST_DBFS)])
def test_background_stays_within_bounds(level_dbfs: float, bound: float) -> None:
    assert background_of(noise(level_dbfs)).level_dbfs(0, 16_000) == bound


def test_background_of_digital_silence_is_the_quietest() -> None:
    audio = np.zeros(16_000, np.float32)
    assert background_of(audio).level_dbfs(0, 16_000) == QUIETEST_DBFS


def test_background_at_the_start_of_a_call_is_a_guess_within_bounds() -> None:
    level = background_of(noise(-50)).level_dbfs(0, 0)
    assert QUIETEST_DBFS <= level <= LOUDEST_DBFS


def test_background_is_remembered_where_nothing_else_is_free() -> None:
    background = background_of(noise(-50))
    before = background.level_dbfs(0, 8000)
    background.leave_out(0, 0, 16_000)
    assert background.level_dbfs(0, 16_000) == before
