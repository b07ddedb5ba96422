"""A call as a list of things that happen: someone says something, someone keys something.

`Scene` lays them one after the other on the channels of a call and keeps the truth about every key.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from scipy import signal

from voicemask.synthetic import dtmf_tone

Float32 = NDArray[np.float32]

RATE_HZ = 8000
TELEPHONE_BAND_HZ = (300.0, 3400.0)
SPEECH_DBFS = -26.0  # ITU-T P.56: usual active level of speech on a line


@dataclass(frozen=True, slots=True)
class Press:
    """One key as it was pressed, ``[start, end)`` in samples, and how it travels."""

    channel: int
    start: int
    end: int
    key: str
    how: str


@dataclass(frozen=True, slots=True)
class Keying:
    """How keys are pressed and what the line does to them."""

    tone_ms: float = 80.0
    pause_ms: float = 90.0
    level_dbfs: float = -12.0
    twist_db: float = -2.0
    how: str = "in-band"  # or "event", "info"
    clamp_ms: tuple[float, float] = (0.0, 0.0)  # of a tone told otherwise, this much gets through


@cache
def espeak(voice: str, text: str) -> Float32:
    """Speech of espeak-ng, (n,) at 8 kHz in the telephone band, at the usual active level."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["espeak-ng", "-v", voice, "-s", "165", "-w", str(path), text]
        subprocess.run(command, check=True)
        sound, rate_hz = sf.read(path, dtype="float64")
    sound = signal.resample_poly(sound, RATE_HZ, rate_hz)
    band = signal.butter(4, TELEPHONE_BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    sound = signal.sosfilt(band, sound)
    return (sound * 10 ** (SPEECH_DBFS / 20) / np.sqrt(2) / active_rms(sound)).astype(np.float32)


def espeak_version() -> str:
    """Version line of espeak-ng; other versions speak other samples."""
    run = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True)
    return run.stdout.split("Data at")[0].strip()


def active_rms(sound: NDArray[np.floating]) -> float:
    """RMS of the 20 ms frames that are not 25 dB under the loudest."""
    frames = sound[: len(sound) // 160 * 160].reshape(-1, 160)
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    return float(np.sqrt(power[power > power.max() / 300].mean()))


@dataclass(slots=True)
class Scene:
    """A call in the making: sounds with their places, and the time reached.

    Parameters
    ----------
    n_channels : channels of the call.
    seed : of phases, rhythm and noise.
    noise_dbfs : background of every channel, RMS relative to that of a full-scale sine.
    """

    n_channels: int
    seed: int
    noise_dbfs: float = -62.0
    now: int = 0
    presses: list[Press] = field(default_factory=list)
    _sounds: list[tuple[int, int, Float32]] = field(default_factory=list)
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def wait(self, ms: float) -> None:
        """Let time pass."""
        self.now += round(ms * RATE_HZ / 1000)

    def say(self, channel: int, voice: str, text: str) -> None:
        """Speak; time goes on to the end of it."""
        sound = espeak(voice, text)
        self._sounds.append((channel, self.now, sound))
        self.now += len(sound)

    def speak_under(self, channel: int, voice: str, text: str) -> None:
        """Speak from now on while other things happen."""
        self._sounds.append((channel, self.now, espeak(voice, text)))

    def press(self, channel: int, keys: str, keying: Keying) -> None:
        """Press keys one after the other with a human rhythm."""
        for key in keys:
            length = round(keying.tone_ms * RATE_HZ / 1000)
            heard_ms = keying.tone_ms
            if keying.how != "in-band":
                heard_ms = float(self._random.uniform(*keying.clamp_ms))
            phases = self._random.uniform(0, 2 * np.pi, 2)
            tone = dtmf_tone(
                key,
                tone_ms=heard_ms,
                level_dbfs=keying.level_dbfs,
                twist_db=keying.twist_db,
                phases=(float(phases[0]), float(phases[1])),
            )
            self._sounds.append((channel, self.now, tone))
            self.presses.append(Press(channel, self.now, self.now + length, key, keying.how))
            self.now += length
            self.wait(keying.pause_ms * float(self._random.uniform(1.0, 1.15)))

    def audio(self) -> Float32:
        """Everything on its place, (n_channels, n); whole packets of 20 ms."""
        ends = [place + len(sound) for _, place, sound in self._sounds]
        n_samples = -(-max([self.now, *ends]) // 160) * 160
        rms = 10 ** (self.noise_dbfs / 20) / np.sqrt(2)
        audio = self._random.standard_normal((self.n_channels, n_samples)) * rms
        for channel, place, sound in self._sounds:
            audio[channel, place : place + len(sound)] += sound
        return np.clip(audio, -0.999, 0.999).astype(np.float32)
