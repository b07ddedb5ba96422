"""Signals as callbacks of the loop: nothing runs in the middle of something else."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping

from voicemask.media.loop import Loop


def serve_signals(
    loop: Loop, callbacks: Mapping[signal.Signals, Callable[[], None] | None]
) -> None:
    """Call these when their signals come; None ignores a signal.

    It is for the main thread and for the life of the process.
    """
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def on_signal() -> None:
        for number in reader.recv(256):
            callback = callbacks.get(signal.Signals(number))
            if callback is not None:
                callback()

    loop.add_reader(reader.fileno(), on_signal)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    for number, callback in callbacks.items():
        # the wake-up descriptor is written only for signals that have a handler
        signal.signal(number, signal.SIG_IGN if callback is None else _nothing)


def _nothing(_number: int, _frame: object) -> None:
    return
