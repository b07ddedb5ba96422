"""Finds the calls of a capture: which RTP flows belong together, and who speaks in each.

With SIP in the capture, a flow that goes to where a side said it receives is spoken by the other
side. Without, flows that run between two endpoints in both directions are a call, and payload
types mean what RFC 3551 says; a dynamic type whose payloads all have the shape of RFC 4733 events
is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from voicemask.errors import PacketError
from voicemask.replay.frames import Endpoint, Frame
from voicemask.replay.sip_trace import Dialog, InfoDigit, Side, SipTrace
from voicemask.rtp.event import ENCODING_NAME, parse_event
from voicemask.rtp.packet import SEQUENCE_MODULO, RtpPacket, looks_like_rtcp, looks_like_rtp
from voicemask.rtp.sdp import STATIC_TYPES, PayloadType

MIN_PACKETS: Final = 5
"""Fewer packets of one SSRC are not taken for a stream without SDP to say so."""
MIN_SHARE: Final = 0.7
"""Share of a flow's packets that must follow one another to be taken for RTP."""
_FIRST_DYNAMIC: Final = 96
_OVERLAP_NS: Final = 1_000_000_000
_MAX_STEP: Final = 64
Path = tuple[Endpoint, Endpoint]


@dataclass(slots=True)
class Flow:
    """RTP from one endpoint to another, and what its packets have in common.

    Parameters
    ----------
    source, destination : endpoints.
    frames : those that hold RTP, in order of capture.
    n_by_type : packets by payload type number.
    event_types : dynamic payload types whose every payload had the shape of a DTMF event.
    n_others : frames that are not RTP.
    n_steps : packets that followed the one before as RTP's do.
    """

    source: Endpoint
    destination: Endpoint
    frames: list[Frame] = field(default_factory=list)
    n_by_type: Counter[int] = field(default_factory=Counter)
    event_types: set[int] = field(default_factory=set)
    n_others: int = 0
    n_steps: int = 0
    _last: tuple[int, int] | None = None

    def add(self, frame: Frame, packet: RtpPacket) -> None:
        """Take the next packet."""
        number = packet.payload_type
        is_new = not self.n_by_type[number]
        if number >= _FIRST_DYNAMIC and (is_new or number in self.event_types):
            (self.event_types.add if _is_event(packet.payload) else self.event_types.discard)(
                number
            )
        if self._last is not None and self._last[0] == packet.ssrc:
            step = (packet.sequence - self._last[1] + _MAX_STEP) % SEQUENCE_MODULO
            self.n_steps += step <= 2 * _MAX_STEP
        self._last = (packet.ssrc, packet.sequence)
        self.n_by_type[number] += 1
        self.frames.append(frame)

    @property
    def begin_ns(self) -> int:
        """Time of its first packet."""
        return self.frames[0].at_ns

    @property
    def end_ns(self) -> int:
        """Time of its last packet."""
        return self.frames[-1].at_ns

    @property
    def n_events(self) -> int:
        """Packets that look like RFC 4733 events."""
        return sum(self.n_by_type[number] for number in self.event_types)

    @property
    def is_stream(self) -> bool:
        """Whether its packets are RTP by themselves: one follows another."""
        n_packets = len(self.frames)
        is_mostly_rtp = n_packets >= MIN_PACKETS and self.n_others <= n_packets
        return is_mostly_rtp and self.n_steps >= MIN_SHARE * (n_packets - 1)


@dataclass(slots=True)
class FoundCall:
    """One call of a capture.

    Parameters
    ----------
    flows : by the side that speaks.
    payload_types : by the side that speaks.
    sides_known : False where there was no SIP and the sides are a guess.
    """

    flows: dict[Side, list[Flow]]
    payload_types: dict[Side, dict[int, PayloadType]]
    sides_known: bool
    encrypted: bool = False
    signalling: list[Frame] = field(default_factory=list)
    controls: list[Frame] = field(default_factory=list)
    infos: list[InfoDigit] = field(default_factory=list)

    @property
    def begin_ns(self) -> int:
        """Time of its first audio packet."""
        return min(flow.begin_ns for flows in self.flows.values() for flow in flows)


@dataclass(slots=True)
class FoundCalls:
    """What a capture holds: calls, and how many UDP or TCP frames are part of none."""

    calls: list[FoundCall]
    n_other: int


def find_calls(frames: Iterable[Frame]) -> FoundCalls:
    """Sort the frames of a capture into calls, in the order they begin."""
    trace = SipTrace()
    flows: dict[Path, Flow] = {}
    controls: list[Frame] = []
    n_frames = 0
    for frame in frames:
        n_frames += 1
        if not trace.push(frame) and frame.protocol == 17:
            _sort_media(frame, flows, controls)
    found: list[FoundCall] = []
    for dialog in trace.dialogs.values():
        found += _calls_of_dialog(dialog, flows)
    found += _calls_without_sip([flow for flow in flows.values() if flow.is_stream])
    found.sort(key=lambda call: call.begin_ns)
    _give_controls(found, controls)
    return FoundCalls(found, n_frames - sum(_n_frames(call) for call in found))


def _is_event(payload: bytes) -> bool:
    try:
        reports = parse_event(payload)
    except PacketError:
        return False
    return len(reports) == 1 and reports[0].code < 16 and not reports[0].reserved


def _sort_media(frame: Frame, flows: dict[Path, Flow], controls: list[Frame]) -> None:
    payload = frame.payload
    if looks_like_rtcp(payload):
        controls.append(frame)
        return
    path = (frame.source, frame.destination)
    flow = flows.setdefault(path, Flow(*path))
    if not looks_like_rtp(payload):
        flow.n_others += 1
        return
    try:
        flow.add(frame, RtpPacket.parse(payload))
    except PacketError:
        flow.n_others += 1


def _calls_of_dialog(dialog: Dialog, flows: dict[Path, Flow]) -> list[FoundCall]:
    """Take the flows a dialog describes out of `flows`; give its call.

    A capture at a proxy sees the same call on two paths: flows of one side that run at the same
    time are separate calls, and only the first holds the signalling.
    """
    spoken: list[tuple[Side, Flow]] = []
    for path, flow in list(flows.items()):
        side = _speaker(dialog, flow)
        if side is not None and flow.frames:
            spoken.append((side, flow))
            del flows[path]
    spoken.sort(key=lambda item: item[1].begin_ns)
    lanes: list[dict[Side, list[Flow]]] = []
    for side, flow in spoken:
        lane = next((lane for lane in lanes if _is_answered(lane, side, flow)), None)
        lane = lane or next((lane for lane in lanes if _is_free(lane, side, flow)), None)
        if lane is None:
            lane = {Side.CALLER: [], Side.CALLEE: []}
            lanes.append(lane)
        lane[side].append(flow)
    media = [m for side in Side for m in dialog.media[side]]
    types = {side: _types(dialog, side) for side in Side}
    calls = [
        FoundCall(
            lane,
            {s: _with_events(types[s], lane[s]) for s in Side},
            sides_known=True,
            encrypted=any(m.encrypted for m in media),
            infos=dialog.infos,
        )
        for lane in lanes
    ]
    if calls:
        calls[0].signalling = dialog.frames
    return calls


def _speaker(dialog: Dialog, flow: Flow) -> Side | None:
    for side in Side:
        if flow.destination in dialog.receives(side):
            return side.other
    # A party behind a NAT receives elsewhere than it said, but sends from where it said.
    return next((side for side in Side if flow.source in dialog.receives(side)), None)


def _is_free(lane: dict[Side, list[Flow]], side: Side, flow: Flow) -> bool:
    return all(
        min(flow.end_ns, other.end_ns) - max(flow.begin_ns, other.begin_ns) < _OVERLAP_NS
        for other in lane[side]
    )


def _is_answered(lane: dict[Side, list[Flow]], side: Side, flow: Flow) -> bool:
    """Whether the lane holds the way back of a flow."""
    return _is_free(lane, side, flow) and any(
        (other.source, other.destination) == (flow.destination, flow.source)
        for other in lane[side.other]
    )


def _types(dialog: Dialog, side: Side) -> dict[int, PayloadType]:
    """Payload types of what a side sends: the numbers are those its peer asked for."""
    types: dict[int, PayloadType] = {}
    for described in (side.other, side):
        for media in dialog.media[described]:
            for payload_type in media.payload_types:
                types.setdefault(payload_type.number, payload_type)
    return types


def _with_events(types: dict[int, PayloadType], flows: list[Flow]) -> dict[int, PayloadType]:
    """Add the static types and the events that nothing described."""
    known = dict(types)
    used: Counter[int] = Counter()
    for flow in flows:
        used.update(flow.n_by_type)
    for number, _ in used.most_common():
        if number in STATIC_TYPES:
            known.setdefault(number, STATIC_TYPES[number])
        elif any(number in flow.event_types for flow in flows):
            known.setdefault(number, PayloadType(number, ENCODING_NAME, 8000))
    return known


def _calls_without_sip(flows: list[Flow]) -> list[FoundCall]:
    """Pair flows by their endpoints, then by their addresses; the rest stand alone."""
    left = sorted(flows, key=lambda flow: flow.begin_ns)
    calls: list[FoundCall] = []
    while left:
        flow = left.pop(0)
        back = next((f for f in left if _is_back(flow, f, 2)), None)
        back = back or next((f for f in left if _is_back(flow, f, 1)), None)
        if back is not None:
            left.remove(back)
        calls.append(_guess_sides(flow, back))
    return calls


def _is_back(flow: Flow, other: Flow, n_parts: int) -> bool:
    """Whether `other` is the way back: by address and port (2), or by address alone (1)."""
    overlaps = min(flow.end_ns, other.end_ns) > max(flow.begin_ns, other.begin_ns) - _OVERLAP_NS
    return (
        overlaps
        and other.source[:n_parts] == flow.destination[:n_parts]
        and other.destination[:n_parts] == flow.source[:n_parts]
    )


def _guess_sides(flow: Flow, back: Flow | None) -> FoundCall:
    """Put the side that keys on the left: customers key, agents do not."""
    if back is not None and back.n_events > flow.n_events:
        flow, back = back, flow
    sides = {Side.CALLER: [flow], Side.CALLEE: [back] if back is not None else []}
    types = {side: _with_events({}, flows) for side, flows in sides.items()}
    return FoundCall(sides, types, sides_known=False)


def _give_controls(calls: list[FoundCall], controls: list[Frame]) -> None:
    """Give RTCP to the call whose ports it runs beside (RFC 3550 section 11, or multiplexed)."""
    owners: dict[Path, FoundCall] = {}
    for call in calls:
        for flow in (flow for flows in call.flows.values() for flow in flows):
            for step in (0, 1):
                source = (flow.source[0], flow.source[1] + step)
                destination = (flow.destination[0], flow.destination[1] + step)
                owners[source, destination] = call
                owners.setdefault((destination, source), call)
    for frame in controls:
        call_of = owners.get((frame.source, frame.destination))
        if call_of is not None:
            call_of.controls.append(frame)


def _n_frames(call: FoundCall) -> int:
    media = sum(len(flow.frames) for flows in call.flows.values() for flow in flows)
    return media + len(call.signalling) + len(call.controls)
