"""Reads one recording: what was told of it, and its audio, as much as is asked for.

Every frame is checked before it is believed. A recording whose end is missing opens up to its last
whole frame and is `INCOMPLETE`; anything else that is missing or not as it was written is a
`RecordingError`, and no audio. Audio comes in frames, so memory does not grow with the recording.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final
from uuid import UUID

import numpy as np

from voicemask.errors import RecordingError
from voicemask.recording import frames, layout
from voicemask.recording.envelope import Envelope, parse_envelope
from voicemask.recording.frames import FrameReader
from voicemask.recording.keys import KeyRing
from voicemask.recording.layout import N_CHANNELS, RATES_HZ, AudioFrame, Stereo
from voicemask.recording.metadata import Metadata, State, parse_note

_BLOCK: Final = 1 << 16


class Recording:
    """A recording opened for reading.

    Parameters
    ----------
    folder : of the recording itself.
    keys : with the private part of what wraps its key.

    Raises
    ------
    RecordingError
        It is missing, erased, or its key cannot be opened.
    """

    def __init__(self, folder: Path, keys: KeyRing) -> None:
        self.folder = folder
        self._subject = f"recording {folder.name}"
        self.envelope = read_envelope(folder)
        self._key = self.envelope.unwrap(keys)

    @property
    def recording_id(self) -> UUID:
        """Its id."""
        return self.envelope.recording_id

    @cached_property
    def metadata(self) -> Metadata:
        """What was told of it.

        Raises
        ------
        RecordingError
            A note was changed, or is none.
        """
        told = Metadata()
        for note in self._notes():
            try:
                told.take(note)
            except (KeyError, TypeError, ValueError):
                raise RecordingError(
                    self._subject, "holds a note of an unknown form", "use a later voicemask"
                ) from None
        if told.open_pause is not None:
            told.end_pause(self._audio_end)
        return told

    def _notes(self) -> Iterator[dict[str, object]]:
        path = self.folder / layout.NOTES
        if not path.exists():
            return
        reader = FrameReader(path, self._key, self.recording_id, frames.NOTES)
        for data in reader:
            yield parse_note(data, self._subject)

    @cached_property
    def state(self) -> State:
        """How it stands.

        Raises
        ------
        RecordingError
            Its notes are damaged, or it has more audio than it was finished with.
        """
        if layout.is_live(self.folder):
            return State.LIVE
        if not self._is_whole:
            return State.INCOMPLETE
        return State.DEGRADED if self.metadata.finished["state"] == "degraded" else State.COMPLETE

    @cached_property
    def _is_whole(self) -> bool:
        """Whether it was finished, and all it was finished with is there."""
        finished = self.metadata.finished
        if not finished:
            return False
        try:
            n_there = sum(path.stat().st_size for path in self._segments)
            is_written = not self._segments or frames.has_tail(self._segments[-1])
        except OSError as error:
            raise unreadable(self.folder, error) from error
        if n_there > int(finished["n_audio_bytes"]):
            raise RecordingError(self._subject, "has audio added to it", "use a backup")
        return is_written and n_there == int(finished["n_audio_bytes"])

    @cached_property
    def rate_hz(self) -> int:
        """Samples a second of its audio and of all places in it."""
        rate_hz = self.metadata.opened.get("rate_hz")
        if rate_hz is None:
            first = self._first_frame(0) if self._segments else None
            rate_hz = first.rate_hz if first else RATES_HZ[0]
        return int(rate_hz)

    @cached_property
    def end(self) -> int:
        """Sample at which it ends: as it was finished, else where its audio does."""
        return int(self.metadata.finished["end"]) if self._is_whole else self._audio_end

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.end / self.rate_hz

    @cached_property
    def _segments(self) -> list[Path]:
        try:
            return layout.audio_paths(self.folder)
        except OSError as error:
            raise unreadable(self.folder, error) from error

    @cached_property
    def _audio_end(self) -> int:
        """Sample behind the last that is there."""
        for number in reversed(range(len(self._segments))):
            last = None
            for frame in self._frames(number):
                last = frame
            if last is not None:
                return last.end
        return 0

    def _first_frame(self, number: int) -> AudioFrame | None:
        return next(self._frames(number), None)

    def _frames(self, number: int) -> Iterator[AudioFrame]:
        """Read one file; only the last may end early."""
        path = self._segments[number]
        reader = FrameReader(path, self._key, self.recording_id, number)
        for data in reader:
            yield layout.parse_audio(data, self._subject)
        if not reader.is_final and number + 1 < len(self._segments):
            raise RecordingError(
                f"{self._subject}, file {path.name}",
                "ends early though the recording goes on",
                "use a backup, or export what lies before it",
            )

    def frames(self, start: int = 0, end: int | None = None) -> Iterator[AudioFrame]:
        """Give the audio in ``[start, end)``, frame by frame; where none is, nothing was recorded.

        Raises
        ------
        RecordingError
            A frame on the way was changed, or is not where it was written.
        """
        position = start
        for number in range(self._segment_of(start), len(self._segments)):
            for frame in self._frames(number):
                if end is not None and frame.start >= end:
                    return
                if frame.start < position and position > start:
                    raise RecordingError(self._subject, "has audio out of order", "use a backup")
                cut = _clipped(frame, start, end)
                if len(cut.audio):
                    position = cut.end
                    yield cut

    def _segment_of(self, start: int) -> int:
        """Give the number of the file that holds a sample, reading the first frame of a few."""

        def first_sample(number: int) -> int:
            frame = self._first_frame(number)
            return frame.start if frame else 1 << 62

        numbers = range(len(self._segments))
        return max(0, bisect.bisect_right(numbers, start, key=first_sample) - 1)

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[Stereo]:
        """Give the time line from `start` on without holes: silence where nothing was recorded.

        It ends at `end`, or with the recording. Blocks are of any length up to 65536 samples.

        Raises
        ------
        RecordingError
            As `frames` does.
        """
        last = self.end if end is None else min(end, self.end)
        position = start
        for frame in self.frames(start, last):
            yield from _silence(frame.start - position)
            yield frame.audio
            position = frame.end
        yield from _silence(last - position)

    def render(self, start: int = 0, end: int | None = None) -> Stereo:
        """Give the same as one array: for short stretches.

        Raises
        ------
        RecordingError
            As `frames` does.
        """
        empty = np.zeros((0, N_CHANNELS), np.int16)
        return np.concatenate([empty, *self.blocks(start, end)])


def _clipped(frame: AudioFrame, start: int, end: int | None) -> AudioFrame:
    first = max(start - frame.start, 0)
    last = len(frame.audio) if end is None else max(end - frame.start, 0)
    return AudioFrame(frame.start + first, frame.rate_hz, frame.audio[first:last])


def _silence(n_samples: int) -> Iterator[Stereo]:
    while n_samples > 0:
        n_now = min(n_samples, _BLOCK)
        yield np.zeros((n_now, N_CHANNELS), np.int16)
        n_samples -= n_now


def read_envelope(folder: Path) -> Envelope:
    """Read the envelope of a recording.

    Raises
    ------
    RecordingError
        There is none, it is erased, or it belongs to another recording.
    """
    subject = f"recording {folder.name}"
    try:
        data = (folder / layout.KEY).read_bytes()
    except FileNotFoundError:
        what = "was erased" if folder.exists() else "is not there"
        raise RecordingError(subject, what, "list what there is") from None
    except OSError as error:
        raise unreadable(folder, error) from error
    envelope = parse_envelope(data, subject)
    if str(envelope.recording_id) != folder.name:
        raise RecordingError(subject, "holds the key file of another one", "use a backup")
    return envelope


def unreadable(folder: Path, error: OSError) -> RecordingError:
    """Say why a recording cannot be read."""
    reason = (error.strerror or "it failed").lower()
    return RecordingError(f"recording {folder.name}", f"cannot be read: {reason}", "see its rights")
