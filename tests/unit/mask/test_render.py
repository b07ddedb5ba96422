"""The renderer: many packets at once, each from its own row."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.policy import Fill
from voicemask.dtmf.detector import detect
from voicemask.mask.render import FULL_SCALE, Rendered, lead_samples, render, row_samples
from voicemask.mask.suppress import Suppressor

F32 = NDArray[np.float32]


def run(rows: F32, n_packet: int = 160, rate_hz: int = 8000, **options: object) -> Rendered:
    given = {
        "unsafe": None, "suppresses": True, "fill": Fill.SILENCE,
        "positions": [0] * len(rows), "levels_dbfs": [-60.0] * len(rows), **options,
    }  # fmt: skip
    return render(rows, n_packet, rate_hz, **given)  # type: ignore[arg-type]


def speech_like(seed: int, n: int, rate_hz: int = 8000) -> F32:
    time = np.arange(n) / rate_hz
    rng = np.random.default_rng(seed)
    voice = sum(np.sin(2 * np.pi * 117 * k * time + rng.uniform(0, 6)) / k for k in range(1, 25))
    return np.asarray(3000 * voice + 100 * rng.standard_normal(n), np.float32)


def cut(audio: F32, n_packet: int, rate_hz: int) -> F32:
    """Rows of consecutive packets; the first and last lead are left out."""
    lead, n_row = lead_samples(rate_hz), row_samples(n_packet, rate_hz)
    starts = range(lead, len(audio) - n_row, n_packet)
    return np.stack([audio[s - lead : s - lead + n_row] for s in starts])


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_render_is_the_suppressor_where_nothing_is_filled(rate_hz: int) -> None:
    n_packet = rate_hz // 50
    audio = speech_like(1, 2 * rate_hz, rate_hz)
    result = run(cut(audio, n_packet, rate_hz), n_packet, rate_hz)
    ours = result.audio.ravel()
    suppressor = Suppressor(1, rate_hz)
    theirs = np.concatenate(
        [suppressor.push(audio[None] / FULL_SCALE), suppressor.flush()], axis=1
    )[0] * FULL_SCALE  # fmt: skip
    theirs = theirs[lead_samples(rate_hz) :][: len(ours)]
    same = np.abs(ours - theirs) < 1.0
    # what is filled is filled whole; the rest is the same to rounding
    assert same.mean() > 0.8


def test_render_leaves_nothing_of_a_tone() -> None:
    time = np.arange(16_000) / 8000
    audio = 8000 * (np.sin(2 * np.pi * 770 * time) + np.sin(2 * np.pi * 1336 * time))
    result = run(cut(audio.astype(np.float32), 160, 8000))
    assert np.abs(result.audio).max() < 0.01  # of 32768: rounding


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    rows = cut(speech_like(2, 40_000), 160, 8000)
    together = run(rows).audio
    for i in (0, 7, 63, 64, 65, len(rows) - 1):
        assert np.array_equal(run(rows[i : i + 1].copy()).audio[0], together[i])


def test_render_without_suppression_keeps_what_no_fill_touches() -> None:
    rows = cut(speech_like(3, 16_000), 160, 8000)
    unsafe = np.zeros((len(rows), 8), bool)
    unsafe[4, 3] = True
    result = run(rows, unsafe=unsafe, suppresses=False)
    assert result.touched is not None
    kept = np.array_equal(result.audio[~result.touched], rows[:, 80:240][~result.touched])
    assert kept
    assert not result.touched[np.arange(len(rows)) != 4].any()
    # the hop and half a block on either side
    assert result.touched[4].tolist() == [True] * 120 + [False] * 40
    assert np.abs(result.audio[4, 40:80]).max() < 0.01


@pytest.mark.parametrize("suppresses", [True, False])
@pytest.mark.parametrize("fill", list(Fill))
def test_an_unsafe_hop_is_fill_and_nothing_else(suppresses: bool, fill: Fill) -> None:
    rows = cut(speech_like(4, 4000), 160, 8000)
    other = cut(speech_like(5, 4000), 160, 8000)
    unsafe = np.zeros((len(rows), 8), bool)
    unsafe[:, 2:6] = True
    first = run(rows, unsafe=unsafe, suppresses=suppresses, fill=fill).audio
    second = run(other, unsafe=unsafe, suppresses=suppresses, fill=fill).audio
    assert np.array_equal(first, second) or np.abs(first - second).max() < 1e-2


def test_fill_depends_on_position_and_level_alone() -> None:
    rows = np.zeros((3, 320), np.float32)
    unsafe = np.ones((3, 8), bool)
    options = {"unsafe": unsafe, "fill": Fill.NOISE, "levels_dbfs": [-50.0, -50.0, -44.0]}
    audio = run(rows, positions=[0, 160, 0], **options).audio
    assert not np.array_equal(audio[0], audio[1])
    assert audio[2] == pytest.approx(audio[0] * 10 ** (6 / 20), rel=1e-4)


def test_quiet_power_is_what_the_quietest_block_has() -> None:
    noise = np.random.default_rng(6).standard_normal((4, 320)).astype(np.float32) * 100
    noise[2] *= 0.1
    power = run(noise).quiet_power
    assert power is not None
    assert power[2] < power[0] / 30
    assert 100 < power[0] < 10_000


@pytest.mark.parametrize("n_packet", [80, 90, 160, 240, 333, 480])
def test_packets_of_any_length_are_rendered(n_packet: int) -> None:
    time = np.arange(24_000) / 8000
    tone = 6000 * (np.sin(2 * np.pi * 697 * time) + np.sin(2 * np.pi * 1633 * time))
    audio = run(cut(tone.astype(np.float32), n_packet, 8000), n_packet, fill=Fill.NOISE).audio
    assert audio.shape[1] == n_packet
    assert detect(audio.ravel() / FULL_SCALE) == []
