"""What payload types of an SDP stand for."""

from __future__ import annotations

import pytest

from voicemask.audio.g711 import Law
from voicemask.live.kinds import Kind
from voicemask.rtp.sdp import PayloadType


@pytest.mark.parametrize(
    ("payload_type", "coder", "rate_hz"),
    [
        (PayloadType(0, "PCMU", 8000), Law.MU, 8000),
        (PayloadType(112, "PCMA", 8000), Law.A, 8000),
        (PayloadType(9, "G722", 8000), "G722Codec", 16000),
        (PayloadType(96, "OPUS", 48000, 2), "OpusCodec", 48000),
        (PayloadType(96, "L16", 16000), "L16Codec", 16000),
        (PayloadType(18, "G729", 8000), None, 8000),
        (PayloadType(0, "PCMU", 16000), None, 8000),
        (PayloadType(0, "PCMU", 8000, 2), None, 8000),
        (PayloadType(97, "L16", 7), None, 8000),
        (PayloadType(101, "telephone-event", 48000), None, 8000),
        (PayloadType(13, "CN", 8000), None, 8000),
    ],
)
def test_kind(payload_type: PayloadType, coder: object, rate_hz: int) -> None:
    kind = Kind(payload_type)
    found = kind.coder
    assert coder in (found, type(found).__name__)
    assert kind.rate_hz == rate_hz
    assert kind.ticks_hz == payload_type.clock_hz
    assert kind.is_event == (payload_type.encoding == "telephone-event")
    assert kind.is_cn == (payload_type.encoding == "CN")
