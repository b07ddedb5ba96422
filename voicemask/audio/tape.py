"""A window of audio that grows at one end and is let go at the other.

Positions are absolute samples of stream time; memory is what lies between what was let go and
what was added last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FIRST_CAPACITY = 4096


class Tape:
    """Audio ``[begin, end)`` of one channel.

    Parameters
    ----------
    begin : position of its first sample.
    """

    def __init__(self, begin: int = 0) -> None:
        self._buffer = np.zeros(_FIRST_CAPACITY, np.float32)
        self._offset = begin
        self.begin = begin
        self.end = begin

    def append(self, audio: NDArray[np.float32]) -> None:
        """Add audio, shape (n,), at the end."""
        used = self.end - self._offset
        if used + len(audio) > len(self._buffer):
            self._make_room(len(audio))
            used = self.end - self._offset
        self._buffer[used : used + len(audio)] = audio
        self.end += len(audio)

    def view(self, start: int, end: int) -> NDArray[np.float32]:
        """Give ``[start, end)`` in place; it must lie on the tape."""
        assert self.begin <= start <= end <= self.end
        return self._buffer[start - self._offset : end - self._offset]

    def drop(self, before: int) -> None:
        """Let go of what lies before, and overwrite it: it may hold tones."""
        before = min(max(before, self.begin), self.end)
        self._buffer[self.begin - self._offset : before - self._offset] = 0.0
        self.begin = before

    def _make_room(self, n_samples: int) -> None:
        kept = self._buffer[self.begin - self._offset : self.end - self._offset].copy()
        needed = len(kept) + n_samples
        if 2 * needed > len(self._buffer):
            self._buffer[:] = 0.0
            self._buffer = np.zeros(4 * needed, np.float32)
        self._buffer[: len(kept)] = kept
        self._buffer[len(kept) :] = 0.0
        self._offset = self.begin
