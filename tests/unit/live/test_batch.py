"""Many packets rendered at once are the packets rendered one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.live.conftest import TYPES, rtp, to_packets
from voicemask.audio.g711 import Law
from voicemask.capture.policy import Fill, Method
from voicemask.errors import CodecError
from voicemask.live.batch import make_payloads, make_silence
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans, Ready, Slot, SteadyReady
from voicemask.rtp.sdp import PayloadType

F32 = NDArray[np.float32]
Items = list[Ready | SteadyReady]
OPUS = PayloadType(96, "OPUS", 48000, 2)
G722 = PayloadType(9, "G722", 8000)


def streams(ready: Items) -> list[LiveStream]:
    """One of each manner of masking but noise: its level comes from the batches before."""
    fills = (Fill.TONE, Fill.SILENCE)
    means = [LiveMeans(method, fill) for method in (*Method, None) for fill in fills]
    return [LiveStream({**TYPES, 9: G722, 96: OPUS}, 20, m, ready, []) for m in means]


def said(audio: F32) -> list[Items]:
    """What all of them have ready at each of 40 moments, their payload types mixed."""
    ready: Items = []
    moments: list[Items] = []
    all_streams = streams(ready)
    packets = {law: to_packets(audio, law) for law in Law}
    for k in range(40):
        for n, stream in enumerate(all_streams):
            law = (Law.MU, Law.A)[n % 2]
            number = {Law.MU: 0, Law.A: 8}[law]
            payload = packets[law][k + 20].data[12:]
            if (n + k) % 13 != 5:  # some are lost
                stream.push(rtp(k, k * 160, payload, number), k * 0.02)
            if k % 7 == 6:
                stream.advance(k * 0.02 + 0.05)
        moments.append(ready[:])
        ready.clear()
    return moments


def test_a_batch_is_its_packets_one_by_one(keyed: F32) -> None:
    together = [make_payloads(items) for items in said(keyed)]
    alone = [[make_payloads([item])[0] for item in items] for items in said(keyed)]
    assert sum(map(len, together)) > 150
    assert together == alone


def test_no_packet_of_a_masked_tone_keeps_its_payload(keyed: F32) -> None:
    ready: Items = []
    stream = LiveStream(TYPES, 20, LiveMeans(Method.SUPPRESS, Fill.NOISE), ready, [])
    packets = to_packets(keyed)
    for packet in packets:
        stream.push(packet.data, packet.at_s)
    made = make_payloads(ready)
    assert not {packet.data for packet in packets} & set(made)


@pytest.mark.parametrize("law", list(Law))
def test_silence_stands_in_for_g711_and_nothing_for_codecs(keyed: F32, law: Law) -> None:
    number, silent = {Law.MU: (0, 0xFF), Law.A: (8, 0xD5)}[law]
    ready: Items = []
    stream = LiveStream({**TYPES, 96: OPUS}, 20, LiveMeans(Method.SUPPRESS, Fill.NOISE), ready, [])
    for packet in to_packets(keyed, law)[:5]:
        stream.push(packet.data, packet.at_s)
    stream.flush()
    assert {type(item) for item in ready} == {tuple, Ready}
    packets = make_silence(ready)
    assert [packet and packet[12:] for packet in packets] == [bytes([silent]) * 160] * 5
    assert {packet[1] for packet in packets if packet} == {number}
    coder = stream._kinds[96].coder
    odd = Ready(stream, Slot.RENDERED, bytes(12), b"as it came", coder=coder, n_samples=960)
    assert make_silence([odd, Ready(stream, Slot.FILLED, bytes(12), b"x")]) == [None, None]


def test_nothing_stands_in_where_nobody_can_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = LiveStream({96: OPUS}, 20, LiveMeans(None, Fill.NOISE), [], [])
    coder = stream._kinds[96].coder
    assert coder is not None
    assert not isinstance(coder, Law)
    fill = Ready(stream, Slot.FILLED, bytes(12), b"", coder=coder, n_samples=960)
    (made,) = make_payloads([fill])
    assert made is not None

    def fail(_audio: F32) -> bytes:
        raise CodecError("OPUS packet", "cannot be encoded")

    monkeypatch.setattr(coder, "encode", fail)
    assert make_payloads([fill]) == [None]
    assert make_payloads([Ready(stream, Slot.FILLED, bytes(12), b"")]) == [None]


def test_of_nothing_comes_nothing() -> None:
    assert make_payloads([]) == make_silence([]) == []


def test_the_background_is_followed_down_at_once_and_up_slowly() -> None:
    rng = np.random.default_rng(5)
    levels = []
    ready: Items = []
    stream = LiveStream(TYPES, 20, LiveMeans(Method.SUPPRESS, Fill.NOISE), ready, [])
    noise = rng.standard_normal(24_000).astype(np.float32) * np.float32(0.02)
    noise[8000:16000] *= np.float32(0.1)
    for packet in to_packets(noise):
        stream.push(packet.data, packet.at_s)
        make_payloads(ready)
        ready.clear()
        levels.append(stream.level_dbfs)
    known = np.array([np.nan if level is None else level for level in levels])
    assert known[58] < known[48] - 15
    assert known[110] < known[58] + 6
    assert np.all(np.diff(known[100:]) <= 0.5)
