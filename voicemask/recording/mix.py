"""Brings the audio of a call's directions onto one stereo time line, as it comes.

Directions become known at their own pace and may change their rate on the way; what leaves is known
of both. Where one told nothing there is silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.codecs import to_float32, to_int16
from voicemask.audio.resample import StreamResampler
from voicemask.call import AudioChunk

I16 = NDArray[np.int16]
F32 = NDArray[np.float32]
N_CHANNELS: Final = 2
_REACH: Final = 16
"""Samples on either side that a sample between two is made of."""


def _between() -> F32:
    """Half-band filter: the sample half-way between the middle two of `2 * _REACH`."""
    offset = np.arange(-_REACH, _REACH) + 0.5
    taps = np.sinc(offset) * np.kaiser(2 * _REACH, 8.0)
    return np.asarray(taps / taps.sum(), np.float32)


_BETWEEN: Final = _between()


class _Converter(Protocol):
    def push(self, audio: F32) -> F32: ...
    def flush(self) -> F32: ...


class _Down:
    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._resampler = StreamResampler(1, from_hz, to_hz)

    def push(self, audio: F32) -> F32:
        return np.asarray(self._resampler.push(audio[np.newaxis])[0], np.float32)

    def flush(self) -> F32:
        return np.asarray(self._resampler.flush()[0], np.float32)


class _Double:
    """Twice the rate: every sample as it is, and one between each two."""

    def __init__(self) -> None:
        self._held: F32 = np.zeros(_REACH - 1, np.float32)

    def push(self, audio: F32) -> F32:
        held = np.concatenate([self._held, audio])
        n = len(held) - 2 * _REACH + 1
        if n <= 0:
            self._held = held
            return np.zeros(0, np.float32)
        out = np.empty(2 * n, np.float32)
        out[0::2] = held[_REACH - 1 : _REACH - 1 + n]
        out[1::2] = np.convolve(held, _BETWEEN, "valid")[:n]
        self._held = held[n:]
        return out

    def flush(self) -> F32:
        return self.push(np.zeros(_REACH, np.float32))


class _Lane:
    """Audio of one channel at the recording's rate, from `begin` on."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._parts: list[I16] = []
        self._begin = 0
        self.end = 0
        self._from_hz = rate_hz
        self._converter: _Converter | None = None

    def take(self, chunk: AudioChunk) -> None:
        if chunk.rate_hz != self._from_hz:
            self.end_run()
            self._from_hz = chunk.rate_hz
        start = chunk.start * self._rate_hz // chunk.rate_hz
        if self._from_hz == self._rate_hz:
            self.advance(start)
            self._add(chunk.samples[max(0, self.end - start) :])
            return
        if self._converter is None:
            self.advance(start)
            down = self._from_hz > self._rate_hz
            self._converter = _Down(self._from_hz, self._rate_hz) if down else _Double()
        self._add(to_int16(self._converter.push(to_float32(chunk.samples))))

    def end_run(self) -> None:
        """Give out what a change of rate still holds."""
        converter, self._converter = self._converter, None
        if converter is not None:
            self._add(to_int16(converter.flush()))

    def advance(self, until: int) -> None:
        """Lay silence up to a place; none while a run goes on."""
        if until > self.end and self._converter is None:
            self._add(np.zeros(until - self.end, np.int16))

    def _add(self, samples: I16) -> None:
        if len(samples):
            self._parts.append(samples)
            self.end += len(samples)

    def give(self, until: int, target: I16) -> None:
        """Write ``[begin, until)`` to `target` and let go of it."""
        audio = np.concatenate(self._parts) if self._parts else np.zeros(0, np.int16)
        n = until - self._begin
        target[:] = audio[:n]
        rest = audio[n:]
        self._parts = [rest] if len(rest) else []
        self._begin = until


class StereoMix:
    """The time line of a recording.

    Parameters
    ----------
    rate_hz : of the recording; audio at half of it, or at any higher rate, is brought there.
    channels : that have a direction; the others are silent.
    """

    def __init__(self, rate_hz: int, channels: Iterable[int]) -> None:
        self._lanes = {channel: _Lane(rate_hz) for channel in channels}
        self.position = 0
        """Sample up to which it was given out."""

    def take(self, chunks: Iterable[AudioChunk]) -> None:
        """Add audio; chunks of a channel come in order."""
        for chunk in chunks:
            self._lanes[chunk.channel].take(chunk)

    def advance(self, channel: int, until: int) -> None:
        """Say that a channel is silent up to a sample, from where its audio ends."""
        self._lanes[channel].advance(until)

    def give(self) -> tuple[int, I16]:
        """Give what is known of all channels: its start, and audio of shape (n, 2)."""
        return self._give(min((lane.end for lane in self._lanes.values()), default=0))

    def finish(self) -> tuple[int, I16]:
        """Give the rest; a channel that ends earlier is silent then."""
        for lane in self._lanes.values():
            lane.end_run()
        end = max((lane.end for lane in self._lanes.values()), default=0)
        for lane in self._lanes.values():
            lane.advance(end)
        return self._give(end)

    def _give(self, until: int) -> tuple[int, I16]:
        start = self.position
        audio = np.zeros((max(0, until - start), N_CHANNELS), np.int16)
        if len(audio):
            for channel, lane in self._lanes.items():
                lane.give(until, audio[:, channel])
            self.position = until
        return start, audio
