"""The recorder process of a media process: started, watched, started anew, ended in order.

It has the other end of a socketpair and nothing else of ours. It lives on the socket: when that
closes, it finishes what it has and ends.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from voicemask.errors import RecordingError
from voicemask.media import hardening
from voicemask.media.loop import Loop

if TYPE_CHECKING:
    from voicemask.recording.link import RecorderLink

_BACK_OFF_S: Final = (0.2, 1.0, 5.0)
_SOCKET_BYTES: Final = 8 << 20
_PROGRAM: Final = "from voicemask.media.recorder_child import main; main()"
Log = Callable[[str, str, dict[str, str | int | float]], None]


class RecorderChild:
    """Keeps one recorder process running.

    Parameters
    ----------
    folder, key_file : of the recordings.
    log : takes level, event and facts.
    """

    def __init__(self, loop: Loop, folder: Path, key_file: Path | None, log: Log) -> None:
        self._loop = loop
        self._arguments = [str(folder), str(key_file or "")]
        self._log = log
        self._is_ending = False
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._theirs: socket.socket | None = None
        self.n_restarts = 0
        self.link = self._new_link()
        self._on_new_link: Callable[[RecorderLink], None] | None = None

    def start(self, on_new_link: Callable[[RecorderLink], None]) -> None:
        """Start the process; told of the link of each that takes its place."""
        self._on_new_link = on_new_link
        self._spawn()

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def finish(self, patience_s: float) -> bool:
        """Send what is left, hang up, wait for the recordings; False where time ran out."""
        self._is_ending = True
        due_s = time.monotonic() + patience_s
        while self._process is not None and self.link.wants_write:
            left_s = due_s - time.monotonic()
            if left_s <= 0 or not select.select([], [self.link.fileno()], [], left_s)[1]:
                break
            self.link.flush()
        self.link.close()
        if self._theirs is not None:
            self._theirs.close()
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, due_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True

    def _new_link(self) -> RecorderLink:
        from voicemask.recording.link import RecorderLink  # noqa: PLC0415, only where one records

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        self._theirs = theirs
        return RecorderLink(ours)

    def _spawn(self) -> None:
        if self._is_ending or self._theirs is None:
            return
        fd = self._theirs.fileno()
        arguments = [sys.executable, "-P", "-c", _PROGRAM, str(fd), *self._arguments]
        self._process = subprocess.Popen(arguments, pass_fds=[fd], stdin=subprocess.DEVNULL)
        self._theirs.close()
        self._theirs = None
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._on_end)

    def _on_end(self) -> None:
        self._loop.remove(self._pidfd)
        os.close(self._pidfd)
        if self._process is None:
            return
        code = self._process.wait()
        self._process = None
        if self._is_ending:
            return
        self._log("error", "recorder ended", {"code": code})
        delay_s = _BACK_OFF_S[min(self.n_restarts, len(_BACK_OFF_S) - 1)]
        self.n_restarts += 1
        self._loop.call_later(delay_s, self._restart)

    def _restart(self) -> None:
        if self._is_ending:
            return
        old, self.link = self.link, self._new_link()
        self._spawn()
        if self._on_new_link is not None:
            self._on_new_link(self.link)
        old.close()


def main() -> None:
    """Be the recorder: parent's pid, socket, folder, key file."""
    fd, folder, key_file = sys.argv[1:4]
    hardening.harden()
    hardening.lock_memory()
    from voicemask.recording.keys import load_or_create_keys  # noqa: PLC0415, hardened first
    from voicemask.recording.recorder import run_recorder  # noqa: PLC0415, as above

    if key_file:
        try:
            load_or_create_keys(Path(key_file))
        except RecordingError as error:
            # every recording will fail, and say so; calls go on
            print(f"voicemask: {error}", file=sys.stderr)
    run_recorder(int(fd), Path(folder), Path(key_file) if key_file else None)
