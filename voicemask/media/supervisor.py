"""The parent of a media service: binds, starts, watches, starts anew, ends.

It never sees audio or a digit. Sockets that clients know (NG, control) are bound here, before
rights are dropped, and outlive a media process: what comes while one is started anew waits in them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voicemask.errors import ConfigError
from voicemask.media import hardening
from voicemask.media.loop import Loop
from voicemask.media.ng_server import bind
from voicemask.media.options import metrics_endpoint, ng_endpoint, slice_ports
from voicemask.media.settings import MediaSettings
from voicemask.media.signals import serve_signals
from voicemask.media.start import COMMAND, UNUSABLE, Launched, Sockets, Start
from voicemask.media.watchdog import (
    CHECK_S,
    MAX_MESSAGE,
    Health,
    Watch,
    notify_systemd,
    parse_report,
)

if TYPE_CHECKING:
    from voicemask.media.dispatcher import Dispatcher

END_S: Final = 4.5
"""From SIGTERM to SIGKILL; the whole service is gone in under five seconds."""
BACK_OFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_S: Final = 30.0
"""Who lived so long starts anew without back-off."""
_REPORTS_IN_A_ROW: Final = 64
_SOCKET_BYTES: Final = 1 << 20

Log = Callable[[str, str, Mapping[str, Any]], None]
"""Takes a level, an event and facts."""


@dataclass(slots=True, eq=False)
class Child:
    """A media process, as its parent sees it."""

    index: int
    watch: Watch = field(default_factory=Watch)
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    reports: socket.socket | None = None
    started_s: float = 0.0
    n_restarts: int = 0
    n_quick_ends: int = 0


class Supervisor:
    """Runs a media service until it is told to end.

    Parameters
    ----------
    log : where lines go.
    command : what starts a media process.
    launched : one that was started already.
    """

    def __init__(
        self,
        settings: MediaSettings,
        log: Log,
        command: Sequence[str] = COMMAND,
        launched: Launched | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._command = command
        self._launched = launched
        self._loop = Loop(self._on_error)
        self.children = [Child(index) for index in range(settings.n_processes)]
        self._ng_sockets: list[socket.socket] = []
        self._control_sockets: list[socket.socket] = []
        self._control_paths: list[Path] = []
        self._dispatcher: Dispatcher | None = None
        self._is_ending = False
        self._is_ready = False
        self._code = 0
        self._watchdog_s = _systemd_interval_s()

    def run(self) -> int:
        """Serve; give the exit code.

        Raises
        ------
        ConfigError
            An address or path cannot be bound, or the account cannot be had.
        """
        try:
            self._bind()
            self._harden()
            callbacks = {signal.SIGTERM: self.end, signal.SIGINT: self.end, signal.SIGHUP: None}
            serve_signals(self._loop, callbacks)
            if len(self.children) > 1:
                self._start_dispatcher()
            for child in self.children:
                self._start(child)
            self._serve_metrics()
            self._check()
            if self._watchdog_s:
                self._tell_systemd()
            self._loop.run()
        finally:
            self._close()
        return self._code

    def end(self) -> None:
        """Ask every media process to end in order; kill who does not."""
        if self._is_ending:
            return
        self._is_ending = True
        notify_systemd("STOPPING=1")
        for child in self.children:
            if child.process is not None:
                _signal(child.process, signal.SIGTERM)
                # a stopped process takes no other signal
                _signal(child.process, signal.SIGCONT)
        self._loop.call_later(END_S, self._kill_all)
        self._stop_when_all_ended()

    def _bind(self) -> None:
        os.umask(hardening.UMASK)
        for text in self._settings.ng:
            self._ng_sockets.append(bind(ng_endpoint(text)))
        if self._settings.control is not None:
            for child in self.children:
                path = control_path(self._settings.control, child.index, len(self.children))
                self._control_sockets.append(_listen(path, self._settings.user))
                self._control_paths.append(path)

    def _harden(self) -> None:
        hardening.harden(self._settings.user)
        if not os.access(self._command[0], os.R_OK | os.X_OK):
            reason = "may not run this program, so nothing could be started anew"
            raise ConfigError("--user", reason, "install it where the account can read it")

    def _start_dispatcher(self) -> None:
        from voicemask.media.dispatcher import Dispatcher  # noqa: PLC0415, only for several

        self._dispatcher = Dispatcher(self._loop, len(self.children))
        for sock in self._ng_sockets:
            self._dispatcher.serve(sock)

    def _serve_metrics(self) -> None:
        if not self._settings.metrics:
            return
        from voicemask.media.metrics import serve_metrics  # noqa: PLC0415, after the children

        endpoint = metrics_endpoint(self._settings.metrics)
        serve_metrics(endpoint, lambda: self.children)

    def _start(self, child: Child) -> None:
        if self._is_ending:
            return
        launched, self._launched = self._launched or Launched(self._command), None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        ours.setblocking(False)
        forwarded = self._dispatcher.connect(child.index) if self._dispatcher is not None else None
        controls = self._control_sockets
        sockets = Sockets(
            theirs,
            () if forwarded is not None else tuple(self._ng_sockets),
            forwarded,
            controls[child.index] if controls else None,
        )
        process = launched.begin(self._start_of(child), sockets)
        theirs.close()
        if forwarded is not None:
            forwarded.close()
        child.process, child.reports, child.started_s = process, ours, time.monotonic()
        child.watch.started(child.started_s)
        child.pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(child.pidfd, lambda: self._on_end(child))
        self._loop.add_reader(ours.fileno(), lambda: self._on_reports(child))

    def _start_of(self, child: Child) -> Start:
        first, last = slice_ports(self._settings.node, child.index, len(self.children))
        node = replace(self._settings.node, first_port=first, last_port=last)
        return Start(replace(self._settings, node=node), child.index)

    def _on_reports(self, child: Child) -> None:
        for _ in range(_REPORTS_IN_A_ROW):
            if child.reports is None:
                return
            try:
                data = child.reports.recv(MAX_MESSAGE * 4)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove(child.reports.fileno())
                child.reports.close()
                child.reports = None
                return
            report = parse_report(data)
            if report.log is not None:
                self._log(*report.log)
            if report.beat is not None:
                self._on_beat(child, report.beat)

    def _on_beat(self, child: Child, snapshot: Mapping[str, Any]) -> None:
        if child.watch.beat(snapshot, time.monotonic()):
            self._log("warning", "media process recovered", {"process": child.index})
        if not self._is_ready and all(
            item.watch.health is Health.RUNNING for item in self.children
        ):
            self._is_ready = True
            notify_systemd("READY=1")
            self._log("info", "serving", {"ng": " ".join(self._settings.ng)})

    def _on_end(self, child: Child) -> None:
        self._loop.remove(child.pidfd)
        os.close(child.pidfd)
        if child.process is None:
            return
        code = child.process.wait()
        child.process = None
        self._on_reports(child)
        if child.reports is not None:
            self._loop.remove(child.reports.fileno())
            child.reports.close()
            child.reports = None
        child.watch.ended()
        if self._dispatcher is not None:
            self._dispatcher.disconnect(child.index)
        if self._is_ending:
            self._stop_when_all_ended()
        elif code == UNUSABLE and not self._is_ready:
            # it said why; nothing gets better by trying again
            self._code = UNUSABLE
            self.end()
        else:
            self._restart_later(child, code)

    def _restart_later(self, child: Child, code: int) -> None:
        if time.monotonic() - child.started_s >= STEADY_S:
            child.n_quick_ends = 0
        delay_s = BACK_OFF_S[min(child.n_quick_ends, len(BACK_OFF_S) - 1)]
        child.n_quick_ends += 1
        child.n_restarts += 1
        facts = {"process": child.index, "code": code, "again_in_s": delay_s}
        self._log("error", "media process ended", facts)
        self._loop.call_later(delay_s, lambda: self._start(child))

    def _check(self) -> None:
        if self._is_ending:
            return
        now_s = time.monotonic()
        for child in self.children:
            if child.watch.check(now_s):
                silent_s = round(now_s - child.watch.last_beat_s, 1)
                facts = {"process": child.index, "state": "stalled", "silent_s": silent_s}
                self._log("error", "watchdog alert: media process does not answer", facts)
            if child.watch.is_lost(now_s) and child.process is not None:
                _signal(child.process, signal.SIGKILL)
        self._loop.call_later(CHECK_S, self._check)

    def _tell_systemd(self) -> None:
        notify_systemd("WATCHDOG=1")
        self._loop.call_later(self._watchdog_s, self._tell_systemd)

    def _kill_all(self) -> None:
        for child in self.children:
            if child.process is not None:
                self._log("error", "media process killed at the end", {"process": child.index})
                _signal(child.process, signal.SIGKILL)

    def _stop_when_all_ended(self) -> None:
        if all(child.process is None for child in self.children):
            self._loop.stop()

    def _on_error(self, error: BaseException) -> None:
        self._log("error", "internal error of the supervisor", {"error": type(error).__name__})

    def _close(self) -> None:
        for child in self.children:
            if child.process is not None:
                _signal(child.process, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(1.0)
        for sock in (*self._ng_sockets, *self._control_sockets):
            sock.close()
        for path in self._control_paths:
            path.unlink(missing_ok=True)


def control_path(path: Path, index: int, n_processes: int) -> Path:
    """Give the control socket of one process: the path itself where there is only one."""
    return path if n_processes == 1 else path.with_name(f"{path.name}.{index}")


def _listen(path: Path, user: str) -> socket.socket:
    """Bind a control socket that only its owner may connect to."""
    subject = f"--control unix:{path}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            _refuse_if_served(path, subject)
            path.unlink()
        sock.bind(str(path))
        path.chmod(0o600)
        if user:
            import shutil  # noqa: PLC0415, only where the account changes

            shutil.chown(path, user)
        sock.listen(16)
    except (OSError, LookupError) as error:
        sock.close()
        reason = getattr(error, "strerror", None) or "no such account"
        cure = "name a path in a folder of your own"
        raise ConfigError(subject, f"cannot be bound ({reason})", cure) from None
    sock.setblocking(False)
    return sock


def _refuse_if_served(path: Path, subject: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise ConfigError(subject, "is served by another process", "end it, or name another path")


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal; a process that is not of our account yet sees our end by itself."""
    with contextlib.suppress(PermissionError):
        process.send_signal(number)


def _systemd_interval_s() -> float:
    """Half of what systemd waits for; 0 without its watchdog."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isascii() and text.isdigit() else 0.0
