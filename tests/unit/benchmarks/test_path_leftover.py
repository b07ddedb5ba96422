"""What is left of a tone: the measure against leftovers of known length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.leak.conditions import Condition, make_call_and_tones
from benchmarks.leak.press import Float32, LeakCall, samples
from benchmarks.path.leftover import leaked_ms, others_tones

TONE_MS = 60.0


def _call(**sound: object) -> tuple[LeakCall, Float32]:
    row = Condition("leftover", "test", (TONE_MS, TONE_MS), (80, 150))
    return make_call_and_tones(replace(row, **sound), 32)  # type: ignore[arg-type]


def _left(call: LeakCall, tones: Float32, heard: Float32) -> np.ndarray:
    return leaked_ms(heard, tones, call.audio - tones, call.start, call.end)


def _noise_for_tones(call: LeakCall, before_ms: float, after_ms: float) -> Float32:
    rng = np.random.default_rng(3)
    out = call.audio.copy()
    for start, end in zip(call.start, call.end, strict=True):
        part = slice(start + samples(before_ms), end - samples(after_ms))
        out[part] = rng.standard_normal(part.stop - part.start) * 1e-3
    return out


def test_a_tone_let_through_is_left_whole() -> None:
    call, tones = _call()
    assert np.all(_left(call, tones, call.audio) == TONE_MS)


def test_a_tone_let_through_in_noise_is_left_whole() -> None:
    call, tones = _call(noise="white", snr_db=3.0)
    assert np.all(_left(call, tones, call.audio) > TONE_MS - 2)


def test_nothing_is_left_of_a_filled_tone() -> None:
    call, tones = _call()
    assert not _left(call, tones, _noise_for_tones(call, -5, -5)).any()


@pytest.mark.parametrize("before_ms, after_ms", [(0.5, 0), (0, 0.5), (2, 0), (0, 2), (8, 8)])
def test_a_leftover_is_told_to_within_a_step_or_two(before_ms: float, after_ms: float) -> None:
    call, tones = _call()
    left = _left(call, tones, _noise_for_tones(call, before_ms, after_ms))
    expected = before_ms + after_ms
    n_ends = (before_ms > 0) + (after_ms > 0)
    assert abs(np.median(left) - expected) <= 0.75 * n_ends
    assert np.all(left - expected >= -0.5)
    # a pair beats: a leftover in its loud part explains quiet steps beside it too
    assert np.all(left - expected <= 2.5 * n_ends)


def test_a_tone_that_comes_a_packet_late_is_found() -> None:
    call, tones = _call()
    late = np.concatenate((np.zeros(160, np.float32), call.audio[:-160]))
    assert np.mean(_left(call, tones, late) == TONE_MS) > 0.9


def test_the_tone_of_a_chance_measure_shares_no_frequency() -> None:
    call, tones = _call()
    strange = others_tones(tones, call.keys, call.start, call.end)
    t = np.arange(samples(TONE_MS)) / 8000
    for key, start, end in zip(call.keys, call.start, call.end, strict=True):
        hz = ((697, 770, 852, 941)[key // 4], (1209, 1336, 1477, 1633)[key % 4])
        bank = np.exp(-2j * np.pi * np.outer(hz, t))
        there = np.abs(bank @ tones[start:end])
        assert np.all(np.abs(bank @ strange[start:end]) < 0.5 * there)
