"""Many calls for a long time: packets in and out of every stream, memory, descriptors.

``python -m benchmarks.robustness.soak [--minutes 30] [--calls 100] [--record FOLDER]``. Half of the
calls are in `capture`. Both parties of every call send 50 packets a second; each stream's packets
are counted by sequence number where they come out. The relay has one core, the load another. Two
minutes (``--minutes 2``) show the same but for slow growth.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.density.material import loops
from benchmarks.path.datagrams import Inbox, Outbox, addresses, open_socket
from benchmarks.path.relays import HOST, LOAD_CORE, MODES, Relay, cpu_ns

FRAME_S: Final = 0.02
N_GROUPS: Final = 10
"""Streams of one frame leave in so many groups, spread over it."""
HEADER_BYTES: Final = 12
N_SAMPLES: Final = 10
"""Rows of the table of memory."""
SETTLE_S: Final = 1.0


class Side:
    """All callers or all callees: what they send, and what comes to them."""

    def __init__(self, n_streams: int, payload: NDArray[np.uint8]) -> None:
        self.sock = open_socket(HOST)
        self.port: int = self.sock.getsockname()[1]
        self.n_streams = n_streams
        self._inbox = Inbox(self.sock)
        self._payload = payload
        self._header = np.zeros((n_streams, HEADER_BYTES), np.uint8)
        self._stream_of_port = np.full(65536, -1, np.int64)
        self.came = np.zeros(n_streams, np.int64)
        self.again = np.zeros(n_streams, np.int64)
        self._seen = np.zeros((n_streams, 1 << 16), np.int8)
        self._round = 0
        self.n_strange = 0

    def connect(self, to: NDArray[np.int64], ssrc: int) -> None:
        """Say where each stream's packets go; the other side's come from there."""
        self._outbox = Outbox(self.sock, addresses(HOST, to))
        self._stream_of_port[to] = np.arange(self.n_streams)
        self._header[:, 0] = 0x80
        self._header[:, 8:12].view(">u4")[:, 0] = ssrc + np.arange(self.n_streams)

    def prepare(self, frame: int) -> None:
        """Make the packets of one frame."""
        self._header[:, 2:4].view(">u2")[:, 0] = frame % 65536
        self._header[:, 4:8].view(">u4")[:, 0] = (frame * 160) % 2**32
        n_loops, n_frames, size = self._payload.shape
        streams = np.arange(self.n_streams)
        place = streams % n_loops * n_frames + (streams * 37 + frame) % n_frames
        self._outbox.fill(
            self._header.ctypes.data + HEADER_BYTES * streams, HEADER_BYTES,
            self._payload.ctypes.data + size * place, size,
        )  # fmt: skip

    def send(self, group: int) -> None:
        """Send one group of the prepared packets."""
        edges = self.n_streams * np.arange(N_GROUPS + 1) // N_GROUPS
        self._outbox.send(int(edges[group]), int(edges[group + 1]))

    def receive(self, frame: int) -> None:
        """Count all that came; a sequence number within 10 s of the last time is one too many."""
        while n := self._inbox.receive():
            stream = self._stream_of_port[self._inbox.port[:n]]
            good = (stream >= 0) & (self._inbox.length[:n] >= HEADER_BYTES)
            self.n_strange += int(n - good.sum())
            stream = stream[good]
            sequence = self._inbox.data[:n][good][:, 2:4].copy().view(">u2")[:, 0].astype(int)
            np.add.at(self._seen, (stream, sequence), 1)
            np.add.at(self.came, stream, 1)
            self.again += np.bincount(
                stream[self._seen[stream, sequence] > 1], minlength=self.n_streams
            )
        # half a turn of sequence numbers ahead is forgotten
        self._seen[:, (frame + 32768) % 65536] = 0


@dataclass
class Sampled:
    """Memory and descriptors over time."""

    at_s: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)

    def take(self, relay: Relay, at_s: float) -> None:
        self.at_s.append(at_s)
        self.mib.append(relay.memory_bytes() / 2**20)
        self.fds.append(sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in relay.pids()))


def dropped(port: int | None = None) -> int:
    """Datagrams the kernel dropped at full sockets: of one port, or of all."""
    total = 0
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if port is None or int(fields[1].rpartition(":")[2], 16) == port:
            total += int(fields[-1])
    return total


def soak(relay: Relay, minutes: float, n_calls: int) -> tuple[list[Side], Sampled, int, float]:
    """Run it; give both sides, the samples, the frames sent, and CPU seconds of the relay."""
    payload = loops()
    sides = [Side(n_calls, np.ascontiguousarray(payload[first::2])) for first in (0, 1)]
    ports = []
    for number in range(n_calls):
        call_id = f"soak-{number}"
        ports.append(relay.set_up(call_id, sides[0].port, sides[1].port))
        if number % 2 == 0:
            relay.ng.ask("block DTMF", {"call-id": call_id})
    sides[0].connect(np.array([port.caller for port in ports]), 0x10000)
    sides[1].connect(np.array([port.callee for port in ports]), 0x20000)
    n_frames = round(minutes * 60 / FRAME_S)
    sampled = Sampled()
    cpu_before = sum(map(cpu_ns, relay.pids()))
    start_s = time.monotonic()
    for frame in range(n_frames):
        if frame % max(1, n_frames // N_SAMPLES) == 0:
            sampled.take(relay, frame * FRAME_S)
        for side in sides:
            side.prepare(frame)
        for group in range(N_GROUPS):
            wait_s = start_s + (frame + group / N_GROUPS) * FRAME_S - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            for side in sides:
                side.send(group)
                side.receive(frame)
    cpu_s = (sum(map(cpu_ns, relay.pids())) - cpu_before) / 1e9
    until_s = time.monotonic() + SETTLE_S
    while time.monotonic() < until_s:
        for side in sides:
            side.receive(n_frames)
        time.sleep(0.002)
    sampled.take(relay, n_frames * FRAME_S)
    return sides, sampled, n_frames, cpu_s


def report(sides: list[Side], sampled: Sampled, n_frames: int, cpu_s: float) -> bool:
    """Print the tables; tell whether nothing was lost."""
    print(f"{'heard by':10}{'policy':10}{'sent':>12}{'lost':>8}{'twice':>8}{'worst stream':>14}")
    total_lost = 0
    for name, side in (("customer", sides[0]), ("agent", sides[1])):
        for policy, first in (("capture", 0), ("guard", 1)):
            came, again = side.came[first::2] - side.again[first::2], side.again[first::2]
            lost = n_frames - came
            total_lost += int(lost.sum())
            print(
                f"{name:10}{policy:10}{n_frames * len(came):12}{int(lost.sum()):8}"
                f"{int(again.sum()):8}{int(lost.max(initial=0)):14}"
            )
    print(f"\n{'minute':>8}{'MiB':>10}{'descriptors':>14}")
    for at_s, mib, fds in zip(sampled.at_s, sampled.mib, sampled.fds, strict=True):
        print(f"{at_s / 60:8.1f}{mib:10.1f}{fds:14}")
    n_packets = 2 * n_frames * sides[0].n_streams
    print(f"\nkernel drops at the load's sockets: {sum(dropped(side.port) for side in sides)}")
    print(f"kernel drops at all UDP sockets: {dropped()}")
    print(f"datagrams from elsewhere: {sum(side.n_strange for side in sides)}")
    print(f"relay: {1e6 * cpu_s / n_packets:.1f} us CPU per packet")
    return total_lost == 0


def main() -> None:
    """Run once, exit with 1 where a packet was lost."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30.0)
    options.add_argument("--calls", type=int, default=100)
    options.add_argument("--mode", default="voicemask guard")
    options.add_argument("--record", type=Path)
    chosen = options.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    start = (("start recording", {}),) if chosen.record else ()
    mode = dataclasses.replace(MODES[chosen.mode], requests=start)
    with Relay(mode, recordings=chosen.record) as relay:
        if not report(*soak(relay, chosen.minutes, chosen.calls)):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
