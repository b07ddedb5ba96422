"""Many calls at once through a live relay, in real time, and what each party got."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.press import Int64
from benchmarks.path.datagrams import Inbox, Outbox, addresses, open_socket
from benchmarks.path.relays import HOST, LOAD_CORE, Ports, Relay
from benchmarks.path.script import FRAME_NS, HEADER, Heard, Script, read_heard

SETTLE_NS: Final = 2_000_000_000
"""Waited for what is still on its way when the last packet has left."""
KEPT_BYTES: Final = 192
PAUSE_S: Final = 0.0005


@dataclass(frozen=True, slots=True)
class Parties:
    """One call: what each side sends, and how it is set up."""

    name: str
    customer: Script
    agent: Script
    n_samples: int
    events: bool = False


@dataclass(frozen=True, slots=True)
class Got:
    """What each side of one call heard: the agent of the customer, the customer of the agent."""

    agent: Heard
    customer: Heard


class _Side:
    """One socket for a side of all calls: a merged script to send, and arrivals."""

    def __init__(self) -> None:
        self.sock = open_socket(HOST)
        self._inbox = Inbox(self.sock)
        self._ports: list[NDArray[np.int64]] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._data: list[NDArray[np.uint8]] = []
        self._next = 0

    @property
    def port(self) -> int:
        number: int = self.sock.getsockname()[1]
        return number

    def load(self, scripts: Sequence[Script], to: Sequence[int]) -> None:
        """Merge the scripts by time; the calls are spread over a packet's time."""
        begin_ns = FRAME_NS * np.arange(len(scripts)) // len(scripts)
        at_ns = np.concatenate([s.at_ns + ns for s, ns in zip(scripts, begin_ns, strict=True)])
        order = np.argsort(at_ns, kind="stable")
        self._at_ns: Int64 = at_ns[order]
        self._packets = np.ascontiguousarray(np.vstack([s.packets for s in scripts])[order])
        length = np.concatenate([script.length for script in scripts])[order]
        ports = np.repeat(to, [script.length.size for script in scripts])[order]
        self._outbox = Outbox(self.sock, addresses(HOST, ports))
        base = self._packets.ctypes.data + self._packets.strides[0] * np.arange(len(order))
        self._outbox.fill(base, HEADER.size, base + HEADER.size, length - HEADER.size)

    def send(self, elapsed_ns: int) -> bool:
        """Send what is due; False when nothing is left."""
        due = int(np.searchsorted(self._at_ns, elapsed_ns, side="right"))
        if due > self._next:
            self._outbox.send(self._next, due)
            self._next = due
        return self._next < self._at_ns.size

    def receive(self) -> None:
        """Keep what came."""
        while n := self._inbox.receive():
            self._ports.append(self._inbox.port[:n].astype(np.int64))
            self._lengths.append(self._inbox.length[:n].astype(np.int64))
            self._data.append(self._inbox.data[:n, :KEPT_BYTES].copy())

    def heard(self, from_ports: Sequence[int], n_samples: Sequence[int]) -> Iterator[Heard]:
        """Sort what came by the relay's ports."""
        nothing = np.zeros(0, np.int64)
        ports = np.concatenate([nothing, *self._ports])
        length = np.minimum(np.concatenate([nothing, *self._lengths]), KEPT_BYTES)
        data = np.vstack([np.zeros((0, KEPT_BYTES), np.uint8), *self._data])
        for port, n in zip(from_ports, n_samples, strict=True):
            mine = (ports == port) & (length >= HEADER.size)
            yield read_heard(data[mine], length[mine], n)


@contextlib.contextmanager
def on_load_core() -> Iterator[None]:
    """Keep this process off the relay's core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def play(relay: Relay, parties: Sequence[Parties]) -> list[Got]:
    """Set all calls up, speak them through the relay in real time, and end them."""
    customers, agents = _Side(), _Side()
    ports = [
        relay.set_up(call.name, customers.port, agents.port, events=call.events) for call in parties
    ]
    customers.load([call.customer for call in parties], [p.caller for p in ports])
    agents.load([call.agent for call in parties], [p.callee for p in ports])
    with on_load_core():
        _speak(customers, agents)
    for call in parties:
        relay.end(call.name)
    return _sorted(customers, agents, ports, [call.n_samples for call in parties])


def _speak(customers: _Side, agents: _Side) -> None:
    start_ns = time.monotonic_ns()
    last_ns = start_ns
    while time.monotonic_ns() - last_ns < SETTLE_NS:
        elapsed_ns = time.monotonic_ns() - start_ns
        if customers.send(elapsed_ns) | agents.send(elapsed_ns):
            last_ns = time.monotonic_ns()
        customers.receive()
        agents.receive()
        time.sleep(PAUSE_S)


def _sorted(
    customers: _Side, agents: _Side, ports: Sequence[Ports], n_samples: Sequence[int]
) -> list[Got]:
    to_agent = agents.heard([p.callee for p in ports], n_samples)
    to_customer = customers.heard([p.caller for p in ports], n_samples)
    return [Got(*pair) for pair in zip(to_agent, to_customer, strict=True)]
