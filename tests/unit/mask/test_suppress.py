"""Suppression: tones go, what lies outside their band stays, and batching does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS
from voicemask.mask.suppress import Suppressor, hop_samples
from voicemask.synthetic import dtmf_tone

RATES_HZ = [8000, 16000, 44100, 48000]


def suppressed(
    audio: NDArray[np.float32], rate_hz: int = 8000, chunk: int | None = None
) -> NDArray[np.float32]:
    audio = np.atleast_2d(audio)
    suppressor = Suppressor(len(audio), rate_hz)
    step = chunk or max(1, audio.shape[1])
    pieces = [
        suppressor.push(audio[:, begin : begin + step]) for begin in range(0, audio.shape[1], step)
    ]
    return np.concatenate([*pieces, suppressor.flush()], axis=1)


def gain_db(audio: NDArray[np.float32], rate_hz: int = 8000) -> float:
    """Energy out over energy in, away from the ends."""
    inside = slice(rate_hz // 50, -(rate_hz // 50))
    out = suppressed(audio, rate_hz)[0, inside]
    power = float(np.mean(out.astype(np.float64) ** 2))
    return float(10 * np.log10(power / float(np.mean(audio[inside].astype(np.float64) ** 2))))


def sine(hz: float, rate_hz: int = 8000) -> NDArray[np.float32]:
    turns = 2 * np.pi * np.arange(rate_hz // 4) / rate_hz
    return (0.4 * np.sin(hz * turns)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("deviation", [-1.5, 0.0, 1.5])
def test_suppressor_takes_tones_out(rate_hz: int, deviation: float) -> None:
    for key in KEYS:
        tone = dtmf_tone(key, tone_ms=200, deviation_percent=deviation, rate_hz=rate_hz)
        assert gain_db(tone, rate_hz) < -25


@pytest.mark.parametrize("hz", [150, 300, 2500, 3000])
def test_suppressor_leaves_what_is_outside_the_band(hz: int) -> None:
    audio = sine(hz)
    out = suppressed(audio)[0]
    error = np.mean((out - audio)[160:-160].astype(np.float64) ** 2) / np.mean(audio**2)
    assert 10 * np.log10(error) < -40


def test_suppressor_of_silence_is_silence() -> None:
    assert not suppressed(np.zeros(1000, np.float32)).any()


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("n_samples", [0, 1, 39, 40, 41, 80, 3217])
def test_suppressor_gives_the_length_of_the_input(rate_hz: int, n_samples: int) -> None:
    assert suppressed(np.ones((2, n_samples), np.float32), rate_hz).shape == (2, n_samples)


@pytest.mark.parametrize("chunk", [1, 40, 79, 160, 5000])
def test_suppressor_gives_the_same_bits_in_pieces(chunk: int) -> None:
    n_samples = 900 if chunk == 1 else 12_000
    audio = np.random.default_rng(8).normal(0, 0.2, (2, n_samples)).astype(np.float32)
    np.testing.assert_array_equal(suppressed(audio), suppressed(audio, chunk=chunk))


def test_suppressor_of_a_channel_does_not_depend_on_the_others() -> None:
    audio = np.random.default_rng(8).normal(0, 0.2, (3, 4000)).astype(np.float32)
    np.testing.assert_array_equal(suppressed(audio)[1:2], suppressed(audio[1]))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_suppressor_lags_by_a_block_at_most(rate_hz: int) -> None:
    suppressor = Suppressor(1, rate_hz)
    n_in = n_out = 0
    for chunk in (1, 7, 160, 441, 3, 960):
        n_in += chunk
        n_out += suppressor.push(np.zeros((1, chunk), np.float32)).shape[1]
        assert n_in - 2 * hop_samples(rate_hz) <= n_out <= n_in


def test_suppressor_leaves_nothing_of_an_onset() -> None:
    audio = np.zeros(1600, np.float32)
    onset = dtmf_tone("5", tone_ms=8)
    audio[800 : 800 + len(onset)] = onset
    left = suppressed(audio)[0]
    assert np.sum(left**2) < 0.1 * np.sum(onset**2)
