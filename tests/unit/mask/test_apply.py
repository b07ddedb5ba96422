"""The masker: covers tones and nothing else, settles in time, and tells nothing by its fills."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS, Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.auditor import audit
from voicemask.errors import CodecError, ProfileError
from voicemask.mask.apply import Masker
from voicemask.mask.span import Reason
from voicemask.synthetic import dtmf_tone, make_call

MS = 8
FADE = 4 * MS
POLICIES = (Policy.GUARD, Policy.CAPTURE, Policy.MUTE, Policy.OPEN)


def rms_dbfs(audio: NDArray[np.float32]) -> float:
    """Level relative to a full-scale sine."""
    return float(10 * np.log10(2 * np.mean(audio.astype(np.float64) ** 2) + 1e-20))


# -- guard


@pytest.mark.parametrize("n_channels", [1, 2])
def test_guard_patches_the_spans_and_nothing_else(mask: Any, n_channels: int) -> None:
    call = make_call("4111", n_channels=n_channels, channel=n_channels - 1, noise_dbfs=-40)
    run = mask(call.audio)
    np.testing.assert_array_equal(run.patched, run.spanned())
    np.testing.assert_array_equal(run.audio[~run.patched], call.audio[~run.patched])
    assert not run.patched[: n_channels - 1].any()


@pytest.mark.parametrize("tone_ms", [15, 20, 40, 80, 300])
def test_guard_covers_each_tone_with_30_ms_either_side(mask: Any, tone_ms: int) -> None:
    call = make_call(KEYS, tone_ms=tone_ms, pause_ms=250)
    run = mask(call.audio)
    for true in call.truth:
        assert run.patched[0, true.start - 30 * MS : true.end + 30 * MS].all()


def test_guard_masks_a_single_short_tone(mask: Any) -> None:
    for key in KEYS:
        [span] = mask(make_call(key, tone_ms=20, pause_ms=0).audio).spans
        assert span.reason is Reason.TONE


def test_guard_leaves_audio_without_tones_alone(mask: Any) -> None:
    audio = np.random.default_rng(5).normal(0, 0.05, 40_000).astype(np.float32)
    run = mask(audio)
    assert run.patches == []
    assert run.spans == []
    assert run.finals[-1] == (40_000, 40_000)


def test_guard_spans_are_in_order_and_apart(mask: Any) -> None:
    spans = mask(make_call(KEYS, pause_ms=200).audio).spans
    assert len(spans) == len(KEYS)
    for before, after in pairwise(spans):
        assert after.start - before.end > 30 * MS


def test_guard_joins_spans_that_nearly_touch(mask: Any) -> None:
    call = make_call("12345", pause_ms=100)
    assert len(mask(call.audio).spans) == 1


def test_guard_spans_tell_the_level_of_the_loudest_pair(mask: Any) -> None:
    [span] = mask(make_call("59", level_dbfs=-20).audio).spans
    assert span.level_dbfs == pytest.approx(-17, abs=1)


def test_guard_decodes_the_keys_it_masks(mask: Any) -> None:
    call = make_call(KEYS)
    run = mask(call.audio)
    assert [tone.digit for tone in run.tones] == [Digit.of(key) for key in KEYS]
    assert all(run.patched[0, tone.start : tone.end].all() for tone in run.tones)


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_guard_masks_at_every_rate(mask: Any, rate_hz: int) -> None:
    call = make_call("470", rate_hz=rate_hz, pause_ms=250)
    run = mask(call.audio, rate_hz)
    margin = 30 * rate_hz // 1000
    assert len(run.spans) == len(run.tones) == 3
    for true, tone in zip(call.truth, run.tones, strict=True):
        assert run.patched[0, true.start - margin : true.end + margin].all()
        assert abs(tone.start - true.start) < margin
    np.testing.assert_array_equal(run.audio[~run.patched], call.audio[~run.patched])


def test_guard_masks_a_tone_of_20_s_in_one_span(mask: Any) -> None:
    call = make_call("8", tone_ms=20_000)
    run = mask(call.audio, chunk=16_000)
    [span] = run.spans
    assert span.start <= call.truth[0].start - 30 * MS
    assert span.end >= call.truth[0].end + 30 * MS


def test_guard_masks_tones_cut_by_either_end(mask: Any) -> None:
    tone = dtmf_tone("5", tone_ms=60)
    audio = np.concatenate([tone, np.zeros(4000, np.float32), tone])
    run = mask(audio)
    assert run.patched[0, : len(tone)].all()
    assert run.patched[0, -len(tone) :].all()


@pytest.mark.parametrize("fill", Fill)
def test_guard_leaves_nothing_of_tones_cut_by_either_end(mask: Any, fill: Fill) -> None:
    ends = []
    for key in "19":
        tone = dtmf_tone(key, tone_ms=60)
        run = mask(np.concatenate([tone, np.zeros(4000, np.float32), tone[::-1]]), fill=fill)
        ends.append(run.audio[0, [*range(200), *range(-200, 0)]])
    np.testing.assert_array_equal(*ends)


def test_guard_masks_a_tone_whose_phase_jumps(mask: Any) -> None:
    for key in KEYS:
        tone = dtmf_tone(key, tone_ms=60)
        audio = np.zeros(2400 + 2 * len(tone) + 8 + 2400, np.float32)
        audio[2400 : 2400 + len(tone)] = tone
        audio[2408 + len(tone) : 2408 + 2 * len(tone)] = tone
        assert mask(audio).patched[0, 2400 - 30 * MS : 2408 + 2 * len(tone) + 30 * MS].all()


# -- capture, mute, open


@pytest.mark.parametrize("policy", [Policy.CAPTURE, Policy.MUTE])
@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_policy_patches_every_sample(mask: Any, policy: Policy, rate_hz: int) -> None:
    call = make_call("12", n_channels=2, rate_hz=rate_hz)
    assert mask(call.audio, rate_hz, policy, chunk=1000).patched.all()


def test_capture_names_the_spans_it_filled(mask: Any) -> None:
    call = make_call("12", pause_ms=300)
    guard, capture = mask(call.audio), mask(call.audio, policy=Policy.CAPTURE)
    assert capture.spans == guard.spans
    assert capture.tones == guard.tones


def test_capture_keeps_what_lies_outside_the_band(mask: Any) -> None:
    time_s = np.arange(16_000) / 8000
    audio = (0.2 * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32)
    run = mask(audio, policy=Policy.CAPTURE)
    np.testing.assert_allclose(run.audio[0, 160:-160], audio[160:-160], atol=2e-3)


@pytest.mark.parametrize("fill", Fill)
def test_mute_holds_nothing_of_the_input(mask: Any, fill: Fill) -> None:
    quiet = np.zeros((2, 8000), np.float32)
    loud = np.random.default_rng(1).normal(0, 0.3, (2, 8000)).astype(np.float32)
    outputs = [mask(audio, policy=Policy.MUTE, fill=fill).audio for audio in (quiet, loud)]
    np.testing.assert_array_equal(*outputs)


def test_mute_settles_at_once_and_names_one_span_a_channel(mask: Any) -> None:
    run = mask(np.zeros((2, 1600), np.float32), policy=Policy.MUTE, chunk=160)
    assert all(fed == final for fed, final in run.finals)
    assert [(s.channel, s.start, s.end, s.reason, s.level_dbfs) for s in run.spans] == [
        (channel, 0, 1600, Reason.MUTE, None) for channel in (0, 1)
    ]


def test_open_patches_nothing_and_settles_at_once(mask: Any) -> None:
    run = mask(make_call("12").audio, policy=Policy.OPEN, chunk=160)
    assert run.patches == []
    assert run.spans == []
    assert all(fed == final for fed, final in run.finals)


def test_open_still_decodes(mask: Any) -> None:
    assert len(mask(make_call("123").audio, policy=Policy.OPEN).tones) == 3


# -- time


@pytest.mark.parametrize("policy", POLICIES)
def test_final_never_goes_back_and_ends_at_the_end(mask: Any, policy: Policy) -> None:
    run = mask(make_call("4111", tail_ms=3500).audio, policy=policy, chunk=160)
    finals = [final for _, final in run.finals]
    assert finals == sorted(finals)
    assert finals[-1] == run.audio.shape[1]
    assert all(final <= fed for fed, final in run.finals)


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_final_lags_three_seconds_at_most_in_20_ms_frames(mask: Any, rate_hz: int) -> None:
    call = make_call("4111", tail_ms=4000, rate_hz=rate_hz)
    run = mask(call.audio, rate_hz, chunk=rate_hz // 50)
    assert max(fed - final for fed, final in run.finals) <= 3 * rate_hz


def test_final_lags_three_seconds_at_most_in_any_frames(mask: Any) -> None:
    audio = make_call("1", tail_ms=4000).audio
    run = mask(audio, cuts=range(79, audio.shape[1], 80))
    assert max(fed - final for fed, final in run.finals) <= 3 * 8000


@pytest.mark.parametrize("policy", [Policy.GUARD, Policy.CAPTURE])
def test_final_runs_on_through_a_long_tone(mask: Any, policy: Policy) -> None:
    run = mask(make_call("8", tone_ms=8000).audio, policy=policy, chunk=800)
    assert max(fed - final for fed, final in run.finals) <= 3 * 8000


def test_final_waits_for_what_was_not_examined(mask: Any) -> None:
    masker = Masker(1)
    assert masker.push(make_call("1", lead_ms=0, tail_ms=0).audio).final_until == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("n_samples", [0, 1, 2, 79, 80, 81])
def test_masker_takes_very_short_streams(mask: Any, policy: Policy, n_samples: int) -> None:
    run = mask(np.full((2, n_samples), 0.1, np.float32), policy=policy)
    assert run.finals[-1][1] == n_samples
    assert run.patched.all() == (policy in (Policy.CAPTURE, Policy.MUTE) or n_samples == 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_masker_takes_a_stream_never_fed(policy: Policy) -> None:
    masked = Masker(2, policy=policy).flush()
    assert (masked.final_until, masked.patches, masked.tones) == (0, (), ())


def test_masker_takes_empty_pushes(mask: Any) -> None:
    call = make_call("12")
    run = mask(call.audio, cuts=[0, 0, 4000, 4000, 4000, 9000])
    np.testing.assert_array_equal(run.audio, mask(call.audio).audio)


def test_masker_refuses_a_rate_below_the_line() -> None:
    with pytest.raises(CodecError):
        Masker(1, 6000)


def test_masker_refuses_an_unknown_profile() -> None:
    with pytest.raises(ProfileError):
        Masker(1, profile="nobody")


# -- mark


@pytest.mark.parametrize("policy", [Policy.GUARD, Policy.CAPTURE])
def test_mark_fills_what_it_names(policy: Policy) -> None:
    masker = Masker(2, policy=policy)
    masker.mark(1, 4000, 4800, Reason.EVENT)
    masker.push(np.full((2, 8000), 0.25, np.float32))
    masked = masker.flush()
    [span] = masked.spans
    assert (span.channel, span.start, span.end) == (1, 4000, 4800)
    assert span.reason is Reason.EVENT
    assert span.level_dbfs is None
    [patch] = [
        p for p in masked.patches if p.channel == 1 and p.start <= 4400 < p.start + len(p.audio)
    ]
    inside = patch.audio[4000 + FADE - patch.start : 4800 - FADE - patch.start]
    assert np.abs(inside).max() < 0.05


def test_mark_grows_a_tone_it_touches() -> None:
    call = make_call("5")
    masker = Masker(1)
    masker.push(call.audio)
    end = call.truth[0].end
    masker.mark(0, end, end + 1600, Reason.EVENT)
    [span] = masker.flush().spans
    assert span.end == end + 1600
    assert span.level_dbfs is not None


def test_mark_beyond_the_end_is_cut_there() -> None:
    masker = Masker(1)
    masker.mark(0, 700, 9000, Reason.INFO)
    masker.push(np.zeros((1, 800), np.float32))
    masked = masker.flush()
    assert [(span.start, span.end) for span in masked.spans] == [(700, 800)]


def test_mark_far_beyond_the_end_is_cut_there() -> None:
    masker = Masker(1)
    masker.mark(0, 100, 90_000, Reason.UNDECODABLE)
    spans = list(masker.push(np.zeros((1, 60_000), np.float32)).spans) + list(masker.flush().spans)
    assert [(span.start, span.end) for span in spans] == [(100, 60_000)]


def test_mark_refuses_what_has_left() -> None:
    masker = Masker(1)
    final = masker.push(np.zeros((1, 40_000), np.float32)).final_until
    assert final > 0
    masker.mark(0, final, final + 80, Reason.EVENT)
    with pytest.raises(ValueError, match="final"):
        masker.mark(0, final - 1, final + 80, Reason.EVENT)


# -- what a fill tells


@pytest.mark.parametrize("fill", Fill)
def test_fill_is_the_same_for_other_keys(mask: Any, fill: Fill) -> None:
    made: dict[str, Any] = {"pause_ms": 150, "noise_dbfs": -50, "seed": 3}
    first, second = (mask(make_call(keys, **made).audio, fill=fill) for keys in ("1590", "4A*7"))
    for mine, other in zip(first.spans, second.spans, strict=True):
        assert abs(mine.start - other.start) <= 2 * MS
        assert abs(mine.end - other.end) <= 2 * MS
        inside = slice(max(mine.start, other.start) + FADE, min(mine.end, other.end) - FADE)
        np.testing.assert_array_equal(first.audio[0, inside], second.audio[0, inside])


def test_fill_is_the_same_for_a_louder_key(mask: Any) -> None:
    audio = [make_call("5", level_dbfs=level, noise_dbfs=-50).audio for level in (-30, -8)]
    first, second = (mask(a) for a in audio)
    inside = slice(first.spans[0].start + 80, first.spans[0].end - 80)
    np.testing.assert_array_equal(first.audio[0, inside], second.audio[0, inside])


@pytest.mark.parametrize("noise_dbfs", [-60.0, -45.0])
def test_noise_is_as_loud_as_the_background(mask: Any, noise_dbfs: float) -> None:
    run = mask(make_call("4111", noise_dbfs=noise_dbfs, lead_ms=2500).audio)
    [span] = run.spans
    inside = run.audio[0, span.start + FADE : span.end - FADE]
    assert rms_dbfs(inside) == pytest.approx(noise_dbfs, abs=3)


def test_silence_is_zeros_between_its_fades(mask: Any) -> None:
    run = mask(make_call("41").audio, fill=Fill.SILENCE)
    [span] = run.spans
    assert not run.audio[0, span.start + FADE : span.end - FADE].any()


def test_tone_fill_is_flat(mask: Any) -> None:
    run = mask(make_call("4111").audio, fill=Fill.TONE)
    [span] = run.spans
    inside = run.audio[0, span.start + FADE : span.end - FADE]
    n_periods = len(inside) // 20 * 20
    levels = [rms_dbfs(part) for part in inside[:n_periods].reshape(-1, 20)]
    assert max(levels) - min(levels) < 0.1


@pytest.mark.parametrize("fill", [Fill.NOISE, Fill.SILENCE])
def test_fades_do_not_click(mask: Any, fill: Fill) -> None:
    time_s = np.arange(12_000) / 8000
    voice = (0.2 * np.sin(2 * np.pi * 180 * time_s)).astype(np.float32)
    call = make_call("5", over_speech=voice, noise_dbfs=None)
    run = mask(call.audio, fill=fill)
    largest = np.abs(np.diff(voice)).max() + 0.2 / FADE
    for span in run.spans:
        for edge in (span.start, span.end):
            steps = np.diff(run.audio[0, edge - FADE - 8 : edge + FADE + 8])
            assert np.abs(steps).max() <= largest


# -- extremes


def extremes() -> dict[str, NDArray[np.float32]]:
    square = np.sign(np.sin(2 * np.pi * 50.3 * np.arange(16_000) / 8000))
    random = np.random.default_rng(0)
    return {
        "zeros": np.zeros(16_000, np.float32),
        "direct current": np.full(16_000, 0.9, np.float32),
        "square wave": square.astype(np.float32),
        "full-scale noise": random.uniform(-1, 1, 16_000).astype(np.float32),
        "clicks": (random.random(16_000) > 0.999).astype(np.float32),
        "tones clipped hard": np.clip(make_call("159", level_dbfs=20).audio[0], -1, 1),
        "faintest": np.full(16_000, 1e-38, np.float32),
    }


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", list(extremes()))
def test_masker_survives_extreme_audio(mask: Any, policy: Policy, name: str) -> None:
    run = mask(extremes()[name], policy=policy)
    assert np.isfinite(run.audio).all()
    assert np.abs(run.audio).max() <= 1.5
    assert run.finals[-1][1] == run.audio.shape[1]


@pytest.mark.parametrize("name", ["zeros", "direct current", "square wave", "clicks", "faintest"])
def test_guard_leaves_extreme_audio_without_tones_alone(mask: Any, name: str) -> None:
    assert mask(extremes()[name]).patches == []


# -- a second opinion


@pytest.mark.parametrize("policy", [Policy.GUARD, Policy.CAPTURE])
@pytest.mark.parametrize("fill", Fill)
def test_auditor_reads_nothing_in_masked_audio(mask: Any, policy: Policy, fill: Fill) -> None:
    call = make_call(KEYS, n_channels=2, channel=1, noise_dbfs=-45)
    assert len(audit(call.audio)) >= len(KEYS)
    assert audit(mask(call.audio, policy=policy, fill=fill).audio) == []


def test_guard_masks_keys_far_below_speech_level() -> None:
    call = make_call("0123456789*#ABCD", level_dbfs=-70, noise_dbfs=-82, tone_ms=60, pause_ms=90)
    masker = Masker(1)
    spans = [*masker.push(call.audio).spans, *masker.flush().spans]
    for press in call.truth:
        assert any(span.start <= press.start and press.end <= span.end for span in spans)


@pytest.mark.parametrize("policy", [Policy.OPEN, Policy.MUTE])
def test_policies_that_fill_no_span_keep_no_list_of_them(policy: Policy) -> None:
    masker = Masker(1, policy=policy)
    masker.push(make_call("0123456789").audio)
    masker.mark(0, 10**6, 10**6 + 800, Reason.EVENT)
    assert [fills.wanted for fills in masker._fills] == [[]]


def test_a_mark_before_a_waiting_fill_is_filled_from_its_start() -> None:
    reach = 76_400  # how far a push of 100,000 samples settles
    audio = np.full((2, 120_000), 0.25, np.float32)
    masker = Masker(2, fill=Fill.SILENCE)
    masker.mark(0, reach - 50, reach + 600, Reason.EVENT)
    masker.mark(1, reach - 6_400, reach - 100, Reason.EVENT)  # may go on, so both are held back
    first = masker.push(audio[:, :100_000])
    assert first.final_until < reach - 120
    masker.mark(0, reach - 120, reach - 40, Reason.INFO)
    settled = [first, masker.push(audio[:, 100_000:]), masker.flush()]
    covered = np.zeros(120_000, bool)
    for patch in (patch for masked in settled for patch in masked.patches if patch.channel == 0):
        assert not covered[patch.start : patch.start + len(patch.audio)].any()
        covered[patch.start : patch.start + len(patch.audio)] = True
    np.testing.assert_array_equal(np.flatnonzero(covered), np.arange(reach - 120, reach + 600))
