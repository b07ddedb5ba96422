"""Made calls hold what they claim."""

from __future__ import annotations

import numpy as np
import pytest

from voicemask.capture.digit import Digit
from voicemask.errors import SecretError
from voicemask.synthetic import dtmf_tone, make_call


def spectrum_peaks(tone: np.ndarray, rate_hz: int) -> list[float]:
    power = np.abs(np.fft.rfft(tone * np.hanning(len(tone)), rate_hz))
    low, high = power[600:1070].argmax() + 600, power[1070:1800].argmax() + 1070
    return [float(low), float(high)]


@pytest.mark.parametrize(
    ("key", "low_hz", "high_hz"),
    [("1", 697, 1209), ("5", 770, 1336), ("9", 852, 1477), ("D", 941, 1633), ("*", 941, 1209)],
)
@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_tone_has_the_frequencies_of_its_key(
    key: str, low_hz: float, high_hz: float, rate_hz: int
) -> None:
    tone = dtmf_tone(key, tone_ms=500, rate_hz=rate_hz)
    assert spectrum_peaks(tone, rate_hz) == pytest.approx([low_hz, high_hz], abs=2)


def test_tone_deviation_shifts_both_frequencies() -> None:
    tone = dtmf_tone("1", tone_ms=500, deviation_percent=2)
    assert spectrum_peaks(tone, 8000) == pytest.approx([697 * 1.02, 1209 * 1.02], abs=2)


def test_tone_length_and_level_are_as_asked() -> None:
    tone = dtmf_tone("5", tone_ms=200, level_dbfs=-20)
    assert len(tone) == 1600
    assert tone.dtype == np.float32
    assert np.sqrt(np.mean(tone**2)) == pytest.approx(0.1, rel=0.02)  # two tones of rms 0.0707


@pytest.mark.parametrize("twist_db", [-8.0, 4.0])
def test_tone_twist_lowers_the_weaker_group_only(twist_db: float) -> None:
    power = np.abs(np.fft.rfft(dtmf_tone("1", tone_ms=1000, level_dbfs=-6, twist_db=twist_db)))
    levels = 20 * np.log10(power[[697, 1209]] / 4000)
    assert levels[1] - levels[0] == pytest.approx(twist_db, abs=0.1)
    assert max(levels) == pytest.approx(-6, abs=0.1)


def test_call_truth_says_where_every_key_is() -> None:
    call = make_call("42#", noise_dbfs=None, tone_ms=50, pause_ms=30, n_channels=2, channel=1)
    assert [tone.digit for tone in call.truth] == [Digit.of(key) for key in "42#"]
    assert [(tone.start, tone.end) for tone in call.truth] == [
        (4000, 4400),
        (4640, 5040),
        (5280, 5680),
    ]
    inside = np.zeros(call.audio.shape[1], bool)
    for tone in call.truth:
        inside[tone.start : tone.end] = True
    assert not call.audio[1][~inside].any()
    assert not call.audio[0].any()


def test_call_repeats_with_its_seed_and_differs_with_another() -> None:
    first, again, other = (make_call("12", seed=seed).audio for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_call_tones_go_over_the_speech_given() -> None:
    speech = np.full(100, 0.25, np.float32)
    call = make_call("1", over_speech=speech, noise_dbfs=None)
    assert call.audio[0, :4000] == pytest.approx(0.25)
    assert call.audio[0, 4000:4640].max() > 0.5


def test_call_refuses_what_is_no_key() -> None:
    with pytest.raises(SecretError):
        make_call("12x")


def test_call_truth_does_not_print_its_digits() -> None:
    assert "Digit(*)" in repr(make_call("7").truth)
