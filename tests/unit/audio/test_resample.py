"""Resampling: in place, in time, and the same however it is batched."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.audio.resample import StreamResampler
from voicemask.errors import CodecError

RATES_HZ = [11025, 16000, 22050, 32000, 44100, 48000]


def resampled(
    audio: NDArray[np.float32], from_hz: int, chunk: int | None = None
) -> NDArray[np.float32]:
    resampler = StreamResampler(len(audio), from_hz, 8000)
    step = chunk or max(1, audio.shape[1])
    pieces = [
        resampler.push(audio[:, begin : begin + step]) for begin in range(0, audio.shape[1], step)
    ]
    return np.concatenate([*pieces, resampler.flush()], axis=1)


def sine(hz: float, rate_hz: int, seconds: float = 0.5) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize("from_hz", RATES_HZ)
@pytest.mark.parametrize("chunk", [7, 160, 999])
def test_resampler_gives_the_same_bits_in_pieces(from_hz: int, chunk: int) -> None:
    n_samples = 1400 if chunk == 7 else 8000
    audio = np.random.default_rng(2).normal(0, 0.2, (2, n_samples)).astype(np.float32)
    np.testing.assert_array_equal(resampled(audio, from_hz), resampled(audio, from_hz, chunk))


@pytest.mark.parametrize("from_hz", RATES_HZ)
@pytest.mark.parametrize("hz", [697, 1633, 3000])
def test_resampler_has_no_delay_and_keeps_the_level(from_hz: int, hz: int) -> None:
    audio = sine(hz, from_hz).astype(np.float32)[None]
    out = resampled(audio, from_hz)[0]
    wanted = sine(hz, 8000)
    assert len(out) == len(wanted)
    np.testing.assert_allclose(out[100:-100], wanted[100:-100], atol=3e-3)


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_resampler_keeps_out_what_would_fold_in(from_hz: int) -> None:
    audio = sine(4900, from_hz).astype(np.float32)[None]
    assert np.abs(resampled(audio, from_hz)[0, 100:-100]).max() < 2e-3


@pytest.mark.parametrize("from_hz", RATES_HZ)
@pytest.mark.parametrize("n_samples", [0, 1, 5, 77])
def test_resampler_gives_the_length_of_the_input(from_hz: int, n_samples: int) -> None:
    out = resampled(np.ones((3, n_samples), np.float32), from_hz)
    assert out.shape == (3, -(-n_samples * 8000 // from_hz))


def test_resampler_passes_its_own_rate_untouched() -> None:
    audio = np.random.default_rng(3).normal(0, 0.2, (2, 500)).astype(np.float32)
    np.testing.assert_array_equal(resampled(audio, 8000, 77), audio)


def test_resampler_scales_integers_to_full_scale() -> None:
    audio = np.random.default_rng(3).integers(-20_000, 20_000, (1, 999)).astype(np.int16)
    as_float = audio.astype(np.float32) / np.float32(32768)
    first, second = StreamResampler(1, 16000, 8000), StreamResampler(1, 16000, 8000)
    np.testing.assert_array_equal(first.push(audio), second.push(as_float))


def test_resampler_refuses_a_rate_below_the_line() -> None:
    with pytest.raises(CodecError, match="6000 Hz"):
        StreamResampler(1, 6000, 8000)


@pytest.mark.parametrize("shape", [(160,), (2, 160), (1, 1, 160)])
def test_resampler_refuses_audio_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(CodecError, match="1 channels"):
        StreamResampler(1, 8000, 8000).push(np.zeros(shape, np.float32))
