"""What the evidence is fitted on: drawn recordings of keys, and sound that holds none.

`drawn` gives recordings whose keying and line are drawn anew each time: lengths, levels, twist,
frequency errors, shapes, noise, speech, music, echo, clipping, codecs, packet loss. The ranges are
wider than Q.24's so that the weights lean on no single condition. `Background` is the sound without
digits: Debian packages that the benchmarks do not test on (`corpus` holds those), or any folders.

Invariant: a recording depends on its seed, its index and the background alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from benchmarks.material import codecs, corpus, impair
from benchmarks.material.impair import Effect
from benchmarks.material.keying import Keying, Recording, keyed

Audio = NDArray[np.float32]
Rng = np.random.Generator
T = TypeVar("T")

RATE_HZ: Final = 8000
PACKAGES: Final = (
    "asterisk-prompt-it-menardi-wav",
    "asterisk-prompt-fr-armelle",
    "asterisk-prompt-es-co",
    "klettres-data",
    "fillets-ng-data-cs",
    "fillets-ng-data-nl",
    "pocketsphinx-testdata",
    "wesnoth-1.16-music",
)
"""Prompts, letters and syllables in 19 languages, acted dialogue, read books, music."""

SUFFIXES: Final = (".wav", ".ogg", ".gsm")
PEAK: Final = 0.5
_GAP_SAMPLES: Final = 2000
_SHORTEST_SAMPLES: Final = RATE_HZ // 10
_SILENT_PEAK: Final = 1e-3
_DENSE_FLOOR: Final = 0.01
"""Frames with less than this (RMS) are pauses; speech peaks at `PEAK`."""
_LEAST_UNDER_S: Final = 20
"""The longest recording lasts 11 s."""


class NoNegativesError(RuntimeError):
    """There is no sound without digits to fit against."""


# --- sound without digits -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A file without digits: where it is, and whether it is music."""

    path: Path
    is_music: bool


def files_below(folders: Iterable[Path]) -> list[SoundFile]:
    """Give the sound files below folders; those below a folder named ``music`` are music.

    Raises
    ------
    NoNegativesError
        There is none.
    """
    found = [
        SoundFile(path, "music" in path.relative_to(folder.resolve().parent).parts)
        for folder in folders
        for path in folder.resolve().rglob("*")
    ]
    return _usable(found, "no wav, ogg or gsm file below the folders given")


def files_of_packages() -> list[SoundFile]:
    """Give the sound files of those of `PACKAGES` that are installed.

    Raises
    ------
    NoNegativesError
        None is; names them all.
    """
    found = []
    for package in PACKAGES:
        listing = subprocess.run(
            ["dpkg", "-L", package], capture_output=True, text=True, check=False
        )
        paths = [Path(line) for line in listing.stdout.splitlines()]
        found += [SoundFile(path, "music" in path.parts) for path in paths]
    names = " ".join(PACKAGES)
    return _usable(found, f"none is installed of {names}; run: apt-get install {names}")


def _usable(found: list[SoundFile], otherwise: str) -> list[SoundFile]:
    """Sort, and leave out what is no sound file, or one of a signal tone."""
    files = [
        file
        for file in found
        if file.path.suffix in SUFFIXES
        and "beep" not in file.path.stem
        and "tone" not in file.path.stem
        and file.path.is_file()
    ]
    if not files:
        raise NoNegativesError(otherwise)
    return sorted(files, key=lambda file: file.path)


def read_sound(path: Path) -> Audio:
    """Read a file as one channel at 8 kHz, brought to `PEAK`; empty if short or silent."""
    if path.suffix == ".gsm":
        read, rate_hz = soundfile.read(
            path,
            dtype="float32",
            always_2d=True,
            format="RAW",
            subtype="GSM610",
            samplerate=RATE_HZ,
            channels=1,
        )
    else:
        read, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    audio = read.mean(axis=1)
    if rate_hz != RATE_HZ:
        ratio = Fraction(RATE_HZ, rate_hz)
        audio = resample_poly(audio, ratio.numerator, ratio.denominator)
    peak = float(np.abs(audio).max(initial=0.0))
    if audio.size < _SHORTEST_SAMPLES or peak < _SILENT_PEAK:
        return np.zeros(0, np.float32)
    return np.asarray(audio * (PEAK / peak), np.float32)


@dataclass(frozen=True, slots=True)
class Background:
    """Sound without digits, files one after the other with pauses between. Shape (n,), 8 kHz."""

    speech: Audio
    music: Audio

    def under(self, kind: str) -> Audio:
        """Give what recordings are laid over: without its pauses, at `corpus.LEVEL_DBFS`.

        Where there is hardly any of one kind the other stands in for it.
        """
        parts = {"speech": self.speech, "music": self.music}
        audio = parts[kind]
        if audio.size < _LEAST_UNDER_S * RATE_HZ:
            audio = max(parts.values(), key=len)
        frames = audio[: audio.size // 160 * 160].reshape(-1, 160)
        active = np.sqrt(np.mean(frames**2, axis=1)) > _DENSE_FLOOR
        kept = np.convolve(active, np.ones(5), mode="same") > 0
        return corpus.normalised(frames[kept].reshape(-1))


def read_background(files: Iterable[SoundFile]) -> Background:
    """Read files, speech and music apart."""
    gap = np.zeros(_GAP_SAMPLES, np.float32)
    parts: dict[bool, list[Audio]] = {False: [gap], True: [gap]}
    for file in files:
        audio = read_sound(file.path)
        if audio.size:
            parts[file.is_music] += [audio, gap]
    return Background(np.concatenate(parts[False]), np.concatenate(parts[True]))


# --- drawn recordings ---------------------------------------------------------------------------

_TONES_MS: Final = (14, 18, 22, 30, 40, 45, 50, 60, 70, 80, 100, 150)
"""Around what Q.24 rejects (24 ms) and accepts (40 ms), and what telephones send."""
_CALL_TONES_HZ: Final = ((350.0, 440.0), (425.0,), (400.0,), (440.0, 480.0))
"""Dial and ringing tones under the first key (ITU-T E.180)."""
_CODECS: Final[tuple[tuple[float, codecs.Codec], ...]] = (
    (0.20, codecs.alaw),
    (0.20, codecs.ulaw),
    (0.18, codecs.gsm),
    (0.14, codecs.g729),
    (0.10, codecs.opus_12k),
    (0.08, codecs.amr_7k4),
    (0.05, codecs.g726_32),
    (0.05, codecs.g722),
)


def _happens(rng: Rng, share: float) -> bool:
    return bool(rng.random() < share)


def _one_of(rng: Rng, choices: tuple[tuple[float, T], ...]) -> T | None:
    """Draw one of (share, choice); None for what the shares leave of 1."""
    at = rng.random()
    for share, choice in choices:
        if at < share:
            return choice
        at -= share
    return None


def _keying(rng: Rng) -> Keying:
    """Draw lengths, level, twist and frequency errors."""
    tone_ms = rng.choice(_TONES_MS) if _happens(rng, 0.8) else rng.uniform(12, 200)
    keying = Keying(
        tone_ms=float(tone_ms), pause_ms=rng.uniform(35, 100), n_keys=32, spread_ms=15
    ).at_level(rng.uniform(-33, -4))
    if _happens(rng, 0.4):
        keying = keying.with_twist(rng.uniform(-12, 10))
    error = _one_of(rng, ((0.25, "both alike"), (0.15, "each its own")))
    if error == "both alike":
        percent = rng.uniform(-2.2, 2.2)
        keying = replace(keying, low_percent=percent, high_percent=percent)
    elif error == "each its own":
        low, high = rng.uniform(-2, 2, 2)
        keying = replace(keying, low_percent=float(low), high_percent=float(high))
    return keying


def _misshaped(keying: Keying, rng: Rng) -> Keying:
    """Draw what is wrong with the shape of the tones; most have nothing."""
    if _happens(rng, 0.15):
        keying = replace(keying, rise_ms=rng.uniform(1, 7))
    if _happens(rng, 0.08):
        keying = replace(keying, ring_ms=rng.uniform(2, 10))
    if _happens(rng, 0.06):
        keying = replace(keying, am_hz=rng.uniform(5, 50), am_depth=rng.uniform(0.1, 0.4))
    if _happens(rng, 0.05) and keying.tone_ms >= 40:
        keying = replace(keying, jump_deg=rng.uniform(30, 180))
    if _happens(rng, 0.05) and keying.tone_ms >= 40:
        keying = replace(keying, gap_ms=rng.uniform(3, 12))
    return keying


def _added(rng: Rng, speech: Audio, music: Audio) -> Effect | None:
    """Draw what else is on the line; a third have nothing."""
    makers: tuple[tuple[float, Callable[[], Effect]], ...] = (
        (0.25, lambda: impair.white(rng.uniform(2, 25))),
        (0.07, lambda: impair.coloured(rng.uniform(3, 20), rng.uniform(0.5, 2))),
        (0.23, lambda: impair.over(lambda: speech, rng.uniform(0, 18))),
        (0.07, lambda: impair.over(lambda: music, rng.uniform(2, 18))),
        (
            0.04,
            lambda: impair.over_tones(
                _CALL_TONES_HZ[rng.integers(len(_CALL_TONES_HZ))], rng.uniform(3, 15)
            ),
        ),
    )
    make = _one_of(rng, makers)
    return make() if make else None


def _line(rng: Rng, speech: Audio, music: Audio) -> Iterator[Effect]:
    """Draw the line's effects, in the order in which a call meets them."""
    if added := _added(rng, speech, music):
        yield added
    if _happens(rng, 0.15):
        yield impair.echo(rng.uniform(8, 60), rng.uniform(8, 25))
    if _happens(rng, 0.1):
        yield impair.clipped(rng.uniform(1, 12))
    if _happens(rng, 0.05):
        yield impair.bent(0.05, 0.05)
    if _happens(rng, 0.5) and (codec := _one_of(rng, _CODECS)):
        yield impair.coded(codec)
    if _happens(rng, 0.08):
        yield impair.lossy(rng.uniform(1, 5), repeat=_happens(rng, 0.5))
    yield impair.white(rng.uniform(35, 50))  # no line is silent


def drawn(
    seed: int, n_recordings: int, background: Background
) -> Iterator[tuple[Keying, Recording]]:
    """Draw recordings of 32 keys each, and how they were keyed.

    Raises
    ------
    CodecMissingError
        A codec is not on this machine; without it the weights would be others.
    """
    speech, music = background.under("speech"), background.under("music")
    for index in range(n_recordings):
        rng = np.random.default_rng((seed, index))
        keying = _misshaped(_keying(rng), rng)
        recording = keyed(keying, rng)
        for effect in _line(rng, speech, music):
            recording = effect(recording, rng)
        yield keying, recording
