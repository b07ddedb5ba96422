"""The walk over a WAV's chunks."""

from __future__ import annotations

import io
import struct

import pytest

from voicemask.errors import AudioFileError
from voicemask.replay.riff import WavLayout, read_layout


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def fmt(tag: int = 1, n_channels: int = 1, rate_hz: int = 8000, width: int = 2) -> bytes:
    frame = n_channels * width
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", tag, n_channels, rate_hz, rate_hz * frame, frame, 8 * width)
    )


def wav(*chunks: bytes, magic: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body)) + body


def layout_of(content: bytes) -> WavLayout:
    layout = read_layout(io.BytesIO(content), "x.wav")
    assert layout is not None
    return layout


def test_layout_finds_the_samples_behind_other_chunks() -> None:
    content = wav(chunk(b"LIST", b"odd"), fmt(), chunk(b"data", b"abcd"), chunk(b"id3 ", b"tag"))
    layout = layout_of(content)
    data = content[layout.data_offset : layout.data_offset + layout.data_bytes]
    assert (data, layout.end, layout.stray_bytes) == (b"abcd", len(content), 0)


def test_layout_reads_the_sub_format_of_extensible() -> None:
    tail = bytes.fromhex("000000001000800000aa00389b71")
    body = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 8000, 1, 8, 22, 8, 4)
    content = wav(chunk(b"fmt ", body + struct.pack("<H", 7) + tail), chunk(b"data", b"abcd"))
    assert layout_of(content).format_tag == 7


def test_layout_takes_64_bit_sizes_from_ds64() -> None:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, 4, 2, 0))
    data = b"data" + struct.pack("<I", 0xFFFFFFFF) + b"abcd"
    layout = layout_of(wav(ds64, fmt(), data, magic=b"RF64"))
    assert layout.data_bytes == 4


def test_layout_takes_all_that_follows_when_a_pipe_left_the_size_open() -> None:
    data = b"data" + struct.pack("<I", 0xFFFFFFFF) + b"abcdef"
    assert layout_of(wav(fmt(), data)).data_bytes == 6


def test_layout_walks_wave64() -> None:
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    riff = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")

    def guid(name: bytes, body: bytes) -> bytes:
        whole = name + tail + struct.pack("<Q", 24 + len(body)) + body
        return whole + b"\0" * (-len(whole) % 8)

    content = riff + struct.pack("<Q", 0) + b"wave" + tail
    content += guid(b"fmt ", fmt()[8:]) + guid(b"data", b"abcdefgh")
    layout = layout_of(content)
    assert content[layout.data_offset :][: layout.data_bytes] == b"abcdefgh"


def test_what_is_no_wav_is_left_to_others() -> None:
    assert read_layout(io.BytesIO(b"fLaC" + bytes(60)), "x.flac") is None


def test_stray_bytes_behind_the_last_chunk_are_not_kept() -> None:
    content = wav(fmt(), chunk(b"data", b"abcd"))
    layout = layout_of(content + b"\xff\x00\x01")
    assert (layout.end, layout.stray_bytes) == (len(content), 3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (wav(fmt(), chunk(b"data", bytes(16000))[:-8000]), "truncated.*1.0 s.*0.5 s"),
        (wav(fmt(), chunk(b"data", b"")), "0 samples"),
        (wav(fmt()), "0 'data' chunks"),
        (wav(chunk(b"data", b"abcd")), "0 'fmt' chunks"),
        (wav(fmt(), chunk(b"data", b"abcd"), chunk(b"data", b"abcd")), "2 'data' chunks"),
        (wav(fmt(n_channels=0), chunk(b"data", b"abcd")), "no channels"),
        (wav(chunk(b"fmt ", b"short"), chunk(b"data", b"abcd")), "cut short"),
        (wav(fmt(), chunk(b"data", b"abcd")) + b"\xff" * 17000, "does not speak of"),
    ],
)
def test_a_broken_wav_is_refused_with_what_is_wrong(content: bytes, said: str) -> None:
    with pytest.raises(AudioFileError, match=said):
        read_layout(io.BytesIO(content), "x.wav")


def test_a_header_cut_anywhere_is_refused_or_no_wav() -> None:
    content = wav(chunk(b"LIST", b"text"), fmt(), chunk(b"data", b"abcdefgh"))
    for length in range(len(content)):
        try:
            assert read_layout(io.BytesIO(content[:length]), "x.wav") is None
        except AudioFileError:
            continue
