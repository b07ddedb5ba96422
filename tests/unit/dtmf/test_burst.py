"""Bursts: what is measured of a tone is what was keyed."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS
from voicemask.dtmf.burst import SEGMENT, BurstFinder, Bursts
from voicemask.dtmf.profile import load_profile
from voicemask.synthetic import dtmf_tone, make_call

RECEIVER = load_profile("decode").receiver
MS = 8
EDGE = 18
"""2 ms, and the tenth more by which less than a fifth of a block goes unseen."""


def bursts_of(audio: NDArray[np.float32], chunk: int | None = None) -> Bursts:
    audio = np.atleast_2d(audio)
    finder = BurstFinder(len(audio), RECEIVER)
    step = chunk or audio.shape[1]
    found = finder.push(audio[:, :0])
    for begin in range(0, audio.shape[1], step):
        found = found.then(finder.push(audio[:, begin : begin + step]))
    return found.then(finder.flush())


def one_burst(**made: float) -> tuple[Bursts, int, int]:
    """The burst of one 60 ms tone that starts anywhere in a block."""
    made = {"tone_ms": 60, "level_dbfs": -12, **made}
    call = make_call("7", lead_ms=103.5, noise_dbfs=-70, **made)  # type: ignore[arg-type]
    bursts = bursts_of(call.audio)
    assert len(bursts) == 1
    return bursts, call.truth[0].start, call.truth[0].end


@pytest.mark.parametrize("key", KEYS)
def test_bursts_name_the_pair_of_each_key(key: str) -> None:
    bursts = bursts_of(make_call(key, tone_ms=50, noise_dbfs=-60).audio)
    assert bursts.pair.tolist() == [KEYS.index(key)]


@pytest.mark.parametrize("lead_ms", [100, 102.5, 105, 107.875])
@pytest.mark.parametrize("tone_ms", [35, 50, 85])
def test_bursts_tell_start_and_end_within_2_ms(lead_ms: float, tone_ms: float) -> None:
    call = make_call("6", lead_ms=lead_ms, tone_ms=tone_ms, noise_dbfs=-60, seed=int(tone_ms))
    bursts = bursts_of(call.audio)
    assert abs(bursts.start[0] - call.truth[0].start) <= EDGE
    assert abs(bursts.end[-1] - call.truth[0].end) <= EDGE
    assert abs(bursts.duration.sum() - tone_ms * MS) <= 4 * MS


@pytest.mark.parametrize("deviation", [-2.5, -1.5, 0.0, 0.7, 1.8])
def test_bursts_tell_the_deviation_within_a_tenth_of_a_percent(deviation: float) -> None:
    bursts, _, _ = one_burst(deviation_percent=deviation)
    assert bursts.low_deviation[0] == pytest.approx(deviation, abs=0.1)
    assert bursts.high_deviation[0] == pytest.approx(deviation, abs=0.1)


@pytest.mark.parametrize("twist_db", [-8.0, -3.0, 0.0, 4.0, 8.0])
def test_bursts_tell_the_twist_within_a_third_of_a_db(twist_db: float) -> None:
    bursts, _, _ = one_burst(twist_db=twist_db)
    assert bursts.twist_db[0] == pytest.approx(twist_db, abs=0.3)


@pytest.mark.parametrize("level_dbfs", [-40.0, -25.0, -12.0, -6.5])
def test_bursts_tell_the_level_of_the_pair_within_half_a_db(level_dbfs: float) -> None:
    bursts, _, _ = one_burst(level_dbfs=level_dbfs)
    both_db = 10 * np.log10(2)
    assert bursts.level_dbfs[0] == pytest.approx(level_dbfs + both_db, abs=0.5)


def test_bursts_of_a_pure_tone_are_explained_by_it() -> None:
    bursts, _, _ = one_burst()
    assert bursts.fit[0] > 0.99
    assert bursts.inner_fit[0] > 0.9
    assert bursts.low_jitter[0] < 0.02
    assert bursts.high_jitter[0] < 0.02
    assert bursts.roughness[0] < 0.02


def test_bursts_of_a_noisy_tone_fit_less() -> None:
    call = make_call("7", tone_ms=60, level_dbfs=-12, noise_dbfs=-21)
    bursts = bursts_of(call.audio)
    assert 0.5 < bursts.fit[0] < 0.97


def test_bursts_of_a_long_tone_go_on_from_each_other() -> None:
    call = make_call("3", tone_ms=500, lead_ms=100, noise_dbfs=-60)
    bursts = bursts_of(call.audio)
    assert bursts.is_continued.tolist() == [False] + [True] * (len(bursts) - 1)
    assert len(bursts) >= 500 // (SEGMENT * 10)
    np.testing.assert_array_equal(bursts.first_block[1:], bursts.last_block[:-1] + 1)
    np.testing.assert_allclose(bursts.start[1:], bursts.end[:-1], atol=EDGE)
    assert bursts.duration.sum() == pytest.approx(500 * MS, abs=4 * MS)


def test_bursts_of_a_tone_of_whole_segments_lose_nothing() -> None:
    for n_blocks in (SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 1):
        call = make_call("3", tone_ms=10 * n_blocks, lead_ms=100, noise_dbfs=-60)
        bursts = bursts_of(call.audio)
        assert bursts.start[0] == pytest.approx(call.truth[0].start, abs=EDGE)
        assert bursts.end[-1] == pytest.approx(call.truth[0].end, abs=EDGE)


def test_bursts_of_two_keys_without_a_pause_are_two() -> None:
    audio = np.concatenate(
        [np.zeros(800), dtmf_tone("1", tone_ms=60), dtmf_tone("5", tone_ms=60), np.zeros(800)]
    ).astype(np.float32)
    assert bursts_of(audio).pair.tolist() == [KEYS.index("1"), KEYS.index("5")]


def test_bursts_are_none_in_silence_and_in_single_sines() -> None:
    time_s = np.arange(8000) / 8000
    for audio in (np.zeros(8000), 0.3 * np.sin(2 * np.pi * 770 * time_s)):
        assert len(bursts_of(audio.astype(np.float32))) == 0


@pytest.mark.parametrize("chunk", [33, 80, 160, 1111])
@pytest.mark.parametrize("n_streams", [3, 70])
def test_bursts_do_not_depend_on_batching(n_streams: int, chunk: int) -> None:
    rows = [
        make_call("19D*", tone_ms=60 + 50 * (k % 3), pause_ms=45, noise_dbfs=-40, seed=k)
        for k in range(n_streams)
    ]
    n_least = min(row.audio.shape[1] for row in rows)
    audio = np.concatenate([row.audio[:, :n_least] for row in rows])
    whole, pieces = bursts_of(audio), bursts_of(audio, chunk)
    assert len(whole) >= 4 * n_streams
    for item in fields(Bursts):
        np.testing.assert_array_equal(getattr(whole, item.name), getattr(pieces, item.name))


def test_bursts_of_a_stream_do_not_depend_on_its_neighbours() -> None:
    audio = make_call("19D*", tone_ms=70, noise_dbfs=-40).audio
    alone = bursts_of(audio)
    for n_others in (2, 80):
        others = np.random.default_rng(4).normal(0, 0.1, (n_others, audio.shape[1]))
        together = bursts_of(np.concatenate([others.astype(np.float32), audio]))
        mine = together.take(together.stream == n_others)
        for item in fields(Bursts):
            if item.name != "stream":
                np.testing.assert_array_equal(getattr(alone, item.name), getattr(mine, item.name))


def test_bursts_take_gives_some_rows() -> None:
    bursts = bursts_of(make_call("159", noise_dbfs=-60).audio)
    assert len(bursts.take(bursts.pair == KEYS.index("5"))) == 1
