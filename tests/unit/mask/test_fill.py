"""Fills: a function of place and level, as loud as they should be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.policy import Fill
from voicemask.mask.fill import QUIETEST_DBFS, TONE_DBFS, TONE_HZ, filled


def fill_of(
    fill: Fill, start: int, end: int, *, channel: int = 0, rate_hz: int = 8000, level: float = -50.0
) -> NDArray[np.float32]:
    return filled(fill, channel=channel, start=start, end=end, rate_hz=rate_hz, level_dbfs=level)


def rms_dbfs(audio: NDArray[np.float32]) -> float:
    """Level relative to a full-scale sine."""
    return float(10 * np.log10(2 * np.mean(audio.astype(np.float64) ** 2)))


@pytest.mark.parametrize("fill", Fill)
@pytest.mark.parametrize("rate_hz", [8000, 44100])
@pytest.mark.parametrize("start", [0, 12_345, 28_800_000])
def test_fill_depends_on_place_alone(fill: Fill, rate_hz: int, start: int) -> None:
    whole = fill_of(fill, start, start + 1000, rate_hz=rate_hz)
    parts = [
        fill_of(fill, start + begin, start + end, rate_hz=rate_hz)
        for begin, end in ((0, 1), (1, 333), (333, 1000))
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("level", [-60.0, -45.0])
def test_noise_has_the_level_asked_for(level: float) -> None:
    assert rms_dbfs(fill_of(Fill.NOISE, 500, 16_500, level=level)) == pytest.approx(level, abs=0.5)


def test_noise_differs_between_channels() -> None:
    first, second = (fill_of(Fill.NOISE, 0, 8000, channel=channel) for channel in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_noise_does_not_stand_out_at_any_tone() -> None:
    audio = fill_of(Fill.NOISE, 0, 80_000)
    spectrum = np.abs(np.fft.rfft(audio.reshape(-1, 80))) ** 2
    shares = spectrum.mean(axis=0) / spectrum.mean(axis=0).sum()
    assert shares[7:17].max() < 0.15


def test_noise_goes_on_where_its_loop_ends() -> None:
    place = 1 << 17
    audio = fill_of(Fill.NOISE, place - 50, place + 50, level=QUIETEST_DBFS)
    assert np.abs(np.diff(audio)).max() < 10 ** (QUIETEST_DBFS / 20) * 5


def test_silence_is_zeros() -> None:
    assert not fill_of(Fill.SILENCE, 3, 999).any()


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_tone_is_one_flat_sine(rate_hz: int) -> None:
    audio = fill_of(Fill.TONE, 7 * rate_hz, 8 * rate_hz, rate_hz=rate_hz)
    spectrum = np.abs(np.fft.rfft(audio))
    assert spectrum.argmax() == TONE_HZ
    assert rms_dbfs(audio) == pytest.approx(TONE_DBFS, abs=0.1)


def test_tone_does_not_depend_on_the_background() -> None:
    np.testing.assert_array_equal(
        fill_of(Fill.TONE, 0, 800, level=-70), fill_of(Fill.TONE, 0, 800, level=-40)
    )


@pytest.mark.parametrize("fill", Fill)
def test_fill_of_nothing_is_nothing(fill: Fill) -> None:
    assert fill_of(fill, 40, 40).shape == (0,)
