"""The event loop: plain epoll, timers, and one hook that runs after every round of packets.

A callback that raises an unexpected error is the caller's bug; the loop counts it, tells
`on_error`, and goes on: one bad packet must not end a hundred calls.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Final

_LONGEST_WAIT_S: Final = 0.5
_READABLE: Final = ~select.EPOLLOUT


class Timer:
    """A callback that is due at a time of the monotonic clock; `cancel` takes it back."""

    __slots__ = ("at_s", "callback")

    def __init__(self, at_s: float, callback: Callable[[], None]) -> None:
        self.at_s = at_s
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call it."""
        self.callback = None


class Loop:
    """Waits for sockets and timers, and calls back; one thread.

    Parameters
    ----------
    on_error : told of every exception a callback raised.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._on_error = on_error
        self._runs = False

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call when `fd` can be read; level-triggered: what is left over comes again."""
        known = fd in self._readers or fd in self._writers
        self._readers[fd] = callback
        self._watch(fd, known=known)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call when `fd` can be written; remove it when there is nothing left to write."""
        known = fd in self._readers or fd in self._writers
        self._writers[fd] = callback
        self._watch(fd, known=known)

    def remove_writer(self, fd: int) -> None:
        """No longer call for writing."""
        if self._writers.pop(fd, None) is not None:
            self._watch(fd, known=True)

    def remove(self, fd: int) -> None:
        """Forget a descriptor, before it is closed."""
        known = self._readers.pop(fd, None) is not None
        known |= self._writers.pop(fd, None) is not None
        if known:
            with contextlib.suppress(OSError):  # closed already: the kernel has forgotten it
                self._epoll.unregister(fd)

    def _watch(self, fd: int, *, known: bool) -> None:
        mask = select.EPOLLIN if fd in self._readers else 0
        mask |= select.EPOLLOUT if fd in self._writers else 0
        if not mask:
            self._epoll.unregister(fd)
        elif known and self._modify(fd, mask):
            return
        else:
            self._epoll.register(fd, mask)

    def _modify(self, fd: int, mask: int) -> bool:
        """Change what is waited for; False where the number has become another descriptor's."""
        try:
            self._epoll.modify(fd, mask)
        except FileNotFoundError:
            return False
        return True

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Timer:
        """Call at a time of `time.monotonic`."""
        timer = Timer(at_s, callback)
        heapq.heappush(self._timers, (at_s, next(self._order), timer))
        return timer

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call after a while."""
        return self.call_at(time.monotonic() + delay_s, callback)

    def stop(self) -> None:
        """Leave `run` after this round."""
        self._runs = False

    def run(self) -> None:
        """Serve until `stop`."""
        self._runs = True
        while self._runs:
            self.run_once()

    def run_once(self, longest_s: float = _LONGEST_WAIT_S) -> None:
        """Wait for one round of events, at most until the next timer, and serve it."""
        wait_s = longest_s
        if self._timers:
            wait_s = min(wait_s, max(0.0, self._timers[0][0] - time.monotonic()))
        readers, writers = self._readers, self._writers
        for fd, event in self._epoll.poll(wait_s):
            # an error or a hang-up is found out by reading
            callback = readers.get(fd) if event & _READABLE else None
            if callback is not None:
                try:
                    callback()
                except Exception as error:  # noqa: BLE001, the outermost edge: told and counted
                    self._on_error(error)
            if event & select.EPOLLOUT:
                self._call(writers.get(fd))
        now_s = time.monotonic()
        while self._timers and self._timers[0][0] <= now_s:
            self._call(heapq.heappop(self._timers)[2].callback)

    def close(self) -> None:
        """Give the descriptor back."""
        self._epoll.close()

    def _call(self, callback: Callable[[], None] | None) -> None:
        if callback is None:
            return
        try:
            callback()
        except Exception as error:  # noqa: BLE001, the outermost edge: told, counted, and on
            self._on_error(error)
