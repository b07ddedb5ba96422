"""GSM 06.10 encoding through libsndfile, in memory.

FFmpeg decodes GSM but has no encoder in its usual builds; libsndfile has one. soundfile is used
here as a codec only: the "file" is a list of octets.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray


class _Sink(io.RawIOBase):
    """A file that only grows and hands out what was written since the last time."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self._fresh = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # soundfile hands bytes
        self._fresh += data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        del offset, whence  # raw frames are written in order; libsndfile only asks for the size
        return self._position

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        data = bytes(self._fresh)
        self._fresh.clear()
        return data


class GsmEncoder:
    """Stateful encoder: 160 samples at 8 kHz to 33 octets."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._file = soundfile.SoundFile(
            self._sink, "w", samplerate=8000, channels=1, format="RAW", subtype="GSM610"
        )

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """Encode whole frames, shape (160 * k,) to 33 * k octets."""
        self._file.write(samples)
        return self._sink.take()
