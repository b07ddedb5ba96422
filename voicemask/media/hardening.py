"""What a process that sees digits gives up at its start: dumps, tracing, new rights, an account.

Every function is idempotent. `give_up_dumps` comes after the account was changed: the kernel makes
a process dumpable again when its user changes (prctl(2), PR_SET_DUMPABLE).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from voicemask.errors import ConfigError

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
UMASK: Final = 0o077

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    if _libc.prctl(ctypes.c_int(option), *arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def harden(user: str = "") -> None:
    """Take every right away that serving calls does not need; sockets are bound before.

    Parameters
    ----------
    user : account to become; empty stays.

    Raises
    ------
    ConfigError
        There is no such account, or this process may not become it.
    """
    os.umask(UMASK)
    sys.excepthook = _say_places
    sys.unraisablehook = lambda found: _say_places(
        found.exc_type, found.exc_value, found.exc_traceback
    )
    raise_open_files()
    if user:
        become(user)
    give_up_dumps()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _say_places(
    kind: type[BaseException], _: BaseException | None, trace: TracebackType | None
) -> None:
    """Say where an exception came from and not what it says, which may be part of a call."""
    frames = traceback.extract_tb(trace)
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[::-1])
    print(f"voicemask: {kind.__name__} at {places or 'an unknown place'}", file=sys.stderr)


def give_up_dumps() -> None:
    """No core file, no ptrace by the same user, no readable /proc/PID/mem."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def raise_open_files() -> None:
    """Allow as many descriptors as the machine lets us: a call takes four."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def become(user: str) -> None:
    """Take on the account's user and groups for good.

    Raises
    ------
    ConfigError
        There is no such account, or this process may not become it.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError("user", "there is no such account", "add it, or name another") from None
    if (os.getuid(), os.geteuid(), os.getgid()) == (account.pw_uid, account.pw_uid, account.pw_gid):
        return
    try:
        os.initgroups(user, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    except PermissionError:
        raise ConfigError(
            "user", "only root may become another account", "start as root, or leave it out"
        ) from None


def end_with_parent(parent_pid: int, signal_number: int = signal.SIGTERM) -> None:
    """Get a signal when the parent dies; at once when it is dead already."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal_number)


def lock_memory() -> bool:
    """Keep pages that hold audio and digits from being swapped out; whether that worked.

    Only where locking is unlimited: with a limit, a later allocation would fail in a call.
    """
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return False
    flags = _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT
    return int(_libc.mlockall(ctypes.c_int(flags))) == 0
