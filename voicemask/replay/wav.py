"""One audio file in, one masked audio file out, in bounded memory.

Frames pass through in blocks: read raw, decoded for the masker, held until the masker calls them
final, overwritten where it says so, written. What no patch covers is written with the bytes it was
read with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from voicemask.capture.policy import Fill, Policy
from voicemask.errors import AudioFileError
from voicemask.mask.apply import Masked, Masker, Patch
from voicemask.mask.span import Span
from voicemask.replay.audio_file import AudioReader, open_audio
from voicemask.replay.output import whole_file
from voicemask.replay.report import FileReport
from voicemask.replay.samples import AudioWriter, Raw, SampleFormat

BLOCK_SAMPLES: Final = 1 << 21
"""Samples of all channels in one block, 8 MB as float32: larger ones save little more time."""

Progress = Callable[[float], object]
"""Told after every block which share of the file is done, 0 to 1."""


def block_frames(n_channels: int) -> int:
    """Frames to read at a time, whatever the number of channels."""
    return max(1, BLOCK_SAMPLES // n_channels)


def mask_file(
    source: Path,
    target: Path,
    policy: Policy = Policy.GUARD,
    fill: Fill = Fill.NOISE,
    profile: str = "mask",
    *,
    progress: Progress | None = None,
) -> FileReport:
    """Mask `source` into `target`, which appears only when it is whole.

    Parameters
    ----------
    source : WAV, FLAC, Ogg or what else libsndfile reads; never changed.
    target : file of the same format; replaced where it exists.
    policy, fill : what a listener of the file may hear, and what stands in for the rest.
    profile : name of a detector profile, or path of one.
    progress : told of every block.

    Raises
    ------
    AudioFileError
        `source` cannot be used, `target` cannot be written, or they are the same file.
    ProfileError
        The profile is unknown or broken.
    """
    with open_audio(source) as reader:
        _refuse_same(source, target)
        masker = Masker(reader.n_channels, reader.rate_hz, policy, fill, profile)
        with whole_file(target) as part, reader.writer(part) as writer:
            n_key_presses, spans = _run(reader, writer, masker, progress)
        return FileReport(
            str(source),
            str(target),
            reader.rate_hz,
            reader.n_channels,
            reader.n_frames,
            policy.value,
            fill.value,
            profile,
            n_key_presses,
            spans,
        )


def _refuse_same(source: Path, target: Path) -> None:
    if target.exists() and source.samefile(target):
        raise AudioFileError(
            str(target), "is the file to be masked itself", "give OUT another name"
        )
    if target.is_dir():
        raise AudioFileError(str(target), "is a folder", "name the file to write")


def _run(
    reader: AudioReader, writer: AudioWriter, masker: Masker, progress: Progress | None
) -> tuple[int, tuple[Span, ...]]:
    line = DelayLine(reader.samples, reader.n_channels)
    n_done, n_key_presses, spans = 0, 0, list[Span]()
    for raw, masked in _masked_blocks(reader, masker):
        n_key_presses += len(masked.tones)
        spans += masked.spans
        line.push(raw)
        for patch in masked.patches:
            line.overwrite(patch)
        for final in line.take(masked.final_until):
            writer.write(final)
        n_done += len(raw)
        if progress:
            progress(n_done / reader.n_frames)
    if line.n_held:
        raise RuntimeError(f"the masker left {line.n_held} frames open at the end of the file")
    return n_key_presses, tuple(sorted(spans, key=lambda span: (span.start, span.channel)))


def _masked_blocks(reader: AudioReader, masker: Masker) -> Iterator[tuple[Raw, Masked]]:
    for raw in reader.blocks(block_frames(reader.n_channels)):
        yield raw, masker.push(reader.samples.decode(raw))
    yield np.empty((0, reader.n_channels), reader.samples.dtype), masker.flush()


class DelayLine:
    """Raw frames not yet final, which patches may still overwrite.

    Parameters
    ----------
    samples : format of the raw frames.
    n_channels : of the stream.
    """

    def __init__(self, samples: SampleFormat, n_channels: int) -> None:
        self._samples = samples
        self._n_channels = n_channels
        self._blocks: list[Raw] = []
        self._start = 0

    @property
    def n_held(self) -> int:
        """Frames held."""
        return sum(map(len, self._blocks))

    def push(self, raw: Raw) -> None:
        """Append frames (n, n_channels)."""
        if len(raw):
            self._blocks.append(raw)

    def overwrite(self, patch: Patch) -> None:
        """Put a patch in place of what is held.

        Raises
        ------
        RuntimeError
            The patch reaches back to frames already given up: what was to be masked is out.
        """
        if patch.start < self._start:
            raise RuntimeError("a patch came after its frames were final")
        encoded = self._samples.encode(patch.audio)
        start = self._start
        for block in self._blocks:
            low, high = max(patch.start, start), min(patch.start + len(encoded), start + len(block))
            if low < high:
                piece = encoded[low - patch.start : high - patch.start]
                block[low - start : high - start, patch.channel] = piece
            start += len(block)

    def take(self, until: int) -> Iterator[Raw]:
        """Give up the frames before `until`, in order."""
        while self._blocks and self._start < until:
            block = self._blocks[0]
            count = min(len(block), until - self._start)
            self._start += count
            if count == len(block):
                self._blocks.pop(0)
            else:
                self._blocks[0] = block[count:]
            yield block[:count]
