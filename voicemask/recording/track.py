"""The audio of a recording on its way to the disk: gathered, cut into frames, spread over files."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import UUID

import numpy as np

from voicemask.audio.vad import TalkMeter
from voicemask.recording import layout
from voicemask.recording.frames import FrameWriter
from voicemask.recording.layout import N_CHANNELS, Stereo

FRAME_MS: Final = 250
_FULL_SCALE: Final = np.float32(32768)


class AudioTrack:
    """Writes the audio files of one recording.

    Parameters
    ----------
    folder, key, recording_id : of the recording.
    rate_hz : of its audio.
    segment_samples : length of what one file holds.
    meters : one a channel, or none: fed with what is written.

    Attributes
    ----------
    end : up to here everything is on the disk, or waits with its file for the disk.
    n_files, n_bytes : files begun, and bytes in those that are ended.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        recording_id: UUID,
        *,
        rate_hz: int,
        segment_samples: int,
        meters: tuple[TalkMeter, ...],
    ) -> None:
        self.end = 0
        self.n_files = 0
        self.n_bytes = 0
        self._folder = folder
        self._key = key
        self._recording_id = recording_id
        self._rate_hz = rate_hz
        self._segment_samples = segment_samples
        self._meters = meters
        self._file: FrameWriter | None = None
        self._file_start = 0
        self._frame = np.zeros((rate_hz * FRAME_MS // 1000, N_CHANNELS), np.int16)
        self._frame_start = 0
        self._n_gathered = 0

    def gather(self, start: int, audio: Stereo) -> None:
        """Go on with audio from `start` on; whole frames of it are appended.

        Raises
        ------
        RecordingError
            The disk refused; audio behind `end` was not kept.
        """
        self._bridge(start)
        done = 0
        while done < len(audio):
            if not self._n_gathered:
                self._frame_start = start + done
            part = audio[done : done + len(self._frame) - self._n_gathered]
            self._frame[self._n_gathered : self._n_gathered + len(part)] = part
            self._n_gathered += len(part)
            done += len(part)
            if self._n_gathered == len(self._frame):
                self.cut()

    def _bridge(self, start: int) -> None:
        """Fill a short gap with silence; a long one begins a new frame."""
        gap = start - (self._frame_start + self._n_gathered) if self._n_gathered else 0
        if self._n_gathered + gap >= len(self._frame):
            self.cut()
        elif gap:
            self._frame[self._n_gathered : self._n_gathered + gap] = 0
            self._n_gathered += gap

    def cut(self) -> None:
        """Append what was gathered as a frame.

        Raises
        ------
        RecordingError
            The disk refused; audio behind `end` was not kept.
        """
        audio = self._frame[: self._n_gathered]
        self._n_gathered = 0
        if not len(audio):
            return
        start = self._frame_start
        self.end = start
        file = self._file_for(start)
        # the file keeps a frame that the disk refuses
        self.end = start + len(audio)
        for meter, channel in zip(self._meters, audio.T, strict=False):
            meter.push(channel.astype(np.float32) / _FULL_SCALE)
        file.append(layout.serialize_audio(start, self._rate_hz, audio))

    def drop(self) -> int | None:
        """Forget what was gathered; tell where it began, None where there was nothing."""
        start = self._frame_start if self._n_gathered else None
        self._n_gathered = 0
        return start

    def _file_for(self, start: int) -> FrameWriter:
        if self._file is not None and start - self._file_start >= self._segment_samples:
            self.finish(start)
        if self._file is None:
            path = layout.audio_path(self._folder, self.n_files)
            self._file = FrameWriter(path, self._key, self._recording_id, self.n_files)
            self.n_files += 1
            self._file_start = start
        return self._file

    def finish(self, at: int) -> None:
        """End the file that is open, if one is; may be tried again.

        Raises
        ------
        RecordingError
            The disk refused.
        """
        file = self._file
        if file is None:
            return
        if not file.is_ended:
            empty = layout.serialize_audio(at, self._rate_hz, self._frame[:0])
            file.append(empty, is_final=True)
        file.sync()
        file.close()
        self.n_bytes += file.n_bytes
        self._file = None

    def retry(self) -> None:
        """Hand over what the disk refused.

        Raises
        ------
        RecordingError
            It still does.
        """
        if self._file is not None:
            self._file.retry()

    def sync(self) -> None:
        """Make what was appended outlive a power failure.

        Raises
        ------
        RecordingError
            The disk failed.
        """
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Let go of the open file as it is."""
        if self._file is not None:
            self._file.close()
