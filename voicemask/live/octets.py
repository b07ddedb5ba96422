"""G.711 octets of a stream, as a window that grows at one end: what `Tape` is for samples."""

from __future__ import annotations

from typing import Final

_KEPT: Final = 4096
"""Octets that may lie before the window until they are let go together."""


class Octets:
    """Octets ``[begin, end)``, one a sample.

    Parameters
    ----------
    begin : position of the first.
    """

    __slots__ = ("_buffer", "_offset", "begin", "end")

    def __init__(self, begin: int = 0) -> None:
        self._buffer = bytearray()
        self._offset = begin
        self.begin = begin
        self.end = begin

    def append(self, octets: bytes) -> None:
        """Add octets at the end."""
        self._buffer += octets
        self.end += len(octets)

    def view(self, start: int, end: int) -> bytes:
        """Give ``[start, end)``; it must lie in the window."""
        offset = self._offset
        return bytes(self._buffer[start - offset : end - offset])

    def take(self, n_octets: int) -> bytearray:
        """Give the oldest octets, which must be there, and let go of them."""
        at = self.begin - self._offset
        octets = self._buffer[at : at + n_octets]
        if at > _KEPT:
            self.drop(self.begin + n_octets)
        else:
            self.begin += n_octets
        return octets

    def drop(self, before: int) -> None:
        """Let go of what lies before, and overwrite it: it may hold tones."""
        if before <= self.begin:
            return
        before = min(before, self.end)
        self.begin = before
        n_gone = before - self._offset
        if n_gone > _KEPT:
            self._buffer[:n_gone] = bytes(n_gone)
            del self._buffer[:n_gone]
            self._offset = before

    def skip_to(self, position: int) -> None:
        """Go on at a later position; what lay before is let go."""
        self._buffer[:] = bytes(len(self._buffer))
        self._buffer.clear()
        self._offset = self.begin = self.end = position
