"""Where the parts of a recording lie, and what a frame of audio holds.

A recording is a folder named by its id. In it are ``key`` (`envelope`), ``notes`` and
``audio-0000``, ``audio-0001``, ... (`frames`). No name tells more than the id. Whoever writes a
recording holds a lock on its ``notes``: that is how others see that it is live.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from voicemask.errors import RecordingError

KEY: Final = "key"
KEY_PART: Final = "key.part"
"""A new key file until it is whole."""
NOTES: Final = "notes"
N_CHANNELS: Final = 2
RATES_HZ: Final = (8000, 16000)
_AUDIO: Final = re.compile(r"audio-(\d{4,6})")
_PCM16: Final = 0
_LAYOUT: Final = struct.Struct("<B3xIQ")

Stereo = NDArray[np.int16]
"""Shape (n, 2): customer left, agent right."""


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """Audio from `start` on, in samples of the recording's time line."""

    start: int
    rate_hz: int
    audio: Stereo

    @property
    def end(self) -> int:
        """Sample behind its last."""
        return self.start + len(self.audio)


def serialize_audio(start: int, rate_hz: int, audio: Stereo) -> bytes:
    """Give the content of a frame of audio; none at all closes a file."""
    return _LAYOUT.pack(_PCM16, rate_hz, start) + audio.astype("<i2", copy=False).tobytes()


def parse_audio(data: bytes, subject: str) -> AudioFrame:
    """Read the content of a frame of audio.

    Raises
    ------
    RecordingError
        It has a form that is not known.
    """
    if len(data) >= _LAYOUT.size and (len(data) - _LAYOUT.size) % (2 * N_CHANNELS) == 0:
        form, rate_hz, start = _LAYOUT.unpack_from(data)
        if form == _PCM16 and rate_hz in RATES_HZ:
            samples = np.frombuffer(data, "<i2", offset=_LAYOUT.size)
            audio = samples.astype(np.int16).reshape(-1, N_CHANNELS)
            return AudioFrame(start, rate_hz, audio)
    raise RecordingError(subject, "holds audio in an unknown form", "use a later voicemask")


def audio_path(folder: Path, number: int) -> Path:
    """Give the path of an audio file."""
    return folder / f"audio-{number:04d}"


def audio_paths(folder: Path) -> list[Path]:
    """Give the audio files there are, in order.

    Raises
    ------
    RecordingError
        One between others is missing.
    OSError
        The folder cannot be read.
    """
    numbers = [int(found[1]) for path in folder.iterdir() if (found := _AUDIO.fullmatch(path.name))]
    for number in range(len(numbers)):
        if number not in numbers:
            raise RecordingError(
                f"recording {folder.name}",
                f"file {audio_path(folder, number).name} is missing",
                "restore it from a backup",
            )
    return [audio_path(folder, number) for number in range(len(numbers))]


def parse_id(name: str) -> UUID | None:
    """Give the id a folder is named by; None when it is none."""
    try:
        recording_id = UUID(name)
    except ValueError:
        return None
    return recording_id if str(recording_id) == name else None


def lock(descriptor: int) -> bool:
    """Lock the notes of a recording; False when somebody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: nobody can have one
    return True


def is_live(folder: Path) -> bool:
    """Tell whether somebody is writing a recording."""
    with held(folder) as is_ours:
        return not is_ours


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Keep a recording from being written to meanwhile; False when somebody is writing it."""
    try:
        descriptor = os.open(folder / NOTES, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield True
        return
    try:
        yield lock(descriptor)
    finally:
        os.close(descriptor)
