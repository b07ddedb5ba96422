"""`voicemask media` whose processes, ports and memory a test can reach."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.interop.ng import NgClient
from tests.interop.node import Node
from tests.interop.ports import PortBlock

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


def bound_ports(ports: range) -> list[int]:
    """UDP ports of this range that some process has bound, on IPv4 or IPv6."""
    bound = set()
    for name in ("udp", "udp6"):
        lines = (PROC / "net" / name).read_text().splitlines()[1:]
        bound |= {int(line.split()[1].rpartition(":")[2], 16) for line in lines}
    return sorted(bound & set(ports))


class Service(Node):
    """The media service as one supervisor, one media process and one recorder.

    Parameters
    ----------
    options : further ones.
    """

    def __init__(self, ports: PortBlock, folder: Path, *options: str) -> None:
        self.media_ports = ports.media
        super().__init__(ports, folder, *options)

    @property
    def pid(self) -> int:
        return self._process._child.pid

    @property
    def media_pid(self) -> int:
        return children(self.pid)[0]

    @property
    def recorder_pid(self) -> int:
        return children(self.media_pid)[0]

    def held(self) -> Held:
        return Held.by(self.media_pid)

    def bound_ports(self) -> list[int]:
        return bound_ports(self.media_ports)

    def log(self) -> str:
        """Give all it said."""
        return (self.folder / "node.log").read_text(errors="replace")

    def answers(self) -> bool:
        """Ask for a sign of life with a socket of its own: no old reply is taken for a new one."""
        client = NgClient(self.ng_port)
        client._socket.settimeout(0.3)
        try:
            return client.ask("ping") == {"result": "pong"}
        except OSError:
            return False
        finally:
            client.close()

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
            return bool(now) and now[0] != former_pid and self.answers()

        wait_until(has_another, timeout_s, "the media process started anew")


def free_udp(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A bound, non-blocking datagram socket."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock
