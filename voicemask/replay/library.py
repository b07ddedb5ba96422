"""Audio files that libsndfile reads for us: FLAC, Ogg Vorbis and Opus, GSM 6.10, AIFF, AU and more.

Formats that store integers are read and written as integers, so unmasked samples come back exactly.
Lossy formats (GSM, ADPCM, Vorbis, Opus, MP3) are decoded and encoded again: unmasked audio changes
as it does with any second encoding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import soundfile

from voicemask.errors import AudioFileError
from voicemask.replay.samples import AudioWriter, Raw, SampleFormat, floating, left_aligned

_INTEGER_BITS: Final = {
    "PCM_S8": 8,
    "PCM_U8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 32,
    "ALAC_16": 16,
    "ALAC_20": 20,
    "ALAC_24": 24,
    "ALAC_32": 32,
    "ULAW": 16,
    "ALAW": 16,
    "GSM610": 16,
    "IMA_ADPCM": 16,
    "MS_ADPCM": 16,
    "G721_32": 16,
}
_CODEC_FLOATS: Final = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_TAGS: Final = (
    "title",
    "copyright",
    "software",
    "artist",
    "comment",
    "date",
    "album",
    "license",
    "tracknumber",
    "genre",
)
_WRITE_FRAMES: Final = 1 << 15
"""libsndfile's Vorbis encoder takes a whole call's frames on the stack: long ones crash it."""
_OGG_TAIL_BYTES: Final = 1 << 17
_OGG_END: Final = 0x04


@contextmanager
def open_with_library(path: Path, file: BinaryIO) -> Iterator[LibraryReader]:
    """Open what `file` holds with libsndfile.

    Raises
    ------
    AudioFileError
        Not audio, corrupt, truncated, or without samples.
    """
    _refuse_cut_ogg(path, file)
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        raise AudioFileError(
            str(path),
            "is not audio we can read, or is corrupt",
            "give WAV, FLAC, Ogg Vorbis or Opus",
        ) from None
    with sound:
        if sound.frames <= 0:
            raise AudioFileError(str(path), "holds no audio (0 samples)", "leave it out")
        yield LibraryReader(path, sound)


def _refuse_cut_ogg(path: Path, file: BinaryIO) -> None:
    """An Ogg stream ends with a page that says so (RFC 3533, 6): without it the file was cut."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _OGG_TAIL_BYTES))
    tail = file.read()
    last = tail.rfind(b"OggS\0")
    if last < 0 or last + 6 > len(tail) or not tail[last + 5] & _OGG_END:
        raise AudioFileError(
            str(path), "is truncated: its last page is missing", "copy it again from its source"
        )


def _format_of(sound: soundfile.SoundFile) -> SampleFormat:
    if sound.subtype in _INTEGER_BITS:
        return left_aligned(_INTEGER_BITS[sound.subtype], sound.subtype)
    return floating(64 if sound.subtype == "DOUBLE" else 32, clip=sound.subtype in _CODEC_FLOATS)


class LibraryReader:
    """An audio file open in libsndfile."""

    def __init__(self, path: Path, sound: soundfile.SoundFile) -> None:
        self.path = path
        self.samples = _format_of(sound)
        self.n_channels = sound.channels
        self.rate_hz = sound.samplerate
        self.n_frames = sound.frames
        self._sound = sound

    def blocks(self, n_frames: int) -> Iterator[Raw]:
        """Give all frames; every block is an array of its own."""
        left = self.n_frames
        while left:
            raw = self._read(min(left, n_frames))
            left -= len(raw)
            yield raw

    def _read(self, n_frames: int) -> Raw:
        try:
            raw: Raw = self._sound.read(n_frames, dtype=self.samples.dtype.name, always_2d=True)
        except soundfile.LibsndfileError:
            raw = np.empty((0, self.n_channels))
        if not len(raw):
            at_s = self._sound.tell() / self.rate_hz
            raise AudioFileError(
                str(self.path),
                f"is truncated or corrupt after {at_s:.1f} s",
                "copy it again from its source",
            )
        return raw

    @contextmanager
    def writer(self, path: Path) -> Iterator[AudioWriter]:
        """Encode in the format the original has, with its tags."""
        sound = self._sound
        if not soundfile.check_format(sound.format, sound.subtype, sound.endian):
            raise AudioFileError(
                str(self.path),
                f"is {sound.format} {sound.subtype}, which can be read but not written",
                "convert it to WAV first",
            )
        with soundfile.SoundFile(
            path,
            "w",
            sound.samplerate,
            sound.channels,
            sound.subtype,
            sound.endian,
            sound.format,
        ) as target:
            for tag in _TAGS:
                if text := getattr(sound, tag):
                    setattr(target, tag, text)
            yield _LibraryWriter(target)


class _LibraryWriter:
    def __init__(self, target: soundfile.SoundFile) -> None:
        self._target = target

    def write(self, raw: Raw) -> None:
        for start in range(0, len(raw), _WRITE_FRAMES):
            self._target.write(raw[start : start + _WRITE_FRAMES])
