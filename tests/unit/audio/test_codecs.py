"""Codecs: audio through encoder and decoder, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from voicemask.audio.codecs import make_codec, to_float32, to_int16
from voicemask.errors import CodecError
from voicemask.rtp.sdp import PayloadType

KINDS = [
    PayloadType(0, "PCMU", 8000),
    PayloadType(8, "PCMA", 8000),
    PayloadType(9, "G722", 8000),
    PayloadType(111, "OPUS", 48000, 2),
    PayloadType(3, "GSM", 8000),
    PayloadType(96, "L16", 16000),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.encoding)
def test_audio_comes_back_frame_by_frame(kind: PayloadType) -> None:
    codec, peer = make_codec(kind), make_codec(kind)
    n = codec.rate_hz // 50
    t = np.arange(25 * n) / codec.rate_hz
    audio = (0.3 * np.sin(2 * np.pi * 400 * t)).astype(np.float32)
    frames = [peer.decode(codec.encode(audio[k * n : (k + 1) * n])) for k in range(25)]
    assert [len(frame) for frame in frames] == [n] * 25
    back = np.concatenate(frames)[10 * n :]
    spectrum = np.abs(np.fft.rfft(back * np.hanning(len(back))))
    assert np.argmax(spectrum) * codec.rate_hz / len(back) == pytest.approx(400, abs=10)
    assert np.sqrt(np.mean(back**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1], KINDS[5]], ids=lambda kind: kind.encoding)
def test_sample_codecs_give_the_payload_back(kind: PayloadType) -> None:
    payload = bytes(b for b in range(256) if b != 0x7F) + b"\x01"
    codec = make_codec(kind)
    assert codec.encode(codec.decode(payload)) == payload


@pytest.mark.parametrize("ms", [10, 30, 80])
def test_g722_codes_packets_of_any_usual_length(ms: int) -> None:
    codec = make_codec(KINDS[2])
    assert len(codec.encode(np.zeros(16 * ms, np.float32))) == 8 * ms


def test_gsm_codes_several_frames_in_a_packet() -> None:
    codec = make_codec(KINDS[4])
    payload = codec.encode(np.zeros(480, np.float32))
    assert len(payload) == 99
    assert len(codec.decode(payload)) == 480


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (KINDS[0], b""),
        (KINDS[0], bytes(8000)),
        (KINDS[2], b""),
        (KINDS[3], b"\xff\xff\xff"),
        (KINDS[4], bytes(34)),
        (KINDS[5], b"abc"),
    ],
)
def test_payloads_that_do_not_decode_are_refused(kind: PayloadType, payload: bytes) -> None:
    with pytest.raises(CodecError):
        make_codec(kind).decode(payload)


@pytest.mark.parametrize(
    ("kind", "n_samples"), [(KINDS[2], 161), (KINDS[2], 0), (KINDS[3], 1000), (KINDS[4], 100)]
)
def test_lengths_an_encoder_does_not_have_are_refused(kind: PayloadType, n_samples: int) -> None:
    with pytest.raises(CodecError):
        make_codec(kind).encode(np.zeros(n_samples, np.float32))


@pytest.mark.parametrize(
    "kind",
    [
        PayloadType(18, "G729", 8000),
        PayloadType(10, "L16", 44100, 2),
        PayloadType(96, "L16", 11025),
        PayloadType(96, "PCMU", 16000),
    ],
)
def test_codecs_we_do_not_have_are_refused_with_a_cure(kind: PayloadType) -> None:
    with pytest.raises(CodecError, match=r"offer G\.711"):
        make_codec(kind)


def test_sixteen_bits_survive_the_float_domain() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(to_int16(to_float32(samples)), samples)


def test_float_beyond_full_scale_clips() -> None:
    assert to_int16(np.array([2.0, -2.0], np.float32)).tolist() == [32767, -32768]
