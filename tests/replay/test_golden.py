"""The sample calls through the core, against the truth of their manifest and golden spans.

A golden span may move by 10 ms when a profile is tuned; more, or one more or less, is a change to
look at. Truth does not move at all.
"""

from __future__ import annotations

import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.auditor import audit
from voicemask.dtmf.detector import Tone, detect
from voicemask.mask.apply import Masker
from voicemask.mask.span import Span

F32 = NDArray[np.float32]
SAMPLES = Path(__file__).parents[2] / "samples"
MANIFEST: dict[str, dict[str, Any]] = {
    entry["file"]: entry
    for entry in tomllib.loads((SAMPLES / "manifest.toml").read_text(encoding="utf-8"))["sample"]
    if entry["file"].endswith(".wav")
}
KEYED = [name for name, entry in MANIFEST.items() if entry["keys"]]

GOLDEN_S = {
    "inband_en.wav": [(3.124, 5.958), (9.410, 10.112), (12.920, 13.449)],
    "inband_fr.wav": [
        (3.036, 3.714),
        (3.750, 4.438),
        (4.473, 4.685),
        (4.716, 4.927),
        (4.962, 5.170),
        (5.204, 5.648),
        (5.681, 5.893),
        (5.926, 6.604),
        (6.640, 6.850),
        (9.470, 9.680),
        (9.716, 9.927),
        (9.963, 10.173),
        (10.207, 10.649),
    ],
    "fast_en.wav": [(1.927, 3.897)],
}


@cache
def heard(name: str) -> tuple[F32, int]:
    """Audio (n_channels, n) and its rate."""
    audio, rate_hz = soundfile.read(SAMPLES / name, dtype="float32", always_2d=True)
    return np.ascontiguousarray(audio.T), rate_hz


@cache
def masked(
    name: str, policy: Policy = Policy.GUARD, fill: Fill = Fill.NOISE, chunk: int = 0
) -> tuple[F32, list[Span], list[Tone]]:
    audio, rate_hz = heard(name)
    masker = Masker(len(audio), rate_hz, policy, fill)
    out = audio.copy()
    spans: list[Span] = []
    tones: list[Tone] = []
    n_samples = audio.shape[1]
    places = [*range(0, n_samples, chunk or n_samples), n_samples]
    steps = [masker.push(audio[:, begin:end]) for begin, end in pairwise(places)]
    for step in (*steps, masker.flush()):
        for patch in step.patches:
            out[patch.channel, patch.start : patch.start + len(patch.audio)] = patch.audio
        spans += step.spans
        tones += step.tones
    return out, sorted(spans, key=lambda s: (s.channel, s.start)), tones


def covered(name: str) -> NDArray[np.bool_]:
    audio, _ = heard(name)
    result = np.zeros(audio.shape, bool)
    for span in masked(name)[1]:
        result[span.channel, span.start : span.end] = True
    return result


@pytest.mark.parametrize("name", KEYED)
def test_sample_keys_are_read_in_order_and_once(name: str) -> None:
    tones = detect(*heard(name))
    truth = MANIFEST[name]["keys"]
    assert [tone.digit for tone in tones] == [Digit.of(key) for _, _, _, key, _ in truth]
    assert [tone.channel for tone in tones] == [channel for channel, *_ in truth]


@pytest.mark.parametrize("name", KEYED)
def test_sample_keys_are_read_at_their_times(name: str) -> None:
    audio, rate_hz = heard(name)
    truth = MANIFEST[name]["keys"]
    for tone, (_, start_s, end_s, _, _) in zip(detect(audio, rate_hz), truth, strict=True):
        assert tone.start / rate_hz == pytest.approx(start_s, abs=0.02)
        assert tone.end / rate_hz == pytest.approx(end_s, abs=0.02)


@pytest.mark.parametrize("name", KEYED)
def test_sample_keys_are_masked_with_30_ms_either_side(name: str) -> None:
    _, rate_hz = heard(name)
    mask = covered(name)
    for channel, start_s, end_s, _, _ in MANIFEST[name]["keys"]:
        start, end = round((start_s - 0.03) * rate_hz), round((end_s + 0.03) * rate_hz)
        assert mask[channel, start:end].all()


@pytest.mark.parametrize("name", KEYED)
def test_sample_speech_away_from_keys_is_masked_little(name: str) -> None:
    _, rate_hz = heard(name)
    away = np.ones_like(covered(name))
    for channel, start_s, end_s, _, _ in MANIFEST[name]["keys"]:
        start, end = round((start_s - 0.15) * rate_hz), round((end_s + 0.15) * rate_hz)
        away[channel, max(0, start) : end] = False
    assert covered(name)[away].sum() / rate_hz < 1.0


def test_sample_without_keys_is_not_touched() -> None:
    out, spans, tones = masked("speech_only.wav")
    assert spans == []
    assert tones == []
    np.testing.assert_array_equal(out, heard("speech_only.wav")[0])


def test_sample_without_keys_reads_as_nothing() -> None:
    assert detect(*heard("speech_only.wav")) == []


@pytest.mark.parametrize("name", GOLDEN_S)
def test_sample_has_its_golden_spans(name: str) -> None:
    _, rate_hz = heard(name)
    keyed = [(start_s, end_s) for _, start_s, end_s, _, _ in MANIFEST[name]["keys"]]
    found = [
        (span.start / rate_hz, span.end / rate_hz)
        for span in masked(name)[1]
        if any(span.start / rate_hz < end_s and span.end / rate_hz > s for s, end_s in keyed)
    ]
    np.testing.assert_allclose(found, GOLDEN_S[name], atol=0.010)


@pytest.mark.parametrize("policy", [Policy.GUARD, Policy.CAPTURE])
@pytest.mark.parametrize("name", KEYED)
def test_sample_masked_holds_nothing_readable(name: str, policy: Policy) -> None:
    _, rate_hz = heard(name)
    for fill in Fill:
        assert audit(masked(name, policy, fill)[0], rate_hz) == []


@pytest.mark.parametrize("name", KEYED)
def test_sample_keeps_every_sample_outside_its_spans(name: str) -> None:
    mask = covered(name)
    np.testing.assert_array_equal(masked(name)[0][~mask], heard(name)[0][~mask])


@pytest.mark.parametrize("policy", [Policy.GUARD, Policy.CAPTURE])
@pytest.mark.parametrize(
    "name",
    ["inband_en.wav", "inband_fr.wav", "over_speech_en.wav"],
)
def test_sample_in_20_ms_frames_gives_the_bytes_of_the_whole(name: str, policy: Policy) -> None:
    whole, spans, tones = masked(name, policy)
    frames, frame_spans, frame_tones = masked(name, policy, chunk=160)
    assert frame_spans == spans
    assert frame_tones == tones
    np.testing.assert_array_equal(frames, whole)
