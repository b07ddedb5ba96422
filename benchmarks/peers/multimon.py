"""multimon-ng's DTMF demodulator (Debian package), as a subprocess.

It reads 16-bit samples at 22,050 Hz, so the 8 kHz audio is resampled to that (polyphase); it prints
keys without times, so it is scored as a sequence.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

Audio = NDArray[np.float32]

RATE_HZ: Final = 22050
UP: Final = 441
DOWN: Final = 160


class MultimonMissingError(RuntimeError):
    """multimon-ng is not installed."""


def to_pcm(audio: Audio) -> NDArray[np.int16]:
    """Resample 8 kHz audio to 22,050 Hz, 16 bits, with half a second of silence after the end."""
    padded = np.pad(audio, (0, 4000))
    wide = resample_poly(padded, UP, DOWN)
    return np.asarray(np.clip(np.round(wide * 32768.0), -32768, 32767), dtype=np.int16)


def decode(audio: Audio) -> str:
    """Give the keys multimon-ng prints.

    Raises
    ------
    MultimonMissingError
        Names the package to install.
    """
    program = shutil.which("multimon-ng")
    if program is None:
        raise MultimonMissingError("not installed: run: apt-get install multimon-ng")
    command = [program, "-q", "-t", "raw", "-a", "DTMF", "-"]
    run = subprocess.run(command, input=to_pcm(audio).tobytes(), capture_output=True, check=True)
    lines = run.stdout.decode("ascii", "replace").splitlines()
    return "".join(line.split()[-1] for line in lines if line.startswith("DTMF:"))
