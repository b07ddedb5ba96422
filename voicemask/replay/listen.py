"""Files heard without being changed: the digits in them, and what a second opinion still reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from voicemask.capture.digit import Digit
from voicemask.replay.audio_file import AudioReader, open_audio
from voicemask.replay.samples import Audio
from voicemask.replay.wav import Progress, block_frames


@dataclass(frozen=True, slots=True)
class HeardDigit:
    """One key press found in a file; times in seconds from its start."""

    channel: int
    start_s: float
    end_s: float
    digit: Digit
    level_dbfs: float
    twist_db: float


@dataclass(frozen=True, slots=True)
class ReadableDigit:
    """A place where the auditor can still read a key; it does not say which."""

    channel: int
    start_s: float
    end_s: float
    confidence: float


def detect_file(
    path: Path, profile: str = "decode", progress: Progress | None = None
) -> list[HeardDigit]:
    """Give the key presses of a file in order of start.

    Raises
    ------
    AudioFileError
        The file cannot be used.
    ProfileError
        The profile is unknown or broken.
    """
    from voicemask.dtmf.detector import Detector  # noqa: PLC0415, start-up time

    with open_audio(path) as reader:
        detector = Detector(reader.n_channels, reader.rate_hz, profile)
        found = [
            HeardDigit(
                tone.channel,
                tone.start / reader.rate_hz,
                tone.end / reader.rate_hz,
                tone.digit,
                tone.level_dbfs,
                tone.twist_db,
            )
            for tone in _through(reader, detector.push, detector.flush, progress)
        ]
    return sorted(found, key=lambda heard: (heard.start_s, heard.channel))


def audit_file(path: Path, progress: Progress | None = None) -> list[ReadableDigit]:
    """Give the places where digits are still readable, in order of start; none is clean.

    Raises
    ------
    AudioFileError
        The file cannot be used.
    """
    from voicemask.dtmf.auditor import Auditor  # noqa: PLC0415, imports scipy

    with open_audio(path) as reader:
        auditor = Auditor(reader.n_channels, reader.rate_hz)
        found = [
            ReadableDigit(
                place.channel,
                place.start / reader.rate_hz,
                place.end / reader.rate_hz,
                place.confidence,
            )
            for place in _through(reader, auditor.push, auditor.flush, progress)
        ]
    return sorted(found, key=lambda place: (place.start_s, place.channel))


_Found = TypeVar("_Found")


def _through(
    reader: AudioReader,
    push: Callable[[Audio], list[_Found]],
    flush: Callable[[], list[_Found]],
    progress: Progress | None,
) -> Iterator[_Found]:
    n_done = 0
    for raw in reader.blocks(block_frames(reader.n_channels)):
        yield from push(reader.samples.decode(raw))
        n_done += len(raw)
        if progress:
            progress(n_done / reader.n_frames)
    yield from flush()
