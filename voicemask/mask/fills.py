"""The fills of one channel: what is wanted, joined to what may still grow, and told when over.

A stretch becomes a fill when nothing that starts before it can come any more; a fill is over when
nothing can join it. So fills depend on stretches and marks, not on when they were handed in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from voicemask.dtmf.goertzel import RATE_HZ
from voicemask.mask.background import Background
from voicemask.mask.policies import FILLING, PolicyLine
from voicemask.mask.span import Reason, Span

FADE_MS: Final = 4.0
"""Cross-fade at either edge of a fill, inside the guard: no click, and no tone in it."""
_JOIN_MS: Final = 30.0
"""Fills nearer than this become one: a scrap of speech between two keys is worth nothing."""


@dataclass(slots=True)
class OpenFill:
    """A fill that may still grow."""

    start: int
    end: int
    reason: Reason
    level_dbfs: float | None
    noise_dbfs: float = 0.0
    fades_in: bool = True
    fades_out: bool = True
    is_left_out: bool = False


class Fills:
    """Fills of one channel.

    Parameters
    ----------
    channel : index told in spans.
    rate_hz : of the samples places are counted in.
    background : asked for the level before a fill, told what is not background.
    line : which policy holds where.
    """

    def __init__(
        self, channel: int, rate_hz: int, background: Background, line: PolicyLine
    ) -> None:
        self._channel, self._rate_hz = channel, rate_hz
        self._background, self._line = background, line
        self._fade = round(FADE_MS * rate_hz / 1000)
        self._join = round(_JOIN_MS * rate_hz / 1000)
        self.wanted: list[OpenFill] = []
        self.open: deque[OpenFill] = deque()
        """In order and apart; the last one may still grow."""

    def want(self, start: int, end: int, reason: Reason, level_dbfs: float | None) -> None:
        """Have ``[start, end)`` filled."""
        self.wanted.append(OpenFill(start, end, reason, level_dbfs))

    def keep(self, after: int, farthest: int) -> None:
        """Forget what is wanted that ends before, or goes on beyond."""
        self.wanted = [w for w in self.wanted if after < w.end <= farthest]

    def join(self, reach: int, n_in: int, *, is_last: bool) -> int:
        """Turn wanted stretches that start before `reach` into fills; give what is final then."""
        wanted = sorted(self.wanted, key=lambda w: (w.start, w.end))
        due = [w for w in wanted if w.start < reach or is_last]
        self.wanted = [w for w in wanted if not (w.start < reach or is_last)]
        fills = self.open
        for want in due:
            start, whole_end, level = want.start, want.end, want.level_dbfs
            # another channel may hold back a fill that a late mark starts before: one fill of both
            while fills and fills[-1].start > start:
                later = fills.pop()
                whole_end, level = max(whole_end, later.end), _louder(level, later.level_dbfs)
            end = min(whole_end, n_in) if is_last else whole_end
            last = fills[-1] if fills else None
            # what is cut off by an end of the stream may be a tone right up to there
            fades_in, fades_out = start > 0, end == whole_end
            if end <= start:
                continue
            if last is not None and start <= last.end + self._join:
                last.fades_out = fades_out if end >= last.end else last.fades_out
                last.end = max(last.end, end)
                last.level_dbfs = _louder(last.level_dbfs, level)
                continue
            # the level before this fill must not hold the one before it, whose end is known now
            if last is not None:
                self._leave_out(last)
            noise = self._background.level_dbfs(self._channel, start * RATE_HZ // self._rate_hz)
            fills.append(OpenFill(start, end, want.reason, level, noise, fades_in, fades_out))
        if fills and is_last and fills[-1].end > n_in:
            fills[-1].end, fills[-1].fades_out = n_in, False
        if not fills or is_last:
            return reach
        last = fills[-1]
        # until the next stretch is known to start later than this, the fill may go on
        if last.end + self._join < reach:
            return reach
        return min(reach, max(last.start, last.end - self._fade))

    def told(self, final: int, ended: int) -> list[Span]:
        """Tell the fills that nothing can join any more, as far as policy gave them out."""
        spans: list[Span] = []
        fills = self.open
        while fills and (fills[0].end + self._join < ended or not self._line.holds(FILLING, final)):
            fill = fills.popleft()
            self._leave_out(fill)
            for start, end in self._line.filling(fill.start, fill.end):
                spans.append(Span(self._channel, start, end, fill.reason, fill.level_dbfs))
        return spans

    def _leave_out(self, fill: OpenFill) -> None:
        """Tell the background once what was masked."""
        if not fill.is_left_out:
            fill.is_left_out = True
            start = fill.start * RATE_HZ // self._rate_hz
            self._background.leave_out(
                self._channel, start, -(-fill.end * RATE_HZ // self._rate_hz)
            )


def _louder(first: float | None, second: float | None) -> float | None:
    levels = [level for level in (first, second) if level is not None]
    return max(levels, default=None)
