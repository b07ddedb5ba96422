"""Session descriptions: what they say of audio, and what is passed over."""

from __future__ import annotations

import pytest

from voicemask.rtp.sdp import STATIC_TYPES, PayloadType, parse_sdp, read_section

BODY = b"""v=0\r
o=- 1 1 IN IP4 10.0.0.1\r
c=IN IP4 10.0.0.1\r
t=0 0\r
m=audio 4000 RTP/AVP 111 0 101\r
c=IN IP4 10.0.0.7/127\r
a=rtpmap:111 opus/48000/2\r
a=fmtp:111 useinbandfec=1\r
a=rtpmap:101 Telephone-Event/8000\r
a=fmtp:101 0-15\r
a=ptime:30\r
a=sendonly\r
m=video 4002 RTP/AVP 96\r
a=rtpmap:96 VP8/90000\r
m=audio 0 RTP/SAVP 8\r
"""


def test_payload_types_come_in_order_of_preference() -> None:
    media = parse_sdp(BODY)[0]
    assert media.payload_types == (
        PayloadType(111, "OPUS", 48000, 2, "useinbandfec=1"),
        STATIC_TYPES[0],
        PayloadType(101, "telephone-event", 8000, 1, "0-15"),
    )
    assert media.payload_types[2].is_event


def test_media_lines_override_the_session() -> None:
    first, second = parse_sdp(BODY)
    assert (first.address, first.port, first.ptime_ms) == ("10.0.0.7", 4000, 30)
    assert (second.address, second.port) == ("10.0.0.1", 0)
    assert first.direction == "sendonly"


def test_srtp_is_told() -> None:
    assert [media.encrypted for media in parse_sdp(BODY)] == [False, True]


def test_lines_that_do_not_parse_are_passed_over() -> None:
    body = (
        b"\xff\xfe\nm=audio\nm=audio x RTP/AVP 0\nm=audio 99999 RTP/AVP 0\n"
        b"m=audio 4000 RTP/AVP 0 999 x 99\nc=IN\na=rtpmap:99 broken\na=rtpmap:0 PCMU/0\na=ptime:x\n"
    )
    (media,) = parse_sdp(body)
    assert media.payload_types == (STATIC_TYPES[0],)


def test_an_empty_body_describes_nothing() -> None:
    assert parse_sdp(b"") == ()


@pytest.mark.parametrize(
    "line",
    [
        "m=audio {} RTP/AVP 0",
        "m=audio 6000 RTP/AVP {}",
        "m=audio 6000 RTP/AVP 0\na=ptime:{}",
        "m=audio 6000 RTP/AVP 96\na=rtpmap:96 opus/{}/2",
        "m=audio 6000 RTP/AVP 96\na=rtpmap:96 opus/48000/{}",
    ],
)
def test_endless_numbers_are_passed_over(line: str) -> None:
    sections = parse_sdp(line.format("1" * 5000).encode())
    assert all(media.ptime_ms == 20 for media in sections)


def test_what_relaying_needs_is_read_of_any_section() -> None:
    lines = (
        "m=video 6000 RTP/SAVPF 96",
        "a=rtcp:6007 IN IP4 10.0.0.9",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
    )
    section = read_section(lines, "10.0.0.1", "inactive")
    assert section is not None
    assert (section.kind, section.address, section.rtcp_port) == ("video", "10.0.0.1", 6007)
    assert (section.direction, section.formats) == ("inactive", ("96",))
    assert section.crypto == ("1 AES_CM_128_HMAC_SHA1_80 inline:x",)
    assert "inline" not in repr(section)


def test_rtcp_shares_the_port_where_it_is_multiplexed() -> None:
    section = read_section(("m=audio 6000 RTP/AVP 0", "a=rtcp-mux", "a=rtcp:6001"))
    assert section is not None
    assert (section.rtcp_mux, section.rtcp_port) == (True, 6000)
