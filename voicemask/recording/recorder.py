"""The recorder process: frames from the media process in, recordings and masked packets out.

It has one socket, a folder and a key file. Whatever becomes of a call stays with that call: an
error the design knows marks its recording, any other ends it with its audio withheld, and the
process goes on. When the socket closes (the media process is gone) or SIGTERM comes, what is there
is finished.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Final

from voicemask.errors import InputError, RecordingError
from voicemask.recording.keys import KeyRing, load_keys
from voicemask.recording.link import (
    POLICIES,
    RecordingState,
    parse_info,
    parse_plan,
    parse_start,
)
from voicemask.recording.recorded_call import RecordedCall
from voicemask.recording.wire import Frame, FrameKind, LinkEnd

_PACKET: Final = int(FrameKind.PACKET)
_WAIT_S: Final = 0.25
_NO_FRAME: Final = Frame(0, 0, 0, 0, b"")
_MEDIA_GONE: Final = "media process ended"


class Recorder:
    """Calls by key; no socket and no clock of its own.

    Parameters
    ----------
    folder : of all recordings.
    key_file : keys that wrap recordings' keys; None lets every recording fail.
    put : takes what goes back: kind, channel, key, time, body.
    """

    def __init__(
        self,
        folder: Path,
        key_file: Path | None,
        put: Callable[[int, int, int, int, bytes], None],
    ) -> None:
        self._folder, self._key_file, self._put = folder, key_file, put
        self._calls: dict[int, RecordedCall] = {}
        self._touched: set[int] = set()
        self.n_errors = 0
        """Calls that were ended by an error of ours."""

    def take(self, frames: Iterable[Frame]) -> None:
        """Take frames in order, then go on with the calls that have enough of them."""
        calls, touched = self._calls, self._touched
        for frame in frames:
            if frame.kind == _PACKET:
                call = calls.get(frame.key)
                if call is not None:
                    call.packet(frame.channel, frame.at_ns, frame.body)
                    touched.add(frame.key)
            elif frame.kind == FrameKind.TICK:
                for key in list(calls):
                    self._guarded(key, _tick, frame)
            elif frame.kind == FrameKind.START:
                self._start(frame)
            else:
                self._guarded(frame.key, _STEERING.get(frame.kind, _nothing), frame)
                if frame.kind == FrameKind.STOP:
                    calls.pop(frame.key, None)
        for key in touched:
            if key in calls and calls[key].is_due:
                self._guarded(key, _nothing, _NO_FRAME)
        touched.clear()

    def finish(self, reason: str = _MEDIA_GONE) -> None:
        """End every call, as far as it came."""
        for key in list(self._calls):
            self._guarded(key, lambda call, _: call.finish(reason, is_degraded=True), _NO_FRAME)
            self._calls.pop(key, None)

    def _start(self, frame: Frame) -> None:
        key = frame.key
        old = self._calls.pop(key, None)
        if old is not None:
            old.abandon()
        try:
            call = RecordedCall(parse_start(frame.body), self._folder, self._keys)
        except Exception as error:  # noqa: BLE001, the edge: this call is not recorded
            self._give_up(key, error)
            return
        self._calls[key] = call
        self._return(key, call)

    def _keys(self) -> KeyRing:
        if self._key_file is None:
            raise RecordingError("recording", "there is no key file", "set one for recordings")
        return load_keys(self._key_file)

    def _guarded(
        self, key: int, action: Callable[[RecordedCall, Frame], None], frame: Frame
    ) -> None:
        """Do something with a call after its packets; an error of ours ends that call alone."""
        call = self._calls.get(key)
        if call is None:
            return
        try:
            call.step()
            action(call, frame)
        except Exception as error:  # noqa: BLE001, the edge: nothing more of this call leaves
            call.abandon()
            del self._calls[key]
            self._give_up(key, error)
            return
        self._return(key, call)

    def _give_up(self, key: int, error: Exception) -> None:
        self.n_errors += 1
        reason = f"internal error: {type(error).__name__}"
        if isinstance(error, InputError):
            reason = error.reason
        self._tell(key, RecordingState.FAILED, reason)
        self._tell(key, RecordingState.ENDED, reason)

    def _return(self, key: int, call: RecordedCall) -> None:
        for sent in call.sent:
            if sent.data is not None:
                self._put(FrameKind.FORK, sent.channel, key, 0, sent.data)
        call.sent.clear()
        for state, reason in call.told:
            self._tell(key, state, reason)
        call.told.clear()

    def _tell(self, key: int, state: RecordingState, reason: str) -> None:
        self._put(FrameKind.EVENT, 0, key, 0, f"{state.value} {reason}".encode())


def _nothing(call: RecordedCall, frame: Frame) -> None:
    """Only its packets."""


def _tick(call: RecordedCall, frame: Frame) -> None:
    call.tick(frame.at_ns)


def _policy(call: RecordedCall, frame: Frame) -> None:
    call.set_policy(frame.channel, POLICIES[frame.body[0]], frame.at_ns)


def _plan(call: RecordedCall, frame: Frame) -> None:
    call.set_plan(frame.channel, parse_plan(frame.body), frame.at_ns)


def _info(call: RecordedCall, frame: Frame) -> None:
    digit, duration_ms = parse_info(frame)
    if digit is not None:
        call.info(frame.channel, frame.at_ns, digit, duration_ms)


def _pause(call: RecordedCall, frame: Frame) -> None:
    call.pause(frame.body.decode(), frame.at_ns)


def _resume(call: RecordedCall, frame: Frame) -> None:
    call.resume(frame.at_ns)


def _stop(call: RecordedCall, frame: Frame) -> None:
    call.finish(frame.body.decode())


def _lost(call: RecordedCall, frame: Frame) -> None:
    n_packets, last_ns = map(int, frame.body.split())
    call.lost(frame.channel, n_packets, frame.at_ns, last_ns)


_STEERING: Final[dict[int, Callable[[RecordedCall, Frame], None]]] = {
    FrameKind.POLICY: _policy,
    FrameKind.PLAN: _plan,
    FrameKind.INFO: _info,
    FrameKind.PAUSE: _pause,
    FrameKind.RESUME: _resume,
    FrameKind.STOP: _stop,
    FrameKind.LOST: _lost,
}


def run_recorder(sock_fd: int, folder: Path, key_file: Path | None, nice: int = 0) -> None:
    """Be the recorder process: serve one socket until it closes or SIGTERM comes.

    Parameters
    ----------
    sock_fd : descriptor of a connected stream socket; it belongs to this call.
    folder, key_file : of the recordings.
    nice : added to the process's niceness.
    """
    if nice:
        os.nice(nice)
    end = LinkEnd(socket.socket(fileno=sock_fd))
    stops: list[int] = []

    def on_stop(number: int, _: FrameType | None) -> None:
        stops.append(number)

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent decides
    waker, woken = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)

    def put(kind: int, channel: int, key: int, at_ns: int, body: bytes) -> None:
        if kind != FrameKind.FORK or not end.is_full:
            end.put(kind, channel, key, at_ns, body)

    recorder = Recorder(folder, key_file, put)
    while not end.is_closed and not stops:
        writers = [end.fileno()] if end.wants_write else []
        select.select([end.fileno(), woken.fileno()], writers, [], _WAIT_S)
        recorder.take(end.frames())
        end.flush()
    recorder.finish()
    end.flush()
    end.close()
    signal.set_wakeup_fd(-1)
    waker.close()
    woken.close()
