"""Reordering: order, loss, duplicates, new runs."""

from __future__ import annotations

import random
from collections.abc import Iterable

from voicemask.rtp.packet import RtpPacket
from voicemask.rtp.reorder import ReorderBuffer, Reordered


def packet(sequence: int, ssrc: int = 1) -> RtpPacket:
    return RtpPacket(0, sequence % 65536, sequence * 160, ssrc, b"")


def reorder(packets: Iterable[RtpPacket], depth: int = 8) -> Reordered[int]:
    buffer: ReorderBuffer[int] = ReorderBuffer(depth)
    out: Reordered[int] = Reordered([], [], [])
    given = [buffer.push(item, tag) for tag, item in enumerate(packets)] + [buffer.flush()]
    for part in given:
        out.packets.extend(part.packets)
        out.duplicates.extend(part.duplicates)
        out.late.extend(part.late)
    return out


def sequences(out: Reordered[int]) -> list[int]:
    return [item.packet.sequence for item in out.packets]


def test_packets_come_out_in_order_across_the_wrap() -> None:
    numbers = list(range(65520, 65560))
    shuffled = sorted(numbers, key=lambda n: n + random.Random(n).uniform(0, 7))
    assert shuffled != numbers
    assert sequences(reorder(map(packet, shuffled))) == [n % 65536 for n in numbers]


def test_a_lost_packet_is_counted_and_not_waited_for() -> None:
    out = reorder(packet(n) for n in range(40) if n != 20)
    assert [item.n_lost for item in out.packets if item.n_lost] == [1]
    assert len(out.packets) == 39


def test_duplicates_come_once() -> None:
    out = reorder(packet(n) for n in [0, 1, 1, 2, 3, 3, *range(4, 30), 25])
    assert sequences(out) == list(range(30))
    assert out.duplicates == [2, 5, 32]


def test_a_packet_beyond_the_window_is_late() -> None:
    out = reorder(packet(n) for n in [*range(5), *range(6, 60), 5])
    assert out.late == [59]


def test_a_new_ssrc_ends_the_run() -> None:
    out = reorder([packet(n, 1) for n in range(5)] + [packet(n, 2) for n in range(900, 905)])
    assert [item.run for item in out.packets] == [0] * 5 + [1] * 5


def test_a_restarted_sequence_is_a_new_run() -> None:
    out = reorder([packet(n) for n in range(20)] + [packet(n) for n in range(30000, 30020)])
    assert sequences(out) == [*range(20), *range(30000, 30020)]
    assert {item.run for item in out.packets} == {0, 1}


def test_one_stray_packet_does_not_end_the_run() -> None:
    numbers = [*range(20), 30000, *range(20, 40)]
    out = reorder(map(packet, numbers))
    assert sequences(out) == list(range(40))
    assert out.late == [20]


def test_memory_is_bounded_by_the_depth() -> None:
    buffer: ReorderBuffer[int] = ReorderBuffer(8)
    n_given = sum(len(buffer.push(packet(2 * n), n).packets) for n in range(1000))
    assert n_given == 992
