"""One masker for every sink: audio in, patches out, and how far it is safe to go.

Whatever feeds a `Masker` (a file, a capture, a live call) keeps its own bytes and replaces only
what a patch covers; what lies at or after `final_until` may not leave yet. So a sample that policy
does not touch cannot change, and one that was not examined cannot pass.

Policy may change at any instant (`mask/policies.py` says what reaches back). Detection never
notices: it hears the raw audio all along, so a tone across a change is found whole. Suppression is
a function of the raw audio on a fixed grid, so it too is the same whenever it begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.resample import StreamResampler
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.detector import Decoder, Tone, at_rate
from voicemask.dtmf.goertzel import BLOCK, RATE_HZ
from voicemask.dtmf.profile import load_profile
from voicemask.mask.background import HISTORY_BLOCKS, Background
from voicemask.mask.fill import filled
from voicemask.mask.fills import FADE_MS, Fills, OpenFill
from voicemask.mask.finder import SpanFinder, Stretch
from voicemask.mask.policies import FILLING, PolicyLine, Run
from voicemask.mask.span import Reason, Span
from voicemask.mask.suppress import Suppressor, hop_samples
from voicemask.mask.window import Window

F32 = NDArray[np.float32]

_MASKING: Final = frozenset(Policy) - {Policy.OPEN}
_SUPPRESSING: Final = frozenset({Policy.CAPTURE})

_AHEAD_S: Final = 10
"""While nothing is filled, marks this far ahead are kept for the policy that may follow."""
_REMEMBERED_S: Final = 8
"""How long after its audio left a policy can still be asked for."""
_LEVEL_BEFORE_BLOCKS: Final = 4
"""What follows `open` is as loud as the background up to here: the resampler may lag."""


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


class Masker:
    """Masks the channels of one stream.

    Parameters
    ----------
    n_channels : channels fed together.
    rate_hz : sample rate, 8000 Hz or more.
    policy : what the sink may hear, until `set_policy` says otherwise.
    fill : what stands in for a masked stretch.
    profile : name or path of the detector profile for masking.
    lag_ms : how far `final_until` may stay behind; None: as far as detection asks. With less, a
        doubtful stretch that would have to wait longer is filled at once.

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
        *,
        lag_ms: int | None = None,
    ) -> None:
        receiver = load_profile(profile).receiver
        self._n_channels, self._rate_hz = n_channels, rate_hz
        self._line, self._fill = PolicyLine(policy), fill
        self._resampler = StreamResampler(n_channels, rate_hz, RATE_HZ)
        lag = None if lag_ms is None else lag_ms * RATE_HZ // 1000
        self._finder = SpanFinder(n_channels, receiver, HISTORY_BLOCKS, lag)
        bank = self._finder.bursts.bank
        self._background = Background(n_channels, bank)
        self._before_mute = Background(n_channels, bank)
        self._decoder = Decoder(load_profile("decode").receiver)
        self._fade = round(FADE_MS * rate_hz / 1000)
        self._n_in = 0
        self._final = 0
        self._raw = Window(n_channels)
        self._suppressor: Suppressor | None = None
        self._suppressed = Window(n_channels)
        self._fills = [
            Fills(channel, rate_hz, self._background, self._line) for channel in range(n_channels)
        ]
        self._mute_dbfs: dict[tuple[int, int], float] = {}  # by channel and where the mute began
        self._mute_told = 0
        self._follow_policy()

    @property
    def final_until(self) -> int:
        """Samples below this have left."""
        return self._final

    @property
    def policy(self) -> Policy:
        """The policy that was set last."""
        return self._line.latest

    @property
    def passes_all(self) -> bool:
        """Whether nothing that has not left is masked."""
        return not self._line.holds(_MASKING, self._final)

    def policy_at(self, sample: int) -> Policy:
        """Give the policy of a sample that has not left, or left not long ago."""
        return self._line.at(sample)

    def passes(self, start: int, end: int) -> bool:
        """Tell whether ``[start, end)`` is under `open` as a whole."""
        return self._line.only(Policy.OPEN, start, max(end, start + 1))

    def set_policy(self, policy: Policy, at: int | None = None) -> None:
        """Set what the sink may hear from sample `at` on; None: from the next one fed.

        What has not left is held to `capture` at once, and to whatever follows `open`; `mute`
        begins and ends at its instant. What has left cannot be taken back: `at` is then raised.
        """
        self._line.change(policy, self._n_in if at is None else at, self._final)
        self._follow_policy()

    def push(self, audio: F32) -> Masked:
        """Feed (n_channels, n) samples, full scale +-1.0; any n, also 0."""
        self._n_in += audio.shape[1]
        stretches, bursts = self._finder.push(_float32(self._resampler.push(audio)))
        tones = self._decoder.push(bursts, self._finder.bursts.n_known)
        self._raw.add(audio)
        if self._suppressor:
            self._suppressed.add(self._suppressor.push(audio))
        self._want(stretches)
        # the suppressor lags too, but far less than the finder
        reach = self._finder.final_until * self._rate_hz // RATE_HZ
        return self._settle(min(reach, self._n_in), tones)

    def flush(self) -> Masked:
        """End of the stream: settle everything."""
        stretches, bursts = self._finder.push(_float32(self._resampler.flush()))
        tones = self._decoder.push(bursts, self._finder.bursts.n_known)
        self._want(stretches)
        stretches, bursts = self._finder.flush()
        tones += self._decoder.push(bursts, self._finder.bursts.n_known) + self._decoder.flush()
        if self._suppressor:
            self._suppressed.add(self._suppressor.flush())
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
        self._fills[channel].want(start, end, reason, None)
        self._drop_unwanted()

    def _follow_policy(self) -> None:
        """Have suppressed audio of all that has not left, where a policy asks for it."""
        wants = self._line.holds(_SUPPRESSING, self._final)
        if wants and self._suppressor is None:
            # blocks lie on the grid of the stream, and the first needs the half before it
            hop = hop_samples(self._rate_hz)
            grid = self._final // hop * hop
            before = max(0, grid - hop)
            self._suppressor = Suppressor(self._n_channels, self._rate_hz)
            out = self._suppressor.push(self._raw.view(before, self._n_in))
            self._suppressed = Window(self._n_channels, before)
            self._suppressed.add(out)
            self._suppressed.drop(grid)
        elif not wants and self._suppressor is not None:
            self._suppressor = None
            self._suppressed = Window(self._n_channels)

    def _want(self, stretches: list[Stretch]) -> None:
        for stretch in stretches:
            start = stretch.start * self._rate_hz // RATE_HZ
            end = -(-stretch.end * self._rate_hz // RATE_HZ)
            level_dbfs = float(round(stretch.level_dbfs))
            self._fills[stretch.channel].want(start, end, Reason.TONE, level_dbfs)

    def _drop_unwanted(self) -> None:
        """While nothing is filled, keep no list of what might have been."""
        if self._line.holds(FILLING, self._final):
            return
        farthest = self._n_in + _AHEAD_S * self._rate_hz
        for fills in self._fills:
            fills.keep(self._final, farthest)

    def _settle(self, reach: int, tones: list[Tone], *, is_last: bool = False) -> Masked:
        """Give out what lies before `reach`, as far as open fills allow."""
        patches: list[Patch] = []
        spans: list[Span] = []
        bound = reach
        if self._line.holds(FILLING, self._final):
            for fills in self._fills:
                bound = min(bound, fills.join(reach, self._n_in, is_last=is_last))
        final = self._n_in if is_last else self._walk(bound)
        runs = list(self._line.runs(self._final, final))
        ended = self._n_in + self._rate_hz if is_last else min(bound, final)
        for channel, fills in enumerate(self._fills):
            for run in runs:
                self._give(channel, run, patches)
            spans += fills.told(final, ended)
        self._tell_mutes(final, spans, is_last=is_last)
        self._leave(final)
        return Masked(final, tuple(patches), tuple(spans), tuple(at_rate(tones, self._rate_hz)))

    def _walk(self, bound: int) -> int:
        """Give how far policy lets go: detection holds back only what it may fill."""
        final = self._final
        for begin, end, policy in self._line.runs(self._final, self._n_in):
            final = max(begin, min(end, bound)) if policy in FILLING else end
            if final < end:
                break
        return final

    def _leave(self, final: int) -> None:
        """Let go of what has left."""
        self._final = final
        # a suppressor that starts here needs the hop before
        hop = hop_samples(self._rate_hz)
        self._raw.drop((final // hop - 1) * hop)
        self._suppressed.drop(final)
        oldest = min([final, *(fills.open[0].start for fills in self._fills if fills.open)])
        self._line.forget(oldest - _REMEMBERED_S * self._rate_hz)
        self._follow_policy()
        self._drop_unwanted()

    def _give(self, channel: int, run: Run, patches: list[Patch]) -> None:
        """Give the patches of a run of one policy that is final."""
        begin, end, policy = run
        if policy is Policy.OPEN:
            return
        if policy is Policy.MUTE:
            patches.append(Patch(channel, begin, self._muted(channel, begin, end)))
            return
        window = self._suppressed if policy is Policy.CAPTURE else self._raw
        position = begin
        for fill in self._fills[channel].open:
            start, stop = max(fill.start, begin), min(fill.end, end)
            if stop <= start:
                continue
            if policy is Policy.CAPTURE and start > position:
                patches.append(Patch(channel, position, window.copy(channel, position, start)))
            kept = window.view(start, stop)[channel]
            patches.append(Patch(channel, start, self._rendered(channel, fill, start, kept)))
            position = stop
        if policy is Policy.CAPTURE and end > position:
            patches.append(Patch(channel, position, window.copy(channel, position, end)))

    def _tell_mutes(self, final: int, spans: list[Span], *, is_last: bool) -> None:
        """Tell the mutes that ended; each begins where the ones before were told to."""
        for begin, end, policy in self._line.runs(self._mute_told, final):
            goes_on = end == final and self._line.at(final) is Policy.MUTE
            if policy is Policy.MUTE and (is_last or not goes_on):
                spans += [
                    Span(channel, begin, end, Reason.MUTE, None)
                    for channel in range(self._n_channels)
                ]
            if policy is not Policy.MUTE or is_last or not goes_on:
                self._mute_told = end

    def _muted(self, channel: int, begin: int, end: int) -> F32:
        start = self._line.whole_run(begin)[0]
        key = (channel, start)
        if key not in self._mute_dbfs:
            while len(self._mute_dbfs) >= 2 * self._n_channels:
                del self._mute_dbfs[next(iter(self._mute_dbfs))]
            before = start * RATE_HZ // self._rate_hz - _LEVEL_BEFORE_BLOCKS * BLOCK
            self._mute_dbfs[key] = self._before_mute.level_dbfs(channel, max(0, before))
        return self._filled(channel, begin, end, self._mute_dbfs[key])

    def _rendered(self, channel: int, fill: OpenFill, begin: int, kept: F32) -> F32:
        """Samples of a fill from `begin` on, faded against `kept`, what policy would pass there."""
        end = begin + len(kept)
        audio = self._filled(channel, begin, end, fill.noise_dbfs)
        run_begin, run_end, _ = self._line.whole_run(begin)
        place = np.arange(begin, end)
        nearest = np.full(len(place), self._fade)
        # a fill that began or goes on under another policy has no edge here
        if fill.fades_in and fill.start >= run_begin:
            nearest = np.minimum(nearest, place - fill.start)
        if fill.fades_out and (run_end is None or fill.end <= run_end):
            nearest = np.minimum(nearest, fill.end - 1 - place)
        fading = np.flatnonzero(nearest < self._fade)
        if len(fading):
            weight = ((nearest[fading] + 1) / (self._fade + 1)).astype(np.float32)
            audio[fading] = weight * audio[fading] + (1 - weight) * kept[fading]
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


def _float32(audio: F32 | NDArray[np.int16]) -> F32:
    return audio.astype(np.float32, copy=False)
