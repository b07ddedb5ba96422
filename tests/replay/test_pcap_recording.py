"""The recording of a call: both channels on one time line, at one rate."""

from __future__ import annotations

import numpy as np
import pytest

from voicemask.call import AGENT, CUSTOMER, AudioChunk
from voicemask.replay.call_output import Recording, measure_talk


def chunk(channel: int, start: int, rate_hz: int, samples: list[int] | np.ndarray) -> AudioChunk:
    return AudioChunk(channel, start, rate_hz, np.asarray(samples, np.int16))


def recording(*chunks: AudioChunk) -> Recording:
    made = Recording()
    for item in chunks:
        made.chunks[item.channel].append(item)
    return made


def test_channels_lie_side_by_side_with_silence_where_nothing_came() -> None:
    made = recording(
        chunk(CUSTOMER, 1, 8000, [1, 2]), chunk(CUSTOMER, 5, 8000, [3]), chunk(AGENT, 0, 8000, [9])
    )
    assert made.render(8000).T.tolist() == [[0, 1, 2, 0, 0, 3], [9, 0, 0, 0, 0, 0]]


def test_a_channel_at_another_rate_is_brought_to_the_recordings() -> None:
    slow = (8000 * np.sin(2 * np.pi * 400 * np.arange(8000) / 8000)).astype(np.int16)
    audio = recording(chunk(CUSTOMER, 8000, 8000, slow)).render(16000)
    expected = 8000 * np.sin(2 * np.pi * 400 * np.arange(16000) / 16000)
    assert audio.shape == (32000, 2)
    assert not audio[:16000].any()
    assert audio[16200:31800, 0] == pytest.approx(expected[200:15800], abs=60)


def test_a_call_without_audio_is_an_empty_recording() -> None:
    assert Recording().render(8000).shape == (0, 2)


def voice(n_samples: int) -> np.ndarray:
    t = np.arange(n_samples) / 8000
    return np.sum(
        [3000 / k * np.sin(2 * np.pi * 140 * k * t + k * k) for k in range(1, 12)], axis=0
    )


def test_talk_is_measured_channel_by_channel() -> None:
    audio = np.zeros((70 * 8000, 2), np.int16)
    audio[: 3 * 8000, 0] = voice(3 * 8000)
    audio[-5 * 8000 :, 1] = voice(5 * 8000)
    left, right = measure_talk(audio, 8000)
    assert (left.talk_s, right.talk_s) == (pytest.approx(3, abs=0.2), pytest.approx(5, abs=0.2))
    assert (left.silence_s, right.silence_s) == (
        pytest.approx(67, abs=0.2),
        pytest.approx(65, abs=0.2),
    )


def test_an_empty_recording_has_neither_talk_nor_silence() -> None:
    assert [m.talk_s + m.silence_s for m in measure_talk(np.zeros((0, 2), np.int16), 8000)] == [
        0,
        0,
    ]
