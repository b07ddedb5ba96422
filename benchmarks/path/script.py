"""From a call's audio to the packets its customer sends, each with its time; and back again."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.press import RATE_HZ, Float32, Int64, LeakCall, samples
from benchmarks.path.conditions import Carriage, PathCondition
from benchmarks.path.relays import EVENT_PAYLOAD_TYPE
from voicemask.audio.g711 import Law, decode, encode

FRAME_SAMPLES: Final = 160
FRAME_NS: Final = 20_000_000
SAMPLE_NS: Final = 1_000_000_000 // RATE_HZ
HEADER: Final = struct.Struct("!BBHII")
FIRST_SEQUENCE: Final = 1000
FIRST_TIMESTAMP: Final = 160_000
"""Not 0, which a relay may take for none."""
EVENT_CODES: Final = (1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15)
"""RFC 4733 code of each key, ``4 * row + column``."""
EVENT_VOLUME: Final = 10
N_ENDS: Final = 3
FIRST_MS: Final = 100.0
"""Before this nothing is lost or swapped, so that relay and timestamps settle."""


@dataclass(frozen=True, slots=True)
class Script:
    """Packets of one stream in sending order.

    Parameters
    ----------
    at_ns : (n,) when each is sent, from the start of the call.
    packets : (n, bytes) uint8, padded.
    length : (n,) bytes of each.
    """

    at_ns: Int64
    packets: NDArray[np.uint8]
    length: Int64


@dataclass(frozen=True, slots=True)
class Heard:
    """What came out for one stream.

    Parameters
    ----------
    audio : (n,) float32 by RTP timestamp; zero where nothing came.
    payload : (n_frames, 160) uint8, as it came; `came` tells which frames did.
    came : (n_frames,) bool: exactly this 20 ms frame arrived.
    n_events : telephone-event packets that arrived.
    n_other : packets that are none of this stream's frames.
    """

    audio: Float32
    payload: NDArray[np.uint8]
    came: NDArray[np.bool_]
    n_events: int
    n_other: int


def to_pcmu(audio: Float32) -> NDArray[np.uint8]:
    """Encode audio as frames of 20 ms, (n_frames, 160); the rest of a frame is left out."""
    n_frames = audio.size // FRAME_SAMPLES
    pcm = np.clip(np.rint(audio[: n_frames * FRAME_SAMPLES] * 32768.0), -32768, 32767)
    return encode(pcm.astype(np.int16), Law.MU).reshape(n_frames, FRAME_SAMPLES)


def from_pcmu(payload: NDArray[np.uint8]) -> Float32:
    """Decode payload of any shape to float32 of +-1."""
    return (decode(payload, Law.MU) / np.float32(32768)).astype(np.float32)


def write_script(
    condition: PathCondition,
    call: LeakCall,
    frames: NDArray[np.uint8],
    ssrc: int,
    rng: np.random.Generator,
) -> Script:
    """Packetize a call as its condition wants it, with what the network does to it.

    Parameters
    ----------
    frames : (n_frames, 160) uint8, its audio encoded.
    ssrc : of the stream.
    rng : of the network.
    """
    raw: list[tuple[int, int, int, bytes]] = [
        (frame, 0, FIRST_TIMESTAMP + frame * FRAME_SAMPLES, payload.tobytes())
        for frame, payload in enumerate(frames)
        if not _replaced(condition, call, frame)
    ]
    if condition.carriage is not Carriage.IN_BAND:
        raw += _events(condition, call)
    raw.sort(key=lambda packet: (packet[0], packet[1]))
    packets = [
        HEADER.pack(0x80, kind, (FIRST_SEQUENCE + index) % 65536, stamp, ssrc) + payload
        for index, (_, kind, stamp, payload) in enumerate(raw)
    ]
    nominal = np.array([frame for frame, *_ in raw], np.int64) * FRAME_NS
    return _impaired(condition, packets, nominal, rng)


def plain_script(payload: NDArray[np.uint8], ssrc: int) -> Script:
    """Packetize frames (n, 160) that nothing happens to."""
    packets = [
        HEADER.pack(
            0x80, 0, (FIRST_SEQUENCE + frame) % 65536, FIRST_TIMESTAMP + frame * FRAME_SAMPLES, ssrc
        )
        + octets.tobytes()
        for frame, octets in enumerate(payload)
    ]
    return _pack(packets, np.arange(len(packets), dtype=np.int64) * FRAME_NS)


def event_spans(condition: PathCondition, call: LeakCall) -> list[tuple[int, int]]:
    """First frame and frame after the last of each press as its events tell it."""
    begin = call.start + samples(condition.sound.clamp_ms)
    # a gateway speaks up in the packet that follows its decision
    firsts = -(-begin // FRAME_SAMPLES)
    lasts = np.maximum(-(-call.end // FRAME_SAMPLES), firsts + 1)
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _replaced(condition: PathCondition, call: LeakCall, frame: int) -> bool:
    """Whether event packets stand in for this frame's audio."""
    if condition.carriage not in {Carriage.EVENT, Carriage.CUT}:
        return False
    return any(first <= frame < last for first, last in event_spans(condition, call))


def _events(condition: PathCondition, call: LeakCall) -> list[tuple[int, int, int, bytes]]:
    out = []
    for (first, last), key in zip(event_spans(condition, call), call.keys, strict=True):
        stamp = FIRST_TIMESTAMP + first * FRAME_SAMPLES
        for frame in range(first, last):
            out.append((frame, stamp, _report(int(key), (frame - first + 1), end=False)))
        out += [(last, stamp, _report(int(key), last - first, end=True))] * N_ENDS
    return [(frame, EVENT_PAYLOAD_TYPE, stamp, body) for frame, stamp, body in out]


def _report(key: int, n_frames: int, *, end: bool) -> bytes:
    return struct.pack("!BBH", EVENT_CODES[key], (end << 7) | EVENT_VOLUME, n_frames * 160)


def _impaired(
    condition: PathCondition, packets: list[bytes], at_ns: Int64, rng: np.random.Generator
) -> Script:
    n = len(packets)
    settled = at_ns > FIRST_MS * 1e6
    jitter_ns = round(condition.jitter_ms * 1e6)
    at_ns = at_ns + jitter_ns + rng.integers(-jitter_ns, jitter_ns + 1, n) * settled
    for index in np.flatnonzero(
        settled[:-1] & (rng.random(n - 1) < condition.swapped_percent / 100)
    ):
        at_ns[index], at_ns[index + 1] = at_ns[index + 1] + 1000, at_ns[index]
    kept = np.flatnonzero(~(settled & (rng.random(n) < condition.loss_percent / 100)))
    order = kept[np.argsort(at_ns[kept], kind="stable")]
    return _pack([packets[index] for index in order], at_ns[order])


def _pack(packets: list[bytes], at_ns: Int64) -> Script:
    length = np.array([len(packet) for packet in packets], np.int64)
    memory = np.zeros((len(packets), HEADER.size + FRAME_SAMPLES), np.uint8)
    for row, packet in zip(memory, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    return Script(at_ns, memory, length)


def read_heard(data: NDArray[np.uint8], length: NDArray[np.integer], n_samples: int) -> Heard:
    """Place what came out by its timestamps.

    Parameters
    ----------
    data : (n, bytes) uint8, packets in order of arrival.
    length : (n,) bytes of each.
    n_samples : of the call.
    """
    n_frames = n_samples // FRAME_SAMPLES
    out = Heard(
        np.zeros(n_samples, np.float32), np.zeros((n_frames, FRAME_SAMPLES), np.uint8),
        np.zeros(n_frames, np.bool_), 0, 0,
    )  # fmt: skip
    n_events = n_other = 0
    for row, size in zip(data, length, strict=True):
        _, kind, _, stamp, _ = HEADER.unpack(row[: HEADER.size].tobytes())
        payload = row[HEADER.size : size]
        at = (stamp - FIRST_TIMESTAMP) & 0xFFFFFFFF
        if kind & 0x7F == EVENT_PAYLOAD_TYPE:
            n_events += 1
        elif kind & 0x7F or at + payload.size > n_samples:
            n_other += 1
        else:
            out.audio[at : at + payload.size] = from_pcmu(payload)
            frame, inside = divmod(at, FRAME_SAMPLES)
            if not inside and payload.size == FRAME_SAMPLES and frame < n_frames:
                out.payload[frame], out.came[frame] = payload, True
    return Heard(out.audio, out.payload, out.came, n_events, n_other)
