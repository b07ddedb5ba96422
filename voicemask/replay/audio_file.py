"""Audio files as blocks of raw frames: opened, checked, read, and written in the same format.

Two readers. `WavReader` reads linear, float and G.711 WAV files itself, and its writer repeats
every byte that is not masked. `LibraryReader` leaves FLAC, Ogg, GSM and the rest to libsndfile:
integer formats come back sample for sample, lossy ones are encoded a second time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import numpy as np

from voicemask.errors import AudioFileError
from voicemask.replay.riff import WavLayout, read_layout
from voicemask.replay.samples import AudioWriter, Raw, SampleFormat, format_of

MIN_RATE_HZ: Final = 8000
"""The highest DTMF tone is 1633 Hz, its second harmonic and the voice band need 4 kHz."""
_COPY_BYTES: Final = 1 << 20


class AudioReader(Protocol):
    """An open audio file."""

    path: Path
    samples: SampleFormat
    n_channels: int
    rate_hz: int
    n_frames: int

    def blocks(self, n_frames: int) -> Iterator[Raw]:
        """Give all frames in blocks of at most `n_frames`."""

    def writer(self, path: Path) -> AbstractContextManager[AudioWriter]:
        """Open `path` for audio of the same format; its frames must all be written."""


@contextmanager
def open_audio(path: Path) -> Iterator[AudioReader]:
    """Open an audio file of any format we know.

    Raises
    ------
    AudioFileError
        Missing, no file, not readable, empty, truncated, corrupt, not audio, no samples, or
        sampled too slowly.
    """
    with _open_file(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise AudioFileError(str(path), "is empty (0 bytes)", "copy it again from its source")
        layout = read_layout(file, str(path))
        samples = format_of(layout) if layout else None
        if layout and samples:
            reader: AudioReader = WavReader(path, file, layout, samples)
            yield _checked(reader)
        else:
            from voicemask.replay.library import open_with_library  # noqa: PLC0415, start-up time

            with open_with_library(path, file) as reader:
                yield _checked(reader)


def _open_file(path: Path) -> BinaryIO:
    cure = "check the name and its permissions"
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise AudioFileError(str(path), f"is {kind}", "name an audio file")
        return path.open("rb")
    except FileNotFoundError:
        raise AudioFileError(str(path), "does not exist", "check the name") from None
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise AudioFileError(str(path), f"cannot be read: {reason}", cure) from error


def _checked(reader: AudioReader) -> AudioReader:
    if reader.rate_hz < MIN_RATE_HZ:
        raise AudioFileError(
            str(reader.path),
            f"is sampled at {reader.rate_hz} Hz, too slow to hold telephone tones",
            f"use the original, at {MIN_RATE_HZ} Hz or more",
        )
    return reader


class WavReader:
    """A WAV file of linear, float or G.711 samples."""

    def __init__(
        self, path: Path, file: BinaryIO, layout: WavLayout, samples: SampleFormat
    ) -> None:
        self.path = path
        self.samples = samples
        self.n_channels = layout.n_channels
        self.rate_hz = layout.rate_hz
        self.n_frames = layout.data_bytes // layout.frame_bytes
        self._file = file
        self._layout = layout

    def blocks(self, n_frames: int) -> Iterator[Raw]:
        """Give all frames, each block an array of its own that the caller may change."""
        self._file.seek(self._layout.data_offset)
        left = self.n_frames
        while left:
            count = min(left, n_frames)
            raw = np.empty((count, self.n_channels), self.samples.dtype)
            self._fill(raw)
            left -= count
            yield raw

    def _fill(self, raw: Raw) -> None:
        octets = raw.view(np.uint8).reshape(-1).data
        done = 0
        while done < len(octets):
            done += self._read_into(octets[done:])

    def _read_into(self, octets: memoryview) -> int:
        try:
            n_read: int = self._file.readinto(octets)  # type: ignore[attr-defined]
        except OSError as error:
            raise AudioFileError(
                str(self.path), f"cannot be read: {error.strerror}", "check its disk"
            ) from error
        if not n_read:
            raise AudioFileError(
                str(self.path), "became shorter while it was read", "wait until it is finished"
            )
        return n_read

    @contextmanager
    def writer(self, path: Path) -> Iterator[AudioWriter]:
        """Repeat the header before the frames and all chunks after them."""
        layout = self._layout
        with path.open("wb", buffering=0) as target:
            self._copy(target, 0, layout.data_offset)
            yield _RawWriter(target)
            frames_end = layout.data_offset + self.n_frames * layout.frame_bytes
            self._copy(target, frames_end, layout.end)

    def _copy(self, target: BinaryIO, start: int, end: int) -> None:
        self._file.seek(start)
        while start < end and (piece := self._file.read(min(_COPY_BYTES, end - start))):
            _write_all(target, memoryview(piece))
            start += len(piece)


class _RawWriter:
    def __init__(self, target: BinaryIO) -> None:
        self._target = target

    def write(self, raw: Raw) -> None:
        _write_all(self._target, np.ascontiguousarray(raw).view(np.uint8).reshape(-1).data)


def _write_all(target: BinaryIO, octets: memoryview) -> None:
    while octets:
        octets = octets[target.write(octets) :]
