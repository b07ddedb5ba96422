"""The plugin as its users meet it: through fixtures, in a pytest of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from voicemask.synthetic import SyntheticCall

MakeCall = Callable[..., SyntheticCall]
AssertNone = Callable[..., None]


def test_plugin_makes_calls(voicemask_call: MakeCall) -> None:
    call = voicemask_call("123", rate_hz=16000)
    assert (call.rate_hz, len(call.truth)) == (16000, 3)


def test_plugin_names_channel_and_time_of_readable_digits_and_never_a_key(
    voicemask_call: MakeCall, assert_no_readable_digits: AssertNone
) -> None:
    call = voicemask_call("5", n_channels=2, channel=1, lead_ms=1000, tone_ms=100)
    with pytest.raises(AssertionError) as caught:
        assert_no_readable_digits(call.audio, call.rate_hz)
    assert str(caught.value) in {
        f"digits can be read: channel 1 at {start}-{end} s"
        for start in ("0.99", "1.00", "1.01")
        for end in ("1.09", "1.10", "1.11")
    }


def test_plugin_accepts_audio_without_digits(assert_no_readable_digits: AssertNone) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, 40000)
    assert_no_readable_digits(noise, 8000)


def test_plugin_takes_integer_samples_at_their_own_full_scale(
    voicemask_call: MakeCall, assert_no_readable_digits: AssertNone
) -> None:
    call = voicemask_call("90")
    pcm = np.round(call.audio[0] * 32767).astype(np.int16)
    with pytest.raises(AssertionError, match="digits can be read"):
        assert_no_readable_digits(pcm, call.rate_hz)


def test_plugin_asks_for_the_rate_of_an_array(assert_no_readable_digits: AssertNone) -> None:
    with pytest.raises(TypeError, match="needs its rate"):
        assert_no_readable_digits(np.zeros(8000))


def test_plugin_masks_a_file_so_that_no_digit_can_be_read(
    voicemask_call: MakeCall,
    voicemask_mask_wav: Callable[..., Path],
    assert_no_readable_digits: AssertNone,
    tmp_path: Path,
) -> None:
    call = voicemask_call("4111111111111111")
    recording = tmp_path / "call.wav"
    sf.write(recording, call.audio.T, call.rate_hz)
    with pytest.raises(AssertionError):
        assert_no_readable_digits(recording)
    assert_no_readable_digits(voicemask_mask_wav(recording))


def test_plugin_import_loads_nothing_heavy() -> None:
    check = (
        "import sys, voicemask.pytest_plugin;"
        "print([n for n in ('numpy', 'scipy', 'soundfile', 'av', 'typer') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
