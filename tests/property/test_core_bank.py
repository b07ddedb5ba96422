"""Batching invariance of the analysis: however samples are cut, the same numbers, bit for bit."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemask.audio.resample import StreamResampler
from voicemask.dtmf.burst import BurstFinder, Bursts
from voicemask.dtmf.detector import Detector, Tone, detect
from voicemask.dtmf.goertzel import BLOCK, GoertzelBank
from voicemask.dtmf.profile import load_profile
from voicemask.mask.suppress import Suppressor
from voicemask.synthetic import make_call

F32 = NDArray[np.float32]
RECEIVER = load_profile("mask").receiver
N_STREAMS = 66
N_SAMPLES = 30 * BLOCK + 17
CUTS = st.lists(st.integers(0, N_SAMPLES), max_size=12)
"""Where the audio is cut: twice at one place is an empty push, neighbours are one sample."""
FEW = settings(max_examples=15, deadline=None, derandomize=True)


@cache
def streams() -> F32:
    """Tones at other times in each stream, over noise."""
    random = np.random.default_rng(11)
    rows = []
    for k in range(N_STREAMS):
        lead_ms = float(random.uniform(0, 60))
        made = make_call("174", tone_ms=45, pause_ms=40, lead_ms=lead_ms, noise_dbfs=-30, seed=k)
        rows.append(made.audio[0, :N_SAMPLES])
    return np.stack(rows)


def pieces(audio: F32, cuts: list[int]) -> list[F32]:
    return [audio[:, a:b] for a, b in pairwise([0, *sorted(cuts), audio.shape[1]])]


def analysed(audio: F32, cuts: list[int]) -> tuple[F32, set[tuple[int, int, int]]]:
    """All the bank knows, (n_streams, n_blocks, 17), and (stream, block, pair) of its gate."""
    bank = GoertzelBank(len(audio), RECEIVER, 64)
    gated: list[tuple[int, int, int]] = []
    for piece in pieces(audio, cuts):
        bank.push(piece)
        which, blocks, pairs = bank.take_gated()
        gated += zip(which.tolist(), blocks.tolist(), pairs.tolist(), strict=True)
    assert len(set(gated)) == len(gated)
    stream = np.arange(len(audio))[:, None]
    block = np.arange(bank.n_blocks)[None]
    tones = bank.tone_at(stream[..., None], block[..., None], np.arange(8))
    energy = bank.energy_at(*np.broadcast_arrays(stream, block))[..., None]
    return np.concatenate([tones.real, tones.imag, energy], axis=-1), set(gated)


@FEW
@given(cuts=CUTS, n_streams=st.sampled_from([1, 2, N_STREAMS]))
def test_bank_gives_the_same_bits_for_any_cuts_and_layout(cuts: list[int], n_streams: int) -> None:
    cut, cut_gate = analysed(streams()[:n_streams], cuts)
    whole, gate = analysed(streams(), [])
    np.testing.assert_array_equal(cut, whole[:n_streams])
    kept = {row for row in gate if row[0] < n_streams}
    assert kept <= cut_gate
    # at a cut a block's neighbour is not known yet: what the whole left out, no run can hold
    assert not [row for row in cut_gate - kept if _has_neighbour(row, cut_gate)]


def _has_neighbour(row: tuple[int, int, int], gate: set[tuple[int, int, int]]) -> bool:
    stream, block, _ = row
    return any((stream, block + step, pair) in gate for step in (-1, 1) for pair in range(16))


def bursts_of(audio: F32, cuts: list[int]) -> Bursts:
    finder = BurstFinder(len(audio), RECEIVER)
    found = finder.push(audio[:, :0])
    for piece in pieces(audio, cuts):
        found = found.then(finder.push(piece))
    return found.then(finder.flush())


@FEW
@given(cuts=CUTS, n_streams=st.sampled_from([1, 3, N_STREAMS]))
def test_bursts_are_the_same_for_any_cuts(cuts: list[int], n_streams: int) -> None:
    cut, whole = bursts_of(streams()[:n_streams], cuts), bursts_of(streams()[:n_streams], [])
    assert len(whole) >= n_streams
    for item in fields(Bursts):
        np.testing.assert_array_equal(getattr(cut, item.name), getattr(whole, item.name))


@FEW
@given(cuts=CUTS)
def test_tones_are_the_same_for_any_cuts(cuts: list[int]) -> None:
    audio = streams()[:3]
    detector = Detector(3)
    tones: list[Tone] = []
    for piece in pieces(audio, cuts):
        tones += detector.push(piece)
    tones += detector.flush()
    assert sorted(tones, key=lambda tone: (tone.start, tone.channel)) == detect(audio)


@FEW
@given(cuts=CUTS, rate_hz=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]))
def test_resampler_gives_the_same_bits_for_any_cuts(cuts: list[int], rate_hz: int) -> None:
    def resampled(cuts: list[int]) -> F32:
        resampler = StreamResampler(2, rate_hz, 8000)
        out = [resampler.push(piece) for piece in pieces(streams()[:2], cuts)]
        return np.concatenate([*out, resampler.flush()], axis=1)

    np.testing.assert_array_equal(resampled(cuts), resampled([]))


@FEW
@given(cuts=CUTS, rate_hz=st.sampled_from([8000, 16000, 44100]))
def test_suppressor_gives_the_same_bits_for_any_cuts(cuts: list[int], rate_hz: int) -> None:
    def suppressed(cuts: list[int]) -> F32:
        suppressor = Suppressor(2, rate_hz)
        out = [suppressor.push(piece) for piece in pieces(streams()[:2], cuts)]
        return np.concatenate([*out, suppressor.flush()], axis=1)

    out = suppressed(cuts)
    assert out.shape[1] == N_SAMPLES
    np.testing.assert_array_equal(out, suppressed([]))
