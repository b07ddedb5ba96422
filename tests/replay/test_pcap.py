"""Captured calls through `replay_capture`: what is written, and that no key is left in it."""

from __future__ import annotations

import json
import socket
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dpkt
import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.audio import g711
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.errors import CaptureFileError
from voicemask.replay.pcap import replay_capture
from voicemask.replay.sip_trace import Side
from voicemask.rtp.event import EventReport, event_code, parse_event, serialize_event
from voicemask.rtp.packet import RtpPacket

RATE = 8000
FRAME = 160
CALLER = ("10.0.0.1", 4000)
CALLEE = ("10.0.0.2", 5000)
CALLER_SIP = ("10.0.0.1", 5060)
CALLEE_SIP = ("10.0.0.2", 5060)
LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"

Timed = tuple[float, tuple[str, int], tuple[str, int], bytes]


def tone(key: str, n_samples: int) -> NDArray[np.float32]:
    index, t = KEYS.index(key), np.arange(n_samples) / RATE
    pair = np.sin(2 * np.pi * LOW[index // 4] * t) + np.sin(2 * np.pi * HIGH[index % 4] * t)
    return (0.2 * pair).astype(np.float32)


def room(n_samples: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.003, n_samples).astype(np.float32)


def keyed(keys: str, seed: int = 1) -> NDArray[np.float32]:
    parts = [room(RATE, seed)]
    for number, key in enumerate(keys):
        parts += [tone(key, 800), room(1600, seed + 10 + number)]
    return np.concatenate([*parts, room(RATE, seed + 1)])


def encode(audio: NDArray[np.float32]) -> bytes:
    return g711.encode((audio * 32767).astype(np.int16), g711.Law.MU).tobytes()


def stream(
    audio: NDArray[np.float32],
    source: tuple[str, int],
    destination: tuple[str, int],
    ssrc: int,
    *,
    begin_s: float = 0.0,
    payload_type: int = 0,
) -> list[Timed]:
    octets = encode(audio)
    return [
        (
            begin_s + n * 0.02,
            source,
            destination,
            RtpPacket(
                payload_type, 100 + n, 5000 + n * FRAME, ssrc, octets[n * FRAME : (n + 1) * FRAME]
            ).serialize(),
        )
        for n in range(len(octets) // FRAME)
    ]


def with_event(packets: list[Timed], key: str, first: int, n_frames: int) -> list[Timed]:
    """Put an event where audio packets were, its end sent three times."""
    parsed = RtpPacket.parse(packets[first][3])
    events: list[Timed] = []
    code = event_code(Digit.of(key))
    for n in range(n_frames):
        at, source, destination, data = packets[first + n]
        is_end = n >= n_frames - 3
        duration = FRAME * min(n + 1, n_frames - 2)
        report = EventReport(code, is_end, 10, duration)
        sequence = RtpPacket.parse(data).sequence
        packet = RtpPacket(
            101, sequence, parsed.timestamp, parsed.ssrc, serialize_event([report]), marker=n == 0
        )
        events.append((at, source, destination, packet.serialize()))
    return packets[:first] + events + packets[first + n_frames :]


def ethernet(item: Timed) -> bytes:
    _, source, destination, payload = item
    udp = dpkt.udp.UDP(sport=source[1], dport=destination[1], data=payload)
    udp.ulen = len(udp)
    ip = dpkt.ip.IP(
        src=socket.inet_aton(source[0]),
        dst=socket.inet_aton(destination[0]),
        p=dpkt.ip.IP_PROTO_UDP,
        data=udp,
    )
    ip.len = len(ip)
    return bytes(dpkt.ethernet.Ethernet(data=ip, type=dpkt.ethernet.ETH_TYPE_IP))


def write_capture(path: Path, items: Sequence[Timed], begin_s: int = 1_700_000_000) -> Path:
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file)
        for item in sorted(items, key=lambda item: item[0]):
            writer.writepkt(ethernet(item), ts=begin_s + item[0])
    return path


@dataclass
class Replayed:
    report: dict[str, object]
    audio: NDArray[np.int16]
    packets: list[tuple[float, bytes]]

    @property
    def rtp(self) -> list[tuple[float, RtpPacket]]:
        udps = [(ts, dpkt.ethernet.Ethernet(data).data.data) for ts, data in self.packets]
        return [(ts, RtpPacket.parse(udp.data)) for ts, udp in udps if udp.dport != 5060]


def replay(
    path: Path,
    policy: Policy = Policy.GUARD,
    customer: Side | None = None,
) -> list[Replayed]:
    out = path.parent / "out"
    found = []
    for summary in replay_capture(path, out, policy, Fill.NOISE, customer=customer):
        pcap, wav, report = summary.paths
        with pcap.open("rb") as file:
            packets = list(dpkt.pcap.Reader(file))
        with wave.open(str(wav)) as file:
            audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        found.append(Replayed(json.loads(report.read_text()), audio, packets))
    return found


def two_way(keys: str = "4111") -> list[Timed]:
    audio = keyed(keys)
    return stream(audio, CALLER, CALLEE, 1) + stream(room(len(audio), 9), CALLEE, CALLER, 2)


def sip(start: str, call_id: str, tags: tuple[str, str], body: bytes, kind: str) -> bytes:
    to_tag = f";tag={tags[1]}" if tags[1] else ""
    lines = [
        start,
        f"Call-ID: {call_id}",
        f"From: <sip:a@a>;tag={tags[0]}",
        f"To: <sip:b@b>{to_tag}",
        f"CSeq: 1 {start.split(' ', maxsplit=1)[0] if not start.startswith('SIP') else 'INVITE'}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sdp(endpoint: tuple[str, int], formats: str = "0 101") -> bytes:
    lines = [
        "v=0",
        f"c=IN IP4 {endpoint[0]}",
        f"m=audio {endpoint[1]} RTP/AVP {formats}",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
    ]
    return "\r\n".join(lines).encode() + b"\r\n"


def with_sip(items: list[Timed], call_id: str = "one") -> list[Timed]:
    invite = sip("INVITE sip:b@b SIP/2.0", call_id, ("x", ""), sdp(CALLER), "application/sdp")
    answer = sip("SIP/2.0 200 OK", call_id, ("x", "y"), sdp(CALLEE), "application/sdp")
    return [
        (-0.2, CALLER_SIP, CALLEE_SIP, invite),
        (-0.1, CALLEE_SIP, CALLER_SIP, answer),
        *items,
    ]


def rms(audio: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(audio.astype(float) ** 2)))


def test_guard_fills_in_band_tones_in_packets_and_recording(tmp_path: Path) -> None:
    (call,) = replay(write_capture(tmp_path / "call.pcap", two_way()))
    assert call.report["key_presses"] == {"caller": 4, "callee": 0}
    assert rms(call.audio[8000:8800, 0]) < 500
    masked = [p for _, p in call.rtp if p.ssrc == 1][50:55]
    decoded = np.concatenate(
        [g711.decode(np.frombuffer(p.payload, np.uint8), g711.Law.MU) for p in masked]
    )
    assert rms(decoded) < 500


def test_guard_keeps_every_byte_outside_spans(tmp_path: Path) -> None:
    items = two_way()
    (call,) = replay(write_capture(tmp_path / "call.pcap", items))
    octets = encode(keyed("4111"))
    sent = b"".join(p.payload for _, p in call.rtp if p.ssrc == 1)
    covered = np.zeros(len(sent), bool)
    for span in call.report["spans"]:
        covered[round(span["start_s"] * RATE) : round(span["end_s"] * RATE)] = True
    before, after = np.frombuffer(octets[: len(sent)], np.uint8), np.frombuffer(sent, np.uint8)
    assert np.array_equal(before[~covered], after[~covered])
    assert 0.1 < covered.mean() < 0.6


def test_talk_in_the_report_is_that_of_the_masked_recording(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "call.pcap", two_way())
    (masked,), (as_it_came,) = replay(path), replay(path, Policy.OPEN)
    # the detector takes key tones for talk
    assert masked.report["talk_s"]["caller"] < 0.1 < as_it_came.report["talk_s"]["caller"]
    for name in ("caller", "callee"):
        whole_s = masked.report["talk_s"][name] + masked.report["silence_s"][name]
        assert whole_s == pytest.approx(masked.report["duration_s"], abs=0.02)


def test_packets_keep_their_times_and_headers(tmp_path: Path) -> None:
    items = two_way()
    path = write_capture(tmp_path / "call.pcap", items)
    (call,) = replay(path)
    with path.open("rb") as file:
        before = [ts for ts, _ in dpkt.pcap.Reader(file)]
    assert [ts for ts, _ in call.packets] == before
    assert [(p.sequence, p.timestamp) for _, p in call.rtp if p.ssrc == 1] == [
        (100 + n, 5000 + n * FRAME) for n in range(len(items) // 2)
    ]


def test_udp_checksums_are_right(tmp_path: Path) -> None:
    (call,) = replay(write_capture(tmp_path / "call.pcap", two_way()))
    for _, data in call.packets:
        ip = dpkt.ethernet.Ethernet(data).data
        pseudo = ip.src + ip.dst + struct.pack("!HH", 17, ip.data.ulen)
        assert dpkt.in_cksum(pseudo + bytes(ip.data)) == 0


def test_events_leave_as_fill_and_the_recording_holds_their_time(tmp_path: Path) -> None:
    items = with_event(stream(room(4 * RATE, 3), CALLER, CALLEE, 1), "7", 60, 10)
    path = write_capture(tmp_path / "call.pcap", with_sip(items))
    (call,) = replay(path)
    assert {p.payload_type for _, p in call.rtp} == {0}
    assert len(call.rtp) == len(items)
    assert call.report["carriers"] == {"event": 1}
    assert len(call.audio) == 4 * RATE


def test_samples_before_an_event_are_filled(tmp_path: Path) -> None:
    audio = room(4 * RATE, 3)
    onset = 60 * FRAME
    audio[onset - 120 : onset] = tone("7", 120)
    items = with_event(stream(audio, CALLER, CALLEE, 1), "7", 60, 10)
    (call,) = replay(write_capture(tmp_path / "call.pcap", items))
    assert rms(call.audio[onset - 120 : onset, 0]) < 500


def test_open_passes_every_byte(tmp_path: Path) -> None:
    items = with_event(stream(keyed("12"), CALLER, CALLEE, 1), "7", 120, 10)
    path = write_capture(tmp_path / "call.pcap", items)
    (call,) = replay(path, Policy.OPEN)
    with path.open("rb") as file:
        assert call.packets == list(dpkt.pcap.Reader(file))
    assert rms(call.audio[8000:8800, 0]) > 3000


def test_mute_leaves_nothing_of_either_side_when_the_customer_is_unknown(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "call.pcap", two_way())
    (call,) = replay(path, Policy.MUTE)
    assert call.report["packets"]["passed"] == 0


def test_the_agent_is_never_touched_when_the_customer_is_known(tmp_path: Path) -> None:
    audio = keyed("12")
    items = stream(audio, CALLER, CALLEE, 1) + stream(audio, CALLEE, CALLER, 2)
    path = write_capture(tmp_path / "call.pcap", with_sip(items))
    (call,) = replay(path, Policy.CAPTURE, customer=Side.CALLEE)
    agent = b"".join(p.payload for _, p in call.rtp if p.ssrc == 1)
    assert agent == encode(audio)[: len(agent)]
    assert call.report["key_presses"] == {"customer": 2, "agent": 0}
    assert rms(call.audio[8000:8800, 0]) < 500 < rms(call.audio[8000:8800, 1])


def test_dynamic_audio_nobody_described_is_left_out(tmp_path: Path) -> None:
    items = stream(keyed("12"), CALLER, CALLEE, 1, payload_type=97)
    (call,) = replay(write_capture(tmp_path / "call.pcap", items))
    assert call.rtp == []
    assert rms(call.audio[:, 0]) < 500


def test_info_digits_are_blanked_and_counted(tmp_path: Path) -> None:
    items = with_sip(stream(room(4 * RATE, 3), CALLER, CALLEE, 1))
    body = b"Signal=5\r\nDuration=160\r\n"
    info = sip("INFO sip:b@b SIP/2.0", "one", ("x", "y"), body, "application/dtmf-relay")
    items += [(2.0, CALLER_SIP, CALLEE_SIP, info), (2.5, CALLER_SIP, CALLEE_SIP, info)]
    (call,) = replay(write_capture(tmp_path / "call.pcap", items))
    assert call.report["carriers"] == {"info": 1}
    assert not any(b"Signal" in data for _, data in call.packets)
    assert call.report["packets"]["sip_blanked"] == 2


def test_tone_event_and_info_of_one_key_are_one_press(tmp_path: Path) -> None:
    audio = room(5 * RATE, 3)
    audio[60 * FRAME : 65 * FRAME] = tone("5", 5 * FRAME)
    packets = stream(audio, CALLER, CALLEE, 1)
    start = RtpPacket.parse(packets[62][3]).timestamp
    for n in range(8):
        report = EventReport(5, n >= 5, 10, FRAME * min(n + 1, 6))
        data = RtpPacket(101, 20000 + n, start, 1, serialize_event([report])).serialize()
        packets.append((packets[62 + n][0] + 0.001, CALLER, CALLEE, data))
    packets.sort(key=lambda item: item[0])
    for n, (at, source, destination, data) in enumerate(packets):
        again = RtpPacket.parse(data)
        packets[n] = (
            at,
            source,
            destination,
            RtpPacket(again.payload_type, n, again.timestamp, 1, again.payload).serialize(),
        )
    body = b"Signal=5\r\nDuration=100\r\n"
    info = sip("INFO sip:b@b SIP/2.0", "one", ("x", "y"), body, "application/dtmf-relay")
    items = with_sip([*packets, (2.1, CALLER_SIP, CALLEE_SIP, info)])
    (call,) = replay(write_capture(tmp_path / "call.pcap", items))
    assert call.report["carriers"] == {"tone+event+info": 1}


def test_two_calls_give_two_sets_of_files(tmp_path: Path) -> None:
    other = stream(keyed("9"), ("10.0.0.3", 7000), ("10.0.0.4", 7002), 5, begin_s=0.5)
    calls = replay(write_capture(tmp_path / "call.pcap", two_way("12") + other))
    assert [sum(c.report["key_presses"].values()) for c in calls] == [2, 1]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"call-000{n}.{ending}" for n in (1, 2) for ending in ("json", "pcap", "wav")]


def test_reports_hold_no_digits_of_keys(tmp_path: Path) -> None:
    (call,) = replay(write_capture(tmp_path / "call.pcap", two_way("4111111111111111")))
    assert "4111" not in json.dumps(call.report)


def test_no_event_is_left_in_the_masked_capture(tmp_path: Path) -> None:
    items = with_event(stream(room(4 * RATE, 3), CALLER, CALLEE, 1), "7", 60, 10)
    (call,) = replay(write_capture(tmp_path / "call.pcap", items))
    for _, packet in call.rtp:
        assert len(packet.payload) == FRAME
    assert parse_event(RtpPacket.parse(items[60][3]).payload)


@pytest.mark.parametrize("n_bytes", [0, 3, 20, 5000])
def test_broken_captures_are_refused_in_one_line(tmp_path: Path, n_bytes: int) -> None:
    path = write_capture(tmp_path / "call.pcap", two_way("1"))
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(CaptureFileError) as caught:
        replay_capture(path, tmp_path / "out", Policy.GUARD, Fill.NOISE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_missing_captures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureFileError, match="no such file"):
        replay_capture(tmp_path / "none.pcap", tmp_path / "out", Policy.GUARD, Fill.NOISE)


def test_captures_without_a_call_are_refused(tmp_path: Path) -> None:
    items = [(0.1 * n, CALLER, ("10.0.0.9", 53), b"a question") for n in range(20)]
    path = write_capture(tmp_path / "dns.pcap", items)
    with pytest.raises(CaptureFileError, match="holds no call"):
        replay_capture(path, tmp_path / "out", Policy.GUARD, Fill.NOISE)
