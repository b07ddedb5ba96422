"""The delay line between reading and writing."""

from __future__ import annotations

import numpy as np
import pytest

from voicemask.mask.apply import Patch
from voicemask.replay.samples import linear
from voicemask.replay.wav import DelayLine, block_frames


def ramp(start: int, n_frames: int, n_channels: int = 2) -> np.ndarray:
    frames = np.arange(start, start + n_frames, dtype="<i2")
    return np.repeat(frames[:, None], n_channels, axis=1)


def patch(channel: int, start: int, values: list[float]) -> Patch:
    return Patch(channel, start, np.array(values, np.float32) / 32768)


def test_frames_come_out_as_they_went_in_when_nothing_is_patched() -> None:
    line = DelayLine(linear(16), 2)
    out = []
    for start in range(0, 30, 10):
        line.push(ramp(start, 10))
        out += line.take(start + 5)
    out += line.take(30)
    np.testing.assert_array_equal(np.concatenate(out), ramp(0, 30))
    assert line.n_held == 0


def test_a_patch_reaches_over_blocks_of_its_channel_only() -> None:
    line = DelayLine(linear(16), 2)
    line.push(ramp(0, 4))
    line.push(ramp(4, 4))
    line.overwrite(patch(1, 3, [100, 101, 102]))
    out = np.concatenate(list(line.take(8)))
    assert out[:, 0].tolist() == list(range(8))
    assert out[:, 1].tolist() == [0, 1, 2, 100, 101, 102, 6, 7]


def test_a_patch_for_frames_already_out_is_an_error() -> None:
    line = DelayLine(linear(16), 1)
    line.push(ramp(0, 10, 1))
    list(line.take(5))
    with pytest.raises(RuntimeError, match="after its frames were final"):
        line.overwrite(patch(0, 4, [0.0, 0.0]))


def test_take_keeps_what_is_not_final() -> None:
    line = DelayLine(linear(16), 1)
    line.push(ramp(0, 10, 1))
    assert sum(map(len, line.take(7))) == 7
    assert line.n_held == 3


@pytest.mark.parametrize("n_channels", [1, 2, 64, 65535])
def test_a_block_holds_a_bounded_number_of_samples(n_channels: int) -> None:
    assert 0 < block_frames(n_channels) * n_channels <= 1 << 21
