"""What the recorder is given of calls: for recordings, and for forks that are recorders.

The recorder masks by itself, some seconds late, from the datagrams as they came; here they are only
handed over, and what it gives back for forks is sent. Without a recorder there are neither.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from voicemask.call.values import LegPlan
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.errors import NgError
from voicemask.media.call import MediaCall, Party
from voicemask.media.events import EventKind, NodeEvent
from voicemask.media.loop import Loop
from voicemask.media.port import Port
from voicemask.ng.plan import ForkKind, RecordingAction

if TYPE_CHECKING:
    from voicemask.recording.link import RecorderLink

_FLUSH_S: Final = 0.02
_TICK_S: Final = 0.1
_N_CHANNELS: Final = 2


@dataclass(slots=True)
class _Tapped:
    """A call the recorder has under a key."""

    key: int
    call: MediaCall
    writes: bool
    plans: dict[int, LegPlan] = field(default_factory=dict)
    policies: dict[int, Policy] = field(default_factory=dict)
    is_paused: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


class Taps:
    """The media process's side of recordings.

    Parameters
    ----------
    loop : gives the ticks.
    link : to the recorder; None records nothing.
    on_event : told what becomes of recordings.
    find_port : gives the port of a number.
    """

    def __init__(
        self,
        loop: Loop,
        link: RecorderLink | None,
        on_event: Callable[[NodeEvent], None],
        find_port: Callable[[int], Port | None],
    ) -> None:
        self._find_port = find_port
        self._loop = loop
        self._link = link
        self._on_event = on_event
        self._keys = itertools.count(1)
        self._by_key: dict[int, _Tapped] = {}
        self._files: dict[str, _Tapped] = {}
        self._forks: dict[str, _Tapped] = {}
        self._is_ticking = False
        self._next_tick_s = 0.0
        self._ports: dict[tuple[int, int], list[Port]] = {}
        self.n_started = 0
        self.n_failed = 0
        self.n_lost = 0
        self._fd = -1
        self._watch()

    def _watch(self) -> None:
        """Read what comes back on the link; a closed one no longer knows its descriptor."""
        if self._fd >= 0:
            self._loop.remove(self._fd)
        self._fd = self._link.fileno() if self._link is not None else -1
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_readable)

    def need_recorder(self) -> None:
        """Raise NgError where there is no recorder."""
        if self._link is None:
            raise NgError("recorder", "none runs", "start the node with --recordings")

    def is_recording(self, call: MediaCall) -> bool:
        """Whether a call is being recorded now."""
        tapped = self._files.get(call.call_id)
        return tapped is not None and not tapped.is_paused

    def record(self, call: MediaCall, action: RecordingAction, metadata: Mapping[str, str]) -> None:
        """Start, pause, go on with or stop."""
        self.need_recorder()
        assert self._link is not None
        tapped = self._files.get(call.call_id)
        reason = metadata.get("reason", "")
        match action:
            case RecordingAction.START:
                if tapped is None:
                    tapped = self._start(call, writes=True, metadata=dict(metadata))
                    self._files[call.call_id] = tapped
                elif tapped.is_paused:
                    tapped.is_paused = False
                    self._link.resume(tapped.key, call.now_ns())
            case RecordingAction.PAUSE:
                if tapped is None:
                    raise NgError("recording", "the call has none", "start it first")
                if not tapped.is_paused:
                    tapped.is_paused = True
                    self._link.pause(tapped.key, reason, call.now_ns())
            case RecordingAction.STOP:
                if tapped is not None:
                    del self._files[call.call_id]
                    self._stop(tapped, reason or "stopped")
        self.update(call)

    def update(self, call: MediaCall) -> None:
        """Bring the recorder to the call's plan and policies."""
        if self._link is None:
            return
        wants_fork = any(fork.kind is ForkKind.RECORDER for fork in call.forks.values())
        if wants_fork and call.call_id not in self._forks:
            self._forks[call.call_id] = self._start(call, writes=False, metadata={})
        elif not wants_fork and call.call_id in self._forks:
            self._stop(self._forks.pop(call.call_id), "unsubscribed")
        all_tapped = [t for t in self._of(call) if t is not None]
        for tapped in all_tapped:
            self._tell_changes(tapped)
            self._find_fork_ports(tapped)
        self._set_taps(call, all_tapped)

    def info(self, call: MediaCall, party: Party, digit: Digit, duration_ms: int) -> None:
        """Have what is around a SIP INFO masked in recordings too."""
        if self._link is None:
            return
        channel = call.channel(party.plan)
        for tapped in self._of(call):
            if tapped is not None:
                self._link.info(tapped.key, channel, call.now_ns(), digit, duration_ms)

    def end(self, call: MediaCall) -> None:
        """A call is over: its recording is finished."""
        for kept in (self._files, self._forks):
            tapped = kept.pop(call.call_id, None)
            if tapped is not None:
                self._stop(tapped, "hangup")

    def set_recorder(self, link: RecorderLink, calls: list[MediaCall]) -> None:
        """Another recorder process took over: what was recorded goes on in a new recording."""
        if self._link is not None and link is not self._link:
            self.n_lost += self._link.n_lost
        if link is not self._link:
            self._link = link
            self._watch()
        olds = list(self._files.values())
        self._by_key.clear()
        self._ports.clear()
        self._files.clear()
        self._forks.clear()
        for old in olds:
            metadata = {**old.metadata, "continues": "after the recorder ended"}
            tapped = self._start(old.call, writes=True, metadata=metadata)
            self._files[old.call.call_id] = tapped
            if old.is_paused:
                tapped.is_paused = True
                link.pause(tapped.key, "paused before", old.call.now_ns())
        for call in calls:
            self.update(call)

    def statistics(self) -> dict[str, Any]:
        """Count recordings."""
        lost = self._link.n_lost if self._link is not None else 0
        return {
            "recordings": len(self._files),
            "recordings_failed": self.n_failed,
            "link_drops": {"recorder": self.n_lost + lost},
        }

    def _of(self, call: MediaCall) -> tuple[_Tapped | None, _Tapped | None]:
        return self._files.get(call.call_id), self._forks.get(call.call_id)

    def _start(self, call: MediaCall, *, writes: bool, metadata: dict[str, str]) -> _Tapped:
        from voicemask.recording.link import StartRecording  # noqa: PLC0415, where one records

        assert self._link is not None
        tapped = _Tapped(next(self._keys), call, writes, metadata=metadata)
        tapped.plans, tapped.policies = _plans(call), _policies(call)
        labels = {call.channel(p.plan): p.plan.label for p in call.parties.values()}
        recording_id: UUID | None = uuid4() if writes else None
        start = StartRecording(
            call_id=call.call_id,
            legs=tuple(tapped.plans[channel] for channel in range(_N_CHANNELS)),
            policies=tapped.policies,
            clock_ns=call.began_ns,
            started_at=time.time() - call.now_ns() / 1e9,
            recording_id=recording_id,
            returns_packets=not writes,
            customer=labels.get(0, ""),
            agent=labels.get(1, ""),
            extra=metadata,
            fill=call.fill,
        )
        self._link.start(tapped.key, start)
        self._by_key[tapped.key] = tapped
        self.n_started += writes
        if writes:
            details = {"recording": str(recording_id)}
            self._on_event(NodeEvent(EventKind.RECORDING_STARTED, call.call_id, details))
        if not self._is_ticking:
            self._is_ticking = True
            self._loop.call_later(_FLUSH_S, self._flush)
        return tapped

    def _stop(self, tapped: _Tapped, reason: str) -> None:
        assert self._link is not None
        self._link.stop(tapped.key, reason, tapped.call.now_ns())
        self._ports = {at: ports for at, ports in self._ports.items() if at[0] != tapped.key}
        self._link.flush()

    def _tell_changes(self, tapped: _Tapped) -> None:
        assert self._link is not None
        call, now_ns = tapped.call, tapped.call.now_ns()
        for channel, plan in _plans(call).items():
            if tapped.plans.get(channel) != plan:
                tapped.plans[channel] = plan
                self._link.plan(tapped.key, channel, plan, now_ns)
        for channel, policy in _policies(call).items():
            if tapped.policies.get(channel) != policy:
                tapped.policies[channel] = policy
                self._link.policy(tapped.key, channel, policy, now_ns)

    def _set_taps(self, call: MediaCall, all_tapped: list[_Tapped]) -> None:
        """Hand the datagrams of each party's first audio to the recorder."""
        link = self._link
        for party in call.parties.values():
            audio = [p for p in party.ports if p.remote is None or p.remote.kind == "audio"]
            for port in party.ports:
                port.tap = None
            if not audio or not all_tapped:
                continue
            channel, began_ns = call.channel(party.plan), call.began_ns
            keys = [tapped.key for tapped in all_tapped]

            def tap(
                data: bytes,
                *,
                keys: list[int] = keys,
                channel: int = channel,
                began_ns: int = began_ns,
            ) -> None:
                at_ns = time.monotonic_ns() - began_ns
                for key in keys:
                    link.packet(key, channel, at_ns, data)  # type: ignore[union-attr]

            audio[0].tap = tap

    def _find_fork_ports(self, tapped: _Tapped) -> None:
        """Say which ports get the masked packets of each channel."""
        if tapped.writes:
            return
        call = tapped.call
        channels = {
            port.local.number: call.channel(party.plan)
            for party in call.parties.values()
            for port in party.ports
        }
        self._ports = {at: ports for at, ports in self._ports.items() if at[0] != tapped.key}
        for fork in call.forks.values():
            if fork.kind is not ForkKind.RECORDER:
                continue
            for source, target in zip(fork.sources, fork.media, strict=False):
                channel = channels.get(source.number)
                port = self._find_port(target.port.number)
                if channel is not None and port is not None:
                    self._ports.setdefault((tapped.key, channel), []).append(port)

    def _flush(self) -> None:
        link = self._link
        if link is None or link.is_closed:
            self._is_ticking = bool(self._by_key)
            if self._is_ticking:
                self._loop.call_later(_TICK_S, self._flush)
            return
        now_s = time.monotonic()
        if now_s >= self._next_tick_s:
            self._next_tick_s = now_s + _TICK_S
            link.tick(time.monotonic_ns())
        link.flush()
        self._is_ticking = bool(self._by_key)
        if self._is_ticking:
            self._loop.call_later(_FLUSH_S, self._flush)

    def _on_readable(self) -> None:
        from voicemask.recording.link import ForkPacket  # noqa: PLC0415, where one records

        link = self._link
        assert link is not None
        for item in link.read():
            if isinstance(item, ForkPacket):
                for port in self._ports.get((item.key, item.channel), ()):
                    port.send(item.data)
            else:
                self._take_event(item)
        if link.is_closed and self._fd >= 0:
            self._loop.remove(self._fd)
            self._fd = -1

    def _take_event(self, event: Any) -> None:
        from voicemask.recording.link import RecordingState  # noqa: PLC0415, where one records

        tapped = self._by_key.get(event.key)
        if tapped is None:
            return
        call_id = tapped.call.call_id
        if event.state is RecordingState.FAILED:
            self.n_failed += 1
            details = {"reason": event.reason}
            self._on_event(NodeEvent(EventKind.RECORDING_FAILED, call_id, details))
        elif event.state is RecordingState.ENDED:
            del self._by_key[event.key]
            if tapped.writes:
                self._on_event(NodeEvent(EventKind.RECORDING_ENDED, call_id))


def _plans(call: MediaCall) -> dict[int, LegPlan]:
    """Plan of each channel; one that nobody speaks on yet is masked."""
    plans = {channel: LegPlan(channel, {}) for channel in range(_N_CHANNELS)}
    for party in call.parties.values():
        if not party.ports:
            continue
        channel = call.channel(party.plan)
        plans[channel] = LegPlan(
            channel, call.payload_types(party, 0), masked=call.is_masked(party.plan)
        )
    return plans


def _policies(call: MediaCall) -> dict[int, Policy]:
    policies = dict.fromkeys(range(_N_CHANNELS), Policy.GUARD)
    for party in call.parties.values():
        policies[call.channel(party.plan)] = call.policy(party.plan)
    return policies
