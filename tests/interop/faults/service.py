"""`voicemask media` whose processes, ports and memory a test can reach."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from tests.interop.node import Node, Recorded, voicemask
from tests.interop.ports import N_FOR_MEDIA, SIZE, PortBlock

PROC = Path("/proc")


def wait_until(is_so: Callable[[], object], timeout_s: float, what: str) -> None:
    """Look again every 10 ms until it is so."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not in {timeout_s} s: {what}"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """Processes that this one started, oldest first."""
    found = []
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append((int(fields[19]), int(path.parent.name)))
    return [child for _, child in sorted(found)]


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    n_fds: int
    resident_bytes: int

    @classmethod
    def by(cls, pid: int) -> Held:
        folder = PROC / str(pid)
        n_pages = int((folder / "statm").read_text().split()[1])
        return cls(len(list((folder / "fd").iterdir())), n_pages * os.sysconf("SC_PAGE_SIZE"))


class FaultPorts(PortBlock):
    """Ports for services that run one after another: each gets all that are for media."""

    def take_range(self) -> range:
        first: int = self._lock.getsockname()[1]
        return range(first + SIZE - N_FOR_MEDIA, first + SIZE)


class Service(Node):
    """The media service: a supervisor, one media process and its recorder."""

    @property
    def pid(self) -> int:
        return self._process._child.pid

    @property
    def media_pid(self) -> int:
        return children(self.pid)[0]

    def recorders(self) -> list[int]:
        return children(self.media_pid)

    @property
    def recorder_pid(self) -> int:
        return self.recorders()[0]

    def held(self) -> Held:
        return Held.by(self.media_pid)

    def recordings_of(self, call_id: str) -> list[Recorded]:
        """Open all recordings of a call."""
        where = ("--recordings", self.recordings, "--recording-key", self._key)
        listed = voicemask("recordings", "list", "--format", "jsonl", *where).splitlines()
        found = []
        for entry in map(json.loads, listed):
            if entry["call_id"] == call_id:
                path = self.folder / f"{entry['id']}.wav"
                voicemask("recordings", "export", entry["id"], path, *where)
                audio, rate_hz = sf.read(path, dtype="float32", always_2d=True)
                found.append(Recorded(np.ascontiguousarray(audio.T), rate_hz, entry))
        return found

    def log(self) -> str:
        """Give all it said."""
        return (self.folder / "node.log").read_text(errors="replace")

    def kill_media(self) -> int:
        """Kill the media process; give its former pid."""
        pid = self.media_pid
        os.kill(pid, signal.SIGKILL)
        return pid

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep the media process from running."""
        pid = self.media_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def wait_restarted(self, former_pid: int, timeout_s: float = 10.0) -> None:
        """Wait for another media process that answers."""

        def has_another() -> bool:
            now = children(self.pid)
            return bool(now) and now[0] != former_pid and self._answers()

        wait_until(has_another, timeout_s, "the media process started anew")


def free_udp(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A bound, non-blocking datagram socket."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock
