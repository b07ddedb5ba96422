"""A window of audio of several channels, from one place of the stream on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Window:
    """Audio of shape (n_channels, n) from sample `begin` on.

    Parameters
    ----------
    n_channels : channels.
    begin : place of its first sample.
    """

    def __init__(self, n_channels: int, begin: int = 0) -> None:
        self._audio: F32 = np.zeros((n_channels, 0), np.float32)
        self._begin = begin

    def add(self, audio: F32) -> None:
        """Go on with (n_channels, n) samples."""
        self._audio = np.concatenate([self._audio, audio], axis=1)

    def drop(self, before: int) -> None:
        """Let go of what lies before a place."""
        n_gone = min(max(0, before - self._begin), self._audio.shape[1])
        self._audio = self._audio[:, n_gone:]
        self._begin += n_gone

    def view(self, begin: int, end: int) -> F32:
        """Give ``[begin, end)`` of all channels in place."""
        assert self._begin <= begin
        return self._audio[:, begin - self._begin : end - self._begin]

    def copy(self, channel: int, begin: int, end: int) -> F32:
        """Give ``[begin, end)`` of one channel as audio of its own."""
        audio: F32 = self.view(begin, end)[channel].copy()
        return audio
