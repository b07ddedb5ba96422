"""What a media process reports to its parent, and how the parent sees that it no longer does.

A message is one datagram of JSON on a socketpair: a *beat* with a snapshot of counts at least once
a second, or a *log* line. The media process never blocks on it, nor on a slow stderr: a full socket
drops the message and counts it. The parent says `stalled` after three seconds without a beat.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

BEAT_S: Final = 0.9
STALLED_AFTER_S: Final = 3.0
KILLED_AFTER_S: Final = 30.0
"""A process that stood still so long is ended and started anew."""
CHECK_S: Final = 0.25
MAX_MESSAGE: Final = 64 * 1024


class Reporter:
    """The media process's end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.n_dropped = 0

    def beat(self, snapshot: Mapping[str, Any]) -> bool:
        """Tell that we live, and how; False where the parent is gone."""
        return self._send({"beat": snapshot})

    def log(self, level: str, event: str, facts: Mapping[str, str | int | float]) -> None:
        """Have the parent write a log line."""
        self._send({"log": [level, event, facts]})

    def _send(self, message: Mapping[str, Any]) -> bool:
        data = json.dumps(message, default=str).encode()
        try:
            self._sock.send(data)
        except BlockingIOError:
            self.n_dropped += 1
        except OSError as error:
            self.n_dropped += 1
            return isinstance(error, InterruptedError) or len(data) > MAX_MESSAGE
        return True


@dataclass(frozen=True, slots=True)
class Report:
    """One message of a media process; either part may be empty."""

    beat: Mapping[str, Any] | None = None
    log: tuple[str, str, Mapping[str, Any]] | None = None


def parse_report(data: bytes) -> Report:
    """Read a message; one that cannot be read is an empty report."""
    try:
        message = json.loads(data)
        beat, line = message.get("beat"), message.get("log")
        return Report(
            beat if isinstance(beat, dict) else None,
            (str(line[0]), str(line[1]), dict(line[2])) if line else None,
        )
    except (ValueError, AttributeError, TypeError, IndexError):
        return Report()


class Health(Enum):
    """How a media process does, as its parent sees it."""

    STARTING = "starting"
    RUNNING = "running"
    STALLED = "stalled"
    DOWN = "down"


@dataclass(slots=True)
class Watch:
    """Whether beats keep coming; fed with times of the monotonic clock."""

    health: Health = Health.STARTING
    n_alerts: int = 0
    last_beat_s: float = 0.0
    snapshot: Mapping[str, Any] = field(default_factory=dict)

    def started(self, now_s: float) -> None:
        """A new process was started."""
        self.health, self.last_beat_s = Health.STARTING, now_s

    def ended(self) -> None:
        """The process is gone."""
        self.health = Health.DOWN

    def beat(self, snapshot: Mapping[str, Any], now_s: float) -> bool:
        """Take a beat; True when it is the first after a stall."""
        was_stalled = self.health is Health.STALLED
        self.health, self.last_beat_s, self.snapshot = Health.RUNNING, now_s, snapshot
        return was_stalled

    def check(self, now_s: float) -> bool:
        """Look at the clock; True when the process has just been found stalled."""
        if self.health not in (Health.RUNNING, Health.STARTING):
            return False
        # importing takes longer than a beat on a busy machine
        patience_s = STALLED_AFTER_S * (1 if self.health is Health.RUNNING else 5)
        if now_s - self.last_beat_s < patience_s:
            return False
        self.health = Health.STALLED
        self.n_alerts += 1
        return True

    def is_lost(self, now_s: float) -> bool:
        """Whether it stood still for so long that it has to be ended."""
        return self.health is Health.STALLED and now_s - self.last_beat_s >= KILLED_AFTER_S


def notify_systemd(message: str) -> None:
    """Tell systemd (sd_notify(3)) where it asked for it; without it nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(message.encode())
        except OSError:
            return
