"""Speech and music that hold no DTMF, from Debian's Asterisk packages.

The voice prompts of five languages (about 2.2 h, four women and a man) and the music on hold
(0.3 h) are read from where the packages put them. Anything a detector reports in them is a false
digit. Prompts of several speakers reading numbers, letters and menus are hard material for
talk-off: they are clean, loud and voiced.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

Audio = NDArray[np.float32]

RATE_HZ: Final = 8000
GAP_S: Final = 0.5
LANGUAGES: Final = ("en", "fr", "es", "it", "ru")
SPEEDS: Final = (0.8, 0.9, 0.95, 1.05, 1.12, 1.25)
LEVEL_DBFS: Final = -20.0
"""Active speech level, RMS against a full scale of 1.0: a normal telephone talker is near -20."""

ACTIVITY_MARGIN_DB: Final = 15.9
"""How far below the active level a frame may lie and still count as speech (ITU-T P.56)."""

EXCLUDED: Final = {
    "beep": "a signal tone, not speech: in `signals`",
    "beeperr": "a signal tone, not speech: in `signals`",
    "ascending-2tone": "a signal tone, not speech: in `signals`",
    "descending-2tone": "a signal tone, not speech: in `signals`",
    "confbridge-join": "a chime, not speech: in `signals`",
    "confbridge-leave": "a chime, not speech: in `signals`",
    "silence/": "digital silence",
}
"""Prompt name (or folder) and why it is not in `speech`. None of them holds DTMF."""

_SHORTEST_SAMPLES: Final = RATE_HZ // 20


class MissingPackagesError(RuntimeError):
    """Debian packages the benchmarks read are not installed."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One sound file: package language, name below the sounds folder, audio (n,) at 8 kHz."""

    language: str
    name: str
    audio: Audio


def speech_package(language: str) -> str:
    return f"asterisk-core-sounds-{language}-wav"


MUSIC_PACKAGE: Final = "asterisk-moh-opsound-wav"


def package_files(*packages: str) -> dict[str, list[Path]]:
    """List the WAV files of installed Debian packages.

    Raises
    ------
    MissingPackagesError
        Names every package that is not installed, and the command that installs them.
    """
    found: dict[str, list[Path]] = {}
    for package in packages:
        listing = subprocess.run(
            ["dpkg", "-L", package], capture_output=True, text=True, check=False
        )
        paths = [Path(line) for line in listing.stdout.splitlines() if line.endswith(".wav")]
        found[package] = sorted(path for path in paths if path.is_file())
    missing = [package for package, paths in found.items() if not paths]
    if missing:
        names = " ".join(missing)
        raise MissingPackagesError(f"not installed: {names}; run: apt-get install {names}")
    return found


def _read(path: Path) -> Audio:
    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = audio.mean(axis=1)
    if rate_hz != RATE_HZ:
        ratio = Fraction(RATE_HZ, rate_hz)
        mono = resample_poly(mono, ratio.numerator, ratio.denominator)
    return np.asarray(mono, dtype=np.float32)


def _is_excluded(name: str) -> bool:
    return any(name == rule or (rule[-1] == "/" and name.startswith(rule)) for rule in EXCLUDED)


@cache
def _prompts(languages: tuple[str, ...]) -> tuple[Prompt, ...]:
    files = package_files(*(speech_package(language) for language in languages))
    prompts = []
    for language in languages:
        for path in files[speech_package(language)]:
            # .../sounds/<voice>/<name>.wav
            name = str(Path(*path.parts[path.parts.index("sounds") + 2 :]).with_suffix(""))
            prompts.append(Prompt(language, name, _read(path)))
    return tuple(prompts)


def prompts(languages: tuple[str, ...] = LANGUAGES) -> list[Prompt]:
    """Give the spoken prompts, exclusions and empty files left out, at their own level."""
    return [
        prompt
        for prompt in _prompts(languages)
        if not _is_excluded(prompt.name) and prompt.audio.size >= _SHORTEST_SAMPLES
    ]


def active_level_dbfs(audio: Audio) -> float:
    """Measure the level of speech without its pauses, in dB (RMS) against a full scale of 1.0.

    The threshold sits 15.9 dB under the level it defines, found by iteration, as in ITU-T P.56;
    20 ms frames stand in for its envelope. Digital silence gives -100.
    """
    n_frames = max(1, audio.size // 160)
    frames = np.resize(audio, n_frames * 160) if audio.size < 160 else audio[: n_frames * 160]
    power = np.square(frames.reshape(n_frames, -1), dtype=np.float64).mean(axis=1)
    level = float(power.mean())
    if level < 1e-10:
        return -100.0
    for _ in range(20):
        level = float(power[power >= level * 10 ** (-ACTIVITY_MARGIN_DB / 10)].mean())
    return 10 * float(np.log10(level))


def normalised(audio: Audio, level_dbfs: float | None = LEVEL_DBFS) -> Audio:
    """Bring audio to an active level, clipped to +-1.0; `None` leaves it as it is."""
    if level_dbfs is None:
        return audio
    gain = 10 ** ((level_dbfs - active_level_dbfs(audio)) / 20)
    return np.asarray(np.clip(audio * np.float32(gain), -1.0, 1.0), dtype=np.float32)


def joined(pieces: list[Audio], gap_s: float = GAP_S) -> Audio:
    """Concatenate with digital silence between the pieces."""
    gap = np.zeros(round(gap_s * RATE_HZ), dtype=np.float32)
    parts = [part for piece in pieces for part in (piece, gap)]
    return np.concatenate(parts) if parts else gap


def speech(
    level_dbfs: float | None = LEVEL_DBFS,
    languages: tuple[str, ...] = LANGUAGES,
    gap_s: float = GAP_S,
) -> Audio:
    """Human speech: every voice prompt, each brought to `level_dbfs`. Shape (n,), 8 kHz."""
    return joined([normalised(prompt.audio, level_dbfs) for prompt in prompts(languages)], gap_s)


def signals(level_dbfs: float | None = LEVEL_DBFS) -> Audio:
    """Beeps and chimes of the prompt packages: no speech, but no DTMF either. Shape (n,), 8 kHz."""
    tones = [
        prompt.audio
        for prompt in _prompts(LANGUAGES)
        if _is_excluded(prompt.name)
        and not prompt.name.startswith("silence/")
        and prompt.audio.size >= _SHORTEST_SAMPLES
    ]
    return joined([normalised(tone, level_dbfs) for tone in tones])


def music(level_dbfs: float | None = LEVEL_DBFS) -> Audio:
    """Music on hold, each piece brought to `level_dbfs`. Shape (n,), 8 kHz."""
    paths = package_files(MUSIC_PACKAGE)[MUSIC_PACKAGE]
    return joined([normalised(_read(path), level_dbfs) for path in paths])


def at_speed(audio: Audio, speed: float) -> Audio:
    """Replay audio faster (> 1) or slower; the pitch moves with it. Shape (n / speed,), 8 kHz.

    Resampling is polyphase, so a speed below 1 leaves the top of the band empty, as a slow tape.
    """
    ratio = Fraction(speed).limit_denominator(100)
    moved = resample_poly(audio, ratio.denominator, ratio.numerator)
    return np.asarray(np.clip(moved, -1.0, 1.0), dtype=np.float32)


def main() -> None:
    """Print what the corpus holds."""
    for language in LANGUAGES:
        audio = speech(languages=(language,))
        print(f"speech {language}: {audio.size / RATE_HZ / 60:.1f} min")
    print(f"music: {music().size / RATE_HZ / 60:.1f} min")
    print(f"signals: {signals().size / RATE_HZ / 60:.1f} min")
    for name, reason in EXCLUDED.items():
        print(f"not in speech: {name} ({reason})")


if __name__ == "__main__":
    main()
