"""One media process: the node and everything that steers it, on one loop.

What can be known to be wrong at its start ends the process with code 2 and one line; later only a
signal ends it.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voicemask.errors import InputError
from voicemask.media import hardening
from voicemask.media.events import EventKind, NodeEvent
from voicemask.media.loop import Loop
from voicemask.media.signals import serve_signals
from voicemask.media.start import UNUSABLE, Sockets, Start, receive
from voicemask.media.watchdog import BEAT_S, Reporter

if TYPE_CHECKING:
    from voicemask.media.control import ControlServer
    from voicemask.media.recorder_child import RecorderChild
    from voicemask.media.vault_link import VaultLink

FINISH_S: Final = 3.5
"""How long recordings may take to be finished at the end."""
_WARM_UP_S: Final = 0.02
_ERROR_LINE_S: Final = 1.0
"""An error of ours that comes again with every packet is logged once a second."""
_LOGGED: Final = {EventKind.ALERT, EventKind.RECORDING_FAILED, EventKind.DEGRADED}


class MediaProcess:
    """The parts of a media process, wired."""

    def __init__(self, start: Start, sockets: Sockets) -> None:
        self._number = start.index
        self._sockets = sockets
        self._settings = start.settings
        self._reporter = Reporter(sockets.report)
        self.loop = Loop(self.on_error)
        self.n_errors = 0
        self._n_errors_said = 0
        self._error_said_s = -_ERROR_LINE_S
        self._listener: Callable[[NodeEvent], None] | None = None
        self._forget: Callable[[str], None] | None = None
        self._n_alerts = 0
        self._vault = self._make_vault()
        self._recorder = self._make_recorder()
        self._node = self._make_node()
        self._ng = self._serve_ng()
        self._control = self._serve_control()

    def run(self) -> None:
        """Serve until SIGTERM, then end calls and recordings in order."""
        callbacks = {signal.SIGTERM: self.loop.stop, signal.SIGINT: None, signal.SIGHUP: None}
        serve_signals(self.loop, callbacks)
        if self._recorder is not None:
            self._recorder.start(self._node.set_recorder)
        self._beat()
        self.loop.call_later(_WARM_UP_S, self._warm_up)
        self.loop.run()
        self._finish()

    def _warm_up(self) -> None:
        """Do what is slow the first time, now that NG is served and before there are calls."""
        from voicemask.media.warmup import WarmUp  # noqa: PLC0415, loads what it warms

        WarmUp(self.loop, self._on_warm)

    def _on_warm(self) -> None:
        # what is there now stays: the collector need not look at it again in a call
        gc.freeze()
        gc.enable()

    def log(self, level: str, event: str, facts: Mapping[str, str | int | float]) -> None:
        """Have the parent write a log line; it never waits."""
        self._reporter.log(level, event, {"process": self._number, **facts})

    def on_event(self, event: NodeEvent) -> None:
        """Pass on what the node tells."""
        if event.kind in _LOGGED:
            is_alert = event.kind is not EventKind.DEGRADED
            self._n_alerts += is_alert
            facts = {"call_id": event.call_id, **event.details}
            self.log("error" if is_alert else "warning", event.kind.value, facts)
        if event.kind is EventKind.CALL_ENDED and self._forget is not None:
            self._forget(event.call_id)
        if self._listener is not None:
            self._listener(event)

    def on_error(self, error: BaseException) -> None:
        """Count an error of ours and name its place, not what it says: that may hold anything."""
        self.n_errors += 1
        now_s = time.monotonic()
        if now_s - self._error_said_s < _ERROR_LINE_S:
            return
        self._error_said_s = now_s
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        n_new = self.n_errors - self._n_errors_said
        self._n_errors_said = self.n_errors
        facts: dict[str, str | int] = {
            "error": type(error).__name__,
            "place": place,
            "times": n_new,
        }
        self.log("error", "internal error", facts)

    def _make_vault(self) -> VaultLink | None:
        if self._settings.vault is None:
            return None
        from voicemask.media.vault_link import VaultLink  # noqa: PLC0415, only where there is one

        return VaultLink(self.loop, self._settings.vault)

    def _make_recorder(self) -> RecorderChild | None:
        if self._settings.recordings is None:
            return None
        from voicemask.media.recorder_child import RecorderChild  # noqa: PLC0415, as above

        folder, key_file = self._settings.recordings, self._settings.recording_key
        return RecorderChild(self.loop, folder, key_file, self.log)

    def _make_node(self) -> Any:
        from voicemask.media.node import Node  # noqa: PLC0415, loads numpy: hardened before

        link = self._recorder.link if self._recorder is not None else None
        return Node(
            self._settings.node,
            self.loop,
            recorder=link,
            vault=self._vault,
            on_event=self.on_event,
        )

    def _serve_ng(self) -> Any:
        from voicemask.media.ng_server import Answerer, NgSockets  # noqa: PLC0415, as above
        from voicemask.ng.remote import Terms  # noqa: PLC0415
        from voicemask.ng.session import NgServer  # noqa: PLC0415

        session = NgServer(self._node, Terms(os.urandom, self._settings.node.learning))
        self._forget = session.forget
        self._answerer = Answerer(session, self.on_error)
        ng = NgSockets(self.loop, self._answerer.answer)
        for sock in self._sockets.ng:
            ng.serve(sock)
        if self._sockets.dispatch is not None:
            from voicemask.media.dispatcher import serve_forwarded  # noqa: PLC0415

            serve_forwarded(self.loop, self._sockets.dispatch, self._answerer.answer)
        return ng

    def _serve_control(self) -> ControlServer | None:
        listener = self._sockets.control
        if listener is None:
            return None
        from voicemask.media.control import ControlServer  # noqa: PLC0415

        control = ControlServer(self.loop, listener, self._node, self.health, self.on_error)
        self._listener = control.publish
        return control

    def _beat(self) -> None:
        if not self._reporter.beat(self.snapshot()):
            self.loop.stop()
        self.loop.call_later(BEAT_S, self._beat)

    def health(self) -> Mapping[str, Any]:
        """Tell how this process does."""
        return {
            "pid": os.getpid(),
            "process": self._number,
            "errors": self.n_errors,
            "alerts": self._n_alerts,
            "recorder": self._recorder.is_running if self._recorder is not None else None,
            "vault": self._vault.is_connected if self._vault is not None else None,
        }

    def snapshot(self) -> Mapping[str, Any]:
        """Count everything, for the metrics page."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        mine: dict[str, Any] = {
            "errors": self.n_errors,
            "alerts": self._n_alerts,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "memory_bytes": _resident_bytes(),
            "reports_dropped": self._reporter.n_dropped,
            "ng_requests": self._answerer.n_requests,
            "ng_errors": self._answerer.n_errors,
        }
        if self._vault is not None:
            mine["vault_connected"] = int(self._vault.is_connected)
            mine["vault_keys_sent"] = self._vault.n_keys_sent
            mine["vault_keys_dropped"] = self._vault.n_keys_dropped
        if self._recorder is not None:
            mine["recorder_restarts"] = self._recorder.n_restarts
            mine["recorder_running"] = int(self._recorder.is_running)
        return {"process": mine, "node": self._node.statistics()}

    def _finish(self) -> None:
        self._ng.close()
        self._node.close()
        if self._control is not None:
            self._control.close()
        if self._recorder is not None and not self._recorder.finish(FINISH_S):
            self.log("error", "recordings not finished in time", {})
        if self._vault is not None:
            self._vault.close()


def _resident_bytes() -> int:
    n_pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return n_pages * resource.getpagesize()


def main() -> int:
    """Be a media process: import while the parent reads its settings, then serve."""
    gc.disable()
    parent_pid = os.getppid()
    hardening.end_with_parent(parent_pid)
    hardening.give_up_dumps()
    import voicemask.media.control  # noqa: PLC0415, what every start needs
    import voicemask.media.node  # noqa: PLC0415
    import voicemask.ng.session  # noqa: F401, PLC0415

    received = receive()
    if received is None:
        return 0
    start, sockets = received
    try:
        hardening.harden(start.settings.user)
        # changing the account takes this back (prctl(2))
        hardening.end_with_parent(parent_pid)
        hardening.lock_memory()
        process = MediaProcess(start, sockets)
    except InputError as error:
        print(f"voicemask: {error}", file=sys.stderr)
        return UNUSABLE
    process.run()
    return 0
