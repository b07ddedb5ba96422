"""What can be made of the packets a phone got: audio, events, and keys that somebody reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from benchmarks.peers import multimon, spandsp
from benchmarks.peers.receivers import ours_decodes
from tests.interop.coder import Coder
from tests.interop.line import EVENT_TYPE, KEYS, Line
from voicemask.audio.g711 import Law, decode
from voicemask.dtmf.auditor import audit

Samples = NDArray[np.float32]
LAWS = {0: Law.MU, 8: Law.A}


def audio_of(packets: Sequence[bytes]) -> Samples:
    """Put the audio of one stream in its place by RTP timestamp; gaps are silence."""
    frames = [
        (int.from_bytes(packet[4:8], "big"), decode(_octets(packet), LAWS[packet[1] & 0x7F]))
        for packet in packets
        if packet[1] & 0x7F in LAWS
    ]
    if not frames:
        return np.zeros(0, np.float32)
    first = min(timestamp for timestamp, _ in frames)
    end = max(timestamp + len(pcm) for timestamp, pcm in frames)
    audio = np.zeros(end - first, np.float32)
    for timestamp, pcm in frames:
        audio[timestamp - first : timestamp - first + len(pcm)] = pcm / np.float32(32768)
    return audio


def decoded(packets: Sequence[bytes], codec: str) -> tuple[Samples, int]:
    """Decode the packets of a codec as a phone does, in order and without gaps; with its rate."""
    coder = Coder(codec)
    payloads = [_octets(packet).tobytes() for packet in packets if _is(packet, coder.payload_type)]
    if not payloads:
        return np.zeros(0, np.float32), coder.rate_hz
    return np.concatenate([coder.decode(payload) for payload in payloads]), coder.rate_hz


def level_db(audio: Samples) -> float:
    """RMS, dB relative to full scale; -180 for silence and for nothing."""
    return (
        float(20 * np.log10(np.sqrt(np.mean(audio**2, dtype=float)) + 1e-9)) if audio.size else -180
    )


def assert_heard_to_the_byte(speaker: Line, hearer: Line) -> None:
    """From the first packet that was heard, nothing is lost or changed, and all is in order."""
    heard = hearer.heard[:]  # more comes while this looks
    first = speaker.sent.index(heard[0])
    assert len(heard) >= 10
    sent = speaker.sent[first : first + len(heard)]
    wrong = [n for n, pair in enumerate(zip(heard, sent, strict=True)) if pair[0] != pair[1]]
    missing = set(map(_sequence, sent)) - set(map(_sequence, heard))
    n_other = len(set(heard) - set(speaker.sent))
    where = f"from the {wrong[0]}th of {len(heard)} on" if wrong else ""
    assert heard == sent, f"{where}: {len(missing)} missing, {n_other} changed"


def event_keys(packets: Sequence[bytes]) -> str:
    """Read the keys of the RFC 4733 events of one stream."""
    keys: dict[int, str] = {}
    for packet in packets:
        if packet[1] & 0x7F == EVENT_TYPE:
            (timestamp,) = struct.unpack_from("!I", packet, 4)
            keys[timestamp] = KEYS[packet[12]]
    return "".join(keys[timestamp] for timestamp in sorted(keys))


def tone_keys(audio: Samples) -> dict[str, str]:
    """What three receivers read, by name."""
    padded = np.pad(audio, (800, 4000))
    return {
        "voicemask": "".join(key for key, _, _ in ours_decodes(padded)),
        "spandsp": "".join(key for key, _, _ in spandsp.detect(padded)),
        "multimon-ng": multimon.decode(padded),
    }


def assert_all_read(packets: Sequence[bytes], keys: str) -> None:
    """Every receiver hears these keys as tones."""
    read = tone_keys(audio_of(packets))
    assert set(read.values()) == {keys}, f"{keys} was pressed, heard was {read}"


def assert_nobody_reads(packets: Sequence[bytes]) -> None:
    """No event, and no tone that a receiver or a person could read."""
    events = event_keys(packets)
    assert not events, f"events tell {events}"
    assert_no_tone(audio_of(packets))


def assert_no_tone(audio: Samples, rate_hz: int = 8000) -> None:
    """No tone that a receiver or a person could read; `audio` is (n,)."""
    narrow = audio if rate_hz == 8000 else resample_poly(audio, 8000, rate_hz).astype(np.float32)
    read = tone_keys(narrow)
    assert set(read.values()) == {""}, f"tones are read: {read}"
    readable = audit(audio, rate_hz)
    assert not readable, f"a person could read {len(readable)} stretches"


def _sequence(packet: bytes) -> int:
    return int.from_bytes(packet[2:4], "big")


def _is(packet: bytes, payload_type: int) -> bool:
    return packet[1] & 0x7F == payload_type


def _octets(packet: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(packet, np.uint8, offset=12 + 4 * (packet[0] & 0x0F))
