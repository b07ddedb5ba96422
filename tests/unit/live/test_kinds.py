"""What payload types of an SDP stand for."""

from __future__ import annotations

import pytest

from tests.unit.live.conftest import TYPES, rtp
from voicemask.audio.g711 import Law
from voicemask.capture.policy import Fill, Method
from voicemask.live.kinds import Kind
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans, Ready, SteadyReady
from voicemask.rtp.event import EventReport, serialize_event
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


@pytest.mark.parametrize("method", [*Method, None])
@pytest.mark.parametrize("number", [18, 101, 13])
def test_what_nobody_decodes_leaves_no_trail(method: Method | None, number: int) -> None:
    types = {**TYPES, 18: PayloadType(18, "G729", 8000)}
    ready: list[Ready | SteadyReady] = []
    stream = LiveStream(types, 20, LiveMeans(method, Fill.NOISE), ready, [])
    payload = serialize_event([EventReport(3, end=True, volume=9, duration=160)])
    for k in range(1000):
        stream.push(rtp(k, k * 160, payload, number), k * 0.02)
        stream.safe_until = stream.heard.end  # of who listens, and lets go of what it heard
        stream.heard.drop(stream.heard.end if method is not None else 0)
        ready.clear()
    stream.advance(1e6)
    assert len(stream._fills) < 10
    assert len(stream._tape._buffer) < 8192
    assert len(stream.heard._buffer) < 8192
