"""What one party says, masked while someone listens: packets in, packets that may leave out.

Packets are put in order and laid on stream time; each is held until 10 ms of audio after it are
there, which is when the next one comes. Where samples are missing (a lost packet, a pause, the
ends of a source or of a codec), what stands beside them is fill. Events never pass; a fill takes
their place, and covers the audio around them as far back as is still held.

Nothing here decides what a tone is: `voicemask.mask.render` suppresses without asking, and
`voicemask.live.ears` tells where keys were heard.

Nearly all packets are the next one of an unbroken G.711 stream. For those a few slices make the
row; `_Steady` is all the state that takes, and whatever else comes goes back to the tape first.

Invariant: every byte that leaves was made by the renderer, or is comfort noise's level. Whatever
fails on the way is dropped.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio import g711
from voicemask.audio.codecs import MAX_PACKET_MS, to_int16
from voicemask.audio.g711 import Law
from voicemask.audio.resample import StreamResampler
from voicemask.audio.tape import Tape
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Method
from voicemask.dtmf.arbiter import KeyPress, PromptArbiter
from voicemask.errors import CodecError, PacketError
from voicemask.live.kinds import Kind
from voicemask.live.octets import Octets
from voicemask.live.values import (
    LONGEST_HOLD_MS,
    Like,
    LiveMeans,
    Ready,
    Slot,
    SteadyReady,
)
from voicemask.mask.render import lead_samples, row_samples
from voicemask.mask.suppress import hop_samples
from voicemask.rtp.event import EventReport, parse_event
from voicemask.rtp.packet import RtpPacket
from voicemask.rtp.sdp import PayloadType
from voicemask.rtp.timeline import Timeline

EVENT_GUARD_MS: Final = 60
"""Filled either side of an event: its timestamp trails the onset by 20-60 ms (docs/detector.md)."""
PATIENCE_MS: Final = 20
"""A packet that came before its turn waits so long for the ones before it."""
INFO_AFTER_MS: Final = 100
"""Filled from a SIP INFO on, besides what is held."""
FILL_HOLD_MS: Final = 400
"""Longest hold of the method `fill`, whose usual one is 220 ms: beyond it what the detector has not
come to is suppressed."""
_N_AHEAD: Final = 64
"""A packet further ahead of its turn than this begins the stream anew."""
_FAR_MS: Final = 2000
_FIXED: Final = struct.Struct("!HHII")
_VERSION: Final = 0x8000
_PLAIN: Final = 0x80
"""First octet of a packet without padding, extension and contributing sources."""
_LONGEST_GAP_MS: Final = 1000
"""A longer pause is not laid on the tape."""
HEARD_HZ: Final = 8000
_SILENCE: Final = {Law.MU: b"\xff", Law.A: b"\xd5"}


@dataclass(slots=True)
class _Held:
    """A packet waiting for the audio after it, and for its turn."""

    head: bytes
    payload: bytes
    tail: bytes
    start: int
    end: int
    due_s: float
    slot: Slot = Slot.RENDERED


@dataclass(slots=True)
class _Steady:
    """The one packet held of an unbroken stream, and the octets before it."""

    left: bytes
    head: bytes
    payload: bytes
    start: int


class LiveStream:
    """One direction of a call while policy masks it.

    Parameters
    ----------
    payload_types : by number, as the party's SDP has them.
    ptime_ms : packet time until packets tell.
    means : how it is masked.
    ready : where packets that may leave are put, in order; streams may share it.
    pressed : where keys are put that events told, each once; streams may share it.

    Attributes
    ----------
    level_dbfs : of the background, kept by the renderer.
    is_degraded : something came that cannot be masked sample by sample.
    n_filled, n_dropped : packets replaced whole, packets that did not leave.
    n_covered : event packets whose time other audio or fill covers.
    """

    def __init__(
        self,
        payload_types: Mapping[int, PayloadType],
        ptime_ms: int,
        means: LiveMeans,
        ready: list[Ready | SteadyReady],
        pressed: list[tuple[LiveStream, KeyPress]],
    ) -> None:
        self.means = means
        self.owner: Any = None
        """Whoever sends what is ready; nothing here looks at it."""
        self._ready = ready
        self._pressed = pressed
        self.level_dbfs: float | None = None
        self.like: Like | None = None
        """What the rows of steady packets have in common with others."""
        self.is_degraded = False
        self.n_filled = 0
        self.n_dropped = 0
        self.n_covered = 0
        self.deadline_s: float | None = None
        """When `advance` is to be called, if nothing comes before."""
        self.safe_until = 0
        """With the method `fill`: the detector has told all that is to be filled before this."""
        self.is_heard = False
        """Whether somebody listens for keys; else nothing is kept to be heard."""
        self.heard = Octets()
        """What the detector is to hear, at 8000 Hz; whoever listens lets go of it."""
        self.heard_law = Law.MU
        self.keys = PromptArbiter(0, HEARD_HZ)
        self._resampler: StreamResampler | None = None
        self._steady: _Steady | None = None
        self._steady_first = self._steady_length = self._steady_right = 0
        self._kinds = {number: Kind(pt) for number, pt in payload_types.items()}
        self._ptime_ms = ptime_ms
        self._kind: Kind | None = None
        self._payload_type = -1
        self._ssrc: int | None = None
        self._next_seq = 0
        self._next_ts = 0
        self._timeline = Timeline(8000, 8000)
        self._tape: Octets | Tape = Octets()
        self._held: deque[_Held] = deque()
        self._early: dict[int, tuple[bytes, float]] = {}
        self._early_due_s = 0.0
        self._fills: list[tuple[int, int]] = []
        self._hop = self._lead = 0
        self._n_packet = 0  # of the packets the numbers below are for
        self._n_row = 0
        self._n_after = 0  # samples wanted after a packet's end
        self._longest_s = LONGEST_HOLD_MS / 1000
        self._use_rate(8000)

    @property
    def rate_hz(self) -> int:
        """Of its stream time: positions are samples at this rate."""
        return self._timeline_rate

    def set_payload_types(self, payload_types: Mapping[int, PayloadType]) -> None:
        """Take another meaning of payload types: a re-INVITE."""
        self._unsettle()
        self._kinds = {number: Kind(pt) for number, pt in payload_types.items()}
        self._payload_type = -1

    def set_heard(self, is_heard: bool) -> None:
        """Begin or end to keep what is said for somebody who listens for keys."""
        self._unsettle()
        self.is_heard = is_heard
        self.heard.skip_to(self._tape.end * HEARD_HZ // self.rate_hz)

    def push(self, data: bytes, now_s: float) -> None:
        """Take one datagram."""
        if len(data) < _FIXED.size:
            self.n_dropped += 1
            return
        first, seq, timestamp, ssrc = _FIXED.unpack_from(data)
        steady = self._steady
        if steady is not None:
            if (
                timestamp == self._next_ts
                and seq == self._next_seq
                and ssrc == self._ssrc
                and first == self._steady_first
                and len(data) == self._steady_length
            ):
                payload = data[12:]
                row = steady.left + steady.payload + payload[: self._steady_right]
                self._ready.append((self, steady.head, row, steady.start))
                steady.left = steady.payload[-self._lead :]
                steady.payload = payload
                steady.head = data[:12]
                steady.start += len(payload)
                self._next_seq = (seq + 1) & 0xFFFF
                self._next_ts = (timestamp + len(payload)) & 0xFFFFFFFF
                if self.is_heard:
                    self.heard.append(payload)
                self.deadline_s = now_s + self._longest_s
                return
            self._unsettle()
        if first & 0xC000 != _VERSION:
            self.n_dropped += 1
            return
        self._order(data, seq, ssrc, now_s)

    def _order(self, data: bytes, seq: int, ssrc: int, now_s: float) -> None:
        if ssrc != self._ssrc:
            self._restart(ssrc, seq)
        ahead = (seq - self._next_seq) & 0xFFFF
        if ahead == 0:
            self._accept(data, now_s)
            self._next_seq = (seq + 1) & 0xFFFF
            if self._early:
                self._take_early(now_s)
        elif ahead < _N_AHEAD:
            if not self._early:
                self._early_due_s = now_s + PATIENCE_MS / 1000
                self._arm(self._early_due_s)
            self._early[seq] = (data, now_s)
        elif ahead > 0xFFFF - _N_AHEAD:
            self.n_dropped += 1  # a duplicate, or too late to examine
        else:
            self._restart(ssrc, seq)
            self._accept(data, now_s)
            self._next_seq = (seq + 1) & 0xFFFF

    def advance(self, now_s: float) -> None:
        """Let go of what waited long enough: for a lost packet, or for the end of the audio."""
        self._unsettle()
        self.deadline_s = None
        held = self._held
        if self._early and self._early_due_s <= now_s:
            self._skip_lost(now_s)
        while held and held[0].due_s <= now_s:
            self._let_go(held.popleft())
        if held:
            self._arm(held[0].due_s)
        if self._early:
            self._arm(self._early_due_s)

    def flush(self) -> None:
        """End of masking: everything held may leave, masked as far as it is known."""
        self._unsettle()
        while self._early:
            self._skip_lost(0.0)
        self._unsettle()  # what waited may have settled
        self._cut()
        self.deadline_s = None

    def collect(self) -> None:
        """Move packets whose audio is complete to `ready`."""
        held, end = self._held, self._tape.end
        is_fill = self.means.method is Method.FILL
        while held:
            first = held[0]
            if first.end + self._n_after > end or (is_fill and first.end > self.safe_until):
                break
            self._let_go(held.popleft())

    def mark(self, start: int, end: int) -> None:
        """Have ``[start, end)`` filled, as much of it as has not left."""
        self._unsettle()
        if end > start:
            self._fills.append((start, end))

    def info(self, digit: Digit, duration_ms: int = 0) -> None:
        """Take a SIP INFO that came now."""
        self._unsettle()
        at = self._tape.end
        oldest = self._held[0].start if self._held else at
        self.mark(oldest, at + (INFO_AFTER_MS + min(duration_ms, 1000)) * self.rate_hz // 1000)
        self.keys.info(at * 8000 // self.rate_hz, digit)
        self._pressed += [(self, press) for press in self.keys.take_new()]

    # -- the steady state

    def _settle(self) -> None:
        """Go over to the steady state, where the stream is in it."""
        kind, held = self._kind, self._held
        if (
            len(held) != 1
            or held[0].tail
            or self._fills
            or self._early
            or kind is None
            or kind.law is None
            or self.means.method is not Method.SUPPRESS
            or not self._lead <= self._n_after <= self._n_packet
        ):
            return
        first, tape = held[0], self._tape
        if (
            first.slot is not Slot.RENDERED
            or first.end != tape.end
            or len(first.payload) != self._n_packet
            or first.head[0] != _PLAIN
            or first.start - self._lead < tape.begin
        ):
            return
        assert isinstance(tape, Octets)
        left = tape.view(first.start - self._lead, first.start)
        self._steady = _Steady(left, first.head, first.payload, first.start)
        self._steady_first = _PLAIN << 8 | self._payload_type
        self._steady_length = 12 + self._n_packet
        self._steady_right = self._n_row - self._n_packet - self._lead
        self.like = Like(True, 8000, self._n_packet, True, self.means.fill, kind.law)
        held.clear()

    def _unsettle(self) -> None:
        """Lay the steady state back on the tape."""
        steady = self._steady
        if steady is None:
            return
        self._steady = None
        tape = self._tape = Octets(steady.start - self._lead)
        tape.append(steady.left)
        tape.append(steady.payload)
        due_s = self.deadline_s if self.deadline_s is not None else 0.0
        self._held.append(_Held(steady.head, steady.payload, b"", steady.start, tape.end, due_s))

    # -- order

    def _restart(self, ssrc: int, seq: int) -> None:
        if self._ssrc is not None:
            self.flush()
        self._early.clear()
        self._ssrc, self._next_seq = ssrc, seq
        self._timeline.restart()
        self._next_ts = -1

    def _skip_lost(self, now_s: float) -> None:
        """Go on with the first packet that is there."""
        self._next_seq = min(self._early, key=lambda seq: (seq - self._next_seq) & 0xFFFF)
        self._take_early(now_s)

    def _take_early(self, now_s: float) -> None:
        while (entry := self._early.pop(self._next_seq, None)) is not None:
            self._accept(entry[0], now_s)
            self._next_seq = (self._next_seq + 1) & 0xFFFF
        if self._early:
            self._early_due_s = now_s + PATIENCE_MS / 1000
            self._arm(self._early_due_s)

    def _arm(self, at_s: float) -> None:
        if self.deadline_s is None or at_s < self.deadline_s:
            self.deadline_s = at_s

    # -- one packet, in its turn

    def _accept(self, data: bytes, now_s: float) -> None:
        head, payload, tail = data[:12], data[12:], b""
        if data[0] != _PLAIN:
            try:
                packet = RtpPacket.parse(data)
            except PacketError:
                self.n_dropped += 1
                return
            n_tail = len(packet.padding)
            n_head = len(data) - n_tail - len(packet.payload)
            head, payload, tail = data[:n_head], packet.payload, data[len(data) - n_tail :]
        number = head[1] & 0x7F
        if self.means.method is None:
            self._mute(number, head, payload, tail, now_s)
            return
        if number != self._payload_type:
            kind = self._kinds.get(number)
            if kind is None or kind.coder is None:
                self._accept_other(kind, head, payload, now_s)
                return
            self._use(number, kind)
        self._accept_audio(head, payload, tail, now_s)

    def _accept_audio(self, head: bytes, payload: bytes, tail: bytes, now_s: float) -> None:
        kind = self._kind
        assert kind is not None
        audio: bytes | NDArray[np.float32] = payload
        if kind.codec is not None:
            try:
                audio = kind.codec.decode(payload)
            except CodecError:
                self._fill_in(head, now_s)
                return
        n = len(audio)
        if not 0 < n <= MAX_PACKET_MS * kind.rate_hz // 1000:
            self._fill_in(head, now_s)
            return
        (timestamp,) = struct.unpack_from("!I", head, 4)
        if timestamp != self._next_ts:
            self._place(timestamp, now_s)
        self._next_ts = (timestamp + n * kind.ticks_hz // kind.rate_hz) & 0xFFFFFFFF
        if n != self._n_packet:
            self._use_length(n)
        start = self._tape.end
        self._tape.append(audio)  # type: ignore[arg-type]  # octets on octets, samples on samples
        if self.is_heard:
            self.heard.append(audio if isinstance(audio, bytes) else self._narrowed(audio))
        self._hold(_Held(head, payload, tail, start, start + n, now_s + self._longest_s))
        if not head[1] & 0x80:
            self._settle()

    def _accept_other(self, kind: Kind | None, head: bytes, payload: bytes, now_s: float) -> None:
        """An event, comfort noise, or what nobody can decode."""
        if kind is not None and kind.is_event:
            try:
                reports = parse_event(payload)
            except PacketError:
                self._fill_in(head, now_s)
                return
            self._accept_event(kind, head, reports, now_s)
        elif kind is not None and kind.is_cn:
            # RFC 3389: the first octet tells the level of a silence; its spectrum may tell more
            at = self._tape.end
            self._hold(_Held(head, payload[:1], b"", at, at, now_s + self._longest_s, Slot.PASSED))
        else:
            self.is_degraded = True
            self._fill_in(head, now_s)

    def _accept_event(
        self, kind: Kind, head: bytes, reports: tuple[EventReport, ...], now_s: float
    ) -> None:
        (timestamp,) = struct.unpack_from("!I", head, 4)
        rate = self.rate_hz
        if not self._timeline.pinned:
            self._timeline.pin(timestamp, self._tape.end)
        start = self._timeline.position(self._timeline.ticks(timestamp))
        duration = max(report.duration for report in reports) * rate // kind.ticks_hz
        end, now = start + duration, self._tape.end
        far = _FAR_MS * rate // 1000
        if not -far <= now - end <= far:
            # not in the timestamp space of the audio: it is about now
            start, end = now - duration, now
        guard = EVENT_GUARD_MS * rate // 1000
        self._mark_event(start - guard, end + guard)
        for report in reports:
            if report.digit is not None:
                told = max(end, start + 1)
                self.keys.event(start * 8000 // rate, told * 8000 // rate, report.digit)
                self._pressed += [(self, press) for press in self.keys.take_new()]
        self._fill_in(head, now_s, start, end)

    def _mark_event(self, start: int, end: int) -> None:
        """One stretch for all updates of an event."""
        if self._fills and self._fills[-1][0] <= start <= self._fills[-1][1]:
            start = self._fills.pop()[0]
        self._fills.append((start, end))

    def _fill_in(self, head: bytes, now_s: float, start: int = -1, end: int = -1) -> None:
        """Put fill in the place of a packet, where no audio stands there already."""
        kind, number = self._kind, self._payload_type
        if kind is None or number < 0:  # none came since the types were agreed on
            number, kind = self._preferred()
        if kind is None or kind.coder is None:
            self.n_dropped += 1
            return
        n = self._n_packet or self._ptime_ms * kind.rate_hz // 1000
        (timestamp,) = struct.unpack_from("!I", head, 4)
        if end < 0:
            self._place(timestamp, now_s)
            start = self._tape.end
            end = start + n
        slot = max(start, end - n)
        if slot < self._tape.end and start < self._tape.end:
            slot = self._tape.end
        if slot + n > end + n // 2:
            self.n_covered += 1
            return
        shift = (slot - start) * kind.ticks_hz // kind.rate_hz
        head = struct.pack(
            "!BBHI", _PLAIN, number, int.from_bytes(head[2:4], "big"),
            (timestamp + shift) & 0xFFFFFFFF,
        ) + head[8:12]  # fmt: skip
        self._skip_to(slot + n)
        self._hold(_Held(head, b"", b"", slot, slot + n, now_s + self._longest_s, Slot.FILLED))

    def _mute(self, number: int, head: bytes, payload: bytes, tail: bytes, now_s: float) -> None:
        """Fill for everything that is audio; nothing for the rest."""
        kind = self._kinds.get(number)
        if kind is not None and kind.coder is not None and number != self._payload_type:
            self._use(number, kind)
        if kind is None or kind.coder is None:
            self._fill_in(head, now_s)
            return
        n = len(payload) if kind.law is not None else self._n_packet
        if kind.codec is not None:
            try:
                n = len(kind.codec.decode(payload))
            except CodecError:
                n = self._n_packet
        if not 0 < n <= MAX_PACKET_MS * kind.rate_hz // 1000:
            self.n_dropped += 1
            return
        self._n_packet = n
        start = self._tape.end
        self._tape = Octets(start + n)
        self.n_filled += 1
        self._ready.append(Ready(self, Slot.FILLED, head, b"", tail, start, n, kind.coder))

    # -- stream time

    def _preferred(self) -> tuple[int, Kind | None]:
        """The first payload type of the plan that somebody can write."""
        for number, kind in self._kinds.items():
            if kind.coder is not None:
                self._use(number, kind)
                return number, kind
        return -1, None

    def _use(self, number: int, kind: Kind) -> None:
        """Make this the payload type of what comes."""
        same_tape = (
            self._kind is not None
            and self._kind.coder is kind.coder
            and self._kind.rate_hz == kind.rate_hz
        )
        if not same_tape:
            self._cut()
            begin = self._tape.end * kind.rate_hz // self.rate_hz
            self._use_rate(kind.rate_hz)
            self._tape = Octets(begin) if kind.law is not None else Tape(begin)
            self._timeline = Timeline(kind.ticks_hz, kind.rate_hz)
            self._next_ts = -1
            self._n_packet = 0
            self._fills.clear()
            self.heard_law = kind.law or Law.MU
            self.heard.skip_to(begin * HEARD_HZ // kind.rate_hz)
            if kind.rate_hz != HEARD_HZ:
                self._resampler = StreamResampler(1, kind.rate_hz, HEARD_HZ)
        self._kind, self._payload_type = kind, number

    def _use_rate(self, rate_hz: int) -> None:
        self._timeline_rate = rate_hz
        self._hop = hop_samples(rate_hz)
        self._lead = lead_samples(rate_hz)

    def _use_length(self, n: int) -> None:
        """Reckon what a packet of this length needs around it, and how long it may wait."""
        self._n_packet = n
        self._n_row = row_samples(n, self.rate_hz)
        hold = self.means.hold_ms * self.rate_hz // 1000
        self._n_after = max(self._n_row - n - self._lead, hold)
        packet_ms = 1000 * n // self.rate_hz
        longest_ms = max(LONGEST_HOLD_MS, packet_ms + 15, self.means.hold_ms + 15)
        if self.means.method is Method.FILL:
            longest_ms = max(longest_ms, FILL_HOLD_MS + packet_ms)
        self._longest_s = longest_ms / 1000

    def _place(self, timestamp: int, now_s: float) -> None:
        """Find the place of audio that does not go on where the last stopped."""
        end = self._tape.end
        start = self._timeline.place(timestamp, int(now_s * self.rate_hz), end)
        if start > end:
            self._skip_to(start)

    def _skip_to(self, position: int) -> None:
        """Leave out stream time: silence on the tape, fill in what leaves."""
        tape = self._tape
        n_gap = position - tape.end
        n_heard = position * HEARD_HZ // self.rate_hz - self.heard.end
        if n_gap > _LONGEST_GAP_MS * self.rate_hz // 1000:
            self._cut()
            self._tape = Octets(position) if isinstance(tape, Octets) else Tape(position)
            self.heard.skip_to(position * HEARD_HZ // self.rate_hz)
            return
        if n_gap <= 0:
            return
        if self.means.method is not Method.FILL:
            self.mark(tape.end, position)
        if isinstance(tape, Octets):
            tape.append(_SILENCE[_law(self._kind)] * n_gap)
        else:
            tape.append(np.zeros(n_gap, np.float32))
        if n_heard > 0 and self.is_heard:
            self.heard.append(_SILENCE[self.heard_law] * n_heard)

    def _narrowed(self, audio: NDArray[np.float32]) -> bytes:
        """Audio of a codec as the detector hears it."""
        if self._resampler is not None:
            audio = self._resampler.push(audio[np.newaxis])[0]
        return g711.encode(to_int16(audio), Law.MU).tobytes()

    def _cut(self) -> None:
        """Let go of what is held: nothing that follows belongs to it."""
        while self._held:
            self._let_go(self._held.popleft())

    # -- out

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        if self.deadline_s is None:
            self.deadline_s = held.due_s
        self.collect()

    def _let_go(self, held: _Held) -> None:
        """Make a packet ready, with as much of the audio around it as there is."""
        tape = self._tape
        if held.slot is not Slot.RENDERED:
            self._let_go_whole(held)
            return
        begin, end = held.start - self._lead, held.start - self._lead + self._n_row
        kind = self._kind
        assert kind is not None
        unsafe = None
        if held.end - held.start != self._n_packet:
            end = begin + row_samples(held.end - held.start, self.rate_hz)
        # what the detector has not come to is suppressed, whatever the method
        suppresses = self.means.method is not Method.FILL or held.end > self.safe_until
        if begin >= tape.begin and end <= tape.end and not self._fills:
            row = tape.view(begin, end)
            row = row if isinstance(row, bytes) else row.copy()
        else:
            row, unsafe = self._patched_row(begin, end, suppresses=suppresses)
        self._ready.append(
            Ready(
                self, Slot.RENDERED, held.head, held.payload, held.tail, held.start,
                held.end - held.start, kind.coder, row, unsafe, suppresses,
            )
        )  # fmt: skip
        self._let_go_before(held.end - self._lead)

    def _let_go_before(self, keep: int) -> None:
        """Forget what no packet needs any more."""
        self._tape.drop(keep)
        if self._fills:
            self._fills = [fill for fill in self._fills if fill[1] > keep]

    def _let_go_whole(self, held: _Held) -> None:
        n = held.end - held.start
        coder = self._kind.coder if self._kind is not None else None
        self.n_filled += held.slot is Slot.FILLED
        self._ready.append(
            Ready(self, held.slot, held.head, held.payload, held.tail, held.start, n, coder)
        )
        self._let_go_before(held.end - self._lead)

    def _patched_row(
        self, begin: int, end: int, *, suppresses: bool
    ) -> tuple[bytes | NDArray[np.float32], NDArray[np.bool_]]:
        """A row with fill where there is no audio, and where fill is wanted."""
        tape, hop = self._tape, self._hop
        first, last = max(begin, tape.begin), min(end, tape.end)
        row: bytes | NDArray[np.float32]
        if isinstance(tape, Octets):
            row = bytes(first - begin) + tape.view(first, last) + bytes(end - last)
        else:
            row = np.zeros(end - begin, np.float32)
            row[first - begin : last - begin] = tape.view(first, last)
        unsafe = np.zeros((end - begin) // hop, bool)
        missing = ((begin, first), (last, end)) if suppresses else ()
        for start, stop in (*missing, *self._fills):
            low, high = max(start, begin) - begin, min(stop, end) - begin
            if high > low:
                unsafe[low // hop : -(-high // hop)] = True
        return row, unsafe


def _law(kind: Kind | None) -> Law:
    return kind.law if kind is not None and kind.law is not None else Law.MU
