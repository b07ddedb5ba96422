"""Packets made of calls, and calls made of packets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.leak.conditions import Condition, make_call_and_tones
from benchmarks.leak.press import LeakCall
from benchmarks.path.conditions import CONDITIONS, Carriage, PathCondition
from benchmarks.path.relays import EVENT_PAYLOAD_TYPE
from benchmarks.path.script import (
    FRAME_NS,
    HEADER,
    Script,
    event_spans,
    from_pcmu,
    read_heard,
    to_pcmu,
    write_script,
)

QUIET = PathCondition(Condition("script", "test", (80, 80), (100, 200)), "test")


def _call(condition: PathCondition) -> LeakCall:
    return make_call_and_tones(condition.sound, 16)[0]


def _script(condition: PathCondition, call: LeakCall) -> Script:
    return write_script(condition, call, to_pcmu(call.audio), 9, np.random.default_rng(1))


def _kinds(script: Script) -> list[int]:
    return [int(row[1]) & 0x7F for row in script.packets]


def test_what_is_not_touched_is_heard_as_it_was_sent() -> None:
    call = _call(QUIET)
    script = _script(QUIET, call)
    payload = to_pcmu(call.audio)
    heard = read_heard(script.packets, script.length, payload.size)
    assert heard.came.all()
    assert np.array_equal(heard.payload, payload)
    assert np.array_equal(heard.audio, from_pcmu(payload).reshape(-1))
    assert np.array_equal(script.at_ns, FRAME_NS * np.arange(len(payload)))


def test_lost_packets_leave_silence_in_their_place() -> None:
    condition = replace(QUIET, loss_percent=10.0)
    call = _call(condition)
    script = _script(condition, call)
    n_frames = call.audio.size // 160
    heard = read_heard(script.packets, script.length, n_frames * 160)
    assert 0.02 < 1 - heard.came.mean() < 0.2
    lost = np.repeat(~heard.came, 160)
    assert not heard.audio[lost].any()


@pytest.mark.parametrize("jitter_ms, swapped_percent", [(30.0, 0.0), (0.0, 20.0)])
def test_a_network_that_reorders_loses_nothing(jitter_ms: float, swapped_percent: float) -> None:
    condition = replace(QUIET, jitter_ms=jitter_ms, swapped_percent=swapped_percent)
    call = _call(condition)
    script = _script(condition, call)
    sequence = [HEADER.unpack(row[: HEADER.size].tobytes())[2] for row in script.packets]
    assert sequence != sorted(sequence)
    assert np.all(np.diff(script.at_ns) >= 0)
    assert read_heard(script.packets, script.length, call.audio.size // 160 * 160).came.all()


def test_events_stand_in_for_the_audio_of_a_press() -> None:
    condition = replace(QUIET, carriage=Carriage.EVENT, negotiated=True)
    call = _call(condition)
    script = _script(condition, call)
    spans = event_spans(condition, call)
    told = [row for row in script.packets if int(row[1]) == EVENT_PAYLOAD_TYPE]
    assert len(told) == sum(last - first + 3 for first, last in spans)
    heard = read_heard(script.packets, script.length, call.audio.size // 160 * 160)
    assert heard.n_events == len(told)
    assert not any(heard.came[first:last].any() for first, last in spans)


def test_events_beside_the_tone_leave_the_audio_whole() -> None:
    condition = replace(QUIET, carriage=Carriage.BOTH, negotiated=True)
    call = _call(condition)
    kinds = _kinds(_script(condition, call))
    assert kinds.count(0) == call.audio.size // 160
    assert kinds.count(EVENT_PAYLOAD_TYPE) > 0


def test_sequence_numbers_have_no_gap_where_nothing_is_lost() -> None:
    condition = replace(QUIET, carriage=Carriage.CUT, negotiated=True)
    script = _script(condition, _call(condition))
    sequence = [HEADER.unpack(row[: HEADER.size].tobytes())[2] for row in script.packets]
    assert np.all(np.diff(sequence) == 1)


def test_names_of_conditions_are_their_own() -> None:
    names = [condition.name for condition in CONDITIONS]
    assert len(names) == len(set(names))
