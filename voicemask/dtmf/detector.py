"""Decoding: which bursts are key presses by the letter of a profile.

`Detector` is the strict one of the two decisions: what it reports is a digit. What may only be one
is masked all the same (`voicemask.dtmf.tracker`).

A burst is bridged over short interruptions, then accepted when it is long enough, near enough to
its nominal frequencies, and pure enough for its length: a short burst must be nearly all tone, a
long one may have speech or noise beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.resample import StreamResampler
from voicemask.capture.digit import Digit
from voicemask.dtmf.burst import SEGMENT, BurstFinder, Bursts
from voicemask.dtmf.goertzel import BLOCK, RATE_HZ
from voicemask.dtmf.profile import Receiver, load_profile

Audio = NDArray[np.float32] | NDArray[np.int16]

_PUSH_SAMPLES: Final = 240 * RATE_HZ
"""`detect` feeds this much at a time: bounded memory at full speed."""


@dataclass(frozen=True, slots=True)
class Tone:
    """One decoded key press.

    Parameters
    ----------
    channel : index of the channel.
    start, end : samples at the rate of the audio given, ``[start, end)``.
    digit : the key, which does not print.
    level_dbfs : level of the pair relative to a full-scale sine.
    twist_db : high minus low, signed.
    """

    channel: int
    start: int
    end: int
    digit: Digit
    level_dbfs: float
    twist_db: float


@dataclass(slots=True)
class _Press:
    """A press being put together from bursts of one pair."""

    pair: int
    start: float
    end: float
    duration: float
    is_sure: bool
    level_dbfs: float
    twist_db: float


class Decoder:
    """Turns bursts into tones, per stream."""

    def __init__(self, receiver: Receiver, channels: list[int] | None = None) -> None:
        self._receiver = receiver
        self._open: dict[int, _Press] = {}

    def push(self, bursts: Bursts, n_blocks: int) -> list[Tone]:
        """Take new bursts of all streams; `n_blocks` is how far the bank has read.

        Returns
        -------
        Tones at 8000 Hz that nothing later can change, ordered by stream, then start.
        """
        done: list[Tone] = []
        fits = bursts.take(self._is_near(bursts))
        sure = self._is_sure(fits)
        for i in range(len(fits)):
            self._add(fits, i, bool(sure[i]), done)
        horizon = (n_blocks - SEGMENT - 2) * BLOCK - self._gap_samples
        for stream in [key for key, press in self._open.items() if press.end < horizon]:
            self._close(stream, done)
        done.sort(key=lambda tone: (tone.channel, tone.start))
        return done

    def flush(self) -> list[Tone]:
        """Give what is still open."""
        done: list[Tone] = []
        for stream in sorted(self._open):
            self._close(stream, done)
        return done

    @property
    def _gap_samples(self) -> float:
        return self._receiver.max_gap_ms * RATE_HZ / 1000

    def _is_near(self, bursts: Bursts) -> NDArray[np.bool_]:
        """Bursts whose tones are where a keypad's are."""
        r = self._receiver
        return (
            (np.abs(bursts.low_deviation) <= r.deviation_max_percent)
            & (np.abs(bursts.high_deviation) <= r.deviation_max_percent)
            & (bursts.twist_db <= r.twist_max_db)
            & (bursts.twist_db >= r.twist_min_db)
            & (bursts.level_dbfs >= r.level_min_dbfs)
        )

    def _is_sure(self, bursts: Bursts) -> NDArray[np.bool_]:
        """Bursts pure and steady enough for their length."""
        r = self._receiver
        n_blocks = bursts.duration / BLOCK
        least_fit = np.interp(
            n_blocks, (2.0, 3.0, 4.0, 6.0), (r.fit_20_ms, r.fit_30_ms, r.fit_40_ms, r.fit_60_ms)
        )
        steady = bursts.jitter <= r.jitter_max_rad + r.jitter_noise_rad * (1 - bursts.fit)
        return (bursts.fit >= least_fit) & steady

    def _add(self, bursts: Bursts, i: int, is_sure: bool, done: list[Tone]) -> None:
        stream, pair = int(bursts.stream[i]), int(bursts.pair[i])
        start, end = float(bursts.start[i]), float(bursts.end[i])
        press = self._open.get(stream)
        if press is not None and press.pair == pair and start - press.end <= self._gap_samples:
            press.end = end
            press.duration += float(bursts.duration[i])
            press.is_sure |= is_sure
            return
        if press is not None:
            self._close(stream, done)
        self._open[stream] = _Press(
            pair=pair,
            start=start,
            end=end,
            duration=float(bursts.duration[i]),
            is_sure=is_sure,
            level_dbfs=float(bursts.level_dbfs[i]),
            twist_db=float(bursts.twist_db[i]),
        )

    def _close(self, stream: int, done: list[Tone]) -> None:
        press = self._open.pop(stream)
        if not press.is_sure or press.duration < self._receiver.min_tone_ms * RATE_HZ / 1000:
            return
        done.append(
            Tone(
                channel=stream,
                start=max(0, round(press.start)),
                end=round(press.end),
                digit=Digit(press.pair),
                level_dbfs=round(press.level_dbfs, 1),
                twist_db=round(press.twist_db, 1),
            )
        )


class Detector:
    """Streaming detector: audio in, decoded tones out.

    Parameters
    ----------
    n_channels : channels fed together.
    rate_hz : their sample rate, 8000 Hz or more.
    profile : name or path of a detector profile.

    Raises
    ------
    ProfileError
        The profile does not load.
    CodecError
        The rate is below 8000 Hz.
    """

    def __init__(self, n_channels: int, rate_hz: int = RATE_HZ, profile: str = "decode") -> None:
        receiver = load_profile(profile).receiver
        self._rate_hz = rate_hz
        self._resampler = StreamResampler(n_channels, rate_hz, RATE_HZ)
        self._finder = BurstFinder(n_channels, receiver)
        self._decoder = Decoder(receiver)

    def push(self, audio: Audio) -> list[Tone]:
        """Feed (n_channels, n) samples, float32 (full scale +-1.0) or int16; any n, also 0."""
        return self._decode(self._finder.push(self._resampler.push(audio)))

    def flush(self) -> list[Tone]:
        """End the streams; give the tones that were still open."""
        tones = self._decode(self._finder.push(self._resampler.flush()))
        tones += self._decode(self._finder.flush())
        return tones + self._at_rate(self._decoder.flush())

    def _decode(self, bursts: Bursts) -> list[Tone]:
        return self._at_rate(self._decoder.push(bursts, self._finder.bank.n_blocks))

    def _at_rate(self, tones: list[Tone]) -> list[Tone]:
        if self._rate_hz == RATE_HZ:
            return tones
        scale = self._rate_hz / RATE_HZ
        return [
            Tone(
                t.channel,
                round(t.start * scale),
                round(t.end * scale),
                t.digit,
                t.level_dbfs,
                t.twist_db,
            )
            for t in tones
        ]


def detect(audio: Audio, rate_hz: int = RATE_HZ, profile: str = "decode") -> list[Tone]:
    """Find every key press of a recording.

    Parameters
    ----------
    audio : shape (n,) or (n_channels, n), float32 (full scale +-1.0) or int16.
    rate_hz : sample rate.
    profile : name or path of a detector profile.

    Returns
    -------
    Tones ordered by start.
    """
    if audio.ndim == 1:
        audio = audio[None]
    detector = Detector(audio.shape[0], rate_hz, profile)
    step = _PUSH_SAMPLES * rate_hz // RATE_HZ
    tones: list[Tone] = []
    for begin in range(0, audio.shape[1], step):
        tones += detector.push(audio[:, begin : begin + step])
    tones += detector.flush()
    return sorted(tones, key=lambda tone: (tone.start, tone.channel))
