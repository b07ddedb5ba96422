"""One direction of a call: packets in any legal order in, masked packets in order out.

reorder -> place on stream time -> decode -> section (detect, mask, hold) -> packets, audio

Events and undecodable payloads never pass while policy masks: the samples around them are marked,
and fill in the leg's own codec takes their place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from voicemask.audio.codecs import Codec, make_codec
from voicemask.call.section import Held, Section
from voicemask.call.values import Arrival, LegPlan, Means, Output, Sent, Verdict
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.dtmf.arbiter import Arbiter
from voicemask.dtmf.detector import Tone
from voicemask.errors import CodecError, PacketError
from voicemask.mask.apply import Masker
from voicemask.mask.policies import PolicyLine, stricter
from voicemask.mask.span import Reason
from voicemask.rtp.event import EventTracker, TrackedEvent, parse_event
from voicemask.rtp.packet import RtpPacket
from voicemask.rtp.reorder import Ordered, ReorderBuffer, Reordered
from voicemask.rtp.sdp import PayloadType
from voicemask.rtp.timeline import Timeline

EVENT_GUARD_MS: Final = 60
"""Filled either side of an event: its timestamp trails the onset by 20-60 ms (docs/detector.md)."""
LOST_END_MS: Final = 200
"""Filled after an event whose end packets were lost."""
INFO_BEFORE_MS: Final = 300
INFO_AFTER_MS: Final = 100
"""Filled around a SIP INFO besides the duration it tells."""
MAX_INFO_MS: Final = 1000
_MAX_BACK_MS: Final = 500
_EVENT_DRIFT_MS: Final = 2000
_NS: Final = 1_000_000_000
_SETTLED_MS: Final = 1000
"""Tones are told this long after their samples are final, at the latest."""
_FALLBACK: Final = PayloadType(0, "PCMU", 8000)
_COMFORT_NOISE: Final = "CN"

_N_STREAMS: Final = 8
_N_CODECS: Final = 16
"""Streams and decoders remembered at one time; a call has one or two."""

_Tag = tuple[int, int, bytes]


@dataclass(slots=True)
class _Stream:
    """State of one SSRC: where its timestamps lie, and its events."""

    timeline: Timeline
    tracker: EventTracker


class Leg:
    """One direction of a call.

    Parameters
    ----------
    plan : who speaks, what the payload types mean, whether it is masked.
    means : how the call is masked.
    """

    def __init__(self, plan: LegPlan, means: Means) -> None:
        self._plan = plan
        self._means = means
        self._policy = means.policy
        # in nanoseconds of stream time: what a section to come begins with
        self._line = PolicyLine(self._effective)
        self._reorder: ReorderBuffer[_Tag] = ReorderBuffer(means.depth)
        self._run: tuple[int, int] | None = None
        self._streams: dict[int, _Stream] = {}
        self._codecs: dict[tuple[int, int], Codec | None] = {}
        self._codec: Codec | None = None
        self._payload_type = 0
        self._packet_s = plan.ptime_ms / 1000
        self._section: Section | None = None
        self._came_ns = self._heard_ns = 0  # latest datagram, latest audio
        self._marked = 0
        self._settled = 0  # how far the arbiter was told to go
        self._ended = 0  # where the last section ended, in samples of the call
        self._arbiter = Arbiter(plan.channel, means.rate_hz)

    def push(self, arrival: Arrival, out: Output) -> None:
        """Take one datagram."""
        self._came_ns = max(self._came_ns, arrival.at_ns)
        try:
            packet = RtpPacket.parse(arrival.data)
        except PacketError:
            out.sent.append(self._unexamined(arrival.index, arrival.data))
            return
        tag = (arrival.index, arrival.at_ns, arrival.data)
        self._take_all(self._reorder.push(packet, tag), out)
        self._advance(out)

    def info(self, at_ns: int, digit: Digit, duration_ms: int) -> None:
        """Take a SIP INFO digit that came at `at_ns`."""
        self._arbiter.info(at_ns * self._means.rate_hz // 1_000_000_000, digit)
        if self._section is not None:
            rate_hz = self._section.rate_hz
            at = at_ns * rate_hz // 1_000_000_000
            before = (INFO_BEFORE_MS + min(duration_ms, MAX_INFO_MS)) * rate_hz // 1000
            after = INFO_AFTER_MS * rate_hz // 1000
            self._mark(self._section, at - before, at + after, Reason.INFO)

    def set_policy(self, policy: Policy, at_ns: int) -> None:
        """Set what the sinks may hear from `at_ns` on.

        A stricter policy holds for all audio that comes from here on, whenever it was stamped; a
        milder one for none that came before.
        """
        self._policy = policy
        self._change(at_ns)

    def set_plan(self, plan: LegPlan) -> None:
        """Take what a new offer and answer say; numbers they no longer name keep their meaning."""
        old, self._plan = self._plan, plan
        if plan.payload_types is not old.payload_types:
            types = {**plan.payload_types}
            types.update((n, kind) for n, kind in old.payload_types.items() if n not in types)
            self._plan = replace(plan, payload_types=types)
        if plan.encrypted != old.encrypted:
            self._codecs.clear()
        self._codecs = {
            key: codec
            for key, codec in self._codecs.items()
            if self._plan.payload_types.get(key[1]) == old.payload_types.get(key[1])
        }
        if plan.masked != old.masked:
            self._change(0 if plan.masked else self._ns(self._end))

    def idle(self, until_ns: int) -> Output:
        """Let the time line go on to `until_ns`, unless packets came since: silence."""
        out = Output()
        if until_ns > self._came_ns:
            self._take_all(self._reorder.release(), out)
        if until_ns <= max(self._heard_ns, self._ns(self._end)):
            return out
        if self._section is None:
            self._ended = until_ns * self._means.rate_hz // _NS
        else:
            self._hear(self._section.leave_gap(until_ns * self._section.rate_hz // _NS, out))
        self._advance(out)
        return out

    @property
    def settled(self) -> int:
        """Where the audio that can still change begins, in samples of the call's rate."""
        return self._ended if self._section is None else self._section.scaled(self._section.final)

    @property
    def _effective(self) -> Policy:
        return self._policy if self._plan.masked else Policy.OPEN

    @property
    def _end(self) -> tuple[int, int]:
        """Where the audio placed so far ends, and the rate it is counted in."""
        if self._section is None:
            return self._ended, self._means.rate_hz
        return self._section.end, self._section.rate_hz

    def _ns(self, place: tuple[int, int]) -> int:
        """Give nanoseconds of stream time, not before the place."""
        position, rate_hz = place
        return -(-position * _NS // rate_hz)

    def _change(self, at_ns: int) -> None:
        """Make the policy the one in force."""
        policy, end_ns = self._effective, self._ns(self._end)
        if stricter(policy, self._line.latest) is policy:
            at_ns = min(at_ns, end_ns)
        else:
            waiting_ns = round(self._reorder.n_waiting * self._packet_s * _NS)
            at_ns = max(at_ns, end_ns + waiting_ns)
        section = self._section
        final = self._ended if section is None else section.final
        rate_hz = self._means.rate_hz if section is None else section.rate_hz
        self._line.change(policy, at_ns, self._ns((final, rate_hz)))
        self._line.forget(end_ns - 60 * _NS)
        if section is None:
            return
        if not section.is_examined and self._plan.masked:
            section.use(self._make_masker(rate_hz, Policy.OPEN))
        section.set_policy(policy, at_ns * rate_hz // _NS)

    def _make_masker(self, rate_hz: int, policy: Policy) -> Masker:
        means = self._means
        return Masker(1, rate_hz=rate_hz, policy=policy, fill=means.fill, lag_ms=means.lag_ms)

    def flush(self) -> Output:
        """End of the direction: everything held comes out."""
        out = Output()
        self._take_all(self._reorder.flush(), out)
        self._close_section(out)
        out.presses += self._arbiter.flush()
        return out

    def _take_all(self, ordered: Reordered[_Tag], out: Output) -> None:
        for item in ordered.packets:
            self._take(item, out)
        for index, _, data in (*ordered.duplicates, *ordered.late):
            out.sent.append(self._unexamined(index, data))

    def _unexamined(self, index: int, data: bytes) -> Sent:
        section = self._section
        if (self._line.latest is Policy.OPEN) if section is None else section.passes_all:
            return Sent(self._plan.channel, index, Verdict.PASSED, data)
        return Sent(self._plan.channel, index, Verdict.DROPPED, None)

    def _take(self, item: Ordered[_Tag], out: Output) -> None:
        self._follow_run(item)
        payload_type = self._plan.payload_types.get(item.packet.payload_type)
        if payload_type is not None and payload_type.is_event:
            self._take_event(item, payload_type, out)
        elif payload_type is not None and payload_type.encoding == _COMFORT_NOISE:
            self._take_comfort_noise(item, out)
        else:
            self._take_audio(item, payload_type, out)

    def _follow_run(self, item: Ordered[_Tag]) -> None:
        """Begin a stream anew when its sequence restarted; another SSRC has its own."""
        ssrc = item.packet.ssrc
        if self._run is not None and self._run[0] != item.run and self._run[1] == ssrc:
            self._drop_stream(ssrc)
            self._codecs = {key: codec for key, codec in self._codecs.items() if key[0] != ssrc}
        self._run = (item.run, ssrc)

    def _take_audio(
        self, item: Ordered[_Tag], payload_type: PayloadType | None, out: Output
    ) -> None:
        codec = self._codec_of(payload_type, item.packet.ssrc) if payload_type else None
        if codec is None:
            self._take_undecodable(item, out)
            return
        self._use(codec, item.packet.payload_type, out)
        try:
            audio = codec.decode(item.packet.payload)
        except CodecError:
            self._take_undecodable(item, out)
            return
        section = self._open_section(out)
        start = self._place(item, section)
        if start is None:
            out.sent.append(self._unexamined(item.tag[0], item.tag[2]))
            return
        self._packet_s = len(audio) / codec.rate_hz
        self._heard_ns = max(self._heard_ns, item.tag[1])
        section.hold(self._held(item, start, start + len(audio), examined=True))
        self._hear(section.place(start, audio, out))

    def _take_undecodable(self, item: Ordered[_Tag], out: Output) -> None:
        """Fill in place of a packet, as long as the one before it."""
        section = self._open_section(out)
        start = self._place(item, section)
        if start is None:
            out.sent.append(self._unexamined(item.tag[0], item.tag[2]))
            return
        end = start + round(self._packet_s * section.rate_hz)
        self._heard_ns = max(self._heard_ns, item.tag[1])
        self._mark(section, start, end, Reason.UNDECODABLE)
        section.hold(self._held(item, start, end, examined=False))
        self._hear(section.leave_gap(end, out))

    def _take_comfort_noise(self, item: Ordered[_Tag], out: Output) -> None:
        """RFC 3389 tells the level of a silence and no tone; only `mute` stops it."""
        section = self._open_section(out)
        start = self._place(item, section)
        if start is None:
            out.sent.append(self._unexamined(item.tag[0], item.tag[2]))
            return
        # No samples of its own, so no patch meets it: it leaves with the audio before it.
        section.hold(self._held(item, start, start, examined=True))

    def _take_event(self, item: Ordered[_Tag], payload_type: PayloadType, out: Output) -> None:
        section = self._open_section(out)
        try:
            reports = parse_event(item.packet.payload)
        except PacketError:
            self._take_undecodable(item, out)
            return
        stream = self._stream(item.packet.ssrc)
        ticks, start = self._event_start(item, section, stream)
        longest = max(report.duration for report in reports)
        end = start + longest * section.rate_hz // payload_type.clock_hz
        drift = _EVENT_DRIFT_MS * section.rate_hz // 1000
        if not -drift <= section.end - end <= drift:
            # Not in the timestamp space of the audio: it is about now.
            start, end = section.end - (end - start), section.end
        self._mark_event(section, start, end, EVENT_GUARD_MS)
        for report in reports:
            self._told(stream, stream.tracker.push(ticks, report))
        n_samples = round(self._packet_s * section.rate_hz)
        slot = max(start, end - n_samples)
        section.hold(self._held(item, slot, slot + n_samples, examined=False))

    def _event_start(
        self, item: Ordered[_Tag], section: Section, stream: _Stream
    ) -> tuple[int, int]:
        timestamp, timeline = item.packet.timestamp, stream.timeline
        if not timeline.pinned:
            timeline.pin(timestamp, max(self._arrival(item, section), section.end))
        ticks = timeline.ticks(timestamp)
        return ticks, timeline.position(ticks)

    def _mark_event(self, section: Section, start: int, end: int, after_ms: int) -> None:
        """Mark around an event; an update of it goes on where the last mark stopped."""
        start -= EVENT_GUARD_MS * section.rate_hz // 1000
        end += after_ms * section.rate_hz // 1000
        if start <= self._marked < end:
            start = self._marked
        elif end <= self._marked:
            return
        self._marked = end
        self._mark(section, start, end, Reason.EVENT)

    def _mark(self, section: Section, start: int, end: int, reason: Reason) -> None:
        section.mark(start, end, reason)

    def _told(self, stream: _Stream, events: list[TrackedEvent]) -> None:
        """Give finished events to the arbiter."""
        section = self._section
        if section is None:
            return
        for event in events:
            start, end = map(stream.timeline.position, (event.start, event.end))
            if not event.end_told:
                self._mark_event(section, start, end, EVENT_GUARD_MS + LOST_END_MS)
            if event.digit is not None:
                self._arbiter.event(section.scaled(start), section.scaled(end), event.digit)

    def _place(self, item: Ordered[_Tag], section: Section) -> int | None:
        """Give the position of a packet's audio; None when its time has gone by."""
        stream, timestamp = self._stream(item.packet.ssrc), item.packet.timestamp
        start = stream.timeline.place(timestamp, self._arrival(item, section), section.end)
        over = stream.tracker.advance(stream.timeline.ticks(timestamp))
        if over:
            self._told(stream, over)
        if start < section.end - _MAX_BACK_MS * section.rate_hz // 1000:
            return None
        return max(start, section.end)

    def _stream(self, ssrc: int) -> _Stream:
        """Give the state of an SSRC; the section must be open."""
        stream = self._streams.get(ssrc)
        if stream is None:
            if len(self._streams) >= _N_STREAMS:
                self._drop_stream(next(iter(self._streams)))
            assert self._section is not None
            clock_hz = self._codec.clock_hz if self._codec else _FALLBACK.clock_hz
            timeline = Timeline(clock_hz, self._section.rate_hz)
            stream = self._streams[ssrc] = _Stream(timeline, EventTracker(clock_hz))
        return stream

    def _drop_stream(self, ssrc: int) -> None:
        stream = self._streams.pop(ssrc, None)
        if stream is not None:
            self._told(stream, stream.tracker.flush())

    def _arrival(self, item: Ordered[_Tag], section: Section) -> int:
        return item.tag[1] * section.rate_hz // 1_000_000_000

    def _held(self, item: Ordered[_Tag], start: int, end: int, examined: bool) -> Held:
        return Held(
            packet=item.packet,
            index=item.tag[0],
            data=item.tag[2],
            start=start,
            end=end,
            codec=self._codec,
            payload_type=self._payload_type,
            examined=examined,
        )

    def _codec_of(self, payload_type: PayloadType, ssrc: int) -> Codec | None:
        """Give the decoder of a payload type in a stream; it keeps that stream's state."""
        if self._plan.encrypted:
            return None
        key = (ssrc, payload_type.number)
        if key not in self._codecs:
            if len(self._codecs) >= _N_CODECS:
                del self._codecs[next(iter(self._codecs))]
            try:
                self._codecs[key] = make_codec(payload_type)
            except CodecError:
                self._codecs[key] = None
        return self._codecs[key]

    def _use(self, codec: Codec, payload_type: int, out: Output) -> None:
        """Make `codec` the one that fill goes out in; another rate begins a new section."""
        self._codec, self._payload_type = codec, payload_type
        if self._section is not None and self._section.rate_hz != codec.rate_hz:
            self._close_section(out)

    def _open_section(self, out: Output) -> Section:
        if self._section is not None:
            return self._section
        if self._codec is None:
            self._use_preferred(out)
        rate_hz = self._codec.rate_hz if self._codec else _FALLBACK.clock_hz
        means, masker = self._means, None
        origin = -(-self._ended * rate_hz // means.rate_hz)
        runs = list(self._line.runs(*self._ns_to_come(origin, rate_hz)))
        if self._plan.masked:
            masker = self._make_masker(rate_hz, runs[0][2])
        self._section = Section(
            channel=self._plan.channel,
            origin=origin,
            rate_hz=rate_hz,
            masker=masker,
            hold_ms=means.hold_ms,
            block_ms=means.block_ms,
            call_rate_hz=means.rate_hz,
            marks_held=means.lag_ms is not None,
        )
        for begin_ns, _, policy in runs[1:]:
            self._section.set_policy(policy, begin_ns * rate_hz // _NS)
        self._marked = origin
        return self._section

    def _ns_to_come(self, origin: int, rate_hz: int) -> tuple[int, int]:
        """Give the stream time in which a section from `origin` on may meet a change of policy."""
        begin_ns = origin * _NS // rate_hz
        return begin_ns, max(begin_ns, self._line.latest_start) + 1

    def _use_preferred(self, out: Output) -> None:
        """Before the first audio packet: the first codec of the plan we have."""
        for payload_type in self._plan.payload_types.values():
            if payload_type.is_event or payload_type.encoding == _COMFORT_NOISE:
                continue
            codec = self._codec_of(payload_type, 0)
            if codec is not None:
                self._use(codec, payload_type.number, out)
                return

    def _close_section(self, out: Output) -> None:
        if self._section is None:
            return
        for ssrc in list(self._streams):
            self._drop_stream(ssrc)
        self._hear(self._section.flush(out))
        self._ended = self._section.scaled(self._section.end)
        self._section = None

    def _hear(self, tones: list[Tone]) -> None:
        section = self._section
        assert section is not None
        for tone in tones:
            start, end = section.origin + tone.start, section.origin + tone.end
            self._arbiter.tone(section.scaled(start), section.scaled(end), tone.digit)

    def _advance(self, out: Output) -> None:
        if self._section is not None:
            late = _SETTLED_MS * self._means.rate_hz // 1000
            settled = self._section.scaled(self._section.final) - late
            if settled > self._settled:
                self._settled = settled
                out.presses += self._arbiter.advance(settled)
