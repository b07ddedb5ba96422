"""Finding what guard fills: wide around tones, nowhere else, and in time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.dtmf.profile import load_profile
from voicemask.mask.background import HISTORY_BLOCKS
from voicemask.mask.finder import SpanFinder, Stretch
from voicemask.synthetic import make_call

RECEIVER = load_profile("mask").receiver
MS = 8


def stretches_of(audio: NDArray[np.float32], chunk: int | None = None) -> list[Stretch]:
    finder = SpanFinder(len(audio), RECEIVER, HISTORY_BLOCKS)
    step = chunk or max(1, audio.shape[1])
    found: list[Stretch] = []
    for begin in range(0, audio.shape[1], step):
        final = finder.final_until
        stretches, _ = finder.push(audio[:, begin : begin + step])
        assert all(stretch.start >= final for stretch in stretches)
        assert finder.final_until >= final
        found += stretches
    return found + finder.flush()[0]


@pytest.mark.parametrize("tone_ms", [15, 20, 30, 80, 400])
def test_finder_covers_a_tone_with_its_guard(tone_ms: int) -> None:
    call = make_call("28#", tone_ms=tone_ms, pause_ms=400)
    found = stretches_of(call.audio)
    for true in call.truth:
        mine = [s for s in found if s.start < true.end and s.end > true.start]
        assert min(s.start for s in mine) <= true.start - 30 * MS
        assert max(s.end for s in mine) >= true.end + 30 * MS


def test_finder_masks_little_more_than_the_tone_and_its_guard() -> None:
    call = make_call("5")
    [stretch] = stretches_of(call.audio)
    [true] = call.truth
    guard = round(RECEIVER.guard_ms) * MS
    assert abs(true.start - guard - stretch.start) <= 15 * MS
    assert abs(true.end + guard - stretch.end) <= 15 * MS


def test_finder_tells_the_level_of_the_pair() -> None:
    [stretch] = stretches_of(make_call("5", level_dbfs=-20).audio)
    assert stretch.level_dbfs == pytest.approx(-17, abs=1)


def test_finder_finds_nothing_in_silence_and_noise() -> None:
    noise = np.random.default_rng(2).normal(0, 0.05, (1, 80_000)).astype(np.float32)
    assert stretches_of(noise) == []
    assert stretches_of(np.zeros((1, 80_000), np.float32)) == []


def test_finder_keeps_channels_apart() -> None:
    call = make_call("12", n_channels=3, channel=1)
    assert {stretch.channel for stretch in stretches_of(call.audio)} == {1}


@pytest.mark.parametrize("chunk", [31, 160, 777, 8000])
def test_finder_gives_the_same_stretches_in_pieces(chunk: int) -> None:
    call = make_call("147*", noise_dbfs=-22, tone_ms=45, pause_ms=90, tail_ms=3500)
    assert stretches_of(call.audio) == stretches_of(call.audio, chunk)


def test_finder_lags_less_than_three_seconds() -> None:
    assert SpanFinder(1, RECEIVER, HISTORY_BLOCKS).lag_samples < 3000 * MS


def test_finder_starts_before_no_stream() -> None:
    call = make_call("5", lead_ms=0)
    assert min(stretch.start for stretch in stretches_of(call.audio)) == 0
