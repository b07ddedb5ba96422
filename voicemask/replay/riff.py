"""Where the samples of a WAV file lie: a walk over its chunks, nothing decoded.

Knows RIFF/WAVE, RF64 and BW64 (64-bit sizes in a ``ds64`` chunk) and Sony Wave64. Knowing the byte
range of the data chunk lets a masked file keep every other byte of the original, G.711 payload
bytes too, which no decoder gives back.

Bytes behind the data are kept only as far as they are whole chunks: audio that a header does not
speak of must not slip through unexamined.

References
----------
Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); RFC 2361 and
Microsoft's mmreg.h (format tags); EBU Tech 3306 v1.1 (RF64); ITU-R BS.2088-1 (BW64); Sony Pictures
Digital "Wave64 File Format" (2006).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from voicemask.errors import AudioFileError

PCM: Final = 0x0001
IEEE_FLOAT: Final = 0x0003
A_LAW: Final = 0x0006
MU_LAW: Final = 0x0007
_EXTENSIBLE: Final = 0xFFFE
_SUBFORMAT_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")
"""Last 14 bytes of every KSDATAFORMAT_SUBTYPE GUID that stands for a format tag (mmreg.h)."""

_W64_RIFF: Final = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_WAVE: Final = b"wave" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_TAIL: Final = bytes.fromhex("f3acd3118cd100c04f8edb8a")

_OPEN_ENDED: Final = 0x7FFFF000
"""Writers into a pipe do not know the size and put this or more (sox this, ffmpeg 2**32 - 1)."""

_MAX_FMT_BYTES: Final = 1 << 16
_STRAY_LIMIT_S: Final = 1.0
"""Stray bytes behind the last chunk are dropped; more than this may be audio, and is refused."""


@dataclass(frozen=True, slots=True)
class WavLayout:
    """Format of a WAV file and the place of its samples.

    Parameters
    ----------
    format_tag : ``wFormatTag``, that of the sub-format for WAVE_FORMAT_EXTENSIBLE.
    n_channels, rate_hz : as the header says.
    frame_bytes : ``nBlockAlign``; for linear and G.711 samples the bytes of one frame.
    data_offset, data_bytes : byte range of the samples.
    end : bytes of the file that are whole chunks; what follows is dropped.
    stray_bytes : bytes that follow.
    """

    format_tag: int
    n_channels: int
    rate_hz: int
    frame_bytes: int
    data_offset: int
    data_bytes: int
    end: int
    stray_bytes: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    offset: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class _Format:
    tag: int
    n_channels: int
    rate_hz: int
    bytes_per_second: int
    frame_bytes: int


def read_layout(file: BinaryIO, name: str) -> WavLayout | None:
    """Walk the chunks of an open file; None when it is no WAV.

    Parameters
    ----------
    file : seekable, at any position.
    name : what error messages call it.

    Raises
    ------
    AudioFileError
        The file is a WAV, but holds no samples, less than its header promises, or a header that
        makes no sense.
    """
    file_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(40)
    if head[:16] == _W64_RIFF and head[24:40] == _W64_WAVE:
        chunks = _walk_w64(file, file_bytes)
    elif head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        chunks = _walk_riff(file, file_bytes)
    else:
        return None
    return _layout(file, list(chunks), file_bytes, name)


def _walk_riff(file: BinaryIO, file_bytes: int) -> Iterator[_Chunk]:
    """Give chunks up to the first that does not fit; sizes as stated, 64-bit ones resolved."""
    offset, data_size_64 = 12, None
    while offset + 8 <= file_bytes:
        file.seek(offset)
        name, size = struct.unpack("<4sI", file.read(8))
        if not name.isascii() or not name.decode("ascii").isprintable():
            return
        if name == b"ds64" and size >= 24:
            data_size_64 = struct.unpack("<8xQ", file.read(16))[0]
        if name == b"data" and size == 0xFFFFFFFF and data_size_64 is not None:
            size = data_size_64
        elif name == b"data" and size >= _OPEN_ENDED and offset + 8 + size > file_bytes:
            size = file_bytes - offset - 8
        yield _Chunk(name, offset + 8, size)
        offset += 8 + size + size % 2


def _walk_w64(file: BinaryIO, file_bytes: int) -> Iterator[_Chunk]:
    offset = 40
    while offset + 24 <= file_bytes:
        file.seek(offset)
        name, tail, size = struct.unpack("<4s12sQ", file.read(24))
        if tail != _W64_TAIL or size < 24:
            return
        yield _Chunk(name, offset + 24, size - 24)
        offset += (size + 7) // 8 * 8


def _layout(file: BinaryIO, chunks: list[_Chunk], file_bytes: int, name: str) -> WavLayout:
    fmt = _find(chunks, b"fmt ", name)
    data = _find(chunks, b"data", name)
    form = _read_format(file, fmt, name)
    held = file_bytes - data.offset
    if data.n_bytes > held:
        promised_s, held_s = data.n_bytes / form.bytes_per_second, held / form.bytes_per_second
        raise AudioFileError(
            name,
            f"is truncated: its header promises {promised_s:.1f} s, it holds {held_s:.1f} s",
            "copy it again from where it was recorded, or repair its header",
        )
    end = _end_of_chunks(chunks, file_bytes)
    stray_bytes = file_bytes - end
    if stray_bytes > _STRAY_LIMIT_S * form.bytes_per_second:
        raise AudioFileError(
            name,
            f"holds {stray_bytes} bytes that its header does not speak of",
            "repair its header: they may be audio that was never closed",
        )
    if data.n_bytes < form.frame_bytes:
        raise AudioFileError(name, "holds no audio (0 samples)", "leave it out or record it again")
    return WavLayout(
        form.tag,
        form.n_channels,
        form.rate_hz,
        form.frame_bytes,
        data.offset,
        data.n_bytes,
        end,
        stray_bytes,
    )


def _find(chunks: list[_Chunk], wanted: bytes, name: str) -> _Chunk:
    """Give the only chunk of that name: a second `data` would pass unexamined."""
    found = [chunk for chunk in chunks if chunk.name == wanted]
    if len(found) != 1:
        label, cure = wanted.decode().strip(), "export it again as an ordinary WAV"
        raise AudioFileError(name, f"is corrupt: {len(found)} '{label}' chunks instead of 1", cure)
    return found[0]


def _read_format(file: BinaryIO, fmt: _Chunk, name: str) -> _Format:
    file.seek(fmt.offset)
    body = file.read(min(fmt.n_bytes, _MAX_FMT_BYTES))
    if len(body) < 16:
        raise AudioFileError(name, "is corrupt: its format chunk is cut short", "export it again")
    tag, n_channels, rate_hz, bytes_per_second, frame_bytes = struct.unpack("<HHIIH", body[:14])
    if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _SUBFORMAT_TAIL:
        tag = struct.unpack("<H", body[24:26])[0]
    if not (n_channels and rate_hz and frame_bytes):
        raise AudioFileError(
            name, "is corrupt: its header has no channels, rate or sample size", "export it again"
        )
    linear = tag in (PCM, IEEE_FLOAT, A_LAW, MU_LAW)
    rate_bytes = rate_hz * frame_bytes if linear else max(bytes_per_second, 1)
    return _Format(tag, n_channels, rate_hz, rate_bytes, frame_bytes)


def _end_of_chunks(chunks: list[_Chunk], file_bytes: int) -> int:
    """Offset behind the last chunk that fits, its pad byte included where there is one."""
    end = 0
    for chunk in chunks:
        stop = chunk.offset + chunk.n_bytes
        if stop > file_bytes:
            break
        end = min(stop + chunk.n_bytes % 2, file_bytes)
    return end
