"""Phones on loopback sockets around a real node and its real loop, in one thread."""

from __future__ import annotations

import gc
import itertools
import socket
import struct
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.dtmf.arbiter import KeyPress
from voicemask.media.events import EventKind, NodeEvent
from voicemask.media.loop import Loop
from voicemask.media.node import Node
from voicemask.media.port import Port
from voicemask.media.settings import Customer, NodeSettings, RtpAddress
from voicemask.ng.plan import CallPlan, LocalPort, MediumPlan, PartyPlan, PolicyChange, Remote, Role
from voicemask.rtp.event import EventReport, serialize_event
from voicemask.rtp.sdp import STATIC_TYPES, PayloadType

EVENT = PayloadType(101, "telephone-event", 8000)
TYPES = (STATIC_TYPES[0], STATIC_TYPES[8], EVENT)
PATIENCE_S = 10.0
LOCAL = "127.0.0.1"
CALL = "call-1"
SETTINGS = NodeSettings((RtpAddress(LOCAL, LOCAL),), first_port=10000, last_port=19999)
_ssrcs = itertools.count(0x1000)


def rtp(seq: int, payload: bytes, number: int = 0, ssrc: int = 7, first: int = 0x80) -> bytes:
    """A packet of 20 ms."""
    return (
        struct.pack("!BBHII", first, number, seq & 0xFFFF, seq * 160 & 0xFFFFFFFF, ssrc) + payload
    )


def rtcp(ssrc: int = 7) -> bytes:
    """An empty receiver report."""
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


class Phone:
    """A party: says distinctive noise, keeps what it hears."""

    def __init__(self, seed: int = 1, host: str = LOCAL) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.address: tuple[str, int] = self.sock.getsockname()[:2]
        self.ssrc = next(_ssrcs)
        self.seq = 100
        self.said: list[bytes] = []
        self.heard: list[bytes] = []
        self._rng = np.random.default_rng(seed)

    def remote(self, **changes: Any) -> Remote:
        """What its SDP says."""
        host, port = self.address
        fields: dict[str, Any] = {
            "address": host,
            "port": port,
            "rtcp_port": port + 1,
            "payload_types": TYPES,
        }
        return Remote(**(fields | changes))

    def say(self, to: LocalPort, number: int = 0, payload: bytes | None = None) -> bytes:
        """Send the next packet; give its payload."""
        if payload is None:
            payload = self._rng.integers(0, 256, 160, np.uint8).tobytes()
        self.sock.sendto(rtp(self.seq, payload, number, self.ssrc), (to.address, to.rtp_port))
        self.seq += 1
        self.said.append(payload)
        return payload

    def press(self, to: LocalPort, key: int) -> None:
        """Send one whole event."""
        report = EventReport(key, end=True, volume=10, duration=800)
        self.say(to, 101, serialize_event([report]))

    def listen(self) -> list[bytes]:
        """Take what has come; give all payloads so far."""
        while True:
            try:
                self.heard.append(self.sock.recv(4096)[12:])
            except BlockingIOError:
                return self.heard

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


class FakeVault:
    """Keeps captures and the keys of each, as text to compare."""

    def __init__(self) -> None:
        self.open: dict[uuid.UUID, tuple[str, str]] = {}
        self.started: list[tuple[str, str]] = []
        self.keys: list[tuple[str, Digit]] = []

    def capture_started(self, call_id: str, tag: str) -> uuid.UUID:
        name = uuid.uuid4()
        self.open[name] = (call_id, tag)
        self.started.append((call_id, tag))
        return name

    def key(self, capture: uuid.UUID, press: KeyPress, at_ms: int) -> bool:
        self.keys.append((self.open[capture][1], press.digit))
        return at_ms >= 0

    def capture_ended(self, capture: uuid.UUID) -> None:
        del self.open[capture]


class FakeLink:
    """A recorder that writes down what it is told, and gives back what a test puts in `back`."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.told: list[tuple[Any, ...]] = []
        self.packets: list[tuple[int, int, bytes]] = []
        self.back: list[Any] = []
        self.is_closed = False
        self.n_lost = 0

    def fileno(self) -> int:
        return self.ours.fileno()

    def start(self, key: int, recording: Any) -> None:
        self.told.append(("start", key, recording))

    def packet(self, key: int, channel: int, _at_ns: int, data: bytes) -> None:
        self.packets.append((key, channel, data))

    def policy(self, key: int, channel: int, policy: Policy, _at_ns: int) -> None:
        self.told.append(("policy", key, channel, policy))

    def plan(self, key: int, channel: int, plan: Any, _at_ns: int) -> None:
        self.told.append(("plan", key, channel, plan))

    def info(self, key: int, channel: int, _at_ns: int, digit: Digit, _duration_ms: int) -> None:
        self.told.append(("info", key, channel, digit))

    def pause(self, key: int, reason: str, _at_ns: int = 0) -> None:
        self.told.append(("pause", key, reason))

    def resume(self, key: int, _at_ns: int = 0) -> None:
        self.told.append(("resume", key))

    def stop(self, key: int, reason: str = "hangup", _at_ns: int = 0) -> None:
        self.told.append(("stop", key, reason))

    def tick(self, _clock_ns: int) -> None:
        self.told.append(("tick",))

    def flush(self) -> None:
        pass

    def read(self) -> list[Any]:
        self.ours.recv(100)
        back, self.back = self.back, []
        return back

    def give(self, *items: Any) -> None:
        """Have the node read these."""
        self.back += items
        self.theirs.send(b"x")

    def kinds(self) -> list[str]:
        """Name what was told, ticks left out."""
        return [item[0] for item in self.told if item[0] != "tick"]

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class Rig:
    """A node, its loop, its events."""

    def __init__(
        self,
        customer: Customer = Customer.UNKNOWN,
        settings: NodeSettings | None = None,
        **links: Any,
    ) -> None:
        self.errors: list[BaseException] = []
        self.events: list[NodeEvent] = []
        self.phones: list[Phone] = []
        self.loop = Loop(self.errors.append)
        if settings is None:
            s = SETTINGS
            settings = NodeSettings(s.addresses, s.first_port, s.last_port, customer=customer)
        self.node = Node(settings, self.loop, on_event=self.events.append, **links)

    def phone(self, host: str = LOCAL) -> Phone:
        """Another phone."""
        self.phones.append(Phone(len(self.phones) + 1, host))
        return self.phones[-1]

    def port(self, local: LocalPort) -> Port:
        """The node's own port of a number."""
        return self.node._ports[local.number]

    def until(self, is_so: Callable[[], bool]) -> None:
        """Serve until a condition holds; it has to come within the patience of a test."""
        end_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end_s, "what was waited for has not come"
            self.loop.run_once(0.02)

    def serve(self, for_s: float = 0.12) -> None:
        """Serve as long as anything may be held back, and a little longer."""
        rung: list[bool] = []
        self.loop.call_later(for_s, lambda: rung.append(True))
        self.until(lambda: bool(rung))

    def take(self, phone: Phone, local: LocalPort, n: int = 1, number: int = 0) -> list[bytes]:
        """Have a phone say packets, one by one, each taken by the node when this returns."""
        port, payloads = self.port(local), []
        for _ in range(n):
            n_before = port.n_in
            payloads.append(phone.say(local, number))
            self.until(lambda n_before=n_before: port.n_in > n_before)  # type: ignore[misc]
        return payloads

    def set(self, policy: Policy | None, tag: str = "", **changes: Any) -> None:
        """Change a policy of the call."""
        self.node.set_policy(CALL, PolicyChange(policy, tag, **changes))

    def kinds(self) -> list[EventKind]:
        """Name the events."""
        return [event.kind for event in self.events]

    def close(self) -> None:
        """End all; nothing may have gone wrong unseen."""
        self.node.close()
        self.loop.close()
        for phone in self.phones:
            phone.close()
        assert self.errors == []


def party(  # noqa: PLR0917
    tag: str, port: LocalPort, remote: Remote | None, hearers: tuple[LocalPort, ...],
    role: Role | None = None, is_caller: bool = False,
) -> PartyPlan:  # fmt: skip
    """A party with one section."""
    return PartyPlan(tag, (MediumPlan(port, remote, hearers),), role=role, is_caller=is_caller)


class Two(Rig):
    """A call of `a`, who called, and `b`."""

    def __init__(self, *args: Any, roles: Mapping[str, Role] | None = None, **links: Any) -> None:
        super().__init__(*args, **links)
        self.roles = roles or {}
        self.a, self.b = self.phone(), self.phone()
        self.at_a, self.at_b = self.node.reserve(4), self.node.reserve(4)
        self.apply()

    def apply(self, tag_b: str = "b", **changes: Any) -> None:
        """Have the plan carried out, with changes to what both say."""
        parties = (
            party(
                "a", self.at_a, self.a.remote(**changes), (self.at_b,), self.roles.get("a"), True
            ),
            party(tag_b, self.at_b, self.b.remote(**changes), (self.at_a,), self.roles.get("b")),
        )
        self.node.apply(CallPlan(CALL, parties))


def n_descriptors() -> int:
    """Descriptors of this process, without those of sockets nobody knows any more."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
