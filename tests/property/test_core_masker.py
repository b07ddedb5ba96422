"""Batching invariance of masking, and what holds of its output for any keys and any cuts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.auditor import audit
from voicemask.dtmf.detector import Tone, detect
from voicemask.mask.apply import Masked, Masker
from voicemask.mask.span import Reason, Span
from voicemask.synthetic import SyntheticCall, make_call

F32 = NDArray[np.float32]
FEW = settings(max_examples=10, deadline=None, derandomize=True)
RATES_HZ = st.sampled_from([8000, 16000, 44100])
POLICIES = st.sampled_from([Policy.GUARD, Policy.CAPTURE, Policy.MUTE])
FILLS = st.sampled_from(Fill)
CUTS = st.lists(st.floats(0, 1), max_size=8)
"""Where the audio is cut, as shares of its length."""


FRAMES = range(0, 1 << 20, 800)
"""Places of pushes of 100 ms."""


@dataclass(slots=True)
class Result:
    """The bytes that would leave, and what was said of them."""

    audio: F32
    spans: list[Span]
    tones: list[Tone]


@cache
def audio(rate_hz: int) -> F32:
    """Two channels with other keys at other times, long enough for spans to settle on the way."""
    pauses = (90.0, 240.0)
    calls = [
        make_call(
            keys,
            tone_ms=60,
            pause_ms=pause_ms,
            lead_ms=700,
            tail_ms=3600,
            noise_dbfs=-45,
            rate_hz=rate_hz,
            seed=seed,
        ).audio[0]
        for seed, (keys, pause_ms) in enumerate(zip(("41#", "7702"), pauses, strict=True))
    ]
    n_least = min(len(samples) for samples in calls)
    return np.stack([samples[:n_least] for samples in calls])


Changes = tuple[tuple[int, Policy], ...]


def masked(
    samples: F32,
    rate_hz: int,
    policy: Policy,
    fill: Fill,
    places: list[int],
    *,
    changes: Changes = (),
    lag_ms: int | None = None,
) -> Result:
    masker = Masker(len(samples), rate_hz, policy, fill, lag_ms=lag_ms)
    result = Result(samples.copy(), [], [])
    final = 0

    def take(step: Masked) -> None:
        nonlocal final
        written = [final] * len(samples)
        for patch in step.patches:
            end = patch.start + len(patch.audio)
            assert written[patch.channel] <= patch.start < end <= step.final_until
            result.audio[patch.channel, patch.start : end] = patch.audio
            written[patch.channel] = end
        result.spans += step.spans
        result.tones += step.tones
        assert step.final_until >= final
        final = step.final_until

    to_come = list(changes)
    cuts = {0, *places, *(at for at, _ in changes), samples.shape[1]} if changes else set()
    for begin, end in pairwise(sorted(cuts) or [0, *sorted(places), samples.shape[1]]):
        while to_come and to_come[0][0] == begin:
            masker.set_policy(to_come.pop(0)[1])
        take(masker.push(samples[:, begin:end]))
    take(masker.flush())
    assert final == samples.shape[1]
    result.spans.sort(key=lambda span: (span.channel, span.start))
    result.tones.sort(key=lambda tone: (tone.channel, tone.start))
    return result


@cache
def whole(rate_hz: int, policy: Policy, fill: Fill) -> Result:
    return masked(audio(rate_hz), rate_hz, policy, fill, [])


def assert_same(cut: Result, uncut: Result) -> None:
    assert cut.spans == uncut.spans
    assert cut.tones == uncut.tones
    np.testing.assert_array_equal(cut.audio, uncut.audio)


@FEW
@given(rate_hz=RATES_HZ, policy=POLICIES, fill=FILLS, cuts=CUTS)
def test_masker_gives_the_same_bytes_for_any_cuts(
    rate_hz: int, policy: Policy, fill: Fill, cuts: list[float]
) -> None:
    samples = audio(rate_hz)
    places = [round(cut * samples.shape[1]) for cut in cuts]
    assert_same(masked(samples, rate_hz, policy, fill, places), whole(rate_hz, policy, fill))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
@pytest.mark.parametrize("policy", [Policy.GUARD, Policy.CAPTURE, Policy.MUTE])
def test_masker_gives_the_same_bytes_in_20_ms_frames(rate_hz: int, policy: Policy) -> None:
    samples = audio(rate_hz)
    frame = rate_hz // 50
    places = list(range(frame, samples.shape[1], frame))
    cut = masked(samples, rate_hz, policy, Fill.NOISE, places)
    assert_same(cut, whole(rate_hz, policy, Fill.NOISE))


@pytest.mark.parametrize("pause_ms", [40, 150, 300, 500])
def test_masker_gives_the_same_bytes_for_a_whole_card(pause_ms: int) -> None:
    samples = make_call(
        "4111111111111111", pause_ms=pause_ms, noise_dbfs=-50, lead_ms=1000, tail_ms=4000
    ).audio
    places = list(range(160, samples.shape[1], 160))
    cut = masked(samples, 8000, Policy.GUARD, Fill.NOISE, places)
    assert_same(cut, masked(samples, 8000, Policy.GUARD, Fill.NOISE, []))


@FEW
@given(chunk=st.sampled_from([1, 2, 7]), n_samples=st.integers(0, 500))
def test_masker_gives_the_same_bytes_sample_by_sample(chunk: int, n_samples: int) -> None:
    samples = audio(8000)[:, 5500 : 5500 + n_samples]
    places = list(range(chunk, n_samples, chunk))
    cut = masked(samples, 8000, Policy.CAPTURE, Fill.NOISE, places)
    assert_same(cut, masked(samples, 8000, Policy.CAPTURE, Fill.NOISE, []))


KEYING = st.fixed_dictionaries(
    {
        "tone_ms": st.integers(22, 160),
        "pause_ms": st.integers(30, 400),
        "twist_db": st.floats(-8, 4),
        "deviation_percent": st.floats(-1.5, 1.5),
        "level_dbfs": st.floats(-35, -7),
    }
)


@FEW
@given(keys=st.text(KEYS, min_size=1, max_size=5), keying=KEYING)
def test_guard_covers_any_keys_and_changes_nothing_else(
    keys: str, keying: dict[str, float]
) -> None:
    call = make_call(keys, noise_dbfs=-65, **keying)  # type: ignore[arg-type]
    result = masked(call.audio, 8000, Policy.GUARD, Fill.SILENCE, [])
    covered = np.zeros(call.audio.shape[1], bool)
    for span in result.spans:
        assert span.reason is Reason.TONE
        covered[span.start : span.end] = True
    for true in call.truth:
        assert covered[true.start - 160 : true.end + 160].all()
    np.testing.assert_array_equal(result.audio[0, ~covered], call.audio[0, ~covered])
    assert len(result.tones) <= len(keys)


@FEW
@given(
    start=st.integers(0, 12_000),
    length=st.integers(1, 4000),
    policy=st.sampled_from([Policy.GUARD, Policy.CAPTURE]),
)
def test_marks_become_spans_wherever_they_lie(start: int, length: int, policy: Policy) -> None:
    masker = Masker(1, policy=policy, fill=Fill.SILENCE)
    masker.mark(0, start, start + length, Reason.EVENT)
    spans = list(masker.push(np.full((1, 12_000), 0.1, np.float32)).spans)
    spans += masker.flush().spans
    end = min(start + length, 12_000)
    assert [(s.start, s.end) for s in spans] == ([(start, end)] if start < end else [])


# -- policy changes on the way

KEYS_LONG = "4111111111111111"


@cache
def long_call() -> SyntheticCall:
    parts, truth, end = [], [], 0
    for number, pause_ms in enumerate((60.0, 250.0, 700.0, 90.0)):
        part = make_call(
            KEYS_LONG[4 * number : 4 * number + 4],
            tone_ms=70,
            pause_ms=pause_ms,
            lead_ms=900,
            tail_ms=100,
            noise_dbfs=-50,
            seed=number,
        )
        parts.append(part.audio)
        truth += [replace(t, start=t.start + end, end=t.end + end) for t in part.truth]
        end += part.audio.shape[1]
    rest = np.random.default_rng(4).normal(0, 0.002, (1, 28_000)).astype(np.float32)
    return SyntheticCall(np.concatenate([*parts, rest], axis=1), 8000, tuple(truth))


def changes_of(policies: st.SearchStrategy[Policy]) -> st.SearchStrategy[Changes]:
    places = st.integers(0, long_call().audio.shape[1] - 1)
    change = st.tuples(places, policies)
    return st.lists(change, max_size=7).map(lambda made: tuple(sorted(made, key=lambda c: c[0])))


MASKING = st.sampled_from([Policy.GUARD, Policy.CAPTURE, Policy.MUTE])
LAGS = st.sampled_from([None, 2500])
SOME = settings(max_examples=15, deadline=None, derandomize=True)


@SOME
@given(first=MASKING, changes=changes_of(MASKING), lag_ms=LAGS)
def test_no_tone_gets_out_whatever_masking_policies_change(
    first: Policy, changes: Changes, lag_ms: int | None
) -> None:
    call = long_call()
    result = masked(
        call.audio, 8000, first, Fill.NOISE, list(FRAMES), changes=changes, lag_ms=lag_ms
    )
    assert audit(result.audio) == []
    assert detect(result.audio) == []
    assert len(result.tones) == len(KEYS_LONG)


@SOME
@given(first=POLICIES, changes=changes_of(st.sampled_from(Policy)))
def test_only_what_open_let_go_can_be_read(first: Policy, changes: Changes) -> None:
    call = long_call()
    result = masked(call.audio, 8000, first, Fill.NOISE, list(FRAMES), changes=changes)
    is_open = np.zeros(call.audio.shape[1], bool)
    for (at, policy), (until, _) in pairwise([(0, first), *changes, (len(is_open), first)]):
        is_open[at:until] = policy is Policy.OPEN
    changed = result.audio[0] != call.audio[0]
    for true in call.truth:
        inside = slice(true.start, true.end)
        silent = np.abs(call.audio[0, inside]) < 1e-3
        assert (changed[inside] | is_open[inside] | silent).mean() > 0.98
    for tone in detect(result.audio):
        assert is_open[tone.start : tone.end].any()


@SOME
@given(first=POLICIES, changes=changes_of(st.sampled_from(Policy)), cuts=CUTS, lag_ms=LAGS)
def test_changes_give_the_same_bytes_for_any_cuts(
    first: Policy, changes: Changes, cuts: list[float], lag_ms: int | None
) -> None:
    samples = long_call().audio
    places = [round(cut * samples.shape[1]) for cut in cuts]
    framed = masked(samples, 8000, first, Fill.NOISE, list(FRAMES), changes=changes, lag_ms=lag_ms)
    assert_same(
        masked(samples, 8000, first, Fill.NOISE, places, changes=changes, lag_ms=lag_ms), framed
    )


@SOME
@given(changes=changes_of(st.sampled_from([Policy.GUARD, Policy.MUTE])))
def test_guard_between_mutes_touches_spans_only(changes: Changes) -> None:
    samples = long_call().audio
    result = masked(samples, 8000, Policy.GUARD, Fill.SILENCE, list(FRAMES), changes=changes)
    named = np.zeros(samples.shape[1], bool)
    for span in result.spans:
        assert not named[span.start : span.end].any()
        named[span.start : span.end] = True
    np.testing.assert_array_equal(result.audio[0, ~named], samples[0, ~named])
    for (at, policy), (until, _) in pairwise([*changes, (len(named), Policy.GUARD)]):
        if policy is Policy.MUTE:
            assert named[at:until].all()
            assert not result.audio[0, at:until].any()
