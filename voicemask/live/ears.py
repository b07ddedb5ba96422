"""The detector of many streams at once, for streams that come and go.

All streams of a bank are heard in step, 20 ms at a time, a little behind what has arrived; a stream
whose packets are late hears silence meanwhile and stays behind by as much from then on. So the lag
grows to the jitter there is, and a tone is interrupted no longer than a decoder bridges.

What is heard goes two ways: as decoded keys to the stream's arbiter, and, for the method `fill`, as
stretches to fill, with `safe_until` saying how far that has come.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import numpy as np

from voicemask.audio import g711
from voicemask.audio.g711 import Law
from voicemask.capture.policy import Method
from voicemask.dtmf.arbiter import KeyPress
from voicemask.dtmf.burst import BurstFinder, Bursts
from voicemask.dtmf.detector import Decoder
from voicemask.dtmf.evidence import evidence
from voicemask.dtmf.goertzel import BLOCK
from voicemask.dtmf.profile import Receiver, load_profile
from voicemask.live.stream import HEARD_HZ, LiveStream

STEP: Final = 160
"""Samples heard at a time: 20 ms."""
STEP_S: Final = STEP / HEARD_HZ
SLOTS: Final = 256
"""Streams of one bank: the calls of a step cost more than its numbers."""
_PATIENCE_BLOCKS: Final = 4
"""With `suppress` nobody waits for the detector but the vault: bursts are measured together."""
_REST: Final = 3 * HEARD_HZ
"""A slot rests this long before another stream has it: nothing of the last one is remembered."""
_FURTHEST: Final = HEARD_HZ
"""A stream heard later than this goes on with what is newest."""
_BACKLOG: Final = 3 * STEP
"""Where most streams have so much waiting, the process was stalled: they are heard faster."""
_MOST_STEPS: Final = 8
"""Steps made up for at a time."""
_KEPT_SHIFTS: Final = 32
GUARD_MS: Final = 40
"""Filled either side of a tone (facts of benchmarks/leak: tails and echoes)."""
_GUARD: Final = GUARD_MS * HEARD_HZ // 1000
FILL_EVIDENCE: Final = 1.0
"""Evidence from which on `fill` fills a burst; between the limits of masking alone and in a row."""
_NEAR_S: Final = 3 * HEARD_HZ
"""After a sure tone, for so long, less evidence is enough."""
_EXPAND: Final = g711.decode(np.arange(256, dtype=np.uint8), Law.MU)
_EXPAND_A: Final = g711.decode(np.arange(256, dtype=np.uint8), Law.A)
_SILENCE: Final = b"\xff" * STEP


class _Slot:
    """A stream in a bank, and where its time lies in the bank's."""

    __slots__ = ("read", "shifts", "starts", "stream", "sure_end")

    def __init__(self, stream: LiveStream, clock: int) -> None:
        self.stream = stream
        self.read = stream.heard.begin
        self.starts = [clock]
        self.shifts = [self.read - clock]
        self.sure_end = -_NEAR_S

    def take(self, clock: int) -> bytes:
        """The next step of the stream; silence when it has not come."""
        heard = self.stream.heard
        if heard.begin > self.read or heard.end - self.read > _FURTHEST:
            self._skip_to(max(heard.begin, heard.end - STEP), clock)
        if heard.end < self.read + STEP:
            self._go_on_at(self.read, clock + STEP)
            return _SILENCE
        octets = heard.view(self.read, self.read + STEP)
        self.read += STEP
        heard.drop(self.read)
        return octets

    def _skip_to(self, read: int, clock: int) -> None:
        """Leave out what nobody will hear any more: `fill` fills it, it may hold keys."""
        if self.stream.means.method is Method.FILL:
            rate = self.stream.rate_hz
            self.stream.mark(
                (self.read - _GUARD) * rate // HEARD_HZ, (read + _GUARD) * rate // HEARD_HZ
            )
        self._go_on_at(read, clock)

    def _go_on_at(self, read: int, clock: int) -> None:
        self.read = read
        self.starts.append(clock)
        self.shifts.append(read - clock)
        del self.starts[:-_KEPT_SHIFTS], self.shifts[:-_KEPT_SHIFTS]

    def position(self, clock: float) -> int:
        """Stream time of a time of the bank."""
        index = max(0, bisect_right(self.starts, clock) - 1)
        return round(clock) + self.shifts[index]


class _Bank:
    """Up to `SLOTS` streams of one method, heard in step."""

    def __init__(self, method: Method, mask: Receiver, decode: Receiver) -> None:
        self.method = method
        self._receiver = mask
        patience = 0 if method is Method.FILL else _PATIENCE_BLOCKS
        # to decode, fewer bursts are worth a measurement than to fill
        finder = mask if method is Method.FILL else decode
        self._finder = BurstFinder(SLOTS, finder, patience_blocks=patience)
        self._decoder = Decoder(decode)
        self._slots: dict[int, _Slot] = {}
        self._free = list(range(SLOTS))
        self._resting: dict[int, int] = {}
        self._clock = 0
        self._steps = np.zeros((SLOTS, STEP), np.int16)
        self.is_behind = False
        """Whether most of those who speak have waited long."""

    @property
    def n_streams(self) -> int:
        return len(self._slots)

    def add(self, stream: LiveStream) -> bool:
        """Take a stream in, where there is room."""
        if not self._free:
            return False
        self._slots[self._free.pop()] = _Slot(stream, self._clock)
        return True

    def remove(self, stream: LiveStream) -> bool:
        for index, slot in self._slots.items():
            if slot.stream is stream:
                del self._slots[index]
                self._resting[index] = self._clock
                return True
        return False

    def step(self) -> list[tuple[LiveStream, KeyPress]]:
        """Hear 20 ms of every stream."""
        clock = self._clock
        slots = self._slots
        parts: list[bytes | bytearray] = []
        n_speaking = n_late = 0
        for slot in slots.values():
            heard = slot.stream.heard
            n_behind = heard.end - slot.read - STEP
            if heard.begin == slot.read and 0 <= n_behind <= _FURTHEST:
                parts.append(heard.take(STEP))
                slot.read += STEP
                n_speaking += n_behind >= STEP
                n_late += n_behind >= _BACKLOG
            else:
                parts.append(slot.take(clock))
        self.is_behind = 2 * n_late > n_speaking
        octets = np.frombuffer(b"".join(parts), np.uint8)
        samples = _EXPAND.take(octets, mode="wrap").reshape(-1, STEP)
        for i, slot in enumerate(slots.values()):
            if slot.stream.heard_law is Law.A and parts[i] is not _SILENCE:
                samples[i] = _EXPAND_A.take(np.frombuffer(parts[i], np.uint8))
        steps = self._steps
        steps[list(slots)] = samples
        bursts = self._finder.push(steps)
        self._clock += STEP
        steps[list(slots)] = 0  # it held tones
        samples[:] = 0
        if self.method is Method.FILL:
            if len(bursts):
                self._fill(bursts)
            self._say_safe()
        self._let_rested_go()
        return self._tell(bursts)

    def _let_rested_go(self) -> None:
        """Give slots out again that have rested."""
        if not self._resting:
            return
        latest = self._clock - _REST
        for index in [i for i, since in self._resting.items() if since <= latest]:
            del self._resting[index]
            self._free.append(index)

    def _tell(self, bursts: Bursts) -> list[tuple[LiveStream, KeyPress]]:
        pressed: list[tuple[LiveStream, KeyPress]] = []
        for tone in self._decoder.push(bursts, self._finder.n_known):
            slot = self._slots.get(tone.channel)
            if slot is None:
                continue
            slot.stream.keys.tone(slot.position(tone.start), slot.position(tone.end), tone.digit)
            pressed += [(slot.stream, press) for press in slot.stream.keys.take_new()]
        return pressed

    def _fill(self, bursts: Bursts) -> None:
        """Mark what streams of the method `fill` have to fill."""
        values = evidence(bursts, self._receiver)
        rows = zip(
            bursts.stream.tolist(),
            bursts.start.tolist(),
            bursts.end.tolist(),
            values.tolist(),
            strict=True,
        )
        for index, start, end, value in rows:
            slot = self._slots.get(index)
            if slot is None:
                continue
            first, last = slot.position(start), slot.position(end)
            if value >= self._receiver.evidence_anchor:
                slot.sure_end = last
            is_near = first - slot.sure_end <= _NEAR_S
            if value >= (self._receiver.evidence_near if is_near else FILL_EVIDENCE):
                rate = slot.stream.rate_hz
                slot.stream.mark(
                    (first - _GUARD) * rate // HEARD_HZ, (last + _GUARD) * rate // HEARD_HZ
                )

    def _say_safe(self) -> None:
        known = max(0, self._finder.n_known) * BLOCK
        for slot in self._slots.values():
            stream = slot.stream
            safe = (slot.position(known) - _GUARD) * stream.rate_hz // HEARD_HZ
            stream.safe_until = max(stream.safe_until, safe)
            stream.collect()


class Ears:
    """Detectors of all streams that are masked by `capture`."""

    def __init__(self) -> None:
        self._mask = load_profile("mask").receiver
        self._decode = load_profile("decode").receiver
        self._banks: list[_Bank] = []

    @property
    def n_streams(self) -> int:
        """Streams that are heard."""
        return sum(bank.n_streams for bank in self._banks)

    def add(self, stream: LiveStream) -> None:
        """Hear a stream from now on."""
        stream.set_heard(True)
        method = stream.means.method or Method.SUPPRESS
        alike = [bank for bank in self._banks if bank.method is method]
        if not any(bank.add(stream) for bank in alike):
            self._banks.append(_Bank(method, self._mask, self._decode))
            self._banks[-1].add(stream)

    def remove(self, stream: LiveStream) -> None:
        """No longer hear a stream."""
        if not stream.is_heard:
            return
        stream.set_heard(False)
        for bank in self._banks:
            if bank.remove(stream):
                break
        self._banks = [bank for bank in self._banks if bank.n_streams]

    def step(self) -> list[tuple[LiveStream, KeyPress]]:
        """Hear the next 20 ms of every stream; give the keys pressed, each once."""
        pressed: list[tuple[LiveStream, KeyPress]] = []
        for bank in self._banks:
            for _ in range(_MOST_STEPS):
                pressed += bank.step()
                if not bank.is_behind:
                    break
        return pressed
