"""One call in the recorder: packets in, a recording written and masked packets back.

The call's masked master lags: detection may hold audio back for `LAG_MS`, the masker is fed in
steps of `BLOCK_MS`, and a packet may wait for `_REORDER_MS` for the one before it. The sum stays
below the three seconds that `kill -9` may cost, and what is known is appended to the file at once.

When the disk refuses, the call goes on: the recording is marked, `FAILED` is told, and now and then
it is tried again. Key presses the call decodes are dropped here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from voicemask.call import AGENT, CUSTOMER, Arrival, Call, LegPlan, Output, Sent
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.errors import RecordingError
from voicemask.mask.policies import stricter
from voicemask.mask.span import Reason
from voicemask.recording.keys import KeyRing
from voicemask.recording.layout import Stereo
from voicemask.recording.link import RecordingState, StartRecording
from voicemask.recording.metadata import CHANNELS, Opening, Summary
from voicemask.recording.mix import StereoMix
from voicemask.recording.writer import RecordingWriter

LAG_MS: Final = 2500
"""Detection decides on nearly all within 2.4 s; what would wait longer is masked."""
BLOCK_MS: Final = 250
IDLE_MS: Final = 200
"""Where no audio came for so long, the time line goes on without."""
_REORDER_MS: Final = 80
_STEP_PACKETS: Final = 8
"""Packets looked at together: 80 ms of a call whose two directions talk."""
_RETRY_NS: Final = 2_000_000_000
_NS: Final = 1_000_000_000
_WIDE: Final = frozenset({"G722", "OPUS"})
_NARROW_HZ: Final = 8000
_WIDE_HZ: Final = 16000


class RecordedCall:
    """A call under way.

    Parameters
    ----------
    start : what it is.
    folder : of all recordings.
    load_keys : gives the keys; asked when a recording begins.
    """

    def __init__(
        self, start: StartRecording, folder: Path, load_keys: Callable[[], KeyRing]
    ) -> None:
        self._start, self._folder, self._load_keys = start, folder, load_keys
        self.rate_hz = recording_rate_hz(start)
        ptime_ms = max((plan.ptime_ms for plan in start.legs), default=20)
        self._call = Call(
            start.legs,
            fill=start.fill,
            rate_hz=self.rate_hz,
            hold_ms=0,
            block_ms=BLOCK_MS,
            lag_ms=LAG_MS,
            depth=max(2, _REORDER_MS // ptime_ms),
        )
        self._channels = [plan.channel for plan in start.legs]
        for channel in self._channels:
            policy = start.policies.get(channel, Policy.GUARD)
            if policy is not Policy.GUARD:
                self._call.set_policy(channel, policy, 0)
        self._mix = StereoMix(self.rate_hz, self._channels)
        self._arrivals: list[Arrival] = []
        self._n_packets: dict[int, Counter[str]] = {c: Counter() for c in self._channels}
        self._now_ns = 0
        self._retry_ns = 0
        self._is_degraded = False
        self._is_told_failed = False
        self._writer: RecordingWriter | None = None
        self.sent: list[Sent] = []
        self.told: list[tuple[RecordingState, str]] = []
        if start.recording_id is not None:
            self._disk(self._open_file)

    @property
    def returns_packets(self) -> bool:
        """Whether masked packets are wanted back."""
        return self._start.returns_packets

    # -- what comes in

    def packet(self, channel: int, at_ns: int, data: bytes) -> None:
        """Take a datagram; it is looked at in the next `step`."""
        if channel in self._n_packets:
            self._arrivals.append(Arrival(channel, 0, at_ns, data))

    @property
    def is_due(self) -> bool:
        """Whether enough packets wait to be worth a step before the next tick."""
        return len(self._arrivals) >= _STEP_PACKETS

    def step(self) -> None:
        """Go on with the packets that came."""
        if not self._arrivals:
            return
        arrivals, self._arrivals = self._arrivals, []
        for channel in self._channels:
            n = sum(arrival.channel == channel for arrival in arrivals)
            self._n_packets[channel]["received"] += n
        self._now_ns = max(self._now_ns, arrivals[-1].at_ns)
        self._take(self._call.push(arrivals))

    def tick(self, clock_ns: int) -> None:
        """Let time go on, and try again what failed."""
        self._now_ns = max(self._now_ns, clock_ns - self._start.clock_ns)
        self._take(self._call.idle(self._now_ns - IDLE_MS * 1_000_000))
        self._advance_mix()
        failed = self._writer is None or self._writer.is_failed
        if self._start.recording_id is not None and failed and self._now_ns >= self._retry_ns:
            self._disk(self._retry)

    def set_policy(self, channel: int, policy: Policy, at_ns: int) -> None:
        """Set what may be heard of a channel."""
        if channel in self._n_packets:
            self._call.set_policy(channel, policy, at_ns)
            self._event("policy", at_ns, channel=CHANNELS[channel], policy=policy.value)

    def set_plan(self, channel: int, plan: LegPlan, at_ns: int) -> None:
        """Go on with another plan of a channel."""
        if channel in self._n_packets and plan.channel == channel:
            self._call.set_plan(channel, plan)
            masked = "masked" if plan.masked else "not masked"
            self._event("plan", at_ns, channel=CHANNELS[channel], leg=masked)

    def info(self, channel: int, at_ns: int, digit: Digit, duration_ms: int) -> None:
        """Mask around a SIP INFO digit."""
        if channel in self._n_packets:
            self._call.info(channel, at_ns, digit, duration_ms)

    def pause(self, reason: str, at_ns: int) -> None:
        """Leave audio out of the recording from `at_ns` on, 0 for now."""
        at = self._sample(at_ns or self._now_ns)
        self._note(lambda writer: writer.pause(reason, at))

    def resume(self, at_ns: int) -> None:
        """Record again from `at_ns` on, 0 for now."""
        at = self._sample(at_ns or self._now_ns)
        self._note(lambda writer: writer.resume(at))

    def lost(self, channel: int, n_packets: int, first_ns: int, last_ns: int) -> None:
        """Note that packets never came here."""
        if channel in self._n_packets:
            self._n_packets[channel]["lost"] += n_packets
        start, end = self._sample(first_ns), self._sample(last_ns) + 1
        self._note(lambda writer: writer.mark_lost(start, end))

    def finish(self, reason: str, *, is_degraded: bool = False) -> None:
        """End the call and its recording."""
        self.step()
        self._take(self._call.flush())
        self._advance_mix()
        self._write(*self._mix.finish())
        if self._start.recording_id is None:
            return
        summary = Summary(
            packets={CHANNELS[c]: dict(n) for c, n in self._n_packets.items()},
            is_degraded=is_degraded or self._is_degraded,
            reason=reason,
        )
        self._retry_ns = 0
        if self._writer is None:
            self._disk(self._retry)
        if self._writer is not None:
            try:
                self._writer.finish(summary)
            except RecordingError as error:
                self._failed(error)
                self._writer.close()
            self._writer = None
        self.told.append((RecordingState.ENDED, reason))

    def abandon(self) -> None:
        """Let go of the file as it is: after an error of ours nothing more is written."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # -- what goes out

    def _take(self, out: Output) -> None:
        """Write what is known, queue what goes back; presses are dropped."""
        for sent in out.sent:
            self._n_packets[sent.channel][sent.verdict.value] += 1
        if self._start.returns_packets:
            self.sent += out.sent
        self._is_degraded |= any(span.reason is Reason.UNDECODABLE for span in out.spans)
        if self._start.recording_id is None:
            return
        if out.audio:
            self._mix.take(out.audio)
            self._write(*self._mix.give())
        if out.spans:
            self._note(lambda writer: writer.spans(out.spans))

    def _advance_mix(self) -> None:
        """Let directions that never spoke go on in silence."""
        if self._start.recording_id is None:
            return
        for channel in self._channels:
            self._mix.advance(channel, self._call.settled(channel))
        self._write(*self._mix.give())

    def _write(self, start: int, audio: Stereo) -> None:
        """Append audio to the file at once: what is known is not kept waiting."""
        if len(audio):
            self._note(lambda writer: _append(writer, start, audio))

    def _open_file(self) -> None:
        """Begin the recording; late where the disk refused at first."""
        start = self._start
        assert start.recording_id is not None
        policy = stricter(*(start.policies.get(c, Policy.GUARD) for c in (CUSTOMER, AGENT)))
        opening = Opening(start.call_id, start.customer, start.agent, policy.value, start.extra)
        self._writer = RecordingWriter.create(
            self._folder,
            start.recording_id,
            self._load_keys(),
            started_at=start.started_at,
            rate_hz=self.rate_hz,
            opening=opening,
        )
        if self._mix.position:
            self._writer.mark_lost(0, self._mix.position, "disk")
        if not self._is_told_failed:
            self.told.append((RecordingState.STARTED, ""))

    def _retry(self) -> None:
        if self._writer is None:
            self._open_file()
        else:
            self._writer.retry()
        self._is_told_failed = False
        self.told.append((RecordingState.RESUMED, ""))

    def _note(self, action: Callable[[RecordingWriter], None]) -> None:
        writer = self._writer
        if writer is not None:
            self._disk(lambda: action(writer))

    def _disk(self, action: Callable[[], None]) -> None:
        """Do what may meet the disk; the call goes on whatever it says."""
        try:
            action()
        except RecordingError as error:
            self._failed(error)

    def _failed(self, error: RecordingError) -> None:
        self._retry_ns = self._now_ns + _RETRY_NS
        if not self._is_told_failed:
            self._is_told_failed = True
            self.told.append((RecordingState.FAILED, error.reason))

    def _event(self, name: str, at_ns: int, **details: str) -> None:
        at = self._sample(at_ns)
        self._note(lambda writer: writer.event(name, at, **details))

    def _sample(self, at_ns: int) -> int:
        return max(0, at_ns) * self.rate_hz // _NS


def _append(writer: RecordingWriter, start: int, audio: Stereo) -> None:
    writer.write(start, audio)
    writer.flush()


def recording_rate_hz(start: StartRecording) -> int:
    """Give the rate of a recording: that of a telephone, unless a direction may have more."""
    kinds = [kind for plan in start.legs for kind in plan.payload_types.values()]
    wide = any(
        kind.encoding.upper() in _WIDE or (kind.encoding == "L16" and kind.clock_hz > _NARROW_HZ)
        for kind in kinds
    )
    return _WIDE_HZ if wide else _NARROW_HZ
