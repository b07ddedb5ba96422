"""Sample formats, to float32 and back."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from voicemask.replay.riff import WavLayout
from voicemask.replay.samples import SampleFormat, floating, format_of, left_aligned

FORMATS = [(1, 1), (1, 2), (1, 3), (1, 4), (3, 4), (3, 8), (6, 1), (7, 1)]


def sample_format(tag: int, width: int, n_channels: int = 2) -> SampleFormat:
    made = format_of(WavLayout(tag, n_channels, 8000, width * n_channels, 44, 0, 0, 0))
    assert made is not None
    return made


@pytest.mark.parametrize(("tag", "width"), FORMATS)
def test_decode_gives_channels_first_at_full_scale_one(tag: int, width: int) -> None:
    samples = sample_format(tag, width)
    audio = np.array([0.5, -0.25, 0.0], np.float32)
    raw = np.stack([samples.encode(audio), samples.encode(-audio)], axis=1)
    decoded = samples.decode(raw)
    assert decoded.flags.c_contiguous
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, [audio, -audio], atol=0.02)


@pytest.mark.parametrize(("tag", "width"), [(1, 1), (1, 2), (1, 3), (3, 4), (6, 1), (7, 1)])
def test_encode_undoes_decode(tag: int, width: int) -> None:
    samples = sample_format(tag, width, 1)
    random = np.random.default_rng(1)
    raw = samples.encode(random.uniform(-1, 1, 5000).astype(np.float32))[:, None]
    again = samples.encode(samples.decode(raw)[0])
    assert again.tobytes() == raw.tobytes()


@pytest.mark.parametrize(
    ("tag", "width", "subtype"),
    [
        (1, 1, "PCM_U8"),
        (1, 2, "PCM_16"),
        (1, 3, "PCM_24"),
        (1, 4, "PCM_32"),
        (3, 8, "DOUBLE"),
        (6, 1, "ALAW"),
        (7, 1, "ULAW"),
    ],
)
def test_decode_agrees_with_libsndfile(tag: int, width: int, subtype: str) -> None:
    samples = sample_format(tag, width, 1)
    raw = samples.encode(np.linspace(-1, 1, 999, dtype=np.float32))
    endian = "FILE" if width == 1 else "LITTLE"
    theirs, _ = soundfile.read(
        io.BytesIO(raw.tobytes()),
        dtype="float32",
        channels=1,
        samplerate=8000,
        format="RAW",
        subtype=subtype,
        endian=endian,
    )
    np.testing.assert_allclose(samples.decode(raw[:, None])[0], theirs, atol=2e-7)


@pytest.mark.parametrize(("tag", "width"), [(1, 1), (1, 2), (1, 3), (1, 4), (6, 1), (7, 1)])
def test_encode_clips_instead_of_wrapping(tag: int, width: int) -> None:
    samples = sample_format(tag, width, 1)
    raw = samples.encode(np.array([1.5, -1.5], np.float32))
    decoded = samples.decode(raw[:, None])[0]
    assert decoded[0] > 0.95
    assert decoded[1] < -0.95


def test_mu_law_tells_both_zeros_apart_by_leaving_them() -> None:
    raw = np.array([[0x7F], [0xFF]], np.uint8)
    np.testing.assert_array_equal(sample_format(7, 1, 1).decode(raw), [[0.0, 0.0]])


def test_float_damage_is_analysed_as_silence_or_clipping() -> None:
    raw = np.array([[np.nan], [np.inf], [-np.inf], [0.5], [1e300]], np.float64)
    decoded = floating(64).decode(raw)
    assert np.isfinite(decoded).all()
    assert decoded[0, 0] == 0.0
    assert decoded[0, 3] == 0.5


def test_left_aligned_rounds_at_the_width_of_the_format() -> None:
    made = left_aligned(16, "FLAC").encode(np.array([1.6 / 32768], np.float32))
    assert made[0] == 2 << 16


def test_a_format_of_packed_samples_is_left_to_libsndfile() -> None:
    assert format_of(WavLayout(0x31, 1, 8000, 65, 60, 0, 0, 0)) is None
