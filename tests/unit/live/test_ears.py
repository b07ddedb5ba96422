"""The detector of streams that come and go, are late, or share a bank."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.live.conftest import TYPES, Packet, to_packets
from voicemask.audio.g711 import Law
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Method
from voicemask.dtmf.detector import detect
from voicemask.live import ears as module
from voicemask.live.ears import STEP, Ears
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans

F32 = NDArray[np.float32]
KEYS = list(map(Digit.of, "1590"))


def make(method: Method = Method.SUPPRESS) -> LiveStream:
    return LiveStream(TYPES, 20, LiveMeans(method, Fill.NOISE), [], [])


def step(ears: Ears, n: int = 1) -> list[tuple[LiveStream, Digit]]:
    """Hear on; the packets that got ready go nowhere."""
    heard = [(stream, press.digit) for _ in range(n) for stream, press in ears.step()]
    for stream, _ in heard:
        stream._ready.clear()
    return heard


def hear(
    ears: Ears, coming: dict[LiveStream, list[Packet]], n_more: int = 40
) -> dict[LiveStream, list[Digit]]:
    """Push packets as they come and step every 20 ms; give the keys of each stream."""
    keys: dict[LiveStream, list[Digit]] = {stream: [] for stream in coming}
    n_steps = max(round(packets[-1].at_s * 50) for packets in coming.values() if packets)
    left = {stream: list(packets) for stream, packets in coming.items()}
    for k in range(n_steps + n_more):
        for stream, packets in left.items():
            while packets and packets[0].at_s <= k * 0.02 + 1e-6:
                packet = packets.pop(0)
                stream.push(packet.data, packet.at_s)
        for stream, digit in step(ears):
            keys[stream].append(digit)
    return keys


def test_the_trace_has_four_keys(keyed: F32) -> None:
    assert [tone.digit for tone in detect(keyed)] == KEYS


@pytest.mark.parametrize("method", list(Method))
def test_every_stream_of_a_bank_has_its_own_keys(keyed: F32, method: Method) -> None:
    ears = Ears()
    audios = [keyed, keyed[::-1].copy(), np.zeros(32_000, np.float32), keyed[8000:]]
    coming = {}
    for n, audio in enumerate(audios):
        stream = make(method)
        ears.add(stream)
        coming[stream] = to_packets(audio, (Law.MU, Law.A)[n % 2])
    told = list(hear(ears, coming).values())
    assert told == [KEYS, KEYS[::-1], [], KEYS[1:]]
    assert ears.n_streams == 4


def test_a_late_stream_is_heard_late_and_whole(keyed: F32) -> None:
    """Packets begin to lag, ever more, up to 200 ms; a jump back loses nothing either."""
    stream = make()
    ears = Ears()
    ears.add(stream)
    packets = [
        Packet(p.at_s + min(0.2, 0.002 * k) * (k < 150), p.data)
        for k, p in enumerate(to_packets(keyed))
    ]
    assert hear(ears, {stream: sorted(packets, key=lambda p: p.at_s)})[stream] == KEYS


@pytest.mark.parametrize("stall_s", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("method", list(Method))
def test_a_stall_is_caught_up_with(keyed: F32, stall_s: float, method: Method) -> None:
    """The process stood still: all that came meanwhile comes at once, and is heard."""
    ears = Ears()
    coming = {}
    for _ in range(3):
        stream = make(method)
        ears.add(stream)
        stalled = [
            Packet(0.45 + stall_s if 0.45 < p.at_s < 0.45 + stall_s else p.at_s, p.data)
            for p in to_packets(keyed)
        ]
        coming[stream] = stalled
    told = hear(ears, coming)
    assert list(told.values()) == [KEYS] * 3
    for stream in coming:
        assert stream.heard.end - stream.heard.begin < 3 * STEP


def test_nobody_hears_what_is_older_than_a_second(keyed: F32) -> None:
    stream = make(Method.FILL)
    ears = Ears()
    ears.add(stream)
    for packet in to_packets(keyed)[:100]:
        stream.push(packet.data, packet.at_s)
    step(ears, 2)
    assert stream.heard.end - stream.heard.begin < module._FURTHEST
    # what was left out is filled: it may hold keys
    assert any(end - start > 8000 for start, end in stream._fills) or stream.n_filled


def test_a_slot_rests_before_another_stream_has_it(
    keyed: F32, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOTS", 2)
    ears = Ears()
    first, other = make(), make()
    ears.add(first)
    ears.add(other)
    packets = to_packets(keyed)
    # it ends in the middle of a key
    for packet in packets[:27]:
        first.push(packet.data, packet.at_s)
        step(ears)
    ears.remove(first)
    second = make()
    ears.add(second)
    assert len(ears._banks) == 2  # the slot is not free yet
    assert hear(ears, {second: packets, other: packets[50:]})[second] == KEYS
    assert ears._banks[0]._resting == {}
    third = make()
    ears.add(third)
    assert len(ears._banks) == 2
    assert ears.n_streams == 3
    for stream in (second, other, third):
        ears.remove(stream)
    assert (ears.n_streams, ears._banks) == (0, [])


def test_streams_of_another_method_have_another_bank() -> None:
    ears = Ears()
    for method in (*Method, *Method):
        ears.add(make(method))
    assert sorted(bank.method.value for bank in ears._banks) == ["fill", "suppress"]


def test_who_is_removed_is_told_of_no_more_and_removing_again_is_nothing(keyed: F32) -> None:
    stream = make()
    ears = Ears()
    ears.add(stream)
    for packet in to_packets(keyed)[:32]:
        stream.push(packet.data, packet.at_s)
        if step(ears):
            break
    ears.remove(stream)
    ears.remove(stream)
    assert step(ears, 20) == []


def test_what_is_marked_covers_the_keys(keyed: F32) -> None:
    stream = make(Method.FILL)
    ears = Ears()
    ears.add(stream)
    marked: list[tuple[int, int]] = []
    mark = stream.mark
    stream.mark = lambda start, end: (marked.append((start, end)), mark(start, end))[1]  # type: ignore[method-assign,assignment,func-returns-value]
    safe: list[int] = []
    first = 160  # stream time begins with the time of the first packet
    for packet in to_packets(keyed):
        stream.push(packet.data, packet.at_s)
        step(ears)
        safe.append(stream.safe_until)
    for at_s in (0.5, 1.2, 2.0, 2.9):
        at = round(at_s * 8000) + first
        assert any(start <= at - 240 and at + 640 + 240 <= end for start, end in marked)
    assert safe == sorted(safe)
    assert 0 < 32_000 - safe[-1] < 8000 * 0.3
