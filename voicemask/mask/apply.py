"""One masker for every sink: audio in, patches out, and how far it is safe to go.

Whatever feeds a `Masker` (a file, a capture, a live call) keeps its own bytes and replaces only
what a patch covers; what lies at or after `final_until` may not leave yet. So a sample that policy
does not touch cannot change, and one that was not examined cannot pass.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.resample import StreamResampler
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.detector import Decoder, Tone, at_rate
from voicemask.dtmf.goertzel import RATE_HZ
from voicemask.dtmf.profile import load_profile
from voicemask.mask.background import HISTORY_BLOCKS, Background
from voicemask.mask.fill import filled
from voicemask.mask.finder import SpanFinder, Stretch
from voicemask.mask.span import Reason, Span
from voicemask.mask.suppress import Suppressor

F32 = NDArray[np.float32]

_FADE_MS: Final = 4.0
"""Cross-fade at either edge of a fill, inside the guard: no click, and no tone in it."""
_JOIN_MS: Final = 30.0
"""Fills nearer than this become one: a scrap of speech between two keys is worth nothing."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Replace samples ``[start, start + len(audio))`` of a channel; full scale = +-1.0."""

    channel: int
    start: int
    audio: F32


@dataclass(frozen=True, slots=True)
class Masked:
    """What one call of a `Masker` settled.

    Parameters
    ----------
    final_until : samples below this may leave, patched where a patch covers them.
    patches : ordered by channel, then start; never overlapping within a channel.
    spans : masked spans that ended, in samples of the stream.
    tones : key presses decoded, in samples of the stream.
    """

    final_until: int
    patches: tuple[Patch, ...]
    spans: tuple[Span, ...]
    tones: tuple[Tone, ...]


@dataclass(slots=True)
class _Open:
    """A fill that may still grow; `filled_until` is how much of it has been given out."""

    start: int
    end: int
    reason: Reason
    level_dbfs: float | None
    noise_dbfs: float
    filled_until: int
    fades_in: bool = True
    fades_out: bool = True
    is_left_out: bool = False


class Masker:
    """Masks the channels of one stream by one policy.

    Parameters
    ----------
    n_channels : channels fed together.
    rate_hz : sample rate, 8000 Hz or more.
    policy : what the sink may hear.
    fill : what stands in for a masked stretch.
    profile : name or path of the detector profile for masking.

    Raises
    ------
    ProfileError
        The profile does not load.
    CodecError
        The rate is below 8000 Hz.
    """

    def __init__(
        self,
        n_channels: int,
        rate_hz: int = RATE_HZ,
        policy: Policy = Policy.GUARD,
        fill: Fill = Fill.NOISE,
        profile: str = "mask",
    ) -> None:
        receiver = load_profile(profile).receiver
        self._n_channels, self._rate_hz = n_channels, rate_hz
        self._policy, self._fill = policy, fill
        self._resampler = StreamResampler(n_channels, rate_hz, RATE_HZ)
        self._finder = SpanFinder(n_channels, receiver, HISTORY_BLOCKS)
        self._background = Background(n_channels, self._finder.bursts.bank)
        self._decoder = Decoder(load_profile("decode").receiver)
        self._suppressor = Suppressor(n_channels, rate_hz) if policy is Policy.CAPTURE else None
        self._fade = round(_FADE_MS * rate_hz / 1000)
        self._join = round(_JOIN_MS * rate_hz / 1000)
        self._n_in = 0
        self._final = 0
        # audio that policy would pass, from `_final` on
        self._held = np.zeros((n_channels, 0), np.float32)
        self._wanted: list[list[_Open]] = [[] for _ in range(n_channels)]
        self._open: list[deque[_Open]] = [deque() for _ in range(n_channels)]

    def push(self, audio: F32) -> Masked:
        """Feed (n_channels, n) samples, full scale +-1.0; any n, also 0."""
        self._n_in += audio.shape[1]
        stretches, bursts = self._finder.push(_float32(self._resampler.push(audio)))
        tones = self._decoder.push(bursts, self._finder.bursts.n_known)
        self._hold(self._suppressor.push(audio) if self._suppressor else audio)
        self._want(stretches)
        # the suppressor lags too, but far less than the finder
        reach = self._finder.final_until * self._rate_hz // RATE_HZ
        return self._settle(max(self._final, min(reach, self._n_in)), tones)

    def flush(self) -> Masked:
        """End of the stream: settle everything."""
        stretches, bursts = self._finder.push(_float32(self._resampler.flush()))
        tones = self._decoder.push(bursts, self._finder.bursts.n_known)
        self._want(stretches)
        stretches, bursts = self._finder.flush()
        tones += self._decoder.push(bursts, self._finder.bursts.n_known) + self._decoder.flush()
        if self._suppressor:
            self._hold(self._suppressor.flush())
        self._want(stretches)
        return self._settle(self._n_in, tones, is_last=True)

    def mark(self, channel: int, start: int, end: int, reason: Reason) -> None:
        """Fill ``[start, end)`` too: an event, a digit by SIP INFO, audio that did not decode.

        Raises
        ------
        ValueError
            The stretch starts before `final_until`: that part has left already.
        """
        if start < self._final:
            raise ValueError(f"a mark at sample {start} comes after {self._final} was final")
        self._add(channel, start, end, reason, None)

    def _hold(self, audio: F32) -> None:
        self._held = np.concatenate([self._held, audio], axis=1)

    def _want(self, stretches: list[Stretch]) -> None:
        for stretch in stretches:
            self._add(
                stretch.channel,
                stretch.start * self._rate_hz // RATE_HZ,
                -(-stretch.end * self._rate_hz // RATE_HZ),
                Reason.TONE,
                float(round(stretch.level_dbfs)),
            )

    def _add(
        self, channel: int, start: int, end: int, reason: Reason, level_dbfs: float | None
    ) -> None:
        if self._policy in (Policy.OPEN, Policy.MUTE):
            return  # nothing is filled, or everything is
        self._wanted[channel].append(_Open(start, end, reason, level_dbfs, 0.0, start))

    def _settle(self, reach: int, tones: list[Tone], *, is_last: bool = False) -> Masked:
        """Give out what lies before `reach`, as far as open fills allow."""
        if self._policy is Policy.OPEN:
            reach = self._n_in
        patches: list[Patch] = []
        spans: list[Span] = []
        final = reach
        for channel in range(self._n_channels):
            if self._policy is Policy.MUTE:
                final = self._n_in
                self._mute(channel, patches)
            elif self._policy is not Policy.OPEN:
                final = min(final, self._join_wanted(channel, reach, is_last=is_last))
        if self._policy in (Policy.GUARD, Policy.CAPTURE):
            for channel in range(self._n_channels):
                self._give(channel, final, patches, spans, is_last=is_last)
        elif self._policy is Policy.MUTE and is_last and self._n_in:
            spans = [
                Span(channel, 0, self._n_in, Reason.MUTE, None)
                for channel in range(self._n_channels)
            ]
        self._held = self._held[:, final - self._final :]
        self._final = final
        return Masked(final, tuple(patches), tuple(spans), tuple(at_rate(tones, self._rate_hz)))

    def _mute(self, channel: int, patches: list[Patch]) -> None:
        if self._n_in > self._final:
            level = self._background.level_dbfs(channel, 0)
            audio = self._filled(channel, self._final, self._n_in, level)
            patches.append(Patch(channel, self._final, audio))

    def _join_wanted(self, channel: int, reach: int, *, is_last: bool) -> int:
        """Turn wanted stretches that start before `reach` into fills; give what is final then."""
        wanted = sorted(self._wanted[channel], key=lambda w: (w.start, w.end))
        due = [w for w in wanted if w.start < reach or is_last]
        self._wanted[channel] = [w for w in wanted if not (w.start < reach or is_last)]
        fills = self._open[channel]
        for want in due:
            start, whole_end, level = max(want.start, self._final), want.end, want.level_dbfs
            # another channel may hold back a fill that a late mark starts before: one fill of both
            while fills and fills[-1].start > start:
                later = fills.pop()
                whole_end, level = max(whole_end, later.end), _louder(level, later.level_dbfs)
            end = min(whole_end, self._n_in) if is_last else whole_end
            last = fills[-1] if fills else None
            # what is cut off by an end of the stream may be a tone right up to there
            fades_in = start > 0 and start == want.start
            fades_out = end == whole_end
            if end <= start:
                continue
            if last is not None and start <= last.end + self._join:
                last.fades_out = fades_out if end >= last.end else last.fades_out
                last.end = max(last.end, end)
                last.level_dbfs = _louder(last.level_dbfs, level)
                continue
            # the level before this fill must not hold the one before it, whose end is known now
            if last is not None:
                self._leave_out(channel, last)
            noise = self._background.level_dbfs(channel, start * RATE_HZ // self._rate_hz)
            fills.append(_Open(start, end, want.reason, level, noise, start, fades_in, fades_out))
        if fills and is_last and fills[-1].end > self._n_in:
            fills[-1].end, fills[-1].fades_out = self._n_in, False
        if not fills or is_last:
            return reach
        last = fills[-1]
        # until the next stretch is known to start later than this, the fill may go on
        if last.end + self._join < reach:
            return reach
        return min(reach, max(last.start, last.filled_until, last.end - self._fade))

    def _give(
        self,
        channel: int,
        final: int,
        patches: list[Patch],
        spans: list[Span],
        *,
        is_last: bool,
    ) -> None:
        """Give the patches below `final`, and the spans that ended."""
        fills = self._open[channel]
        position = self._final
        for fill in fills:
            begin, end = max(fill.filled_until, self._final), min(fill.end, final)
            if end <= begin:
                continue
            if self._policy is Policy.CAPTURE and begin > position:
                patches.append(Patch(channel, position, self._kept(channel, position, begin)))
            patches.append(Patch(channel, begin, self._rendered(channel, fill, begin, end)))
            fill.filled_until = position = end
        if self._policy is Policy.CAPTURE and final > position:
            patches.append(Patch(channel, position, self._kept(channel, position, final)))
        while fills and (is_last or fills[0].end + self._join < final):
            fill = fills.popleft()
            self._leave_out(channel, fill)
            spans.append(Span(channel, fill.start, fill.end, fill.reason, fill.level_dbfs))

    def _leave_out(self, channel: int, fill: _Open) -> None:
        """Tell the background once what was masked."""
        if not fill.is_left_out:
            fill.is_left_out = True
            start = fill.start * RATE_HZ // self._rate_hz
            self._background.leave_out(channel, start, -(-fill.end * RATE_HZ // self._rate_hz))

    def _kept(self, channel: int, begin: int, end: int) -> F32:
        return self._held[channel, begin - self._final : end - self._final].copy()

    def _rendered(self, channel: int, fill: _Open, begin: int, end: int) -> F32:
        """Samples ``[begin, end)`` of a fill, faded against what policy would pass there."""
        audio = self._filled(channel, begin, end, fill.noise_dbfs)
        place = np.arange(begin, end)
        nearest = np.full(len(place), self._fade)
        if fill.fades_in:
            nearest = np.minimum(nearest, place - fill.start)
        if fill.fades_out:
            nearest = np.minimum(nearest, fill.end - 1 - place)
        fading = np.flatnonzero(nearest < self._fade)
        if len(fading):
            weight = ((nearest[fading] + 1) / (self._fade + 1)).astype(np.float32)
            kept = self._held[channel, begin - self._final : end - self._final][fading]
            audio[fading] = weight * audio[fading] + (1 - weight) * kept
        return audio

    def _filled(self, channel: int, begin: int, end: int, level_dbfs: float) -> F32:
        return filled(
            self._fill,
            channel=channel,
            start=begin,
            end=end,
            rate_hz=self._rate_hz,
            level_dbfs=level_dbfs,
        )


def _louder(first: float | None, second: float | None) -> float | None:
    levels = [level for level in (first, second) if level is not None]
    return max(levels, default=None)


def _float32(audio: F32 | NDArray[np.int16]) -> F32:
    return audio.astype(np.float32, copy=False)
