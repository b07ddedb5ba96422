"""Decoding: what a keypad sends is read, in order and once; what no keypad sends is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS, Digit
from voicemask.dtmf.burst import BurstFinder
from voicemask.dtmf.detector import Detector, Tone, detect
from voicemask.dtmf.evidence import evidence
from voicemask.dtmf.profile import FULL_SCALE_DBM0, Limits, load_profile
from voicemask.errors import CodecError, ProfileError
from voicemask.synthetic import dtmf_tone, make_call

NATIONAL = ("att", "australia", "brazil", "denmark", "etsi", "ntt")
RECEIVER = load_profile("decode").receiver
MS = 8


def digits(keys: str) -> list[Digit]:
    return [Digit.of(key) for key in keys]


def heard(keys: str, *, profile: str = "decode", **made: Any) -> list[Digit]:
    call = make_call(keys, **made)
    return [tone.digit for tone in detect(call.audio, call.rate_hz, profile)]


def pieces(*parts: NDArray[np.float32] | int) -> NDArray[np.float32]:
    """Tones and silences (ms), with a little noise under all."""
    joined = [np.zeros(part * MS, np.float32) if isinstance(part, int) else part for part in parts]
    audio = np.concatenate(joined)
    noise = np.random.default_rng(6).normal(0, 3e-4, len(audio))
    return (audio + noise).astype(np.float32)


@pytest.mark.parametrize("key", KEYS)
def test_detect_reads_each_key_at_40_on_40_off(key: str) -> None:
    assert heard(key * 3, tone_ms=40, pause_ms=40) == digits(key * 3)


def test_detect_reads_keys_in_order() -> None:
    assert heard(KEYS * 2, tone_ms=50, pause_ms=50) == digits(KEYS * 2)


@pytest.mark.parametrize("seed", range(5))
def test_detect_reads_no_tone_of_22_ms(seed: int) -> None:
    assert heard(KEYS, tone_ms=22, pause_ms=78, seed=seed, lead_ms=500 + seed) == []


def interrupted(key: str, half_ms: int, gap_ms: int) -> NDArray[np.float32]:
    """A tone that the line breaks for a moment; the keypad goes on behind it."""
    tone = dtmf_tone(key, tone_ms=2 * half_ms + gap_ms)
    tone[half_ms * MS : (half_ms + gap_ms) * MS] = 0
    return tone


@pytest.mark.parametrize("gap_ms", [1, 5, 10, 15])
@pytest.mark.parametrize("lead_ms", [100, 104, 108])
def test_detect_reads_a_tone_with_a_short_gap_once(gap_ms: int, lead_ms: int) -> None:
    for key in KEYS:
        assert len(detect(pieces(lead_ms, interrupted(key, 50, gap_ms), 100))) == 1


def test_detect_reads_a_tone_whose_phase_jumps_once() -> None:
    counts = []
    for key in KEYS:
        tone = dtmf_tone(key, tone_ms=60)
        for gap_ms in (1, 4, 10):  # a lost packet, a slip of the clock: the tone starts afresh
            counts.append(len(detect(pieces(100, tone, gap_ms, tone, 100))))
    assert set(counts) == {1}


@pytest.mark.parametrize("pause_ms", [30, 33, 40])
@pytest.mark.parametrize("lead_ms", [500, 503, 507])
def test_detect_reads_a_key_twice_after_a_pause(pause_ms: int, lead_ms: int) -> None:
    made: dict[str, Any] = {"tone_ms": 60, "pause_ms": pause_ms, "lead_ms": lead_ms}
    assert heard("8888", **made) == digits("8888")


@pytest.mark.parametrize("tone_ms", [300, 1500, 5000])
def test_detect_reads_a_long_press_once(tone_ms: int) -> None:
    call = make_call("9", tone_ms=tone_ms)
    [tone] = detect(call.audio)
    assert abs(tone.start - call.truth[0].start) <= 5 * MS
    assert abs(tone.end - call.truth[0].end) <= 5 * MS


@pytest.mark.parametrize("deviation", [-1.5, 1.5])
def test_detect_accepts_a_keypad_1_5_percent_off(deviation: float) -> None:
    assert heard(KEYS, deviation_percent=deviation, tone_ms=50, pause_ms=50) == digits(KEYS)


@pytest.mark.parametrize("deviation", [-3.5, 3.5])
def test_detect_rejects_a_keypad_3_5_percent_off(deviation: float) -> None:
    assert heard(KEYS, deviation_percent=deviation, tone_ms=50, pause_ms=50) == []


@pytest.mark.parametrize("twist_db", [-8.0, 4.0])
def test_detect_accepts_the_twist_of_lines(twist_db: float) -> None:
    assert heard(KEYS, twist_db=twist_db, tone_ms=50, pause_ms=50) == digits(KEYS)


@pytest.mark.parametrize("level_dbfs", [-40.0, -6.1, 6.0])
def test_detect_reads_faint_loud_and_clipped_tones(level_dbfs: float) -> None:
    made: dict[str, Any] = {
        "level_dbfs": level_dbfs,
        "noise_dbfs": -80,
        "tone_ms": 50,
        "pause_ms": 50,
    }
    assert heard(KEYS, **made) == digits(KEYS)


@pytest.mark.parametrize("hz", [(350, 440), (480, 620), (697, 697), (1000, 2000)])
def test_detect_reads_nothing_in_other_tones(hz: tuple[int, int]) -> None:
    turns = 2 * np.pi * np.arange(16000) / 8000
    audio = 0.2 * np.sin(hz[0] * turns) + 0.2 * np.sin(hz[1] * turns)
    assert detect(audio.astype(np.float32)) == []


def test_detect_reads_nothing_in_noise() -> None:
    audio = np.random.default_rng(7).normal(0, 0.1, 160_000).astype(np.float32)
    assert detect(audio) == []


@pytest.mark.parametrize("rate_hz", [16000, 32000, 44100, 48000])
def test_detect_reads_the_same_at_every_rate(rate_hz: int) -> None:
    made: dict[str, Any] = {"tone_ms": 60, "pause_ms": 60, "noise_dbfs": -50}
    line = detect(make_call(KEYS, **made).audio)
    wide = detect(make_call(KEYS, rate_hz=rate_hz, **made).audio, rate_hz)
    assert [tone.digit for tone in wide] == [tone.digit for tone in line] == digits(KEYS)
    for there, here in zip(wide, line, strict=True):
        assert there.start / rate_hz == pytest.approx(here.start / 8000, abs=0.002)
        assert there.end / rate_hz == pytest.approx(here.end / 8000, abs=0.002)


def test_detect_tells_times_and_levels() -> None:
    call = make_call("27#", tone_ms=70, pause_ms=70, level_dbfs=-20, twist_db=3)
    tones = detect(call.audio)
    for tone, true in zip(tones, call.truth, strict=True):
        assert abs(tone.start - true.start) <= 3 * MS
        assert abs(tone.end - true.end) <= 3 * MS
        assert tone.twist_db == pytest.approx(3, abs=0.5)
        pair_dbfs = -20 + 10 * np.log10(1 + 10**-0.3)
        assert tone.level_dbfs == pytest.approx(pair_dbfs, abs=0.5)


def test_detect_keeps_channels_apart() -> None:
    first = make_call("123", n_channels=3, channel=0, seed=1)
    last = make_call("456", n_channels=3, channel=2, seed=2, lead_ms=540)
    tones = detect(first.audio + last.audio[:, : first.audio.shape[1]])
    found = {k: [tone.digit for tone in tones if tone.channel == k] for k in range(3)}
    assert found == {0: digits("123"), 1: [], 2: digits("456")}
    assert [tone.start for tone in tones] == sorted(tone.start for tone in tones)


@pytest.mark.parametrize("n_channels", [1, 64])
def test_detect_takes_int16_as_it_takes_float(n_channels: int) -> None:
    audio = make_call("159D", n_channels=n_channels, noise_dbfs=-30).audio
    as_int = np.round(audio * 32767).astype(np.int16)
    assert detect(as_int) == detect(as_int.astype(np.float32) / np.float32(32768))
    assert len(detect(as_int)) == 4


@pytest.mark.parametrize("n_samples", [0, 1, 79, 80, 81])
def test_detect_takes_very_short_audio(n_samples: int) -> None:
    assert detect(np.zeros(n_samples, np.float32)) == []
    assert detect(np.zeros((2, n_samples), np.int16)) == []


def test_detect_reads_a_tone_cut_by_either_end() -> None:
    tone = dtmf_tone("3", tone_ms=60)
    assert [t.digit for t in detect(tone)] == digits("3")


@pytest.mark.parametrize("chunk", [13, 97, 160, 4000])
def test_detector_gives_the_same_tones_in_pieces(chunk: int) -> None:
    audio = make_call("17*", noise_dbfs=-25, tail_ms=200).audio
    detector = Detector(1)
    tones = []
    for begin in range(0, audio.shape[1], chunk):
        tones += detector.push(audio[:, begin : begin + chunk])
    assert tones + detector.flush() == detect(audio)


def test_detector_of_many_streams_reads_each_as_if_alone() -> None:
    call = make_call("19D*", tone_ms=45, pause_ms=45, noise_dbfs=-24, tail_ms=300)
    alone = detect(call.audio)
    audio = np.zeros((70, call.audio.shape[1] + 690), np.float32)
    for channel in range(70):  # each begins 10 samples later
        audio[channel, 10 * channel :][: call.audio.shape[1]] = call.audio[0]
    detector = Detector(70)
    tones: list[Tone] = []
    for begin in range(0, audio.shape[1], 160):
        tones += detector.push(audio[:, begin : begin + 160])
    tones += detector.flush()
    for channel in range(70):
        mine = [tone for tone in tones if tone.channel == channel]
        assert [tone.digit for tone in mine] == [tone.digit for tone in alone]
        assert mine == [replace(t, channel=channel) for t in detect(audio[channel])]


def test_detector_tells_sure_keys_without_waiting_for_the_end() -> None:
    call = make_call("12", tail_ms=1000)
    assert len(Detector(1).push(call.audio)) == 2


def test_detector_refuses_a_rate_below_the_line() -> None:
    with pytest.raises(CodecError):
        Detector(1, 6000)


def test_detector_refuses_an_unknown_profile() -> None:
    with pytest.raises(ProfileError):
        Detector(1, profile="nobody")


def test_tone_shows_no_key() -> None:
    [tone] = detect(make_call("7").audio)
    blind = Tone(tone.channel, tone.start, tone.end, Digit.of("4"), tone.level_dbfs, tone.twist_db)
    for text in (repr(tone), str(tone), f"{tone}"):
        assert "Digit(*)" in text
        assert text == repr(blind)


# -- context: keys are pressed in rows


def doubtful() -> NDArray[np.float32]:
    """A noisy tone whose evidence lies between that of a sure one and that of nothing."""
    for noise_dbfs in np.arange(-18.0, -8.0, 0.25):
        made: dict[str, Any] = {"pause_ms": 55, "lead_ms": 200, "tail_ms": 200, "seed": 9}
        call = make_call("5", tone_ms=45, noise_dbfs=noise_dbfs, **made)
        finder = BurstFinder(1, RECEIVER)
        bursts = finder.push(call.audio).then(finder.flush())
        values = evidence(bursts, RECEIVER)
        best = int(values.argmax()) if len(values) else None
        if best is None or bursts.duration[best] < 35 * MS:
            continue
        if RECEIVER.evidence_near < values[best] < RECEIVER.evidence_sure:
            return np.asarray(call.audio[0], np.float32)
    pytest.fail("no noise level makes a doubtful tone: the profile leaves no room for one")


def test_context_a_doubtful_tone_alone_is_not_reported() -> None:
    assert detect(pieces(3000, doubtful(), 3000)) == []


def test_context_a_doubtful_tone_after_a_sure_one_is_reported() -> None:
    audio = pieces(500, dtmf_tone("1"), 300, doubtful(), 500)
    assert [tone.digit for tone in detect(audio)] == digits("15")


def test_context_a_doubtful_tone_before_a_sure_one_is_reported_before_it() -> None:
    audio = pieces(500, doubtful(), 300, dtmf_tone("1"), 500)
    assert [tone.digit for tone in detect(audio)] == digits("51")


def test_context_ends_some_time_after_the_sure_tone() -> None:
    far_ms = round(RECEIVER.context_ms) + 200
    audio = pieces(500, dtmf_tone("1"), far_ms, doubtful(), far_ms, dtmf_tone("1"), 500)
    assert [tone.digit for tone in detect(audio)] == digits("11")


def test_context_of_one_stream_does_not_help_another() -> None:
    weak = pieces(500, doubtful(), 500)
    sure = np.resize(pieces(500, dtmf_tone("1"), 5000), len(weak))
    tones = detect(np.stack([sure, weak]))
    assert {tone.channel for tone in tones} == {0}


def test_context_in_20_ms_frames_is_that_of_the_whole() -> None:
    audio = pieces(500, doubtful(), 2000, doubtful(), 800, dtmf_tone("1"), 4000, doubtful(), 500)
    detector = Detector(1)
    tones: list[Tone] = []
    for begin in range(0, len(audio), 160):
        tones += detector.push(audio[None, begin : begin + 160])
    tones += detector.flush()
    assert tones == detect(audio)
    assert [tone.digit for tone in tones] == digits("51")


# -- national profiles


def limits_of(name: str) -> Limits:
    limits = load_profile(name).limits
    assert limits is not None
    return limits


@pytest.mark.parametrize("name", NATIONAL)
@pytest.mark.parametrize("sign", [-1, 1])
def test_national_profile_accepts_its_deviation(name: str, sign: int) -> None:
    deviation = sign * limits_of(name).accept_deviation_percent
    assert heard(KEYS, profile=name, deviation_percent=deviation) == digits(KEYS)


@pytest.mark.parametrize("name", ["att", "australia", "brazil", "ntt"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_national_profile_rejects_from_its_deviation(name: str, sign: int) -> None:
    reject = limits_of(name).reject_deviation_percent
    assert reject is not None
    assert heard(KEYS, profile=name, deviation_percent=sign * (reject + 0.1)) == []


@pytest.mark.parametrize("name", NATIONAL)
def test_national_profile_accepts_its_twist_both_ways(name: str) -> None:
    limits = limits_of(name)
    for twist_db in (limits.twist_high_over_low_max_db, -limits.twist_low_over_high_max_db):
        assert heard(KEYS, profile=name, twist_db=twist_db) == digits(KEYS)


@pytest.mark.parametrize("name", NATIONAL)
def test_national_profile_accepts_its_weakest_level(name: str) -> None:
    weakest = limits_of(name).accept_level_min_dbm
    level_dbfs = -20.0 if weakest is None else weakest - FULL_SCALE_DBM0 + 0.5
    assert heard(KEYS, profile=name, level_dbfs=level_dbfs, noise_dbfs=-80) == digits(KEYS)


@pytest.mark.parametrize("name", ["australia", "brazil", "denmark", "ntt"])
def test_national_profile_rejects_weaker_than_its_level(name: str) -> None:
    reject = limits_of(name).reject_level_dbm
    assert reject is not None
    level_dbfs = reject - FULL_SCALE_DBM0 - 1
    assert heard(KEYS, profile=name, level_dbfs=level_dbfs, noise_dbfs=-85) == []


@pytest.mark.parametrize("name", NATIONAL)
def test_national_profile_accepts_its_shortest_tone_and_pause(name: str) -> None:
    limits = limits_of(name)
    made: dict[str, Any] = {"tone_ms": limits.accept_tone_ms, "pause_ms": limits.accept_pause_ms}
    assert heard(KEYS, profile=name, **made) == digits(KEYS)


@pytest.mark.parametrize("name", NATIONAL)
def test_national_profile_rejects_shorter_tones(name: str) -> None:
    too_short_ms = limits_of(name).reject_tone_ms - 1
    assert heard(KEYS, profile=name, tone_ms=too_short_ms, pause_ms=77.3) == []


@pytest.mark.parametrize("name", ["att", "australia", "brazil", "ntt"])
def test_national_profile_bridges_its_interruption(name: str) -> None:
    gap_ms = round(limits_of(name).bridge_interruption_ms)
    for lead_ms in range(100, 110):
        audio = pieces(lead_ms, interrupted("8", 60, gap_ms), 200)
        assert len(detect(audio, profile=name)) == 1


@pytest.mark.parametrize("name", ["denmark", "etsi"])
def test_national_profile_bridges_nearly_20_ms(name: str) -> None:
    for lead_ms in range(100, 110):
        audio = pieces(lead_ms, interrupted("8", 60, 19), 200)
        assert len(detect(audio, profile=name)) == 1
