"""What is fuzzed: one function each, which takes bytes and fails on a broken promise.

The promise everywhere: bytes from outside give a value or the documented error, never another
exception, and what was read can be written again.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fuzz.ng_datagrams import datagram, requests
from tests.unit.ng.fakes import FakeMedia
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Method
from voicemask.errors import NgError, PacketError, SrtpError
from voicemask.live.batch import make_payloads
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans
from voicemask.ng import bencode
from voicemask.ng.message import (
    Envelope,
    error_reply,
    open_envelope,
    read_request,
    write_reply,
)
from voicemask.ng.plan import CallState
from voicemask.ng.remote import Terms
from voicemask.ng.session import NgServer
from voicemask.rtp.event import EventTracker, parse_event, serialize_event, unwrap
from voicemask.rtp.packet import RtpPacket, looks_like_rtcp, looks_like_rtp
from voicemask.rtp.reorder import ReorderBuffer
from voicemask.rtp.sdes import CryptoKey
from voicemask.rtp.sdp import STATIC_TYPES, PayloadType, parse_sdp
from voicemask.rtp.srtp import SUITES, SrtpContext, key_length


@dataclass(frozen=True)
class Target:
    """A function under fuzzing, and inputs to start from."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    max_bytes: int = 2048
    n_runs: int = 3000
    """In a test."""


def rtp_packet(data: bytes) -> None:
    """A datagram that parses comes back byte for byte."""
    assert not (looks_like_rtp(data) and looks_like_rtcp(data))
    try:
        packet = RtpPacket.parse(data)
    except PacketError:
        return
    assert packet.serialize() == data
    assert len(packet.payload) <= len(data)


def rtp_events(data: bytes) -> None:
    """A stream of reports: no key press out of nothing, and none that ends before it starts."""
    tracker = EventTracker(8000)
    n_reports, n_events, now = 0, 0, 0
    for at in range(0, len(data) - 7, 8):
        (timestamp,) = struct.unpack_from("!I", data, at)
        start = unwrap(timestamp, now)
        try:
            reports = parse_event(data[at + 4 : at + 8])
        except PacketError:
            continue
        assert serialize_event(reports) == data[at + 4 : at + 8]
        now = max(now, start)
        events = [event for report in reports for event in tracker.push(start, report)]
        events += tracker.advance(now)
        assert all(event.end > event.start for event in events)
        n_reports, n_events = n_reports + len(reports), n_events + len(events)
    assert n_events + len(tracker.flush()) <= n_reports


def reorder(data: bytes) -> None:
    """Whatever comes in: nothing is invented, nothing twice, and order within a run."""
    buffer: ReorderBuffer[int] = ReorderBuffer(8)
    out, others = [], []
    for tag, at in enumerate(range(0, len(data) - 2, 3)):
        sequence, ssrc = struct.unpack_from("!HB", data, at)
        result = buffer.push(RtpPacket(0, sequence, 0, ssrc & 1, b""), tag)
        out += result.packets
        others += [*result.duplicates, *result.late]
    last = buffer.flush()
    out += last.packets
    others += [*last.duplicates, *last.late]
    tags = [item.tag for item in out] + others
    assert sorted(tags) == list(range(len(data) // 3))
    places = [(item.run, item.sequence) for item in out]
    assert places == sorted(set(places))


def sdp(data: bytes) -> None:
    """A body gives audio sections with numbers in range."""
    for media in parse_sdp(data):
        assert 0 <= media.port <= 0xFFFF
        assert 1 <= media.ptime_ms <= 200
        assert all(0 <= entry.number <= 127 for entry in media.payload_types)


_REQUESTS = requests("call")


def _key(suite: str) -> CryptoKey:
    return CryptoKey(1, suite, hashlib.shake_128(suite.encode()).digest(key_length(suite)))


def _genuine(suite: str) -> bytes:
    packet = RtpPacket(0, 1, 160, 7, bytes(range(160))).serialize()
    return SrtpContext(_key(suite)).protect(packet)


_GENUINE = {suite: _genuine(suite) for suite in SUITES}
_CONTEXTS = [SrtpContext(_key(suite)) for suite in SUITES]


def srtp(data: bytes) -> None:
    """Only what was protected with the key opens; each of the four calls errs as it says."""
    if not data:
        return
    context, packet = _CONTEXTS[data[0] % len(SUITES)], data[1:]
    for call in (context.unprotect, context.unprotect_rtcp):
        try:
            call(packet)
        except SrtpError:
            continue
        assert packet in _GENUINE.values()
    fresh = SrtpContext(_key(SUITES[data[0] % len(SUITES)]))
    for call in (fresh.protect, fresh.protect_rtcp):
        try:
            protected = call(packet)
        except SrtpError:
            continue
        assert len(protected) > len(packet)


def bencode_value(data: bytes) -> None:
    """What decodes is written and read back to the same."""
    try:
        value = bencode.decode(data)
    except NgError:
        return
    assert bencode.decode(bencode.encode(value)) == value


def ng_message(data: bytes) -> None:
    """A datagram is no message, or refused with a reason, or read; the reply goes to its cookie."""
    envelope = open_envelope(data)
    if envelope is None:
        return
    try:
        request = read_request(envelope)
        reply = {"result": "ok", "command": request.text("command"), "sdp": request.body()}
        request.texts("replace"), request.integer("limit")
    except NgError as error:
        reply = error_reply(error)
    written = write_reply(envelope, reply)
    assert written.startswith(envelope.cookie + b" ")
    assert read_request(Envelope(b"c", written.partition(b" ")[2]))


class _Media(FakeMedia):
    """Closes a call's subscriptions with it, as the node does."""

    def end(self, call_id: str) -> CallState:
        for key in [key for key in self.forks if key[0] == call_id]:
            self.end_fork(*key)
        return super().end(call_id)


def ng_session(data: bytes) -> None:
    """A call's life as far as the first byte says, then whatever comes: no port is lost.

    Every message is answered or has no cookie; ports that are open belong to a call or to a
    subscription; nothing is left when every call is deleted.
    """
    if not data:
        return
    media = _Media()
    server = NgServer(media, Terms(bytes))
    for message in [*_REQUESTS[: data[0] % len(_REQUESTS)], data[1:]]:
        reply = server.handle(message, "127.0.0.1:2", 0.0)
        assert (reply is None) == (open_envelope(message) is None)
        planned = {m.port for plan in media.plans.values() for p in plan.parties for m in p.media}
        forked = {medium.port for fork in media.forks.values() for medium in fork.media}
        assert media.open == planned | forked
    for number, call_id in enumerate(media.call_ids()):
        end = (("call-id", call_id), ("from-tag", ""), ("delete-delay", 0), ("command", "delete"))
        server.handle(datagram(f"end{number}", *end), "127.0.0.1:2", 0.0)
    assert not media.open and not media.plans


_TYPES = {number: STATIC_TYPES[number] for number in (0, 8, 9, 13)} | {
    101: PayloadType(101, "telephone-event", 8000)
}
_MEANS = (
    LiveMeans(Method.SUPPRESS, Fill.NOISE),
    LiveMeans(Method.FILL, Fill.TONE),
    LiveMeans(None, Fill.SILENCE),
)
_MARK = b"\x5a\xa5"
"""What all of the party's audio is made of; nothing of a muted party's may come out."""


def live_stream(data: bytes) -> None:
    """Packets, pauses, keys and re-INVITEs in any order: what leaves is a packet we made.

    No error but the documented ones; no event and no payload type nobody agreed on; of a muted
    party not one octet.
    """
    if not data:
        return
    ready: list[Any] = []
    means = _MEANS[data[0] % len(_MEANS)]
    stream = LiveStream(_TYPES, 20, means, ready, [])
    now_s, sequence, timestamp, out = 0.0, 0, 0, []
    for at in range(1, len(data) - 5, 6):
        kind, number, skip, size, flags, lie = data[at : at + 6]
        now_s += (skip & 7) / 200
        sequence += (skip >> 3) - 2 if flags & 8 else 1
        timestamp += 160 if flags & 1 else 3 * number * (lie - 100)
        if kind % 8 == 6:
            stream.advance(now_s)
        elif kind % 8 == 7:
            stream.info(Digit.of("5"), number)
        elif kind % 8 == 5:
            stream.set_payload_types(_TYPES if flags & 2 else dict(list(_TYPES.items())[:2]))
        else:
            fixed = (0x80 | lie & 0x3F if flags & 4 else 0x80, (0, 8, 9, 101, 13, 3)[number % 6])
            head = struct.pack("!BBHII", *fixed, sequence % 65536, timestamp % 2**32, flags >> 6)
            stream.push(head + _MARK * (size if flags & 16 else 80), now_s)
        if flags & 32:
            out += make_payloads(ready)
            ready.clear()
    stream.flush()
    for packet in [*out, *make_payloads(ready)]:
        if packet is not None:
            read = RtpPacket.parse(packet)
            assert read.payload_type in (0, 8, 9, 13)
            assert means.method is not None or _MARK not in read.payload or read.payload_type == 13


def _seed_sdp() -> bytes:
    return (
        b"v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=audio 6000 RTP/SAVP 0 8 101 96\r\na=rtpmap:101 telephone-event/8000\r\n"
        b"a=fmtp:101 0-16\r\na=rtpmap:96 opus/48000/2\r\na=ptime:20\r\na=sendonly\r\n"
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 40 + b"\r\n"
        b"m=video 0 RTP/AVP 31\r\n"
    )


_PACKET = RtpPacket(101, 65535, 2**32 - 160, 7, b"\x05\x8a\x03\x20", csrcs=(1, 2)).serialize()
TARGETS = {
    "rtp_packet": Target(rtp_packet, [_PACKET, b"\xb1" + _PACKET[1:] + b"\0\0\0\4"]),
    "rtp_events": Target(
        rtp_events,
        [struct.pack("!IBBHIBBHIBBH", 160, 5, 10, 160, 160, 5, 138, 320, 160, 5, 138, 320)],
    ),
    "reorder": Target(reorder, [struct.pack("!HBHBHB", 65534, 0, 0, 0, 65535, 0)]),
    "sdp": Target(sdp, [_seed_sdp(), b"m=audio " + b"1" * 5000 + b" RTP/AVP 0"], 8192),
    "bencode": Target(bencode_value, [data.partition(b" ")[2] for data in _REQUESTS]),
    "ng_message": Target(ng_message, _REQUESTS, 4096),
    "live_stream": Target(
        live_stream,
        [
            bytes([n]) + bytes([0, m, 0x10, 80, f, 0]) * 12
            for n in range(3)
            for m in range(6)
            for f in (1, 33, 49)
        ],
        1200,
        400,
    ),
    "ng_session": Target(
        ng_session, [bytes([n]) + data for n in (0, 1, 2, 5, 17) for data in _REQUESTS], 4096, 400
    ),
    "srtp": Target(srtp, [bytes([n]) + packet for n, packet in enumerate(_GENUINE.values())]),
}
