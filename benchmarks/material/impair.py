"""What a telephone line does to tones: each function makes an `Effect` for a table of conditions.

An `Effect` maps a `Recording` and a seeded generator to a `Recording`. Ratios in dB are between the
power of the tone pair while it sounds and the power of what is added (for speech its active level,
for white noise its power over the whole 0-4 kHz).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, hilbert, resample, sosfilt

from benchmarks.material import corpus
from benchmarks.material.codecs import Codec
from benchmarks.material.keying import RATE_HZ, Press, Recording

Audio = NDArray[np.float32]
Effect = Callable[[Recording, np.random.Generator], Recording]

PACKET_SAMPLES: Final = 160


def pair_power(recording: Recording) -> float:
    """Mean square of the tones while they sound."""
    power = [float(np.mean(recording.audio[p.start : p.end] ** 2)) for p in recording.truth]
    return float(np.mean(power))


def _plus(recording: Recording, noise: NDArray[np.floating], below_db: float) -> Recording:
    """Add noise whose mean square is `below_db` under the pair's."""
    wanted = pair_power(recording) * 10 ** (-below_db / 10)
    scaled = noise * np.sqrt(wanted / np.mean(np.square(noise, dtype=np.float64)))
    return recording.with_audio(np.clip(recording.audio + scaled, -1.0, 1.0))


def white(snr_db: float) -> Effect:
    return lambda rec, rng: _plus(rec, rng.standard_normal(rec.audio.size), snr_db)


def coloured(snr_db: float, slope: float) -> Effect:
    """Noise whose power falls with frequency to the power of `slope`: 1 pink, 2 brown."""

    def add(rec: Recording, rng: np.random.Generator) -> Recording:
        spectrum = np.fft.rfft(rng.standard_normal(rec.audio.size))
        hz = np.maximum(np.fft.rfftfreq(rec.audio.size, 1 / RATE_HZ), 20.0)
        return _plus(rec, np.fft.irfft(spectrum / hz ** (slope / 2), rec.audio.size), snr_db)

    return add


def hum(mains_hz: float, below_db: float) -> Effect:
    """Mains hum with the odd harmonics and some even ones, as unbalanced lines pick it up."""

    def add(rec: Recording, rng: np.random.Generator) -> Recording:
        time_s = np.arange(rec.audio.size) / RATE_HZ
        sound = np.zeros(rec.audio.size)
        for order, part in (
            (1, 1.0),
            (2, 0.3),
            (3, 0.6),
            (5, 0.4),
            (7, 0.25),
            (9, 0.15),
            (11, 0.1),
        ):
            phase = rng.uniform(0, 2 * np.pi)
            sound += part * np.sin(2 * np.pi * mains_hz * order * time_s + phase)
        return _plus(rec, sound, below_db)

    return add


def impulses(per_s: float, peak: float) -> Effect:
    """Clicks of 1-3 samples at random times: relays, crackling cables."""

    def add(rec: Recording, rng: np.random.Generator) -> Recording:
        audio = rec.audio.copy()
        n_clicks = rng.poisson(per_s * audio.size / RATE_HZ)
        for start in rng.integers(0, audio.size - 3, n_clicks):
            width = int(rng.integers(1, 4))
            audio[start : start + width] += np.float32(peak * rng.choice((-1.0, 1.0)))
        return rec.with_audio(np.clip(audio, -1.0, 1.0))

    return add


@cache
def _dense_speech() -> Audio:
    """All prompts with pauses over 100 ms cut, so that hardly a tone falls between words."""
    audio = corpus.speech(gap_s=0.0)
    frames = audio[: audio.size // 160 * 160].reshape(-1, 160)
    active = np.mean(frames**2, axis=1) > 10 ** (
        (corpus.LEVEL_DBFS - corpus.ACTIVITY_MARGIN_DB) / 10
    )
    kept = np.convolve(active, np.ones(5), mode="same") > 0
    return np.ascontiguousarray(frames[kept].reshape(-1))


@cache
def _music() -> Audio:
    return corpus.music()


def over(source: Callable[[], Audio], above_db: float) -> Effect:
    """Tones `above_db` over a stretch of `source`, drawn anew for each recording."""

    def add(rec: Recording, rng: np.random.Generator) -> Recording:
        material = source()
        start = int(rng.integers(0, material.size - rec.audio.size))
        level = 10 ** (corpus.LEVEL_DBFS / 20)
        gain = np.sqrt(pair_power(rec)) * 10 ** (-above_db / 20) / level
        under = material[start : start + rec.audio.size] * np.float32(gain)
        return rec.with_audio(np.clip(rec.audio + under, -1.0, 1.0))

    return add


def over_speech(above_db: float) -> Effect:
    return over(_dense_speech, above_db)


def over_music(above_db: float) -> Effect:
    return over(_music, above_db)


def over_tones(tones_hz: tuple[float, ...], below_db: float) -> Effect:
    """Steady tones beneath, each `below_db` under a single DTMF tone (dial tone)."""

    def add(rec: Recording, rng: np.random.Generator) -> Recording:
        time_s = np.arange(rec.audio.size) / RATE_HZ
        peak = np.sqrt(pair_power(rec)) * 10 ** (-below_db / 20)
        sound = sum(
            peak * np.sin(2 * np.pi * hz * time_s + rng.uniform(0, 2 * np.pi)) for hz in tones_hz
        )
        return rec.with_audio(np.clip(rec.audio + sound, -1.0, 1.0))

    return add


def echo(delay_ms: float, below_db: float) -> Effect:
    def add(rec: Recording, _rng: np.random.Generator) -> Recording:
        n_delay = round(delay_ms * RATE_HZ / 1000)
        late = np.pad(rec.audio, (n_delay, 0))[: rec.audio.size]
        return rec.with_audio(rec.audio + late * np.float32(10 ** (-below_db / 20)))

    return add


def clipped(by_db: float) -> Effect:
    """Drive the pair so that its peak lies `by_db` over full scale, and clip it there."""

    def clip(rec: Recording, _rng: np.random.Generator) -> Recording:
        gain = 10 ** (by_db / 20) / np.max(np.abs(rec.audio))
        return rec.with_audio(np.clip(rec.audio * np.float32(gain), -1.0, 1.0))

    return clip


def offset(dc: float) -> Effect:
    return lambda rec, _rng: rec.with_audio(np.clip(rec.audio + np.float32(dc), -1.0, 1.0))


def bent(second: float, third: float) -> Effect:
    """Bend the line's characteristic: harmonic and intermodulation products."""

    def bend(rec: Recording, _rng: np.random.Generator) -> Recording:
        peak = np.max(np.abs(rec.audio))
        x = rec.audio / peak
        return rec.with_audio(np.clip((x + second * x**2 + third * x**3) * peak, -1.0, 1.0))

    return bend


def band(low_hz: float, high_hz: float, order: int = 4) -> Effect:
    sos = butter(order, (low_hz, high_hz), "bandpass", fs=RATE_HZ, output="sos")
    return lambda rec, _rng: rec.with_audio(sosfilt(sos, rec.audio))


def coded(codec: Codec) -> Effect:
    return lambda rec, _rng: rec.with_audio(codec(rec.audio))


def lossy(percent: float, repeat: bool) -> Effect:
    """Lose 20 ms packets at random; fill with silence, or repeat the last packet, fading."""

    def lose(rec: Recording, rng: np.random.Generator) -> Recording:
        audio = rec.audio.copy()
        n_packets = audio.size // PACKET_SAMPLES
        lost = rng.random(n_packets) < percent / 100
        for index in np.flatnonzero(lost):
            here = slice(index * PACKET_SAMPLES, (index + 1) * PACKET_SAMPLES)
            before = slice(max(0, here.start - PACKET_SAMPLES), here.start)
            audio[here] = audio[before] * np.float32(0.7) if repeat and index else 0.0
        return rec.with_audio(audio)

    return lose


def skewed(ppm: float) -> Effect:
    """A sender's clock that runs `ppm` fast; the truth moves along."""

    def skew(rec: Recording, _rng: np.random.Generator) -> Recording:
        size = round(rec.audio.size * (1 + ppm / 1e6))
        ratio = size / rec.audio.size
        moved = tuple(Press(p.key, round(p.start * ratio), round(p.end * ratio)) for p in rec.truth)
        return Recording(np.asarray(resample(rec.audio, size), dtype=np.float32), moved)

    return skew


def shifted(hz: float) -> Effect:
    """Move every frequency by `hz`, as carrier systems with unlocked oscillators did."""

    def shift(rec: Recording, _rng: np.random.Generator) -> Recording:
        turn = np.exp(2j * np.pi * hz * np.arange(rec.audio.size) / RATE_HZ)
        return rec.with_audio(np.real(hilbert(rec.audio) * turn))

    return shift


def slipping(every_ms: float, n_samples: int) -> Effect:
    """Drop `n_samples` now and then and repeat as many later: PCM slips, phase jumps anywhere."""

    def slip(rec: Recording, _rng: np.random.Generator) -> Recording:
        audio = rec.audio.copy()
        step = round(every_ms * RATE_HZ / 1000)
        for start in range(step, audio.size - step, 2 * step):
            audio[start : start + step] = rec.audio[start + n_samples : start + step + n_samples]
        return rec.with_audio(audio)

    return slip


def faded(hz: float, depth_db: float) -> Effect:
    """Let the level swing slowly by `depth_db`, as on radio links."""

    def fade(rec: Recording, rng: np.random.Generator) -> Recording:
        phase = 2 * np.pi * hz * np.arange(rec.audio.size) / RATE_HZ + rng.uniform(0, 2 * np.pi)
        return rec.with_audio(rec.audio * 10 ** (depth_db * (np.cos(phase) - 1) / 40))

    return fade
