"""The calls of one media process: plans carried out on ports, policy on what they relay.

Plans come whole; the node makes the difference. Whatever changes what may be heard takes effect
before the method returns: from the next datagram on a masked party goes through the mask room, and
the recorder is told in the order of the packets.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Method, Policy
from voicemask.dtmf.arbiter import KeyPress
from voicemask.errors import NgError, SrtpError
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans
from voicemask.media.call import MASKING, MediaCall, Party
from voicemask.media.events import EventKind, NodeEvent
from voicemask.media.loop import Loop
from voicemask.media.masking import MaskRoom
from voicemask.media.port import Port
from voicemask.media.ports import PortPool
from voicemask.media.settings import NodeSettings
from voicemask.media.taps import Taps
from voicemask.ng.plan import (
    CallPlan,
    CallState,
    Fork,
    ForkKind,
    LocalPort,
    PolicyChange,
    RecordingAction,
    Role,
    StreamTotals,
    Trigger,
)

if TYPE_CHECKING:
    from voicemask.media.vault_link import VaultLink
    from voicemask.recording.link import RecorderLink

_WATCH_S: Final = 1.0


class Node:
    """All calls of a process; see `voicemask.ng.plan.MediaSide`.

    Parameters
    ----------
    settings : addresses, ports, defaults.
    loop : serves the sockets.
    recorder, vault : where recordings and keys go; None is nowhere.
    on_event : told what happens.

    Raises
    ------
    ConfigError
        The addresses or ports cannot be used.
    """

    def __init__(
        self,
        settings: NodeSettings,
        loop: Loop,
        *,
        recorder: RecorderLink | None = None,
        vault: VaultLink | None = None,
        on_event: Callable[[NodeEvent], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._vault = vault
        self._on_event = on_event
        self._pool = PortPool(settings.addresses, settings.first_port, settings.last_port)
        self._ports: dict[int, Port] = {}
        self._calls: dict[str, MediaCall] = {}
        self._room = MaskRoom(loop, self._on_press, self._on_trouble)
        self._taps = Taps(loop, recorder, on_event, self._ports.get)
        self._heard: dict[LiveStream, tuple[MediaCall, Party]] = {}
        self._totals: Counter[str] = Counter()
        self._trouble_s: dict[str, float] = {}
        self._watch()

    # -- plans

    def reserve(self, family: int, *, rtcp_mux: bool = False, interface: str = "") -> LocalPort:
        """Open a pair of ports; see `MediaSide.reserve`."""
        pair = self._pool.open(family, rtcp_mux=rtcp_mux, interface=interface)
        port = Port(pair)
        self._ports[pair.local.number] = port
        self._loop.add_reader(pair.rtp.fileno(), port.on_rtp)
        if pair.rtcp is not None:
            self._loop.add_reader(pair.rtcp.fileno(), port.on_rtcp)
        return pair.local

    def release(self, port: LocalPort) -> None:
        """Close a pair that is in no plan."""
        known = self._ports.get(port.number)
        if known is not None:
            self._close_port(known)

    def apply(self, plan: CallPlan) -> None:
        """Set a call up, or bring it to this plan."""
        call = self._calls.get(plan.call_id)
        is_new = call is None
        if call is None:
            call = self._calls[plan.call_id] = MediaCall(plan.call_id, self._settings)
            self._totals["calls_started"] += 1
        before = call.ports()
        call.take_plan(plan, self._ports)
        try:
            self._connect(plan)
        finally:
            # whatever was refused: nobody is heard who is to be masked
            self._update_monitors(call)
            self._update(call)
        kept = {id(port) for port in call.ports()}
        for port in before:
            if id(port) not in kept:
                self._close_port(port)
        self._taps.update(call)
        kind = EventKind.CALL_STARTED if is_new else EventKind.CALL_CHANGED
        self._on_event(NodeEvent(kind, call.call_id))

    def end(self, call_id: str) -> CallState:
        """End a call: ports closed, recording finished."""
        call = self._call(call_id)
        state = self._state(call)
        del self._calls[call_id]
        self._taps.end(call)
        for tag in list(call.captures):
            self._end_capture(call, tag)
        for port in call.ports():
            self._close_port(port)
        for fork in call.forks.values():
            self._close_fork(fork)
        self._on_event(NodeEvent(EventKind.CALL_ENDED, call_id))
        return state

    def _connect(self, plan: CallPlan) -> None:
        """Give each port its remote side and those who hear it."""
        for party in plan.parties:
            for medium in party.media:
                port = self._ports[medium.port.number]
                port.sinks = tuple(self._ports[local.number] for local in medium.heard_by)
                if medium.remote is None:
                    continue
                try:
                    port.set_remote(medium.remote)
                except SrtpError as error:
                    raise NgError(error.subject, error.reason, error.cure) from None

    def _close_port(self, port: Port) -> None:
        for stream in (port.live, port.listener):
            if stream is not None:
                self._room.forget(stream)
                self._heard.pop(stream, None)
                self._count_stream(stream)
        port.live = port.listener = port.tap = None
        port.sinks = ()
        self._totals["packets_in"] += port.n_in
        self._totals["packets_out"] += port.n_out
        self._totals["octets_in"] += port.octets_in
        self._totals["octets_out"] += port.octets_out
        self._totals["strangers"] += port.n_strangers
        self._totals["unusable"] += port.n_unusable
        self._totals["send_errors"] += port.n_send_errors
        self._ports.pop(port.local.number, None)
        self._loop.remove(port.pair.rtp.fileno())
        if port.pair.rtcp is not None:
            self._loop.remove(port.pair.rtcp.fileno())
        self._pool.close(port.pair)

    # -- policy

    def set_policy(self, call_id: str, change: PolicyChange) -> None:
        """Change what may be heard; every sink masks by it when this returns."""
        call = self._call(call_id)
        if change.tag and change.tag not in call.parties:
            raise NgError("Unknown tag", "no party of the call has it", "see list and query")
        call.take_change(change)
        self._update(call)
        self._taps.update(call)
        self._tell_policy(call)

    def set_role(self, call_id: str, tag: str, role: Role) -> None:
        """Settle who a party is."""
        call = self._call(call_id)
        if tag not in call.parties:
            raise NgError("Unknown tag", "no party of the call has it", "see list and query")
        call.set_role(tag, role)
        self._update(call)
        self._taps.update(call)

    def set_trigger(self, call_id: str, trigger: Trigger) -> None:
        """Let keys start and end `capture`."""
        call = self._call(call_id)
        call.triggers = [t for t in call.triggers if t.tag != trigger.tag]
        if trigger.start or trigger.end:
            call.triggers.append(trigger)
        self._update(call)

    def info(self, call_id: str, tag: str, digit: Digit, duration_ms: int = 0) -> None:
        """Take a key that signalling told: it is one press with its tone and its event."""
        call = self._call(call_id)
        party = call.parties.get(tag)
        if party is None:
            raise NgError("Unknown tag", "no party of the call has it", "see list and query")
        for port in party.ports[:1]:
            # after a stall, its tone may still lie in the socket
            port.catch_up()
        self._taps.info(call, party, digit, duration_ms)
        for port in party.ports[:1]:
            stream = port.live or port.listener
            if stream is not None and stream in self._heard:
                stream.info(digit, duration_ms)
                self._tell_presses()

    def roles(self, call_id: str) -> dict[str, Role | None]:
        """Who is who, by tag."""
        call = self._call(call_id)
        return {tag: call.role(party.plan) for tag, party in call.parties.items()}

    def _tell_policy(self, call: MediaCall) -> None:
        for tag, party in call.parties.items():
            details = {"tag": tag, "policy": call.policy(party.plan).value}
            self._on_event(NodeEvent(EventKind.POLICY_CHANGED, call.call_id, details))

    def _update(self, call: MediaCall) -> None:
        """Bring the masks of all parties to what holds for them now."""
        for tag in call.captures.keys() - call.parties.keys():
            self._end_capture(call, tag)
        for tag, party in call.parties.items():
            policy = call.policy(party.plan)
            if policy is Policy.CAPTURE:
                self._begin_capture(call, tag)
            else:
                self._end_capture(call, tag)
            for index, port in enumerate(party.ports):
                port.withholds = policy in MASKING
                if port.remote is None or port.remote.kind == "audio":
                    self._update_port(call, party, index)

    def _update_port(self, call: MediaCall, party: Party, index: int) -> None:
        port = party.ports[index]
        means = call.means(party.plan)
        types = call.payload_types(party, index)
        ptime_ms = port.remote.ptime_ms if port.remote is not None else 20
        old = port.live
        if old is not None and old.means == means:
            old.set_payload_types(types)
            self._heard[old] = (call, party)
            self._room.set_heard(old, is_heard=self._listens(call, party, means))
        else:
            new = None
            if means is not None:
                new = LiveStream(types, ptime_ms, means, self._room.ready, self._room.pressed)
                new.owner = port
            # first the new one, so that no datagram finds none; what the old one holds goes first
            if old is not None:
                self._leave(old)
            port.live = new
            if new is not None:
                self._heard[new] = (call, party)
                self._room.enter(new, is_heard=self._listens(call, party, means))
        self._update_listener(call, party, port, types, ptime_ms)

    def _listens(self, call: MediaCall, party: Party, means: LiveMeans | None) -> bool:
        """Whether keys are decoded from the audio of a masked party: where somebody gets them."""
        if means is None or means.method is None:
            return False
        is_triggered = any(t.end and t.tag in ("", party.plan.tag) for t in call.triggers)
        return means.method is Method.FILL or self._vault is not None or is_triggered

    def _update_listener(
        self, call: MediaCall, party: Party, port: Port, types: Mapping[int, Any], ptime_ms: int
    ) -> None:
        """Listen for triggers where no mask does."""
        is_wanted = port.live is None and any(
            t.start and t.tag in ("", party.plan.tag) for t in call.triggers
        )
        if is_wanted and call.role(party.plan) is Role.AGENT:
            is_wanted = any(t.tag == party.plan.tag for t in call.triggers)
        old = port.listener
        if is_wanted and old is not None:
            old.set_payload_types(types)
            self._heard[old] = (call, party)
        elif is_wanted:
            capture = call.means_of_capture()
            new = LiveStream(types, ptime_ms, capture, self._room.nowhere, self._room.pressed)
            port.listener = new
            self._heard[new] = (call, party)
            self._room.enter(new, is_heard=True)
        elif old is not None:
            port.listener = None
            self._leave(old)

    def _leave(self, stream: LiveStream) -> None:
        self._room.leave(stream)
        self._heard.pop(stream, None)
        self._count_stream(stream)

    def _count_stream(self, stream: LiveStream) -> None:
        self._totals["filled"] += stream.n_filled
        self._totals["late_or_bad"] += stream.n_dropped

    def _begin_capture(self, call: MediaCall, tag: str) -> None:
        if self._vault is not None and tag not in call.captures:
            call.captures[tag] = self._vault.capture_started(call.call_id, tag)

    def _end_capture(self, call: MediaCall, tag: str) -> None:
        capture = call.captures.pop(tag, None)
        if capture is not None and self._vault is not None:
            self._vault.capture_ended(capture)

    # -- keys

    def _tell_presses(self) -> None:
        pressed = self._room.pressed[:]
        self._room.pressed.clear()
        for stream, press in pressed:
            self._on_press(stream, press)

    def _on_press(self, stream: LiveStream, press: KeyPress) -> None:
        known = self._heard.get(stream)
        if known is None:
            return
        call, party = known
        if call.policy(party.plan) is Policy.CAPTURE and self._vault is not None:
            call.n_presses += 1
            self._totals["key_presses"] += 1
            capture = call.captures.get(party.plan.tag)
            if capture is not None:
                self._vault.key(capture, press, press.start // 8)
            details: dict[str, str | int] = {"tag": party.plan.tag, "n_keys": call.n_presses}
            self._on_event(NodeEvent(EventKind.KEY_PRESSED, call.call_id, details))
        for change in call.triggered(party, press.digit):
            self.set_policy(call.call_id, change)

    # -- recordings and forks

    def record(self, call_id: str, action: RecordingAction, metadata: Mapping[str, str]) -> None:
        """Start, pause, go on with or stop the recording of a call."""
        self._taps.record(self._call(call_id), action, metadata)

    def set_recorder(self, link: RecorderLink) -> None:
        """Go on with another recorder process: recordings begin anew there."""
        self._taps.set_recorder(link, list(self._calls.values()))

    def set_fork(self, fork: Fork) -> None:
        """Add a subscription, or complete it with its answer."""
        call = self._call(fork.call_id)
        if fork.kind is ForkKind.RECORDER:
            self._taps.need_recorder()
        call.forks[fork.tag] = fork
        for medium in fork.media:
            if medium.remote is not None:
                self._ports[medium.port.number].set_remote(medium.remote)
        self._taps.update(call)
        self._update_monitors(call)

    def end_fork(self, call_id: str, tag: str) -> None:
        """End a subscription."""
        call = self._call(call_id)
        fork = call.forks.pop(tag, None)
        if fork is None:
            raise NgError("Unknown tag", "no subscription has it", "see list and query")
        self._update_monitors(call)
        self._taps.update(call)
        self._close_fork(fork)

    def _close_fork(self, fork: Fork) -> None:
        for medium in fork.media:
            port = self._ports.get(medium.port.number)
            if port is not None:
                self._close_port(port)

    def _update_monitors(self, call: MediaCall) -> None:
        """Have monitors hear what the other party hears, and nothing else."""
        for party in call.parties.values():
            for medium, port in zip(party.plan.media, party.ports, strict=True):
                sinks = [self._ports[local.number] for local in medium.heard_by]
                for fork in call.forks.values():
                    if fork.kind is not ForkKind.MONITOR:
                        continue
                    for source, target in zip(fork.sources, fork.media, strict=False):
                        if source.number == port.local.number:
                            sinks.append(self._ports[target.port.number])
                port.sinks = tuple(sinks)

    # -- what is told

    def state(self, call_id: str) -> CallState:
        """Tell the counts of a call."""
        return self._state(self._call(call_id))

    def call_ids(self) -> Sequence[str]:
        """Name the calls, oldest first."""
        return list(self._calls)

    def statistics(self) -> Mapping[str, Any]:
        """Count everything."""
        ports = list(self._ports.values())
        calls = list(self._calls.values())
        policies = [{call.policy(p.plan) for p in call.parties.values()} for call in calls]
        totals, room = self._totals, self._room
        return {
            "calls": len(calls),
            "calls_started": totals["calls_started"],
            "calls_masked": sum(bool(found - {Policy.OPEN}) for found in policies),
            "calls_capturing": sum(Policy.CAPTURE in found for found in policies),
            "calls_degraded": sum(call.is_degraded for call in calls),
            "packets_in": totals["packets_in"] + sum(p.n_in for p in ports),
            "packets_out": totals["packets_out"] + sum(p.n_out for p in ports),
            "octets_in": totals["octets_in"] + sum(p.octets_in for p in ports),
            "octets_out": totals["octets_out"] + sum(p.octets_out for p in ports),
            "packets_dropped": {
                "stranger": totals["strangers"] + sum(p.n_strangers for p in ports),
                "unusable": totals["unusable"] + sum(p.n_unusable for p in ports),
                "not sent": totals["send_errors"] + sum(p.n_send_errors for p in ports),
                "late": totals["late_or_bad"] + sum(s.n_dropped for s in self._heard),
            },
            "packets_filled": {
                "policy": totals["filled"] + sum(s.n_filled for s in self._heard),
                "overload or error": room.n_silenced,
            },
            "tick_lateness_s": room.lateness_histogram(),
            "ticks_missed": room.n_missed,
            "streams_masked": room.n_streams,
            "detector_load": room.hearing_share(),
            "ports_free": self._pool.n_free,
            "key_presses": totals["key_presses"],
            **self._taps.statistics(),
        }

    def close(self) -> None:
        """End every call."""
        for call_id in list(self._calls):
            self.end(call_id)
        for port in list(self._ports.values()):
            self._close_port(port)

    def _call(self, call_id: str) -> MediaCall:
        call = self._calls.get(call_id)
        if call is None:
            raise NgError("Unknown call-id", "")
        return call

    def _state(self, call: MediaCall) -> CallState:
        return CallState(
            call_id=call.call_id,
            created_s=call.created_s,
            last_signal_s=call.last_signal_s,
            streams=tuple(
                _stream_totals(tag, port)
                for tag, party in call.parties.items()
                for port in party.ports
            ),
            policies={tag: call.policy(party.plan) for tag, party in call.parties.items()},
            is_recording=self._taps.is_recording(call),
            is_degraded=call.is_degraded,
        )

    def _watch(self) -> None:
        """Look now and then for calls that cannot be masked in full."""
        for stream, (call, _) in self._heard.items():
            if stream.is_degraded and not call.is_degraded:
                call.is_degraded = True
                details = {"reason": "a codec that cannot be decoded: fill stands in for it"}
                self._on_event(NodeEvent(EventKind.DEGRADED, call.call_id, details))
        self._loop.call_later(_WATCH_S, self._watch)

    def _on_trouble(self, reason: str) -> None:
        now_s = time.monotonic()
        if now_s - self._trouble_s.get(reason, -_WATCH_S) >= _WATCH_S:
            self._trouble_s[reason] = now_s
            self._on_event(NodeEvent(EventKind.ALERT, details={"reason": reason}))


def _stream_totals(tag: str, port: Port) -> StreamTotals:
    source = port.source
    return StreamTotals(
        port=port.local,
        tag=tag,
        packets_in=port.n_in,
        octets_in=port.octets_in,
        packets_out=port.n_out,
        octets_out=port.octets_out,
        errors=port.n_errors,
        last_packet_s=port.last_packet_s,
        ssrc=int.from_bytes(port.ssrc, "big") if port.ssrc else None,
        source=f"{source[0]}:{source[1]}" if source is not None else "",
    )
