"""G.711: tables against the Recommendation and against FFmpeg."""

from __future__ import annotations

import av
import numpy as np
import pytest

from voicemask.audio.g711 import Law, decode, encode

OCTETS = np.arange(256, dtype=np.uint8)
SAMPLES = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(
    ("law", "octets", "samples"),
    [
        (Law.MU, [0x00, 0x80, 0x7F, 0xFF, 0xF0, 0x0F], [-32124, 32124, 0, 0, 120, -16764]),
        (Law.A, [0x55, 0xD5, 0x2A, 0xAA, 0x00, 0x80], [-8, 8, -32256, 32256, -5504, 5504]),
    ],
)
def test_decode_gives_the_values_of_the_tables(
    law: Law, octets: list[int], samples: list[int]
) -> None:
    assert decode(np.array(octets, np.uint8), law).tolist() == samples


@pytest.mark.parametrize(("law", "name"), [(Law.MU, "pcm_mulaw"), (Law.A, "pcm_alaw")])
def test_decode_equals_ffmpeg(law: Law, name: str) -> None:
    decoder = av.codec.CodecContext.create(name, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8000, "mono"
    (frame,) = decoder.decode(av.Packet(OCTETS.tobytes()))
    assert np.array_equal(decode(OCTETS, law), frame.to_ndarray().ravel())


def test_every_a_law_octet_comes_back() -> None:
    assert np.array_equal(encode(decode(OCTETS, Law.A), Law.A), OCTETS)


def test_every_mu_law_octet_but_negative_zero_comes_back() -> None:
    back = encode(decode(OCTETS, Law.MU), Law.MU)
    assert np.flatnonzero(back != OCTETS).tolist() == [0x7F]
    assert back[0x7F] == 0xFF


@pytest.mark.parametrize("law", Law)
def test_encode_is_nearest_to_within_its_truncation(law: Law) -> None:
    back = decode(encode(SAMPLES, law), law).astype(int)
    inside = np.abs(SAMPLES.astype(int)) < 32000
    step = np.maximum(np.abs(back) / 16, 16)
    assert np.all(np.abs(back - SAMPLES)[inside] <= step[inside])
    assert np.all(np.diff(back) >= 0)
