"""The second opinion finds what a person could read, and nothing in speech-like audio or fills."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS, Digit
from voicemask.dtmf import auditor
from voicemask.dtmf.auditor import Auditor, Readable, audit, read_digits
from voicemask.errors import InputError
from voicemask.synthetic import SyntheticCall, make_call

CARD = "4111111111111111"


def voice(seconds: float, seed: int = 3, rate_hz: int = 8000) -> NDArray[np.float32]:
    """Something with the harmonics, glides and pauses of a voice; active level -26 dBFS."""
    random = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    pitch_hz = 130 + 30 * np.sin(2 * np.pi * 0.7 * time_s) + 12 * np.sin(2 * np.pi * 3.1 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    formants_hz = 500 + 250 * np.sin(2 * np.pi * 1.3 * time_s)
    sound = np.zeros_like(time_s)
    for harmonic in range(1, 24):
        gain = 1 / (1 + ((harmonic * pitch_hz - formants_hz) / 150) ** 2) + 0.3 / harmonic
        sound += gain * np.sin(harmonic * phase + random.uniform(0, 6))
    sound *= np.sin(2 * np.pi * 2 * time_s).clip(0) ** 0.5
    active = sound[np.abs(sound) > 0.1]
    return (sound * 0.05 / np.sqrt(np.mean(active**2))).astype(np.float32)


def found(call: SyntheticCall) -> float:
    """Share of the true tones that one report covers."""
    reports = audit(call.audio, call.rate_hz)
    hits = [any(r.start < t.end and r.end > t.start for r in reports) for t in call.truth]
    return float(np.mean(hits))


CONDITIONS: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "25 ms": {"tone_ms": 25, "pause_ms": 60},
    "40 ms on, 40 ms off": {"tone_ms": 40, "pause_ms": 40},
    "-45 dBFS": {"level_dbfs": -45, "noise_dbfs": -75, "tone_ms": 50},
    "2 % high": {"deviation_percent": 2, "tone_ms": 50},
    "2 % low": {"deviation_percent": -2, "tone_ms": 50},
    "twist 10 dB": {"twist_db": 10, "tone_ms": 40},
    "twist -10 dB": {"twist_db": -10, "tone_ms": 40},
    "noise 6 dB under": {"noise_dbfs": -13, "tone_ms": 50},
    "25 ms, noise 6 dB under": {"noise_dbfs": -13, "tone_ms": 25},
    "over a voice at 6 dB": {"level_dbfs": -20, "over_speech": voice(4.0)},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_audit_reports_every_tone_of_a_card(name: str) -> None:
    assert found(make_call(CARD, seed=5, **CONDITIONS[name])) == 1.0


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 32000, 44100, 48000])
def test_audit_works_at_any_rate(rate_hz: int) -> None:
    assert found(make_call(CARD, rate_hz=rate_hz, seed=1)) == 1.0


def test_audit_reports_a_single_clear_tone() -> None:
    call = make_call("7", tone_ms=40)
    assert len(audit(call.audio)) == 1


def test_audit_gives_times_good_to_10_ms() -> None:
    call = make_call(CARD, tone_ms=60)
    for report, tone in zip(audit(call.audio), call.truth, strict=True):
        assert abs(report.start - tone.start) <= 80
        assert abs(report.end - tone.end) <= 80


def test_audit_names_the_channel() -> None:
    call = make_call(CARD, n_channels=3, channel=2)
    assert {report.channel for report in audit(call.audio)} == {2}


def noise(level_dbfs: float) -> NDArray[np.float32]:
    random = np.random.default_rng(8)
    return (random.standard_normal(80000) * 10 ** (level_dbfs / 20)).astype(np.float32)


def tone(*parts_hz: float) -> NDArray[np.float32]:
    time_s = np.arange(80000) / 8000
    return sum((0.2 * np.sin(2 * np.pi * hz * time_s) for hz in parts_hz), noise(-60)).astype(
        np.float32
    )


@pytest.mark.parametrize(
    "audio",
    [
        pytest.param(np.zeros(80000, np.float32), id="silence"),
        pytest.param(noise(-20), id="loud noise"),
        pytest.param(noise(-50), id="comfort noise"),
        *(pytest.param(tone(hz), id=f"flat {hz} Hz") for hz in (400, 425, 697, 800, 941, 1000)),
        pytest.param(tone(350, 440), id="dial tone, US"),
        pytest.param(tone(480, 620), id="busy, US"),
        pytest.param(tone(1100), id="fax calling"),
        pytest.param(tone(2100), id="fax answering"),
        pytest.param(voice(30.0), id="voice"),
    ],
)
def test_audit_finds_nothing_where_there_is_no_digit(audio: NDArray[np.float32]) -> None:
    assert audit(audio) == []


def test_audit_finds_nothing_in_bursts_of_a_flat_fill() -> None:
    audio = noise(-60)
    for start in range(8000, 72000, 1600):
        audio[start : start + 800] = tone(425)[:800]
    assert audit(audio) == []


@pytest.mark.parametrize("size", [1, 7, 160, 1000, 33333])
def test_auditor_result_does_not_depend_on_how_audio_is_batched(size: int) -> None:
    call = make_call("159D*", over_speech=voice(2.0), level_dbfs=-18, tail_ms=0, n_channels=2)
    audio = call.audio if size > 1 else call.audio[:, :6000]
    one = Auditor(2)
    whole = one.push(audio) + one.flush()
    many = Auditor(2)
    pieces = [many.push(audio[:, at : at + size]) for at in range(0, audio.shape[1], size)]
    reports = [report for piece in pieces for report in piece] + many.flush()
    assert reports
    assert sorted(reports, key=repr) == sorted(whole, key=repr)


def test_auditor_accepts_an_empty_push() -> None:
    listener = Auditor(2)
    assert listener.push(np.zeros((2, 0), np.float32)) == []
    assert listener.flush() == []


def test_auditor_reports_a_tone_that_reaches_the_end() -> None:
    call = make_call("5", tail_ms=0, pause_ms=0)
    assert len(audit(call.audio)) == 1


def test_auditor_reports_a_tone_without_end_in_bounded_pieces() -> None:
    call = make_call("5", tone_ms=30000)
    listener = Auditor(1)
    reports = []
    for at in range(0, call.audio.shape[1], 160):
        reports += listener.push(call.audio[:, at : at + 160])
    assert len(reports) >= 10
    assert max(report.end - report.start for report in reports) <= 2.1 * 8000


def test_auditor_refuses_a_rate_that_cannot_hold_dtmf() -> None:
    with pytest.raises(InputError, match="6000 Hz"):
        Auditor(1, 6000)


@pytest.mark.parametrize("key", KEYS)
def test_read_digits_reads_every_key(key: str) -> None:
    call = make_call(key, tone_ms=50)
    assert [digit for digit, _, _ in read_digits(call.audio)] == [Digit.of(key)]


def test_readable_has_no_place_for_a_key() -> None:
    assert set(Readable.__slots__) == {"channel", "start", "end", "confidence"}


def test_auditor_shares_no_code_with_the_detector() -> None:
    tree = ast.parse(inspect.getsource(auditor))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in imported if name and name.startswith("voicemask")}
    assert ours == {"voicemask.errors", "voicemask.capture.digit"}
