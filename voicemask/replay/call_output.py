"""What a replay writes: the recording of both channels, and files that appear only when whole."""

from __future__ import annotations

import json
import math
import wave
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.vad import TalkMeter
from voicemask.call import AGENT, CUSTOMER, AudioChunk
from voicemask.replay.output import whole_file

_METER_S: Final = 60
"""Audio brought to floats at a time: a long call is not held twice."""


@dataclass(slots=True)
class Recording:
    """The audio of both channels as it comes."""

    chunks: dict[int, list[AudioChunk]] = field(default_factory=lambda: {CUSTOMER: [], AGENT: []})

    def render(self, rate_hz: int) -> NDArray[np.int16]:
        """Give the recording, shape (n, 2), customer left and agent right."""
        ends = [_end(chunk, rate_hz) for chunks in self.chunks.values() for chunk in chunks]
        audio = np.zeros((max(ends, default=0), 2), np.int16)
        for channel, chunks in self.chunks.items():
            for from_hz, run in groupby(chunks, key=lambda chunk: chunk.rate_hz):
                if from_hz == rate_hz:
                    for chunk in run:
                        _lay(audio, channel, chunk.start, chunk.samples)
                else:
                    start, joined = _join(list(run))
                    part = _resample(joined, from_hz, rate_hz)
                    _lay(audio, channel, start * rate_hz // from_hz, part)
        return audio


def measure_talk(audio: NDArray[np.int16], rate_hz: int) -> tuple[TalkMeter, ...]:
    """Measure talk and silence of a recording, shape (n, 2), as it is written: tones masked.

    Masked keys are silence to it where noise or silence stands in for them; a tone may be talk,
    and so may keys that policy `open` left in.
    """
    meters = tuple(TalkMeter(rate_hz) for _ in audio.T)
    step = _METER_S * rate_hz
    for channel, meter in enumerate(meters):
        for begin in range(0, len(audio), step):
            part = audio[begin : begin + step, channel]
            meter.push(part.astype(np.float32) / np.float32(32768))
        meter.flush()
    return meters


def _end(chunk: AudioChunk, rate_hz: int) -> int:
    return -(-(chunk.start + len(chunk.samples)) * rate_hz // chunk.rate_hz)


def _lay(audio: NDArray[np.int16], channel: int, start: int, samples: NDArray[np.int16]) -> None:
    place = audio[start : start + len(samples), channel]
    place[:] = samples[: len(place)]


def _join(run: list[AudioChunk]) -> tuple[int, NDArray[np.int16]]:
    """Give where a run of chunks at one rate begins, and its audio."""
    start = run[0].start
    joined = np.zeros(run[-1].start + len(run[-1].samples) - start, np.int16)
    for chunk in run:
        joined[chunk.start - start : chunk.start - start + len(chunk.samples)] = chunk.samples
    return start, joined


def _resample(samples: NDArray[np.int16], from_hz: int, to_hz: int) -> NDArray[np.int16]:
    if from_hz == to_hz:
        return samples
    from scipy.signal import resample_poly  # noqa: PLC0415  # long to import, seldom needed

    step = math.gcd(from_hz, to_hz)
    scaled = resample_poly(samples.astype(np.float32), to_hz // step, from_hz // step)
    return np.asarray(np.clip(np.rint(scaled), -32768, 32767), np.int16)


def write_whole(
    out_dir: Path, stem: str, writers: dict[str, Callable[[BinaryIO], None]]
) -> tuple[Path, ...]:
    """Write each output beside its name, then move all in place; nothing is left on failure.

    Parameters
    ----------
    out_dir : folder, made if it is not there.
    stem : file name without its ending.
    writers : by ending, what writes the content.

    Raises
    ------
    AudioFileError
        A file cannot be written.
    """
    paths = tuple(out_dir / f"{stem}.{ending}" for ending in writers)
    with ExitStack() as all_of_them:
        parts = [all_of_them.enter_context(whole_file(path)) for path in paths]
        for part, write in zip(parts, writers.values(), strict=True):
            with part.open("wb") as file:
                write(file)
    return paths


def write_wav(file: BinaryIO, audio: NDArray[np.int16], rate_hz: int) -> None:
    """Write 16-bit audio, shape (n, 2), as a stereo WAV."""
    with wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(rate_hz)
        wav.writeframes(audio.astype("<i2").tobytes())


def write_json(file: BinaryIO, report: dict[str, Any]) -> None:
    """Write a report."""
    file.write(json.dumps(report, indent=2, allow_nan=False).encode() + b"\n")
