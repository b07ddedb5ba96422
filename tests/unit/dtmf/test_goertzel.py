"""The bank: right numbers, and the same bits however streams and samples are laid out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.digit import KEYS
from voicemask.dtmf.goertzel import BLOCK, FULL_SCALE, RATE_HZ, TONES_HZ, GoertzelBank
from voicemask.dtmf.profile import load_profile
from voicemask.synthetic import dtmf_tone

RECEIVER = load_profile("decode").receiver
N_BLOCKS = 20


def noise(n_streams: int, n_samples: int = N_BLOCKS * BLOCK) -> NDArray[np.int16]:
    random = np.random.default_rng(1)
    return random.integers(-20_000, 20_000, (n_streams, n_samples)).astype(np.int16)


def read(bank: GoertzelBank, stream: int, first: int = 0) -> NDArray[np.complex128]:
    """All that the bank knows of a stream's blocks: eight correlations, then the energy."""
    blocks = np.arange(first, bank.n_blocks)[:, None]
    streams = np.full_like(blocks, stream)
    tones = bank.tone_at(streams, blocks, np.arange(8)[None])
    return np.concatenate([tones, bank.energy_at(streams, blocks)], axis=1).astype(np.complex128)


def filled_bank(audio: NDArray[np.int16] | NDArray[np.float32]) -> GoertzelBank:
    bank = GoertzelBank(len(audio), RECEIVER, N_BLOCKS)
    bank.push(audio)
    return bank


@pytest.mark.parametrize("n_streams", [1, 3, 64, 100])
def test_bank_correlates_with_the_eight_tones(n_streams: int) -> None:
    audio = noise(n_streams)
    bank = filled_bank(audio)
    blocks = audio[-1].astype(np.float64).reshape(N_BLOCKS, BLOCK)
    turns = np.outer(np.arange(BLOCK), np.array(TONES_HZ)) / RATE_HZ
    direct = blocks @ np.exp(-2j * np.pi * turns)
    found = read(bank, n_streams - 1)[:, :8]
    size = np.abs(direct).max(axis=1, keepdims=True)
    np.testing.assert_array_less(np.abs(found - direct) / size, 1e-5)


@pytest.mark.parametrize("n_streams", [1, 64])
def test_bank_sums_the_energy_of_blocks(n_streams: int) -> None:
    audio = noise(n_streams)
    wanted = (audio[0].astype(np.float64).reshape(N_BLOCKS, BLOCK) ** 2).sum(axis=1)
    np.testing.assert_allclose(read(filled_bank(audio), 0)[:, 8].real, wanted, rtol=1e-5)


def test_bank_gives_the_same_bits_across_streams_as_along_one() -> None:
    audio = noise(70)
    wide = filled_bank(audio)
    for stream in (0, 33, 69):
        long = filled_bank(audio[stream : stream + 1])
        np.testing.assert_array_equal(read(wide, stream), read(long, 0))


@pytest.mark.parametrize("n_streams", [1, 64])
def test_bank_gives_the_same_bits_for_int16_and_float32(n_streams: int) -> None:
    audio = noise(n_streams)
    as_float = audio.astype(np.float32) / np.float32(FULL_SCALE)
    np.testing.assert_array_equal(
        read(filled_bank(audio), n_streams - 1), read(filled_bank(as_float), n_streams - 1)
    )


@pytest.mark.parametrize("n_streams", [2, 64])
def test_bank_keeps_its_history_readable(n_streams: int) -> None:
    audio = noise(n_streams, 500 * BLOCK)
    bank = GoertzelBank(n_streams, RECEIVER, N_BLOCKS)
    for begin in range(0, audio.shape[1], BLOCK):
        bank.push(audio[:, begin : begin + BLOCK])
    recent = filled_bank(audio[:, (500 - N_BLOCKS) * BLOCK :])
    np.testing.assert_array_equal(read(bank, 1, 500 - N_BLOCKS), read(recent, 1))


@pytest.mark.parametrize("n_streams", [3, 70])
def test_gate_passes_the_blocks_of_a_tone_in_order(n_streams: int) -> None:
    audio = np.zeros((n_streams, N_BLOCKS * BLOCK), np.float32)
    tone = dtmf_tone("5", tone_ms=40)
    audio[2, 5 * BLOCK : 9 * BLOCK] = tone
    audio[1, 2 * BLOCK : 6 * BLOCK] = tone
    streams, blocks, pairs = filled_bank(audio).take_gated()
    assert streams.tolist() == [1] * 4 + [2] * 4
    assert blocks.tolist() == [2, 3, 4, 5, 5, 6, 7, 8]
    assert pairs.tolist() == [KEYS.index("5")] * 8


def test_gate_counts_blocks_from_the_start_of_the_stream() -> None:
    bank = GoertzelBank(1, RECEIVER, N_BLOCKS)
    bank.push(np.zeros((1, 7 * BLOCK + 3), np.float32))
    bank.push(dtmf_tone("8", tone_ms=30)[None])
    _, blocks, _ = bank.take_gated()
    assert set(blocks.tolist()) <= {7, 8, 9, 10}
    assert {8, 9} <= set(blocks.tolist())


@pytest.mark.parametrize("hz", [400, 2600])
def test_gate_stops_single_sines(hz: int) -> None:
    time_s = np.arange(N_BLOCKS * BLOCK) / RATE_HZ
    sine = (0.3 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)
    _, blocks, _ = filled_bank(sine[None]).take_gated()
    assert len(blocks) == 0


def test_gate_stops_what_is_too_faint() -> None:
    tone = dtmf_tone("5", level_dbfs=RECEIVER.gate_level_dbfs - 6)
    _, blocks, _ = filled_bank(tone[None]).take_gated()
    assert len(blocks) == 0


def test_gated_blocks_are_given_once() -> None:
    bank = filled_bank(dtmf_tone("5", tone_ms=40)[None])
    assert len(bank.take_gated()[0]) == 4
    bank.push(np.zeros((1, BLOCK), np.float32))
    assert len(bank.take_gated()[0]) == 0
