"""A program under test: started, awaited, ended, and its output at hand when a test fails.

Nothing outlives the tests. Who ends them, ends everything of the program's session; a program that
does not get ready is ended at once; and when the process that runs the tests dies, by whatever
means, the kernel ends the program (`setpriv --pdeathsig`, of util-linux).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PACKAGES = {
    "baresip": "baresip-core",
    "kamailio": "kamailio",
    "setpriv": "util-linux",
    "sipp": "sip-tester",
}
"""Debian packages by program."""


def program(name: str) -> str:
    """Find a program; the tests need it, so its absence is an error that names the package."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed: apt-get install {PACKAGES[name]}")
    return found


class Process:
    """A child process, with a session of its own, whose output goes to a file."""

    def __init__(self, command: Sequence[str], output: Path, cwd: Path | None = None) -> None:
        self._output = output
        with output.open("wb") as sink:
            self._child = subprocess.Popen(
                [program("setpriv"), "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,
            )

    def said(self, n_last: int | None = 4000) -> str:
        """Give the end of its output; all of it for None."""
        text = self._output.read_text(errors="replace")
        return text if n_last is None else text[-n_last:]

    def await_ready(self, is_ready: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until it answers; fails with its output if it ends or never does, and ends it."""
        deadline_s = time.monotonic() + timeout_s
        try:
            while not is_ready():
                assert self._child.poll() is None, f"ended at its start:\n{self.said()}"
                assert time.monotonic() < deadline_s, f"not ready in {timeout_s} s:\n{self.said()}"
                time.sleep(0.01)
        except BaseException:
            self.end()
            raise

    def await_end(self, timeout_s: float = 5.0) -> int:
        """Wait until it ends by itself; give its exit code."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end in {timeout_s} s:\n{self.said()}") from None

    def is_running(self) -> bool:
        return self._child.poll() is None

    def end(self) -> None:
        """End it and all that it started."""
        if self._child.poll() is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(3)
        for pid in in_session(self._child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._child.wait()


def in_session(session: int) -> list[int]:
    """Processes of a session that still run, whatever their group or parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(path.parent.name))
    return found
