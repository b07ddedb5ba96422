"""How a media process is started: before its settings are known, which are sent after it.

Importing numpy and the rest takes most of a start. So the command launches a process first thing,
reads its own settings meanwhile, and hands them over with the bound sockets in one message
(SCM_RIGHTS on a socketpair, the process's stdin). One that is not needed after all is dismissed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from voicemask.media.settings import MediaSettings

UNUSABLE: Final = 2
"""Exit code of a media process that cannot work with what it was given."""
_PROGRAM: Final = "import sys; from voicemask.media.process import main; sys.exit(main())"
COMMAND: Final = (sys.executable, "-P", "-c", _PROGRAM)
_MAX_START: Final = 1 << 16
_MAX_SOCKETS: Final = 64


@dataclass(frozen=True, slots=True)
class Start:
    """What a media process is told.

    Parameters
    ----------
    settings : of the service; the port range is this process's own.
    index : number of the process, from 0.
    """

    settings: MediaSettings
    index: int


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a media process is given.

    Parameters
    ----------
    report : datagrams of beats and log lines to the parent.
    ng : bound, which this process serves by itself.
    dispatch : where the parent forwards NG when there are several processes; None without.
    control : listening; None without.
    """

    report: socket.socket
    ng: tuple[socket.socket, ...] = ()
    dispatch: socket.socket | None = None
    control: socket.socket | None = None


class Launched:
    """A media process that waits for its start.

    Parameters
    ----------
    command : what to run; it calls `receive`.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # a group of its own: Ctrl-C is for the parent, which ends the rest in order
            self.process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, process_group=0
            )
        self._is_taken = False

    def begin(self, start: Start, sockets: Sockets) -> subprocess.Popen[bytes]:
        """Hand over what it needs; give the process, which is the caller's from now on."""
        self._is_taken = True
        given = [("report", sockets.report), *(("ng", sock) for sock in sockets.ng)]
        optional = (("dispatch", sockets.dispatch), ("control", sockets.control))
        given += [(name, sock) for name, sock in optional if sock is not None]
        message = pickle.dumps((start, [name for name, _ in given]))
        with self._sock:
            try:
                socket.send_fds(self._sock, [message], [sock.fileno() for _, sock in given])
            except OSError:
                # it is gone already; whoever watches it sees that
                return self.process
        return self.process

    def dismiss(self) -> None:
        """End the process, if it was not begun."""
        if not self._is_taken:
            self._is_taken = True
            # it ends by this alone, once it has imported; where we may, sooner
            self._sock.close()
            with contextlib.suppress(PermissionError):
                self.process.kill()
                self.process.wait()


def receive() -> tuple[Start, Sockets] | None:
    """Wait in a launched process for its start; None when it is not needed."""
    with socket.socket(fileno=os.dup(0)) as link:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        message, fds, _, _ = socket.recv_fds(link, _MAX_START, _MAX_SOCKETS)
    if not message:
        return None
    # from our own parent over a socket nobody else has
    start, names = pickle.loads(message)
    by_name: dict[str, list[socket.socket]] = {}
    for name, fd in zip(names, fds, strict=True):
        by_name.setdefault(name, []).append(socket.socket(fileno=fd))
    return start, Sockets(
        by_name["report"][0],
        tuple(by_name.get("ng", ())),
        next(iter(by_name.get("dispatch", ())), None),
        next(iter(by_name.get("control", ())), None),
    )
