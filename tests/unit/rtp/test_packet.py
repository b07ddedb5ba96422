"""RTP packets: parsed, serialized, refused."""

from __future__ import annotations

import pytest

from voicemask.errors import PacketError
from voicemask.rtp.packet import RtpPacket, looks_like_rtcp, looks_like_rtp

PLAIN = bytes.fromhex("8000000100000002000000ff") + b"audio"


def test_parse_reads_the_fixed_header() -> None:
    packet = RtpPacket.parse(PLAIN)
    assert (packet.payload_type, packet.sequence, packet.timestamp) == (0, 1, 2)
    assert (packet.ssrc, packet.payload, packet.marker) == (255, b"audio", False)


def test_serialize_keeps_sources_extension_and_padding() -> None:
    head = bytes.fromhex("b28a000100000002000000ff")
    sources = bytes.fromhex("0000000a0000000b")
    extension = bytes.fromhex("bede0001") + b"\x10\x01\x00\x00"
    data = head + sources + extension + b"audio" + b"\x07\x09\x03"
    packet = RtpPacket.parse(data)
    assert packet.csrcs == (10, 11)
    assert packet.payload == b"audio"
    assert packet.serialize() == data


def test_with_payload_keeps_sequence_timestamp_and_ssrc() -> None:
    packet = RtpPacket.parse(PLAIN).with_payload(b"fill", payload_type=8)
    assert packet.serialize() == bytes.fromhex("8008000100000002000000ff") + b"fill"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:11],
        b"\x40" + PLAIN[1:],
        b"\x8f" + PLAIN[1:],
        b"\x90" + PLAIN[1:12],
        b"\x90" + PLAIN[1:12] + b"\xbe\xde\x00\x09" + b"short",
        b"\xa0" + PLAIN[1:12] + b"\x00",
        b"\xa0" + PLAIN[1:12] + b"ab\x09",
        b"\xa0" + PLAIN[1:12],
    ],
)
def test_parse_refuses_what_is_shorter_than_it_says(data: bytes) -> None:
    with pytest.raises(PacketError):
        RtpPacket.parse(data)


def test_rtcp_is_told_from_rtp_by_its_packet_type() -> None:
    sender_report = bytes.fromhex("80c80006") + bytes(24)
    assert looks_like_rtcp(sender_report)
    assert not looks_like_rtp(sender_report)
    assert looks_like_rtp(PLAIN)
