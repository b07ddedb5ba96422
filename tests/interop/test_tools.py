"""The tests' own processes: none is left behind, whatever becomes of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.interop.process import Process, in_session

SLEEPER = (sys.executable, "-c", "import subprocess as s; s.run(['sleep', '60'], process_group=0)")
ABORTED = f"""
import sys, pathlib, time
from tests.interop.process import Process, in_session
process = Process({SLEEPER!r}, pathlib.Path(sys.argv[1]))
process.await_ready(lambda: len(in_session(process._child.pid)) > 1)
print(process._child.pid, flush=True)
time.sleep(60)
"""


def test_program_that_does_not_get_ready_is_ended_with_its_children(tmp_path: Path) -> None:
    process = Process(SLEEPER, tmp_path / "output")
    session = process._child.pid
    with pytest.raises(AssertionError, match="not ready"):
        process.await_ready(lambda: len(in_session(session)) > 2, timeout_s=0.3)
    assert in_session(session) == []


def test_program_ends_when_its_tests_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ABORTED, str(tmp_path / "output")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as aborted:
        assert aborted.stdout is not None
        pid = int(aborted.stdout.readline())
        aborted.send_signal(signal.SIGKILL)
    deadline_s = time.monotonic() + 5
    while pid in in_session(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    for left in in_session(pid):
        os.kill(left, signal.SIGKILL)
