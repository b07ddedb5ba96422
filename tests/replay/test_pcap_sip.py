"""SIP in a capture: messages, dialogs, INFO digits, and which flows are whose."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from voicemask.capture.digit import Digit
from voicemask.replay.capture_file import Record
from voicemask.replay.frames import Counts, Endpoint, Frame, read_frames
from voicemask.replay.sip_trace import Side, SipTrace, blank_body, parse_info_digit, parse_sip
from voicemask.replay.streams import FoundCall, find_calls
from voicemask.rtp.event import EventReport, serialize_event
from voicemask.rtp.packet import RtpPacket

A, B, PROXY = "10.0.0.1", "10.0.0.2", "10.0.0.9"
RELAY_BODY = b"Signal=5\r\nDuration=160\r\n"


def frame(at_s: float, source: Endpoint, destination: Endpoint, payload: bytes) -> Frame:
    datagram = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0)
    data = head + ip_address(source[0]).packed + ip_address(destination[0]).packed + datagram
    record = Record(round(at_s * 1e9), 101, data, len(data))
    return next(read_frames([record], Counts()))


def sip(
    start: str, body: bytes = b"", kind: str = "application/sdp", *, call_id: str = "one",
    from_tag: str = "x", cseq: int = 1,
) -> bytes:  # fmt: skip
    method = "INVITE" if start.startswith("SIP/2.0") else start.split(" ", maxsplit=1)[0]
    head = (
        f"{start}\r\ni: {call_id}\r\nFrom: <sip:a@a>;tag={from_tag}\r\nTo: <sip:b@b>;tag=other\r\n"
        f"CSeq: {cseq} {method}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def sdp(address: str, port: int, event_type: int = 101, protocol: str = "RTP/AVP") -> bytes:
    return (
        f"v=0\r\nc=IN IP4 {address}\r\nm=audio {port} {protocol} 0 {event_type}\r\n"
        f"a=rtpmap:{event_type} telephone-event/8000\r\n"
    ).encode()


def rtp(
    source: Endpoint, destination: Endpoint, ssrc: int, *, begin_s: float = 1.0, n: int = 60,
    kind: int = 0,
) -> list[Frame]:  # fmt: skip
    return [
        frame(
            begin_s + 0.02 * k,
            source,
            destination,
            RtpPacket(kind, k, 160 * k, ssrc, bytes(160)).serialize(),
        )
        for k in range(n)
    ]


def invited(caller: Endpoint, callee: Endpoint) -> list[Frame]:
    return [
        frame(0.1, (A, 5060), (B, 5060), sip("INVITE sip:b@b SIP/2.0", sdp(*caller))),
        frame(0.2, (B, 5060), (A, 5060), sip("SIP/2.0 200 OK", sdp(*callee))),
    ]


def find(frames: list[Frame]) -> list[FoundCall]:
    return find_calls(sorted(frames, key=lambda item: item.at_ns)).calls


def ssrcs(call: FoundCall, side: Side) -> list[int]:
    return [RtpPacket.parse(flow.frames[0].payload).ssrc for flow in call.flows[side]]


def test_compact_and_folded_headers_are_read() -> None:
    message = parse_sip(
        b"INFO sip:b@b SIP/2.0\r\ni: id\r\nf: <sip:a>\r\n ;tag=T1\r\nc: Application/DTMF\r\n\r\n5"
    )
    assert message is not None
    assert (message.headers["call-id"], message.tag("from")) == ("id", "T1")
    assert (message.content_type, message.body) == ("application/dtmf", b"5")


@pytest.mark.parametrize("payload", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x80\x00", b"SIP/2.0"])
def test_other_payloads_are_no_sip(payload: bytes) -> None:
    assert parse_sip(payload) is None


@pytest.mark.parametrize(
    ("kind", "body", "key", "duration_ms"),
    [
        ("application/dtmf-relay", RELAY_BODY, "5", 160),
        ("application/dtmf-relay", b"Signal= #\nDuration= 250", "#", 250),
        ("application/dtmf-relay", b"signal=10\r\n", "*", 0),
        ("application/dtmf-relay", b"Signal=11\r\n", "#", 0),
        ("application/dtmf; charset=utf-8", b" 7 \r\n", "7", 0),
        ("application/dtmf", b"Signal=a\r\n", "A", 0),
    ],
)
def test_info_bodies_give_key_and_duration(
    kind: str, body: bytes, key: str, duration_ms: int
) -> None:
    message = parse_sip(sip("INFO sip:b@b SIP/2.0", body, kind))
    assert message is not None
    assert parse_info_digit(message) == (Digit.of(key), duration_ms)


@pytest.mark.parametrize("body", [b"", b"Signal=\r\n", b"Signal=99\r\n", b"Duration=100\r\n"])
def test_info_bodies_without_a_key_give_none(body: bytes) -> None:
    message = parse_sip(sip("INFO sip:b@b SIP/2.0", body, "application/dtmf-relay"))
    assert message is not None
    assert parse_info_digit(message) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/dtmf-relay", RELAY_BODY),
        ("application/dtmf", b"5"),
        ("application/kpml-response+xml", b"<kpml-response digits='5'/>"),
        ("multipart/mixed;boundary=b", b"--b\r\nSignal=5\r\n--b--"),
        ("text/plain", b"4111"),
    ],
)
def test_bodies_that_may_hold_keys_are_blanked_in_place(kind: str, body: bytes) -> None:
    payload = sip("INFO sip:b@b SIP/2.0", body, kind)
    blanked = blank_body(payload)
    assert blanked is not None
    assert len(blanked) == len(payload)
    assert blanked[: -len(body)] == payload[: -len(body)]
    assert not blanked[-len(body) :].strip()


def test_session_descriptions_are_kept() -> None:
    assert blank_body(sip("INVITE sip:b@b SIP/2.0", sdp(A, 4000))) is None


def test_what_follows_a_session_description_is_blanked() -> None:
    first = sip("SIP/2.0 200 OK", sdp(A, 4000))
    blanked = blank_body(first + sip("INFO sip:b@b SIP/2.0", RELAY_BODY, "application/dtmf-relay"))
    assert blanked is not None
    assert blanked.startswith(first)
    assert not blanked[len(first) :].strip()


def test_an_info_sent_again_is_one_key() -> None:
    trace = SipTrace()
    for at_s in (1.0, 1.5):
        info = sip("INFO sip:b@b SIP/2.0", RELAY_BODY, "application/dtmf-relay", cseq=7)
        trace.push(frame(at_s, (A, 5060), (B, 5060), info))
    assert len(trace.dialogs["one"].infos) == 1


def test_an_info_of_the_callee_is_the_callees() -> None:
    trace = SipTrace()
    for item in invited((A, 4000), (B, 5000)):
        trace.push(item)
    info = sip("INFO sip:a@a SIP/2.0", RELAY_BODY, "application/dtmf-relay", from_tag="other")
    trace.push(frame(1.0, (B, 5060), (A, 5060), info))
    assert [item.side for item in trace.dialogs["one"].infos] == [Side.CALLEE]


def test_flows_belong_to_the_side_whose_peer_receives_them() -> None:
    frames = invited((A, 4000), (B, 5000))
    frames += rtp((B, 5000), (A, 4000), 2, begin_s=0.9) + rtp((A, 4000), (B, 5000), 1)
    (call,) = find(frames)
    assert (ssrcs(call, Side.CALLER), ssrcs(call, Side.CALLEE)) == ([1], [2])
    assert call.sides_known


def test_a_party_behind_a_nat_is_told_by_where_its_peer_receives() -> None:
    frames = invited((A, 4000), (B, 5000))
    frames += rtp(("203.0.113.5", 61000), (B, 5000), 1) + rtp((B, 5000), ("203.0.113.5", 61000), 2)
    (call,) = find(frames)
    assert (ssrcs(call, Side.CALLER), ssrcs(call, Side.CALLEE)) == ([1], [2])


def test_payload_numbers_are_those_the_receiver_asked_for() -> None:
    frames = [
        frame(0.1, (A, 5060), (B, 5060), sip("INVITE sip:b@b SIP/2.0", sdp(A, 4000, 101))),
        frame(0.2, (B, 5060), (A, 5060), sip("SIP/2.0 200 OK", sdp(B, 5000, 96))),
        *rtp((A, 4000), (B, 5000), 1),
    ]
    (call,) = find(frames)
    assert call.payload_types[Side.CALLER][96].is_event


def test_srtp_is_known_for_what_it_is() -> None:
    offer = sip("INVITE sip:b@b SIP/2.0", sdp(A, 4000, protocol="RTP/SAVP"))
    frames = [frame(0.1, (A, 5060), (B, 5060), offer), *rtp((B, 5000), (A, 4000), 1)]
    (call,) = find(frames)
    assert call.encrypted


def test_the_two_hops_of_a_proxy_are_two_calls() -> None:
    frames = invited((A, 4000), (PROXY, 7000)) + invited((PROXY, 7002), (B, 5000))
    frames += rtp((A, 4000), (PROXY, 7000), 1) + rtp((PROXY, 7002), (B, 5000), 1, begin_s=1.001)
    frames += rtp((B, 5000), (PROXY, 7002), 2) + rtp((PROXY, 7000), (A, 4000), 2, begin_s=1.001)
    calls = find(frames)
    assert [(ssrcs(c, Side.CALLER), ssrcs(c, Side.CALLEE)) for c in calls] == [([1], [2])] * 2
    assert [bool(call.signalling) for call in calls] == [True, False]


def test_media_that_moves_to_another_port_stays_in_its_call() -> None:
    frames = invited((A, 4000), (B, 5000)) + rtp((A, 4000), (B, 5000), 1)
    again = sip("INVITE sip:b@b SIP/2.0", sdp(A, 4010), cseq=2)
    frames += [frame(3.0, (A, 5060), (B, 5060), again)]
    frames += rtp((A, 4010), (B, 5000), 3, begin_s=3.1) + rtp((B, 5000), (A, 4010), 2, begin_s=3.1)
    (call,) = find(frames)
    assert ssrcs(call, Side.CALLER) == [1, 3]
    assert ssrcs(call, Side.CALLEE) == [2]


def test_without_sip_the_side_that_keys_is_on_the_left() -> None:
    frames = rtp((B, 5000), (A, 4000), 2, begin_s=0.5) + rtp((A, 4000), (B, 5000), 1)
    for k in range(5):
        report = EventReport(5, k >= 2, 10, 160 * (k + 1))
        packet = RtpPacket(101, 60 + k, 9600, 1, serialize_event([report]))
        frames.append(frame(2.2 + 0.02 * k, (A, 4000), (B, 5000), packet.serialize()))
    (call,) = find(frames)
    assert (ssrcs(call, Side.CALLER), ssrcs(call, Side.CALLEE)) == ([1], [2])
    assert call.payload_types[Side.CALLER][101].is_event
    assert not call.sides_known


def test_flows_of_unlike_ports_pair_by_address() -> None:
    frames = rtp((A, 4000), (B, 5000), 1) + rtp((B, 5002), (A, 4002), 2)
    assert len(find(frames)) == 1


def test_rtcp_goes_with_its_call_and_other_udp_does_not() -> None:
    frames = rtp((A, 4000), (B, 5000), 1)
    report = bytes.fromhex("80c80006") + bytes(24)
    frames.append(frame(1.5, (A, 4001), (B, 5001), report))
    frames.append(frame(1.6, (A, 9999), (B, 53), b"a question"))
    found = find_calls(sorted(frames, key=lambda item: item.at_ns))
    assert [len(call.controls) for call in found.calls] == [1]
    assert found.n_other == 1


def test_udp_that_only_looks_like_rtp_is_no_call() -> None:
    frames = [
        frame(
            0.1 * k, (A, 1), (B, 2), bytes([0x80, 0x60, (k * 91) % 256, (k * 57) % 256]) + bytes(40)
        )
        for k in range(30)
    ]
    assert find(frames) == []
