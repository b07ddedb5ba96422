"""The load: both parties of many calls, as one process on a core of its own.

Every stream sends 50 packets of 20 ms a second, all streams spread evenly over the 20 ms, as calls
that know nothing of each other do. One socket stands for all callers and one for all callees: what
comes back is told apart by the relay's port. What is measured is the time from the moment a packet
is handed to the kernel to the kernel's stamp of its arrival, matched by RTP timestamp.

As a process it speaks lines: it prints the ports of its two sockets, reads one line of JSON (a
`Load`), prints ``measuring`` and ``measured`` when the stretch that counts begins and ends, and
then its figures.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.path.datagrams import Inbox, Outbox, addresses, open_socket
from benchmarks.path.relays import HOST, LOAD_CORE, REAL_TIME_PRIORITY, may_run_in_real_time

FRAME_NS: Final = 20_000_000
FRAME_SAMPLES: Final = 160
HEADER_BYTES: Final = 12
FIRST_FRAME: Final = 1000
"""Streams do not begin at timestamp 0, which a relay may take for none."""
RECEIVE_EVERY_NS: Final = 2_000_000
LONGEST_SLEEP_NS: Final = 500_000
SETTLE_NS: Final = 1_000_000_000
"""Waited for what is still on its way when the last packet has left."""
PR_SET_TIMERSLACK: Final = 29


@dataclass(frozen=True, slots=True)
class Load:
    """What to send.

    Parameters
    ----------
    callers, callees : for every call the relay's port facing that party.
    payload : file of packet payloads, (n_loops, n_frames, 160) uint8 as .npy; even loops are of
        customers, odd ones of agents.
    warm_up_s, measure_s : seconds before what counts, and of it.
    """

    callers: tuple[int, ...]
    callees: tuple[int, ...]
    payload: str
    warm_up_s: float
    measure_s: float

    @classmethod
    def parse(cls, line: str) -> Load:
        """Read a line of JSON."""
        fields = json.loads(line)
        fields["callers"], fields["callees"] = tuple(fields["callers"]), tuple(fields["callees"])
        return cls(**fields)

    def line(self) -> str:
        """Write it as a line of JSON."""
        return json.dumps(asdict(self))


class Side:
    """All callers, or all callees: their streams' packets out, and what comes back to them."""

    def __init__(self, n_streams: int, n_frames: int, loops: NDArray[np.uint8]) -> None:
        self.sock = open_socket(HOST)
        self.inbox = Inbox(self.sock)
        self.n_streams = n_streams
        self.sent_ns = np.zeros((n_frames, n_streams), np.int64)
        self.arrived_ns = np.zeros((n_frames, n_streams), np.int64)
        self.n_changed = self.n_again = self.n_strange = 0
        self._loops = loops
        self._loop = np.arange(n_streams) % len(loops)
        self._at = np.arange(n_streams) * 37
        self._header = np.zeros((n_streams, HEADER_BYTES), np.uint8)
        self._stream_of_port = np.full(65536, -1, np.int32)

    @property
    def port(self) -> int:
        """Where this side receives."""
        port: int = self.sock.getsockname()[1]
        return port

    def connect(self, to: NDArray[np.int64], ssrc: int) -> None:
        """Say where each stream's packets go, and so where the other side's come from."""
        self._outbox = Outbox(self.sock, addresses(HOST, to))
        self._stream_of_port[to] = np.arange(self.n_streams)
        self._header[:, 0] = 0x80
        self._header[:, 8:12].view(">u4")[:, 0] = ssrc + np.arange(self.n_streams)

    def prepare(self, frame: int) -> None:
        """Make the packets of one frame of all streams."""
        self._header[:, 2:4].view(">u2")[:, 0] = (frame + FIRST_FRAME) % 65536
        self._header[:, 4:8].view(">u4")[:, 0] = (frame + FIRST_FRAME) * FRAME_SAMPLES
        n_frames, size = self._loops.shape[1:]
        place = self._loop * n_frames + (self._at + frame) % n_frames
        self._outbox.fill(
            self._header.ctypes.data + HEADER_BYTES * np.arange(self.n_streams), HEADER_BYTES,
            self._loops.ctypes.data + size * place, size,
        )  # fmt: skip

    def send(self, frame: int, first: int, stop: int) -> None:
        """Send one frame of streams [first, stop)."""
        self._outbox.send_stamped(first, stop, self.sent_ns[frame, first:stop])

    def receive(self, other: Side) -> None:
        """Take all that came, and note when; `other` sent it."""
        box = self.inbox
        while n := box.receive():
            stream = self._stream_of_port[box.port[:n]]
            frame = box.data[:n, 4:8].view(">u4")[:, 0].astype(np.int64) // FRAME_SAMPLES
            frame -= FIRST_FRAME
            good = (
                (stream >= 0)
                & (frame >= 0)
                & (frame < len(self.arrived_ns))
                & (box.length[:n] > HEADER_BYTES)
            )
            self.n_strange += int(n - good.sum())
            frame, stream, at_ns = frame[good], stream[good], box.at_ns[:n][good]
            again = self.arrived_ns[frame, stream] != 0
            self.n_again += int(again.sum())
            self.arrived_ns[frame[~again], stream[~again]] = at_ns[~again]
            self.n_changed += other.count_changed(box.data[:n][good], frame, stream)

    def count_changed(
        self,
        data: NDArray[np.uint8],
        frame: NDArray[np.integer],
        stream: NDArray[np.integer],
    ) -> int:
        """Count packets whose payload is not the one this side sent."""
        n_frames, size = self._loops.shape[1:]
        sent = self._loops[self._loop[stream], (self._at[stream] + frame) % n_frames]
        return int(np.any(data[:, HEADER_BYTES : HEADER_BYTES + size] != sent, axis=1).sum())


def figures(sender: Side, receiver: Side, first: int, stop: int) -> dict[str, float]:
    """Figures of one direction over frames [first, stop)."""
    sent, arrived = sender.sent_ns[first:stop], receiver.arrived_ns[first:stop]
    came = arrived != 0
    delay_ms = (arrived[came] - sent[came]) / 1e6
    p50, p99, most = (
        np.percentile(delay_ms, (50, 99, 100)) if delay_ms.size else (float("nan"),) * 3
    )
    return {
        "sent": int(sent.size),
        "lost": int(sent.size - came.sum()),
        "again": receiver.n_again,
        "strange": receiver.n_strange,
        "changed": receiver.n_changed,
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "max_ms": round(float(most), 3),
    }


def run(load: Load, callers: Side, callees: Side) -> dict[str, Any]:
    """Send it all, and give the figures of both directions."""
    n_warm = round(load.warm_up_s * 1e9 / FRAME_NS)
    n_frames = n_warm + round(load.measure_s * 1e9 / FRAME_NS)
    sides = (callers, callees)
    start_ns = time.monotonic_ns() + FRAME_NS
    received_ns, late_ns, cpu_ns = 0, [], 0
    for frame in range(n_frames):
        if frame == n_warm:
            print("measuring", flush=True)
            cpu_ns = time.process_time_ns()
        for side in sides:
            side.prepare(frame)
        begun_ns = start_ns + frame * FRAME_NS
        sent = 0
        while sent < callers.n_streams:
            now_ns = time.monotonic_ns()
            due = min(callers.n_streams, (now_ns - begun_ns) * callers.n_streams // FRAME_NS + 1)
            if due > sent:
                late_ns.append(now_ns - begun_ns - sent * FRAME_NS // callers.n_streams)
                for side in sides:
                    side.send(frame, sent, due)
                sent = due
            if now_ns - received_ns > RECEIVE_EVERY_NS:
                _receive(callers, callees)
                received_ns = now_ns
            wait_ns = begun_ns + sent * FRAME_NS // callers.n_streams - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(min(wait_ns, LONGEST_SLEEP_NS) / 1e9)
    cpu_ns = time.process_time_ns() - cpu_ns
    print("measured", flush=True)
    until_ns = time.monotonic_ns() + SETTLE_NS
    while time.monotonic_ns() < until_ns:
        _receive(callers, callees)
        time.sleep(0.002)
    return {
        "to_agent": figures(callers, callees, n_warm, n_frames),
        "to_customer": figures(callees, callers, n_warm, n_frames),
        "load_late_p99_ms": round(float(np.percentile(late_ns, 99)) / 1e6, 3),
        "load_core_share": round(cpu_ns / (load.measure_s * 1e9), 3),
    }


def _receive(callers: Side, callees: Side) -> None:
    callers.receive(callees)
    callees.receive(callers)


def main() -> None:
    """Serve one load."""
    os.sched_setaffinity(0, {LOAD_CORE})
    if may_run_in_real_time():
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    n_calls, n_frames, payload = int(sys.argv[1]), int(sys.argv[2]), np.load(sys.argv[3])
    callers = Side(n_calls, n_frames, np.ascontiguousarray(payload[::2]))
    callees = Side(n_calls, n_frames, np.ascontiguousarray(payload[1::2]))
    print(callers.port, callees.port, flush=True)
    load = Load.parse(sys.stdin.readline())
    callers.connect(np.array(load.callers), 0x10000)
    callees.connect(np.array(load.callees), 0x20000)
    print(json.dumps(run(load, callers, callees)), flush=True)


if __name__ == "__main__":
    main()
