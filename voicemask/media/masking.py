"""The tick: what all masked parties said since the last one is rendered together and sent.

Every packet of a masked party comes through here, and leaves as the renderer made it. An error
of ours, or more packets than there is time for, makes them silence; nothing is let through as it
came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from voicemask.dtmf.arbiter import KeyPress
from voicemask.live.batch import make_payloads, make_silence
from voicemask.live.ears import STEP_S, Ears
from voicemask.live.stream import LiveStream
from voicemask.live.values import Ready, SteadyReady
from voicemask.media.loop import Loop, Timer

if TYPE_CHECKING:
    from voicemask.media.port import Port

TICK_S: Final = 0.002
"""What is said waits this long at most for others to be rendered with."""
_TICK_LOAD: Final = 3.0
_LONGEST_TICK_S: Final = 0.005
"""Ticks are as far apart as three times what one takes, within bounds: more together costs less."""
_LOOK_S: Final = 0.005
"""How often streams are asked whether something waited too long."""
_MANY: Final = 32
"""What a packet costs is learnt from batches of so many."""
_BUDGET_S: Final = 0.015
"""Longest time one tick may render; the rest of it is silence."""
_LATENESS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Bounds of the histogram."""


class _NoList(list[Ready | SteadyReady]):
    """Where a listener's packets go: nowhere."""

    def append(self, item: Ready | SteadyReady) -> None:
        """Forget it."""


class MaskRoom:
    """All masked parties of a process.

    Parameters
    ----------
    loop : gives the ticks.
    on_press : told of each key press of a stream that is heard, once.
    on_trouble : told when packets became silence, and why.
    """

    def __init__(
        self,
        loop: Loop,
        on_press: Callable[[LiveStream, KeyPress], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self.ready: list[Ready | SteadyReady] = []
        self.pressed: list[tuple[LiveStream, KeyPress]] = []
        self.nowhere: list[Ready | SteadyReady] = _NoList()
        self._loop = loop
        self._on_press = on_press
        self._on_trouble = on_trouble
        self._streams: set[LiveStream] = set()
        self._ears = Ears()
        self._timer: Timer | None = None
        self._next_look_s = 0.0
        self._next_step_s = 0.0
        self._cost_s = 20e-6  # of one packet, as of late
        self.n_silenced = 0
        self.n_errors = 0
        self.n_missed = 0
        self._hearing_s = 0.0
        self._hearing_since_s = time.monotonic()
        self.lateness = [0] * (len(_LATENESS_S) + 1)
        self.lateness_sum_s = 0.0
        self.n_ticks = 0

    @property
    def n_streams(self) -> int:
        """Parties that are masked or listened to."""
        return len(self._streams)

    def hearing_share(self) -> float:
        """Share of time spent on detection since this was last asked."""
        now_s = time.monotonic()
        share = self._hearing_s / max(now_s - self._hearing_since_s, 1e-3)
        self._hearing_s, self._hearing_since_s = 0.0, now_s
        return share

    @property
    def n_heard(self) -> int:
        """Parties whose keys are listened for."""
        return self._ears.n_streams

    def enter(self, stream: LiveStream, *, is_heard: bool) -> None:
        """Mask a stream from now on."""
        self._streams.add(stream)
        if is_heard:
            if not self._ears.n_streams:
                self._next_step_s = time.monotonic() + STEP_S
            self._ears.add(stream)
        if self._timer is None:
            self._arm(time.monotonic() + TICK_S)

    def set_heard(self, stream: LiveStream, *, is_heard: bool) -> None:
        """Begin or end to listen for the keys of a stream that is masked."""
        if is_heard == stream.is_heard:
            return
        if is_heard:
            self._ears.add(stream)
        else:
            self._ears.remove(stream)

    def leave(self, stream: LiveStream) -> None:
        """Mask a stream no longer: what it holds is sent before this returns."""
        stream.flush()
        self._ears.remove(stream)
        self._streams.discard(stream)
        self._send_ready()

    def forget(self, stream: LiveStream) -> None:
        """The party is gone: what is held of it goes nowhere."""
        stream.owner = None
        self._ears.remove(stream)
        self._streams.discard(stream)

    def _arm(self, at_s: float) -> None:
        self._timer = self._loop.call_at(at_s, self._tick)

    def _tick(self) -> None:
        timer, self._timer = self._timer, None
        now_s = time.monotonic()
        late_s = now_s - timer.at_s if timer is not None else 0.0
        self._note_lateness(late_s)
        try:
            if now_s >= self._next_look_s:
                self._look(now_s)
            self._send_ready()
            if self._ears.n_streams and now_s >= self._next_step_s:
                self._hear(now_s)
            while self.pressed:
                # taken out before it is told: an error there must not tell it again
                self._on_press(*self.pressed.pop(0))
        finally:
            if self._streams:
                # the more there is to do, the more is done together
                end_s = time.monotonic()
                self._arm(
                    max(
                        end_s,
                        now_s + min(_LONGEST_TICK_S, max(TICK_S, _TICK_LOAD * (end_s - now_s))),
                    )
                )

    def _look(self, now_s: float) -> None:
        self._next_look_s = now_s + _LOOK_S
        for stream in self._streams:
            deadline_s = stream.deadline_s
            if deadline_s is not None and deadline_s <= now_s:
                stream.advance(now_s)

    def _send_ready(self) -> None:
        if not self.ready:
            return
        items = self.ready[:]
        self.ready.clear()
        n_most = max(16, int(_BUDGET_S / self._cost_s))
        began_s = time.perf_counter()
        try:
            packets = make_payloads(items[:n_most])
        except Exception:  # noqa: BLE001, whatever it is: nothing passes as it came
            packets = self._one_by_one(items[:n_most])
        else:
            if len(packets) >= _MANY:
                cost_s = (time.perf_counter() - began_s) / len(packets)
                self._cost_s += 0.05 * (min(cost_s, 0.001) - self._cost_s)
        if len(items) > n_most:
            packets += make_silence(items[n_most:])
            self.n_silenced += len(items) - n_most
            self._on_trouble("overload: more packets than there is time for")
        for item, packet in zip(items, packets, strict=True):
            stream = item[0] if isinstance(item, tuple) else item.stream
            owner: Port | None = stream.owner
            if packet is None:
                stream.n_dropped += 1
            elif owner is not None:
                for sink in owner.sinks:
                    sink.send(packet)

    def _one_by_one(self, items: list[Ready | SteadyReady]) -> list[bytes | None]:
        """Render each packet by itself: one that cannot be rendered is silence, and only that."""
        packets: list[bytes | None] = []
        for item in items:
            try:
                packets += make_payloads([item])
            except Exception as error:  # noqa: BLE001, as above
                self.n_errors += 1
                self.n_silenced += 1
                packets += make_silence([item])
                self._on_trouble(f"rendering failed: {type(error).__name__}")
        return packets

    def _hear(self, now_s: float) -> None:
        began_s = time.perf_counter()
        self.n_missed += max(0, int((now_s - self._next_step_s) / STEP_S))
        # not more than one at a time: what it would hear may still lie in the sockets
        self._next_step_s = max(self._next_step_s + STEP_S, now_s + STEP_S / 2)
        self.pressed += self._ears.step()
        self._hearing_s += time.perf_counter() - began_s
        self._send_ready()

    def _note_lateness(self, late_s: float) -> None:
        self.n_ticks += 1
        self.lateness_sum_s += late_s
        for index, bound_s in enumerate(_LATENESS_S):
            if late_s <= bound_s:
                self.lateness[index] += 1
                return
        self.lateness[-1] += 1

    def lateness_histogram(self) -> dict[str, object]:
        """Give counts by upper bound in seconds, and the sum."""
        bounds = (*map(str, _LATENESS_S), "inf")
        counts = dict(zip(bounds, self.lateness, strict=True))
        return {"counts": counts, "sum": self.lateness_sum_s}
