"""A masked leg: what it holds, what it fills, what it never lets out."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.live.conftest import TYPES, Packet, rtp, run_leg, to_packets
from voicemask.audio.codecs import make_codec
from voicemask.audio.g711 import Law
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Method
from voicemask.dtmf.detector import detect
from voicemask.live.batch import make_payloads
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans, Ready, SteadyReady
from voicemask.rtp.event import EventReport, serialize_event
from voicemask.rtp.sdp import STATIC_TYPES, PayloadType

F32 = NDArray[np.float32]


def keys_of(presses: list[object]) -> list[Digit]:
    return [press.digit for press in presses]  # type: ignore[attr-defined]


@pytest.mark.parametrize("law", list(Law))
@pytest.mark.parametrize("method", list(Method))
def test_stream_masks_every_key_and_tells_it_once(keyed: F32, law: Law, method: Method) -> None:
    packets = to_packets(keyed, law)
    _, heard = run_leg(packets, method)
    assert heard.sequences == list(range(len(packets)))
    assert detect(keyed) != []
    assert detect(heard.audio(len(packets), law)) == []
    assert keys_of(heard.presses) == [tone.digit for tone in detect(keyed)]


def test_stream_keeps_sequence_timestamp_ssrc_and_marker(keyed: F32) -> None:
    packets = to_packets(keyed)
    packets[40] = Packet(packets[40].at_s, bytes([0x80, 0x80]) + packets[40].data[2:])
    _, heard = run_leg(packets)
    assert [p.data[:12] for p in heard.packets] == [p.data[:12] for p in packets]


@pytest.mark.parametrize("size", [80, 160, 240, 320, 480])
def test_stream_holds_one_packet(keyed: F32, size: int) -> None:
    packets = to_packets(keyed, size=size)
    _, heard = run_leg(packets)
    came = {struct.unpack_from("!H", p.data, 2)[0]: p.at_s for p in packets}
    held = [p.at_s - came[seq] for p, seq in zip(heard.packets, heard.sequences, strict=True)]
    packet_s = size / 8000
    assert np.median(held) == pytest.approx(packet_s, abs=0.0031)
    assert max(held) <= max(0.040, packet_s + 0.015) + 0.003
    assert detect(heard.audio(len(packets), size=size)) == []


def test_stream_holds_longer_where_asked(keyed: F32) -> None:
    packets = to_packets(keyed)
    _, heard = run_leg(packets, hold_ms=60)
    held = [p.at_s - q.at_s for p, q in zip(heard.packets, packets, strict=True)]
    assert np.median(held) == pytest.approx(0.060, abs=0.0031)


def test_fill_leaves_frames_without_tones_as_they_came(keyed: F32) -> None:
    packets = to_packets(keyed)
    _, heard = run_leg(packets, Method.FILL)
    changed = [k for k, p in enumerate(heard.packets) if p.data[12:] != packets[k].data[12:]]
    near = [
        k
        for k in range(len(packets))
        if any(at - 0.08 < k * 0.02 < at + 0.16 for at in (0.5, 1.2, 2.0, 2.9))
    ]
    # the detector never comes so far as the last packets: they are suppressed
    assert set(changed) <= {*near, len(packets) - 2, len(packets) - 1}
    assert len(changed) >= 4 * 5


@pytest.mark.parametrize("fill", list(Fill))
def test_mute_lets_nothing_through(keyed: F32, fill: Fill) -> None:
    packets = to_packets(keyed)
    _, heard = run_leg(packets, None, fill)
    assert heard.sequences == list(range(len(packets)))
    audio = heard.audio(len(packets))
    assert detect(audio) == []
    # the same fill whatever was said
    _, other = run_leg(to_packets(keyed[::-1].copy()), None, fill)
    assert other.payloads() == heard.payloads()


def test_stream_fills_beside_a_lost_packet(keyed: F32) -> None:
    packets = to_packets(keyed)
    lost = {27, 61, 62, 103}
    _, heard = run_leg([p for k, p in enumerate(packets) if k not in lost])
    assert set(heard.sequences) == set(range(len(packets))) - lost
    assert heard.sequences == sorted(heard.sequences)
    assert detect(heard.audio(len(packets))) == []


def test_stream_puts_displaced_packets_in_order(keyed: F32) -> None:
    packets = to_packets(keyed)
    for k in range(10, len(packets) - 10, 17):
        packets[k] = Packet(packets[k].at_s + 0.025, packets[k].data)
    _, heard = run_leg(packets)
    assert heard.sequences == list(range(len(packets)))
    assert len(heard.presses) == len(detect(keyed))


def test_stream_drops_duplicates(keyed: F32) -> None:
    packets = to_packets(keyed)
    stream, heard = run_leg([*packets, *(Packet(p.at_s + 0.001, p.data) for p in packets[::5])])
    assert max(Counter(heard.sequences).values()) == 1
    assert stream.n_dropped == len(packets[::5])


def test_stream_goes_on_with_another_source_and_another_clock(keyed: F32) -> None:
    packets = to_packets(keyed)
    moved = [
        Packet(p.at_s, rtp(k + 900 if k >= 80 else k, k * 160 + (k >= 80) * 5_000_000,
                           p.data[12:], ssrc=7 if k < 80 else 8))
        for k, p in enumerate(packets)
    ]  # fmt: skip
    _, heard = run_leg(moved)
    assert len(heard.packets) == len(packets)
    assert detect(np.concatenate([_decoded(p.data[12:]) for p in heard.packets])) == []


def _decoded(payload: bytes) -> F32:
    return make_codec(STATIC_TYPES[0]).decode(payload)


def test_stream_goes_on_after_a_sequence_that_wraps(keyed: F32) -> None:
    packets = to_packets(keyed)
    wrapped = [
        Packet(p.at_s, rtp(65_500 + k, 2**32 - 9_000 + k * 160, p.data[12:]))
        for k, p in enumerate(packets)
    ]
    _, heard = run_leg(wrapped)
    assert [p.data[:12] for p in heard.packets] == [p.data[:12] for p in wrapped]
    assert len(heard.presses) == len(detect(keyed))


def test_stream_ends_a_pause_with_fill_beside_it(keyed: F32) -> None:
    packets = to_packets(keyed)
    quiet = [p for k, p in enumerate(packets) if not 60 <= k < 90]
    _, heard = run_leg(quiet)
    assert heard.sequences == [k for k in range(len(packets)) if not 60 <= k < 90]


def event_packets(key: int, at: int, n: int = 5, first: int = 0) -> list[tuple[int, bytes]]:
    """Payloads of one event from the sample `at` on: n updates, then the end three times."""
    updates = [(k, False) for k in range(1, n + 1)] + [(n, True)] * 3
    return [
        (first + i, rtp(first + i, at, serialize_event(
            [EventReport(key, end=end, volume=10, duration=160 * k)]), 101))
        for i, (k, end) in enumerate(updates)
    ]  # fmt: skip


def test_event_is_filled_and_told_once() -> None:
    noise = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) * np.float32(0.02)
    audio = to_packets(noise)
    packets = audio[:40]
    for i, (_, data) in enumerate(event_packets(5, 40 * 160, first=40)):
        packets.append(Packet(0.82 + 0.02 * min(i, 5), data))
    after = [
        Packet(p.at_s, rtp(48 + k, (45 + k) * 160, p.data[12:])) for k, p in enumerate(audio[45:])
    ]
    stream, heard = run_leg(packets + after)
    assert keys_of(heard.presses) == [Digit.of("5")]
    assert not [p for p in heard.packets if p.data[1] & 0x7F == 101]
    assert stream.n_filled == 5
    stamps = [struct.unpack_from("!I", p.data, 4)[0] for p in heard.packets]
    assert stamps == sorted(set(stamps))  # a receiver has audio for every moment


def test_event_fills_the_audio_that_is_still_held() -> None:
    loud = np.full(16_000, 0.5, np.float32)
    packets = to_packets(loud)
    at = packets[50].at_s
    event = rtp(51, 51 * 160, serialize_event([EventReport(3, end=False, volume=9, duration=80)]),
                101)  # fmt: skip
    late = [Packet(p.at_s, rtp(k + 1, k * 160, p.data[12:])) for k, p in enumerate(packets)]
    _, heard = run_leg([*packets[:51], Packet(at + 0.002, event), *late[51:]])
    audio = heard.audio(60)
    assert np.abs(audio[49 * 160 : 50 * 160 - 80]).max() > 0.4
    assert np.abs(audio[50 * 160 + 40 : 51 * 160]).max() < 0.05


def test_info_fills_what_is_held_and_is_one_press_with_its_tone(keyed: F32) -> None:
    packets = to_packets(keyed)
    digit = detect(keyed)[0].digit
    _, heard = run_leg(packets, info=[(0.62, digit)])
    assert len(heard.presses) == len(detect(keyed))


def test_comfort_noise_passes_in_its_turn(keyed: F32) -> None:
    packets = to_packets(keyed)
    cn = Packet(packets[70].at_s, rtp(70, 70 * 160, b"\x40", 13))
    _, heard = run_leg([*packets[:70], cn, *packets[90:]])
    assert heard.sequences == [*range(71), *range(90, len(packets))]
    assert heard.payloads()[70] == b"\x40"
    _, muted = run_leg([*packets[:70], cn], None)
    assert 70 not in muted.payloads() or muted.payloads()[70] != b"\x40"


@pytest.mark.parametrize("method", [*Method, None])
def test_codec_nobody_can_decode_never_passes(keyed: F32, method: Method | None) -> None:
    types = {18: PayloadType(18, "G729", 8000), 0: STATIC_TYPES[0]}
    packets = [Packet(k * 0.02, rtp(k, k * 160, bytes(range(20)), 18)) for k in range(60)]
    stream, heard = run_leg(packets, method, types=types)
    assert all(p.data[12:] != bytes(range(20)) for p in heard.packets)
    assert stream.is_degraded or method is None
    assert len({p.data[1] for p in heard.packets}) <= 1


def test_unknown_payload_type_never_passes() -> None:
    packets = [Packet(k * 0.02, rtp(k, k * 160, b"secret tone", 77)) for k in range(30)]
    _, heard = run_leg(packets, types={101: TYPES[101]})
    assert heard.packets == []


@pytest.mark.parametrize("encoding", ["G722", "OPUS", "L16", "GSM"])
def test_other_codecs_are_rendered_and_heard(keyed: F32, encoding: str) -> None:
    kinds = {
        "G722": PayloadType(9, "G722", 8000),
        "OPUS": PayloadType(96, "OPUS", 48000, 2),
        "L16": PayloadType(97, "L16", 16000),
        "GSM": PayloadType(3, "GSM", 8000),
    }
    kind = kinds[encoding]
    writer, reader = make_codec(kind), make_codec(kind)
    rate = writer.rate_hz
    audio = np.repeat(keyed, rate // 8000)
    size = rate // 50
    packets = [
        Packet(0.02 * (k + 1), rtp(k, k * kind.clock_hz // 50,
                                   writer.encode(audio[k * size : (k + 1) * size]), kind.number))
        for k in range(len(audio) // size)
    ]  # fmt: skip
    _, heard = run_leg(packets, types={kind.number: kind})
    assert heard.sequences == list(range(len(packets)))
    assert len(heard.presses) == len(detect(keyed))
    out = np.concatenate([reader.decode(p.data[12:]) for p in heard.packets])
    assert detect(out, rate) == []


def test_garbage_is_dropped() -> None:
    packets = [
        Packet(0.0, b""), Packet(0.001, b"\x80"), Packet(0.002, bytes(12)),
        Packet(0.003, b"\xbf" + bytes(11)), Packet(0.004, b"\x8f\x00" + bytes(12)),
    ]  # fmt: skip
    stream, heard = run_leg(packets)
    assert heard.packets == []
    assert stream.n_dropped == len(packets)


def test_a_payload_type_that_changes_its_meaning_is_read_anew(keyed: F32) -> None:
    packets = to_packets(keyed, payload_type=96)
    as_law = {96: PayloadType(96, "PCMU", 8000)}
    ready: list[Ready | SteadyReady] = []
    stream = LiveStream(as_law, 20, LiveMeans(Method.SUPPRESS, Fill.NOISE), ready, [])
    for packet in packets[:20]:
        stream.push(packet.data, packet.at_s)
    stream.set_payload_types({96: PayloadType(96, "G729", 8000), 0: STATIC_TYPES[0]})
    ready.clear()
    for packet in packets[20:30]:
        stream.push(packet.data, packet.at_s)
        stream.advance(packet.at_s + 1)
    sent = make_payloads(ready)
    assert sent != []
    assert all(data is None or data[1] & 0x7F == 0 for data in sent[2:])
    assert stream.is_degraded
