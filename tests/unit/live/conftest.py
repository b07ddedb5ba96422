"""A leg simulated on a clock of its own: packets in, what leaves at which time out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.audio import g711
from voicemask.audio.g711 import Law
from voicemask.capture.policy import Fill, Method
from voicemask.dtmf.arbiter import KeyPress
from voicemask.live.batch import make_payloads
from voicemask.live.ears import STEP_S, Ears
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans, Ready, SteadyReady
from voicemask.rtp.sdp import STATIC_TYPES, PayloadType

EVENT = PayloadType(101, "telephone-event", 8000)
TYPES = {0: STATIC_TYPES[0], 8: STATIC_TYPES[8], 13: STATIC_TYPES[13], 101: EVENT}
TICK_S = 0.002


@dataclass(frozen=True)
class Packet:
    """One datagram and when it comes."""

    at_s: float
    data: bytes


@dataclass
class Heard:
    """What left, in order, with its times; and the keys that were told."""

    packets: list[Packet] = field(default_factory=list)
    presses: list[KeyPress] = field(default_factory=list)

    @property
    def sequences(self) -> list[int]:
        return [struct.unpack_from("!H", p.data, 2)[0] for p in self.packets]

    def payloads(self) -> dict[int, bytes]:
        return dict(zip(self.sequences, (p.data[12:] for p in self.packets), strict=True))

    def audio(self, n_packets: int, law: Law = Law.MU, size: int = 160) -> NDArray[np.float32]:
        """Audio by sequence number, silence where nothing came."""
        known = self.payloads()
        empty = {Law.MU: b"\xff", Law.A: b"\xd5"}[law] * size
        octets = b"".join(known.get(k, empty) for k in range(n_packets))
        return g711.decode(np.frombuffer(octets, np.uint8), law).astype(np.float32) / 32768


def to_packets(
    audio: NDArray[np.float32], law: Law = Law.MU, size: int = 160, payload_type: int | None = None
) -> list[Packet]:
    """Cut audio into packets that come on time."""
    samples = np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16)
    octets = g711.encode(samples, law).tobytes()
    number = {Law.MU: 0, Law.A: 8}[law] if payload_type is None else payload_type
    return [
        Packet((k + 1) * size / 8000, rtp(k, k * size, octets[k * size : (k + 1) * size], number))
        for k in range(len(octets) // size)
    ]


def rtp(sequence: int, timestamp: int, payload: bytes, number: int = 0, ssrc: int = 7) -> bytes:
    return (
        struct.pack("!BBHII", 0x80, number, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
        + payload
    )


def run_leg(
    packets: Iterable[Packet],
    method: Method | None = Method.SUPPRESS,
    fill: Fill = Fill.NOISE,
    *,
    hold_ms: int = 0,
    types: dict[int, PayloadType] | None = None,
    info: Sequence[tuple[float, object]] = (),
) -> tuple[LiveStream, Heard]:
    """Relay packets in simulated time: a tick every 2 ms, the detector every 20 ms."""
    ready: list[Ready | SteadyReady] = []
    pressed: list[tuple[LiveStream, KeyPress]] = []
    means = LiveMeans(method, fill, hold_ms)
    stream = LiveStream(types or TYPES, 20, means, ready, pressed)
    ears, heard = Ears(), Heard()
    if method is not None:
        ears.add(stream)
    coming = sorted(packets, key=lambda packet: packet.at_s)
    told = sorted(info, key=lambda item: item[0])
    now_s, step_s, at = 0.0, STEP_S, 0
    last_s = coming[-1].at_s + 0.5 if coming else 0.0

    def send() -> None:
        for data in make_payloads(ready):
            if data is not None:
                heard.packets.append(Packet(now_s, data))
        ready.clear()

    while now_s < last_s:
        now_s += TICK_S
        while at < len(coming) and coming[at].at_s <= now_s:
            stream.push(coming[at].data, coming[at].at_s)
            at += 1
        while told and told[0][0] <= now_s:
            stream.info(told.pop(0)[1])  # type: ignore[arg-type]
        if stream.deadline_s is not None and stream.deadline_s <= now_s:
            stream.advance(now_s)
        send()
        if now_s >= step_s:
            step_s += STEP_S
            heard.presses += [press for _, press in ears.step()]
            send()
        heard.presses += [press for _, press in pressed]
        pressed.clear()
    stream.flush()
    send()
    return stream, heard


def tone_pair(low_hz: float, high_hz: float, ms: float, peak: float = 0.25) -> NDArray[np.float32]:
    time = np.arange(round(ms * 8)) / 8000
    both = np.sin(2 * np.pi * low_hz * time) + np.sin(2 * np.pi * high_hz * time)
    return (peak * both).astype(np.float32)


@pytest.fixture(scope="session")
def keyed() -> NDArray[np.float32]:
    """Four seconds of faint noise with four keys of 80 ms, at 0.5, 1.2, 2.0 and 2.9 s."""
    audio = np.random.default_rng(7).standard_normal(32_000).astype(np.float32) * np.float32(0.004)
    pairs = [(697, 1209), (770, 1336), (852, 1477), (941, 1336)]
    for at_s, (low, high) in zip((0.5, 1.2, 2.0, 2.9), pairs, strict=True):
        tone = tone_pair(low, high, 80)
        audio[round(at_s * 8000) : round(at_s * 8000) + tone.size] += tone
    return audio
