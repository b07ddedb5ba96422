"""Talk and silence of a channel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.audio.vad import TalkMeter
from voicemask.errors import CodecError

FORMANTS = ((600, 150), (1200, 200), (2500, 300))


def vowel(seconds: float, rate_hz: int = 8000) -> NDArray[np.float32]:
    """A voice of 120 Hz with three formants, centre and width in Hz."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, 28)
    audio = np.zeros(t.size)
    for harmonic, phase in enumerate(phases, start=1):
        hz = 120 * harmonic
        gain = sum(np.exp(-(((hz - centre) / width) ** 2)) for centre, width in FORMANTS)
        audio += gain * np.sin(2 * np.pi * hz * t + phase)
    return (0.2 * audio / np.abs(audio).max()).astype(np.float32)


def noise(seconds: float, level_dbfs: float = -45, rate_hz: int = 8000) -> NDArray[np.float32]:
    rng = np.random.default_rng(2)
    return rng.normal(0, 10 ** (level_dbfs / 20), round(seconds * rate_hz)).astype(np.float32)


def measured(audio: NDArray[np.float32], rate_hz: int = 8000, step: int | None = None) -> TalkMeter:
    meter = TalkMeter(rate_hz)
    for begin in range(0, audio.size, step or max(1, audio.size)):
        meter.push(audio[begin : begin + (step or audio.size)])
    meter.flush()
    return meter


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_talk_meter_tells_a_voice_from_a_quiet_line(rate_hz: int) -> None:
    audio = np.concatenate([vowel(2, rate_hz), noise(3, rate_hz=rate_hz)])
    meter = measured(audio, rate_hz)
    assert meter.talk_s == pytest.approx(2, abs=0.2)
    assert meter.silence_s == pytest.approx(3, abs=0.2)


def test_talk_meter_hears_no_talk_in_digital_silence() -> None:
    meter = measured(np.zeros(8000, np.float32))
    assert (meter.talk_s, meter.silence_s) == (0.0, 1.0)


@pytest.mark.parametrize("n_samples", [0, 1, 239, 240, 241, 8123])
def test_talk_and_silence_add_up_to_the_length(n_samples: int) -> None:
    meter = measured(vowel(2)[:n_samples])
    assert meter.talk_s + meter.silence_s == pytest.approx(n_samples / 8000)


@pytest.mark.parametrize("rate_hz", [8000, 22050])
@pytest.mark.parametrize("step", [7, 160, 999])
def test_talk_meter_does_not_depend_on_how_audio_is_cut(rate_hz: int, step: int) -> None:
    audio = np.concatenate([vowel(0.5, rate_hz), noise(0.5, rate_hz=rate_hz)])
    whole, pieces = measured(audio, rate_hz), measured(audio, rate_hz, step)
    assert (pieces.talk_s, pieces.silence_s) == (whole.talk_s, whole.silence_s)


def test_talk_meter_clips_what_is_beyond_full_scale() -> None:
    syllables = np.maximum(np.sin(2 * np.pi * 1.5 * np.arange(32000) / 8000), 0)
    loud = (12 * vowel(4) * syllables).astype(np.float32)
    wrapped = ((loud + 1) % 2 - 1).astype(np.float32)
    assert measured(loud).talk_s == measured(np.clip(loud, -1, 1)).talk_s
    assert measured(loud).talk_s != measured(wrapped).talk_s


def test_talk_meter_refuses_rates_below_a_telephones() -> None:
    with pytest.raises(CodecError):
        TalkMeter(6000)
