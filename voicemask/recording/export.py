"""A recording, or a part of it, as a WAV or FLAC file in clear.

What was masked, paused or lost goes along: in a WAV file as cue points with labels and lengths,
which audio editors show as markers and regions; beside a FLAC file as JSON. Audio is streamed, so
memory does not grow with length. The file has mode 0600 and appears under its name when it is
whole.

References
----------
Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (1991): RIFF WAVE, chunks
``cue``, ``LIST adtl``, ``labl``, ``ltxt``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from voicemask.errors import RecordingError
from voicemask.recording.layout import N_CHANNELS
from voicemask.recording.metadata import CHANNELS, Metadata, Stretch
from voicemask.recording.reader import Recording
from voicemask.replay.output import whole_file

_FRAME_BYTES: Final = 2 * N_CHANNELS
_HEAD: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CUE: Final = struct.Struct("<II4sIII")
_LABELLED_TEXT: Final = struct.Struct("<II4sHHHH")
_MARKS_BYTES: Final = 1 << 24
"""Left for cue points below the 4 GiB a RIFF file can have."""
_MAX_WAV_BYTES: Final = (1 << 32) - _MARKS_BYTES
_MAX_MARKS: Final = 100_000

Progress = Callable[[float], None] | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch ``[start, end)`` of the exported part, and what it is."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: files, length, and how many stretches are marked."""

    paths: tuple[Path, ...]
    duration_s: float
    n_marks: int


def export(
    recording: Recording,
    target: Path,
    start_s: float = 0.0,
    end_s: float | None = None,
    progress: Progress = None,
) -> Exported:
    """Write a recording from `start_s` to `end_s` as ``.wav`` or ``.flac``.

    Raises
    ------
    RecordingError
        The recording is damaged in that part, nothing of it lies there, or it is too long for WAV.
    AudioFileError
        The file cannot be written.
    """
    writers = {".wav": _export_wav, ".flac": _export_flac}
    write = writers.get(target.suffix.lower())
    if write is None:
        raise RecordingError(str(target), "is neither .wav nor .flac", "choose one of them")
    start = round(start_s * recording.rate_hz)
    end = recording.end
    if end_s is not None:
        end = min(end, round(end_s * recording.rate_hz))
    if start >= end:
        raise RecordingError(
            f"recording {recording.folder.name}",
            f"holds nothing there, it is {recording.duration_s:.3f} s long",
            "choose other times",
        )
    part = Part(recording, start, end, progress)
    paths = write(part, target)
    return Exported(paths, (end - start) / recording.rate_hz, len(part.marks))


class Part:
    """The part of a recording that is exported."""

    def __init__(self, recording: Recording, start: int, end: int, progress: Progress) -> None:
        self.recording = recording
        self.rate_hz = recording.rate_hz
        self.start = start
        self.n_samples = end - start
        self.marks = marks_of(recording.metadata, start, end)
        self._progress = progress

    def blocks(self) -> Iterator[bytes]:
        """Give its audio, little-endian and interleaved."""
        n_done = 0
        for block in self.recording.blocks(self.start, self.start + self.n_samples):
            n_done += len(block)
            yield block.astype("<i2", copy=False).tobytes()
            if self._progress:
                self._progress(n_done / self.n_samples)


def marks_of(told: Metadata, start: int, end: int) -> list[Mark]:
    """Give what was masked, paused or lost in ``[start, end)``, counted from `start`."""
    kinds = (("masked", told.spans), ("paused", told.pauses), ("lost", told.lost))
    marks = [
        Mark(max(item.start, start) - start, min(item.end, end) - start, _label(kind, item))
        for kind, items in kinds
        for item in items
        if item.start < end and item.end > start
    ]
    return sorted(marks, key=lambda mark: (mark.start, mark.end, mark.label))


def _label(kind: str, item: Stretch) -> str:
    who = "" if item.channel is None else f" ({CHANNELS[item.channel % N_CHANNELS]})"
    return f"{kind}: {item.reason}{who}"


def _export_wav(part: Part, target: Path) -> tuple[Path, ...]:
    if part.n_samples * _FRAME_BYTES > _MAX_WAV_BYTES:
        raise RecordingError(
            str(target),
            "a WAV file cannot be so long",
            "export FLAC, or use --from and --to",
        )
    with whole_file(target) as place:
        place.chmod(0o600)
        with place.open("r+b") as file:
            _write_wav(file, part)
    return (target,)


def _write_wav(file: BinaryIO, part: Part) -> None:
    n_audio = part.n_samples * _FRAME_BYTES
    marks = _cue_chunks(part.marks[:_MAX_MARKS])
    rate_hz = part.rate_hz
    n_riff = _HEAD.size - 8 + n_audio + len(marks)
    form = (16, 1, N_CHANNELS, rate_hz, rate_hz * _FRAME_BYTES, _FRAME_BYTES, 16)
    file.write(_HEAD.pack(b"RIFF", n_riff, b"WAVE", b"fmt ", *form, b"data", n_audio))
    for block in part.blocks():
        file.write(block)
    file.write(marks)


def _cue_chunks(marks: list[Mark]) -> bytes:
    if not marks:
        return b""
    cues = b"".join(
        _CUE.pack(number, mark.start, b"data", 0, 0, mark.start)
        for number, mark in enumerate(marks, 1)
    )
    texts = b"".join(
        _chunk(b"labl", struct.pack("<I", number) + mark.label.encode() + b"\0")
        + _chunk(b"ltxt", _LABELLED_TEXT.pack(number, mark.end - mark.start, b"rgn ", 0, 0, 0, 0))
        for number, mark in enumerate(marks, 1)
    )
    return _chunk(b"cue ", struct.pack("<I", len(marks)) + cues) + _chunk(b"LIST", b"adtl" + texts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _export_flac(part: Part, target: Path) -> tuple[Path, ...]:
    import soundfile  # noqa: PLC0415  # long to import, seldom needed

    beside = target.with_name(f"{target.name}.json")
    with ExitStack() as both:
        place = both.enter_context(whole_file(target))
        notes = both.enter_context(whole_file(beside))
        place.chmod(0o600)
        notes.chmod(0o600)
        notes.write_text(json.dumps(part_json(part), indent=2) + "\n", encoding="utf-8")
        try:
            with soundfile.SoundFile(
                place, "w", part.rate_hz, N_CHANNELS, "PCM_16", format="FLAC"
            ) as file:
                for block in part.blocks():
                    file.buffer_write(block, "int16")
        except soundfile.SoundFileError:
            raise RecordingError(
                str(target), "cannot be written", "free space on that disk or choose another OUT"
            ) from None
    return (target, beside)


def part_json(part: Part) -> dict[str, Any]:
    """Give what goes beside a FLAC file."""
    rate_hz = part.rate_hz
    return {
        "id": str(part.recording.recording_id),
        "state": part.recording.state.value,
        "from_s": round(part.start / rate_hz, 6),
        "duration_s": round(part.n_samples / rate_hz, 6),
        "rate_hz": rate_hz,
        "channels": list(CHANNELS),
        "marks": [
            {
                "start_s": round(mark.start / rate_hz, 6),
                "end_s": round(mark.end / rate_hz, 6),
                "label": mark.label,
            }
            for mark in part.marks
        ],
    }
