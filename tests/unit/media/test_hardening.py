"""What a process gives up, read from outside its own word: /proc and the kernel's answers."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from voicemask.errors import ConfigError
from voicemask.media import hardening

NOBODY = "nobody"


def in_child(code: str) -> list[str]:
    """Run code in a process of its own, since what it gives up is gone for good."""
    program = f"import os, resource, signal\nfrom voicemask.media import hardening\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_harden_leaves_no_core_dump_and_no_way_to_trace() -> None:
    limits = in_child(
        "hardening.harden()\n"
        "print(*resource.getrlimit(resource.RLIMIT_CORE))\n"
        "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    assert limits == ["0", "0", "0"]


def test_harden_hides_the_process_from_its_own_account() -> None:
    owner = in_child("hardening.harden(); print(os.stat('/proc/self/mem').st_uid)")
    assert owner == ["0"]


def test_harden_takes_no_new_rights() -> None:
    lines = in_child("hardening.harden(); print(open('/proc/self/status').read())")
    assert lines[lines.index("NoNewPrivs:") + 1] == "1"


def test_harden_makes_files_for_nobody_else() -> None:
    assert in_child("hardening.harden(); print(oct(os.umask(0)))") == ["0o77"]


def test_harden_opens_as_many_files_as_the_machine_allows() -> None:
    soft, hard = in_child("hardening.harden(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))")
    assert soft == hard


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
def test_harden_becomes_the_account_for_good() -> None:
    said = in_child(
        f"hardening.harden({NOBODY!r})\n"
        "print(*os.getresuid(), *os.getresgid(), len(os.getgroups()))\n"
        "try:\n    os.setuid(0)\nexcept PermissionError:\n    print('refused')\n"
        "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    account = pwd.getpwnam(NOBODY)
    assert said[:6] == [str(account.pw_uid)] * 3 + [str(account.pw_gid)] * 3
    assert said[-2:] == ["refused", "0"]


def test_become_refuses_an_account_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no such account"):
        hardening.become("no-such-account-here")


def test_end_with_parent_ends_at_once_when_the_parent_is_gone() -> None:
    program = "from voicemask.media import hardening; hardening.end_with_parent(1 << 22)"
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -15


def test_end_with_parent_ends_when_the_parent_dies() -> None:
    read, write = os.pipe()
    child = (
        "import os, signal\n"
        "from voicemask.media import hardening\n"
        "hardening.end_with_parent(os.getppid()); print('up', flush=True); signal.pause()"
    )
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], pass_fds=[{write}],\n"
        "    stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    subprocess.run([sys.executable, "-c", parent], pass_fds=[write], check=True)
    os.close(write)
    # the last holder of the other end is gone when this ends
    assert os.read(read, 1) == b""
    os.close(read)


def test_lock_memory_says_whether_it_could() -> None:
    assert in_child("print(hardening.lock_memory())")[0] in ("True", "False")
    limited = "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
    assert in_child(limited + "print(hardening.lock_memory())") == ["False"]


@pytest.mark.parametrize(
    "code", ["raise RuntimeError('4242')", "\nclass A:\n def __del__(s): 1 / int('4242' * 0)\nA()"]
)
def test_an_exception_says_its_place_and_not_its_text(code: str) -> None:
    program = f"from voicemask.media import hardening; hardening.harden(); {code}"
    if code.startswith("\n"):
        program = f"from voicemask.media import hardening\nhardening.harden(){code}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith("voicemask: ")
    assert "Error at <string>:" in done.stderr
    assert "42" not in done.stderr
