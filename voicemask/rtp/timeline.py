"""Places the RTP timestamps of one direction on the samples of its stream time.

Timestamps say where audio lies within one run of packets; only arrival says where a run begins.
So a run is pinned at the arrival of its first packet, and what follows goes by timestamp. A
timestamp that leaps without the arrivals leaping too (a sender that restarted its clock, a
transfer) pins the run anew, right after what was already placed.

References
----------
RFC 3550 section 5.1 (timestamp); RFC 7160 (clock changes within a stream).
"""

from __future__ import annotations

from typing import Final

from voicemask.rtp.event import unwrap

MAX_BACK_MS: Final = 500
MAX_AHEAD_MS: Final = 3000
MAX_DRIFT_MS: Final = 2000
"""A leap is believed when arrivals agree with it within this much."""
MAX_GAP_S: Final = 3600
"""Longest silence kept at its length: a capture whose clock was set must not fill the disk."""


class Timeline:
    """Maps timestamps to sample positions.

    Parameters
    ----------
    clock_hz : RTP clock.
    rate_hz : samples in a second of stream time.
    """

    def __init__(self, clock_hz: int, rate_hz: int) -> None:
        self._clock_hz = clock_hz
        self._rate_hz = rate_hz
        self._pin: tuple[int, int] | None = None
        self._last_ticks = 0
        self._back, self._ahead, self._drift = (
            ms * rate_hz // 1000 for ms in (MAX_BACK_MS, MAX_AHEAD_MS, MAX_DRIFT_MS)
        )

    def restart(self) -> None:
        """Begin a new run: the next packet is pinned by its arrival."""
        self._pin = None

    def ticks(self, timestamp: int) -> int:
        """Unwrap a timestamp near the last one placed."""
        return unwrap(timestamp, self._last_ticks)

    def position(self, ticks: int) -> int:
        """Give the sample position of unwrapped ticks; the run must be pinned."""
        assert self._pin is not None
        pinned_ticks, pinned_at = self._pin
        return pinned_at + (ticks - pinned_ticks) * self._rate_hz // self._clock_hz

    @property
    def pinned(self) -> bool:
        """Whether the run has a place yet."""
        return self._pin is not None

    def pin(self, timestamp: int, position: int) -> None:
        """Say that `timestamp` lies at `position`."""
        self._last_ticks = self.ticks(timestamp)
        self._pin = (self._last_ticks, position)

    def place(self, timestamp: int, arrival: int, end: int) -> int:
        """Place the next packet of the run.

        Parameters
        ----------
        timestamp : 32 bits, as in the packet.
        arrival : stream time it arrived at, samples.
        end : where the audio placed so far ends.

        Returns
        -------
        Its position in samples; may lie before `end` by up to `MAX_BACK_MS`.
        """
        if self._pin is None:
            position = min(max(arrival, end), end + MAX_GAP_S * self._rate_hz)
            self.pin(timestamp, position)
            return position
        ticks = self.ticks(timestamp)
        position = self.position(ticks)
        leap = position - end
        strays = leap > self._ahead and abs(position - arrival) > self._drift
        if leap < -self._back or strays:
            position = max(arrival, end)
            self._pin = (ticks, position)
        self._last_ticks = ticks
        longest = end + MAX_GAP_S * self._rate_hz
        if position > longest:
            position = longest
            self._pin = (ticks, position)
        return position
