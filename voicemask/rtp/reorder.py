"""Puts the packets of one stream back in order, within a bounded window.

The buffer keys packets by sequence number extended past 16 bits. It first waits until the window
is full, then gives a packet as soon as it is the next one, or when the window overflows (what is
missing then is lost). So any order of arrival in which no packet is displaced by `depth` packets
or more gives the same packets out: the order of arrival is not an input of anything after this.
A new SSRC, or a sequence number that jumps and goes on from there (a sender that restarted), ends
the run: what is held comes out, and a new run begins.

References
----------
RFC 3550 appendix A.1 (extended sequence numbers, restart after two packets in sequence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from voicemask.rtp.event import unwrap
from voicemask.rtp.packet import SEQUENCE_MODULO, RtpPacket

DEFAULT_DEPTH: Final = 16
MAX_JUMP: Final = 3000
"""Sequence numbers a stream may skip and still be the same run (RFC 3550 A.1: MAX_DROPOUT)."""

TagT = TypeVar("TagT")


@dataclass(frozen=True, slots=True)
class Ordered(Generic[TagT]):
    """A packet in its place.

    Parameters
    ----------
    packet : as given.
    tag : as given with it (its index, its arrival).
    sequence : extended sequence number, counted within its run.
    run : 0, 1, ...: rises with every new SSRC or restart.
    n_lost : packets missing between this one and the one before.
    """

    packet: RtpPacket
    tag: TagT
    sequence: int
    run: int
    n_lost: int


@dataclass(frozen=True, slots=True)
class Reordered(Generic[TagT]):
    """What a push gave: packets in order, and the tags of those that came twice or too late."""

    packets: list[Ordered[TagT]]
    duplicates: list[TagT]
    late: list[TagT]


class ReorderBuffer(Generic[TagT]):
    """Bounded reorder buffer of one direction.

    Parameters
    ----------
    depth : packets held at most; a packet displaced by fewer comes out in its place.
    """

    def __init__(self, depth: int = DEFAULT_DEPTH) -> None:
        self._depth = depth
        self._held: dict[int, tuple[RtpPacket, TagT]] = {}
        self._ssrc: int | None = None
        self._newest = 0
        self._next: int | None = None
        self._recent: dict[int, None] = {}
        self._strayed: tuple[int, RtpPacket, TagT] | None = None
        self._run = 0

    @property
    def n_waiting(self) -> int:
        """Packets held, and those missing before and between them."""
        if not self._held:
            return 0
        first = min(self._held) if self._next is None else self._next
        return self._newest - first + 1

    def release(self) -> Reordered[TagT]:
        """Give what is held, what is missing is lost; the run goes on."""
        return Reordered([self._give(sequence) for sequence in sorted(self._held)], [], [])

    def push(self, packet: RtpPacket, tag: TagT) -> Reordered[TagT]:
        """Take one packet as it arrived."""
        out: Reordered[TagT] = Reordered([], [], [])
        if self._ssrc is None:
            self._begin(packet)
        elif packet.ssrc != self._ssrc:
            out.packets.extend(self._end_run())
            out.late.extend([self._strayed[2]] if self._strayed is not None else [])
            self._strayed = None
            self._begin(packet)
        sequence = unwrap(packet.sequence, self._newest, SEQUENCE_MODULO)
        if abs(sequence - self._newest) > MAX_JUMP:
            self._stray(packet, tag, out)
            return out
        if sequence == self._next and not self._held:
            # in order, nothing waits: nearly every packet
            self._newest = max(self._newest, sequence)
            out.packets.append(self._ordered(sequence, packet, tag))
            return out
        self._place(sequence, packet, tag, out)
        out.packets.extend(self._ready())
        return out

    def flush(self) -> Reordered[TagT]:
        """End of the stream: give what is held."""
        packets = self._end_run() if self._ssrc is not None else []
        late = [self._strayed[2]] if self._strayed is not None else []
        self._ssrc, self._strayed = None, None
        return Reordered(packets, [], late)

    def _begin(self, packet: RtpPacket) -> None:
        self._ssrc = packet.ssrc
        # An origin above zero keeps extended numbers positive for packets before the first.
        self._newest = packet.sequence + SEQUENCE_MODULO
        self._next = None
        self._recent.clear()

    def _stray(self, packet: RtpPacket, tag: TagT, out: Reordered[TagT]) -> None:
        """Hold one packet far from the run; a second in sequence makes it a new run."""
        strayed, self._strayed = self._strayed, None
        if strayed is None:
            self._strayed = (packet.sequence, packet, tag)
            return
        sequence, first, first_tag = strayed
        if (packet.sequence - sequence) % SEQUENCE_MODULO not in (1, SEQUENCE_MODULO - 1):
            out.late.append(first_tag)
            self._strayed = (packet.sequence, packet, tag)
            return
        out.packets.extend(self._end_run())
        self._begin(first)
        for again, again_tag in ((first, first_tag), (packet, tag)):
            number = unwrap(again.sequence, self._newest, SEQUENCE_MODULO)
            self._place(number, again, again_tag, out)

    def _place(self, sequence: int, packet: RtpPacket, tag: TagT, out: Reordered[TagT]) -> None:
        if sequence in self._held or sequence in self._recent:
            out.duplicates.append(tag)
        elif self._next is not None and sequence < self._next:
            out.late.append(tag)
        else:
            self._held[sequence] = (packet, tag)
            self._newest = max(self._newest, sequence)

    def _ready(self) -> list[Ordered[TagT]]:
        given: list[Ordered[TagT]] = []
        while len(self._held) > self._depth or (
            self._next is not None and self._next in self._held
        ):
            given.append(self._give(min(self._held)))
        return given

    def _give(self, sequence: int) -> Ordered[TagT]:
        packet, tag = self._held.pop(sequence)
        return self._ordered(sequence, packet, tag)

    def _ordered(self, sequence: int, packet: RtpPacket, tag: TagT) -> Ordered[TagT]:
        n_lost = 0 if self._next is None else sequence - self._next
        self._next = sequence + 1
        self._recent[sequence] = None
        if len(self._recent) > 4 * self._depth:
            del self._recent[next(iter(self._recent))]
        return Ordered(packet, tag, sequence, self._run, n_lost)

    def _end_run(self) -> list[Ordered[TagT]]:
        given = [self._give(sequence) for sequence in sorted(self._held)]
        self._run += 1
        return given
