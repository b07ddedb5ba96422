"""Damaged NG datagrams against a live media service: does it live, answer, and give all back?

``python -m benchmarks.robustness.ng_flood [--datagrams 20000] [--seed 1] [--relay rtpengine]``
mutates the messages of a masked, held, recorded and forked call as Kamailio sends them
(tests/fuzz/ng_datagrams.py), asks for a sign of life after every hundred, ends every call that
came of it, and counts ports, descriptors and memory. rtpengine 10.5.3 dies within 20,000.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import socket
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Final

from benchmarks.path.ng import NgClient, NgRefusedError
from benchmarks.path.relays import FIRST_PORT, HOST, LAST_PORT, MODES, Relay
from tests.fuzz.ng_datagrams import mutations

PING_EVERY: Final = 100
_LARGEST: Final = 65536


class FellSilentError(RuntimeError):
    """The service no longer answers; carries the last datagrams, newest last."""

    def __init__(self, n_sent: int, last: list[bytes]) -> None:
        super().__init__(f"no answer to ping after {n_sent} datagrams")
        self.last = last


def flood(address: tuple[str, int], n_datagrams: int, seed: int) -> Counter[str]:
    """Send damaged datagrams; count what was answered.

    Raises
    ------
    FellSilentError
        It does not answer a ping within five seconds.
    """
    counts: Counter[str] = Counter()
    ng = NgClient(address)
    last: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        for message in itertools.islice(mutations(seed), n_datagrams):
            _send(sock, message, counts)
            last.append(message)
            if len(last) == PING_EVERY:
                _check(ng, counts.total(), last)
                _read(sock, counts)
                last = []
        _check(ng, n_datagrams, last)
        time.sleep(0.2)
        _read(sock, counts)
    ng.close()
    return counts


def _send(sock: socket.socket, message: bytes, counts: Counter[str]) -> None:
    try:
        sock.send(message)
        counts["sent"] += 1
    except ConnectionRefusedError:
        counts["refused"] += 1


def _check(ng: NgClient, n_sent: int, last: list[bytes]) -> None:
    try:
        ng.ask("ping")
    except NgRefusedError:
        raise FellSilentError(n_sent, last) from None


def _read(sock: socket.socket, counts: Counter[str]) -> None:
    while True:
        try:
            reply = sock.recv(_LARGEST, socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionRefusedError):
            return
        kind = "error" if b"error-reason" in reply else "ok"
        counts["internal error" if b"internal error" in reply else kind] += 1


def end_all(address: tuple[str, int], kept: Collection[str] = ()) -> int:
    """End every call but those that are kept; give how many there were."""
    ng = NgClient(address)
    n_ended = 0
    while calls := set(map(str, ng.ask("list", {"limit": 200})["calls"])) - set(kept):  # type: ignore[arg-type]
        for call_id in calls:
            ng.ask("delete", {"call-id": call_id, "from-tag": "", "delete-delay": 0})
            n_ended += 1
    ng.close()
    return n_ended


def bound_ports(first: int, last: int) -> int:
    """Count UDP ports of a range that are bound, by whichever process."""
    bound = set()
    for name in ("udp", "udp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            bound.add(int(line.split()[1].rpartition(":")[2], 16))
    return sum(first <= port <= last for port in bound)


def main() -> None:
    """Print one table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--datagrams", type=int, default=20000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--relay", choices=("voicemask", "rtpengine"), default="voicemask")
    chosen = options.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mode = MODES["voicemask guard" if chosen.relay == "voicemask" else "rtpengine forward"]
    with Relay(mode, core=None) as relay:
        address = (HOST, relay._ng_port)
        pids, memory = relay.pids(), relay.memory_bytes()
        fds = [_n_fds(pid) for pid in pids]
        begun_s = time.monotonic()
        try:
            counts = flood(address, chosen.datagrams, chosen.seed)
        except FellSilentError as error:
            print(f"{chosen.relay}: {error}; processes alive: {len(relay.pids())} of {len(pids)}")
            raise SystemExit(1) from None
        took_s = time.monotonic() - begun_s
        n_calls = end_all(address)
        same = relay.pids() == pids
        rows = {
            **{f"replies: {name}": count for name, count in counts.items() if name != "sent"},
            "datagrams": counts["sent"],
            "seconds": round(took_s, 1),
            "processes are the same": same,
            "calls ended afterwards": n_calls,
            "ports bound afterwards": bound_ports(FIRST_PORT, LAST_PORT),
            "descriptors before, after": (fds, [_n_fds(pid) for pid in relay.pids()]),
            "MiB before, after": (memory >> 20, relay.memory_bytes() >> 20),
        }
        for name, value in rows.items():
            print(f"{name:28} {value}")


def _n_fds(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


if __name__ == "__main__":
    main()
