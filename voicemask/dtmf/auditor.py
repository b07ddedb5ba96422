"""An independent second opinion: could a person still read digits out of this audio?

It shares no code with the detector. A short-time spectrum is searched for its strongest peak in
each tone group, wherever the peak stands; what counts is how much of the telephone band the two
main lobes explain (the *fit*), and that both frequencies and their twist hold still while they
last. The harmonics of a voice explain as much for a moment, but they glide and their balance moves.

Evidence of a burst is the sum over its frames of the fit above 0.4. A steady burst is believed
alone when it has much of it; less is enough in company, since a card is never a single key. Around
what is believed even faint and unsteady bursts are reported. Thresholds are set so that the
2.5 hours of Debian's Asterisk prompts (en es fr it ru) and music on hold, and the same at ten other
speeds from 0.8 to 1.25, give no report; `voicemask verify` on those packages shows it.

A result never says which key it was. `read_digits` does, for tests and benchmarks only.

References
----------
ITU-T Q.23 for the frequencies. F. J. Harris, "On the use of windows for harmonic analysis with the
discrete Fourier transform", Proc. IEEE 66 (1978), for the Hann main lobe and its interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from voicemask.capture.digit import Digit
from voicemask.errors import InputError

Float32 = NDArray[np.float32]

MIN_RATE_HZ: Final = 8000

_LOW_HZ: Final = np.array([697.0, 770.0, 852.0, 941.0])
_HIGH_HZ: Final = np.array([1209.0, 1336.0, 1477.0, 1633.0])
_LOW_BAND_HZ: Final = (640.0, 1000.0)
_HIGH_BAND_HZ: Final = (1140.0, 1720.0)
_WHOLE_BAND_HZ: Final = (250.0, 3500.0)

_WINDOW_S: Final = 0.028  # long enough to part 697 from 770 Hz, short enough for a 25 ms tone
_HOP_S: Final = 0.010
_BLOCK_FRAMES: Final = 2048
_MAX_RUN_FRAMES: Final = 200  # a tone without end is cut, so that memory is bounded

_FIT_MIN: Final = 0.5
_FIT_ZERO: Final = 0.4
_LEVEL_MIN_DBFS: Final = -50.0
_TWIST_MAX_DB: Final = 12.0
_DEVIATION_MAX: Final = 0.024
_LOW_WANDER_MAX: Final = 0.009
_HIGH_WANDER_MAX: Final = 0.005
_TWIST_WANDER_MAX_DB: Final = 1.6

_EVIDENCE_ALONE: Final = 2.6
_EVIDENCE_PURE: Final = 1.7  # alone, when its best frame is nothing but the two tones ...
_FIT_PURE: Final = 0.95  # ... which this says
_EVIDENCE_IN_PAIR: Final = 1.5
_EVIDENCE_IN_FOUR: Final = 1.0
_EVIDENCE_IN_COMPANY: Final = 0.35  # a false one beside true ones does no harm
_COMPANY_S: Final = 3.0
_SAME_PRESS_S: Final = 0.025


@dataclass(frozen=True, slots=True)
class Readable:
    """A stretch ``[start, end)`` of one channel in which a digit can be read; never which.

    Parameters
    ----------
    channel : index of the channel.
    start, end : samples at the rate of the audio, good to about 10 ms.
    confidence : 0..1, growing with the evidence; no probability.
    """

    channel: int
    start: int
    end: int
    confidence: float


class Auditor:
    """Streaming form of `audit`, in memory that does not grow.

    Parameters
    ----------
    n_channels : channels of the audio.
    rate_hz : samples per second, at least 8000.

    Raises
    ------
    InputError
        The rate is too low for DTMF.
    """

    def __init__(self, n_channels: int, rate_hz: int = 8000) -> None:
        self._reader = _Reader(n_channels, rate_hz)

    def push(self, audio: Float32) -> list[Readable]:
        """Take more audio and give what it made certain.

        Parameters
        ----------
        audio : (n_channels, n), full scale is +-1.0; any n, also 0.
        """
        return [burst.readable() for burst in self._reader.push(audio)]

    def flush(self) -> list[Readable]:
        """Give what the end of the streams makes certain. Nothing may be pushed after it."""
        return [burst.readable() for burst in self._reader.flush()]


def audit(audio: NDArray[np.floating], rate_hz: int = 8000) -> list[Readable]:
    """List the stretches of whole audio in which digits can be read, by start.

    Parameters
    ----------
    audio : (n,) or (n_channels, n), full scale is +-1.0.
    rate_hz : samples per second, at least 8000.

    Raises
    ------
    InputError
        The rate is too low for DTMF.
    """
    return [burst.readable() for burst in _read(audio, rate_hz)]


def read_digits(audio: NDArray[np.floating], rate_hz: int = 8000) -> list[tuple[Digit, int, int]]:
    """Read the keys themselves, as (digit, start, end). For tests and benchmarks only."""
    presses: list[tuple[int, int, int, int]] = []
    for burst in _read(audio, rate_hz):
        last = presses[-1] if presses else None
        same = last is not None and last[:2] == (burst.channel, burst.key)
        if last is not None and same and burst.start - last[3] < _SAME_PRESS_S * rate_hz:
            presses[-1] = (*last[:3], burst.end)
        else:
            presses.append((burst.channel, burst.key, burst.start, burst.end))
    return [(Digit(key), start, end) for _, key, start, end in presses]


@dataclass(frozen=True, slots=True)
class _Burst:
    channel: int
    start: int
    end: int
    key: int
    evidence: float
    purity: float
    steady: bool

    def readable(self) -> Readable:
        confidence = round(1.0 - 0.5 ** (1.0 + self.evidence), 2)
        return Readable(self.channel, self.start, self.end, confidence)


@dataclass(frozen=True, slots=True)
class _Frames:
    """Analysis of consecutive frames that may be tones; arrays of equal length."""

    number: NDArray[np.int64]
    key: NDArray[np.int64]
    fit: Float32
    level_dbfs: Float32
    twist_db: Float32
    low_deviation: Float32
    high_deviation: Float32

    def __getitem__(self, part: slice | NDArray[np.bool_]) -> _Frames:
        return _Frames(*(getattr(self, name)[part] for name in self.__slots__))

    def after(self, earlier: _Frames) -> _Frames:
        """Join two stretches in time order."""
        names = self.__slots__
        return _Frames(
            *(np.concatenate([getattr(earlier, name), getattr(self, name)]) for name in names)
        )


def _read(audio: NDArray[np.floating], rate_hz: int) -> list[_Burst]:
    channels = np.atleast_2d(np.asarray(audio, dtype=np.float32))
    reader = _Reader(len(channels), rate_hz)
    bursts = reader.push(channels) + reader.flush()
    return sorted(bursts, key=lambda burst: (burst.channel, burst.start))


class _Reader:
    """Cuts every channel into frames, keeps the run that is still open, and asks the jury."""

    def __init__(self, n_channels: int, rate_hz: int) -> None:
        if rate_hz < MIN_RATE_HZ:
            raise InputError(
                f"audio at {rate_hz} Hz", "cannot hold DTMF", f"give at least {MIN_RATE_HZ} Hz"
            )
        self._spectrum = _Spectrum(rate_hz)
        self._rest: Float32 = np.zeros((n_channels, 0), np.float32)
        self._n_frames = 0
        self._open: list[_Frames | None] = [None] * n_channels
        self._juries = [_Jury(round(_COMPANY_S * rate_hz)) for _ in range(n_channels)]

    def push(self, audio: Float32) -> list[_Burst]:
        samples = np.concatenate([self._rest, np.asarray(audio, dtype=np.float32)], axis=1)
        size, hop = self._spectrum.size, self._spectrum.hop
        n_frames = max(0, (samples.shape[1] - size) // hop + 1)
        self._rest = samples[:, n_frames * hop :].copy()
        believed: list[_Burst] = []
        for first in range(0, n_frames, _BLOCK_FRAMES):
            count = min(_BLOCK_FRAMES, n_frames - first)
            stretch = samples[:, first * hop : (first + count - 1) * hop + size]
            for channel, line in enumerate(stretch):
                frames = self._spectrum.analyse(line, self._n_frames)
                believed += self._close_runs(channel, frames, self._n_frames + count)
            self._n_frames += count
        return believed

    def flush(self) -> list[_Burst]:
        hop, size = self._spectrum.hop, self._spectrum.size
        n_channels, n_rest = self._rest.shape
        silence: Float32 = np.zeros((n_channels, size + hop - n_rest % hop), np.float32)
        return self.push(silence)

    def _close_runs(self, channel: int, frames: _Frames, n_frames: int) -> list[_Burst]:
        earlier = self._open[channel]
        frames = frames if earlier is None else frames.after(earlier)
        self._open[channel] = None
        believed: list[_Burst] = []
        for begin, end in _runs(frames):
            run = frames[begin:end]
            if run.number[-1] == n_frames - 1 and len(run.number) < _MAX_RUN_FRAMES:
                self._open[channel] = run
                continue
            burst = self._spectrum.burst(channel, run)
            if burst is not None:
                believed += self._juries[channel].hear(burst)
        return believed


def _runs(frames: _Frames) -> list[tuple[int, int]]:
    """Cut where the key changes or a frame is missing, and whatever is longer than the longest."""
    n_frames = len(frames.number)
    if n_frames == 0:
        return []
    breaks = (np.diff(frames.number) != 1) | (np.diff(frames.key) != 0)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), n_frames]
    return [
        (begin, min(begin + _MAX_RUN_FRAMES, end))
        for first, end in pairwise(edges)
        for begin in range(first, end, _MAX_RUN_FRAMES)
    ]


class _Spectrum:
    """Short-time spectra at one rate, and what two peaks of them say."""

    def __init__(self, rate_hz: int) -> None:
        self.size = fft.next_fast_len(round(_WINDOW_S * rate_hz), real=True)
        self.hop = round(_HOP_S * rate_hz)
        self._bin_hz = rate_hz / self.size
        phase = np.arange(self.size) / self.size
        self._window: Float32 = (0.5 - 0.5 * np.cos(2 * np.pi * phase)).astype(np.float32)
        # Lobe power of a full-scale sine under a Hann window: size * sum(window^2) / 4.
        self._full_scale = np.float32(self.size**2 * 3 / 32)
        self._whole = self._bins(_WHOLE_BAND_HZ)

    def _bins(self, band_hz: tuple[float, float]) -> slice:
        return slice(round(band_hz[0] / self._bin_hz), round(band_hz[1] / self._bin_hz) + 1)

    def analyse(self, line: Float32, first_number: int) -> _Frames:
        """Look at the frames of one channel's samples, keep those that may be tones."""
        views = np.lib.stride_tricks.sliding_window_view(line, self.size)[:: self.hop]
        spectrum = fft.rfft(views * self._window, axis=1)[:, : self._whole.stop + 3]
        power: Float32 = spectrum.real**2 + spectrum.imag**2
        whole = power[:, self._whole].sum(axis=1) + np.float32(1e-12)
        low_bin, low_power = self._peak(power, _LOW_BAND_HZ)
        high_bin, high_power = self._peak(power, _HIGH_BAND_HZ)
        fit = (low_power + high_power) / whole
        loud = np.maximum(low_power, high_power) > self._full_scale * 10 ** (_LEVEL_MIN_DBFS / 10)
        kept = np.flatnonzero((fit > _FIT_MIN) & loud)
        power, low_power, high_power = power[kept], low_power[kept], high_power[kept]
        low_index, low_deviation = self._nearest(power, low_bin[kept], _LOW_HZ)
        high_index, high_deviation = self._nearest(power, high_bin[kept], _HIGH_HZ)
        twist_db = 10 * np.log10((high_power + 1e-20) / (low_power + 1e-20))
        frames = _Frames(
            number=kept + first_number,
            key=4 * low_index + high_index,
            fit=fit[kept],
            level_dbfs=10 * np.log10((low_power + high_power) / self._full_scale),
            twist_db=twist_db,
            low_deviation=low_deviation,
            high_deviation=high_deviation,
        )
        deviation = np.maximum(np.abs(low_deviation), np.abs(high_deviation))
        return frames[(deviation < _DEVIATION_MAX) & (np.abs(twist_db) < _TWIST_MAX_DB)]

    def _peak(
        self, power: Float32, band_hz: tuple[float, float]
    ) -> tuple[NDArray[np.int64], Float32]:
        """Strongest bin of a band and the power of its main lobe (two bins either side)."""
        band = self._bins(band_hz)
        peak = power[:, band].argmax(axis=1) + band.start
        rows = np.arange(len(power))
        lobe = sum((power[rows, peak + step] for step in (-2, -1, 1, 2)), power[rows, peak])
        return peak, lobe

    def _nearest(
        self, power: Float32, peak: NDArray[np.int64], nominal_hz: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], Float32]:
        """Nearest key frequency of a peak and the relative deviation from it."""
        rows = np.arange(len(power))
        left, right = power[rows, peak - 1], power[rows, peak + 1]
        ratio = np.sqrt(np.maximum(left, right) / (power[rows, peak] + np.float32(1e-20)))
        step = np.where(right > left, 1, -1) * (2 * ratio - 1) / (1 + ratio)
        relative = ((peak + step) * self._bin_hz)[:, None] / nominal_hz - 1
        nearest = np.abs(relative).argmin(axis=1)
        return nearest, relative[rows, nearest].astype(np.float32)

    def burst(self, channel: int, run: _Frames) -> _Burst | None:
        """Judge one run by itself; None when it has no evidence to speak of."""
        evidence = float((run.fit - _FIT_ZERO).sum())
        if evidence < _EVIDENCE_IN_COMPANY:
            return None
        top = run.level_dbfs.max()
        inner = run[run.level_dbfs > top - 2]
        steady = (
            inner.low_deviation.std() < _LOW_WANDER_MAX
            and inner.high_deviation.std() < _HIGH_WANDER_MAX
            and inner.twist_db.std() < _TWIST_WANDER_MAX_DB
        )
        # A Hann frame half covered by a tone shows it 6 dB down: the edge is at its centre.
        covered = run.number[run.level_dbfs > top - 6]
        half = self.size // 2
        start, end = int(covered[0]) * self.hop + half, int(covered[-1]) * self.hop + half
        margin = max(0, (self.hop - (end - start)) // 2)  # one frame only: about a hop of tone
        return _Burst(
            channel=channel,
            start=start - margin,
            end=end + margin,
            key=int(run.key[0]),
            evidence=evidence,
            purity=float(run.fit.max()),
            steady=bool(steady),
        )


class _Jury:
    """Decides which bursts of one channel are believed, from those of the last seconds."""

    def __init__(self, company_samples: int) -> None:
        self._company_samples = company_samples
        self._recent: list[_Burst] = []
        self._waiting: list[_Burst] = []
        self._believing_until = -1

    def hear(self, burst: _Burst) -> list[_Burst]:
        horizon = burst.start - self._company_samples
        self._recent = [item for item in self._recent if item.end >= horizon] + [burst]
        self._waiting = [item for item in self._waiting if item.end >= horizon] + [burst]
        if self._is_certain(burst):
            self._believing_until = burst.end + self._company_samples
        elif burst.start > self._believing_until:
            return []
        believed, self._waiting = self._waiting, []
        return believed

    def _is_certain(self, burst: _Burst) -> bool:
        if not burst.steady:
            return False
        return (
            burst.evidence >= _EVIDENCE_ALONE
            or (burst.evidence >= _EVIDENCE_PURE and burst.purity >= _FIT_PURE)
            or self._has_company(burst, 2, _EVIDENCE_IN_PAIR)
            or self._has_company(burst, 4, _EVIDENCE_IN_FOUR)
        )

    def _has_company(self, burst: _Burst, n_bursts: int, evidence: float) -> bool:
        if burst.evidence < evidence:
            return False
        alike = [item for item in self._recent if item.steady and item.evidence >= evidence]
        return len(alike) >= n_bursts
