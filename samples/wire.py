"""A scene as packets: SIP, G.711 both ways, RFC 4733 events or SIP INFO, written as pcap.

Written against the RFCs and not with voicemask's own packet code, which these files test.
"""

from __future__ import annotations

import io
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import dpkt
import soundfile as sf
from numpy.typing import NDArray
from scene import RATE_HZ, Float32, Press

START_S = 1_700_000_000.0
PACKET = 160  # samples: 20 ms
PCMU, EVENT = 0, 101
EVENT_CODES = "0123456789*#ABCD"  # RFC 4733 section 3.2
VOLUME_DBM0 = 10

Timed = tuple[float, bytes]


@dataclass(frozen=True, slots=True)
class Party:
    """One end of the call: addresses from RFC 5737, its RTP port, SSRC and first numbers."""

    ip: str
    rtp_port: int
    ssrc: int
    sequence: int
    timestamp: int


CALLER = Party("192.0.2.10", 40000, 0x1A2B3C4D, 4711, 160_000)
AGENT = Party("192.0.2.20", 50000, 0x5E6F7A8B, 65_500, 4_294_900_000)
"""The agent's numbers roll over during a call, as every third call's do."""


def write_call(path: Path, audio: Float32, presses: list[Press], call_id: str) -> None:
    """Write a call: channel 0 is the agent, channel 1 the caller, who calls and keys."""
    packets = _signalling(audio.shape[1] / RATE_HZ, call_id)
    packets += _rtp(AGENT, CALLER, audio[0], [])
    packets += _rtp(CALLER, AGENT, audio[1], [item for item in presses if item.how == "event"])
    infos = [item for item in presses if item.how == "info"]
    for number, press in enumerate(infos):
        packets += _info(press, 3 + number, call_id)
    packets.sort(key=lambda packet: packet[0])
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file)
        for at_s, frame in packets:
            writer.writepkt(frame, ts=START_S + at_s)


def mu_law(audio: NDArray) -> bytes:
    """G.711 mu-law octets of samples at full scale +-1.0."""
    buffer = io.BytesIO()
    sf.write(buffer, audio, RATE_HZ, format="RAW", subtype="ULAW")
    return buffer.getvalue()


def _rtp(source: Party, target: Party, audio: Float32, events: list[Press]) -> list[Timed]:
    octets = mu_law(audio)
    packets: list[Timed] = []
    sequence = source.sequence

    def send(at_s: float, kind: int, marker: bool, timestamp: int, payload: bytes) -> None:
        nonlocal sequence
        head = struct.pack(
            "!BBHII",
            0x80,
            kind | marker << 7,
            sequence & 0xFFFF,
            (source.timestamp + timestamp) & 0xFFFFFFFF,
            source.ssrc,
        )
        sequence += 1
        packets.append(
            (at_s, _udp(source, target, source.rtp_port, target.rtp_port, head + payload))
        )

    for place in range(0, len(octets), PACKET):
        at_s = 1.0 + (place + PACKET) / RATE_HZ
        press = next((item for item in events if item.start < place < item.end), None)
        if press is None:
            send(at_s, PCMU, place == 0, place, octets[place : place + PACKET])
            continue
        # A gateway sends events instead of audio, from the packet after the one the tone began in.
        is_first = place - press.start <= PACKET
        is_last = place + PACKET >= press.end
        lasted = (press.end if is_last else place + PACKET) - press.start
        for copy in range(3 if is_last else 1):
            payload = struct.pack(
                "!BBH", EVENT_CODES.index(press.key), is_last << 7 | VOLUME_DBM0, lasted
            )
            send(at_s + copy * 1e-4, EVENT, is_first and copy == 0, press.start, payload)
    return packets


def _signalling(seconds: float, call_id: str) -> list[Timed]:
    invite = _request("INVITE", 1, call_id, "application/sdp", _sdp(CALLER), to_tag="")
    ringing = _reply("180 Ringing", "INVITE", 1, call_id)
    accepted = _reply("200 OK", "INVITE", 1, call_id, _sdp(AGENT))
    bye = _request("BYE", 2000, call_id)
    return [
        (0.0, _sip(CALLER, AGENT, invite)),
        (0.2, _sip(AGENT, CALLER, ringing)),
        (0.9, _sip(AGENT, CALLER, accepted)),
        (0.95, _sip(CALLER, AGENT, _request("ACK", 1, call_id))),
        (1.2 + seconds, _sip(CALLER, AGENT, bye)),
        (1.25 + seconds, _sip(AGENT, CALLER, _reply("200 OK", "BYE", 2000, call_id))),
    ]


def _info(press: Press, number: int, call_id: str) -> list[Timed]:
    duration_ms = round(1000 * (press.end - press.start) / RATE_HZ)
    body = f"Signal={press.key}\r\nDuration={duration_ms}\r\n"
    request = _request("INFO", number, call_id, "application/dtmf-relay", body)
    at_s = 1.0 + press.end / RATE_HZ
    return [
        (at_s, _sip(CALLER, AGENT, request)),
        (at_s + 0.02, _sip(AGENT, CALLER, _reply("200 OK", "INFO", number, call_id))),
    ]


def _request(
    method: str,
    number: int,
    call_id: str,
    content_type: str = "",
    body: str = "",
    *,
    to_tag: str = ";tag=agent",
) -> bytes:
    lines = [
        f"{method} sip:agent@{AGENT.ip} SIP/2.0",
        f"Via: SIP/2.0/UDP {CALLER.ip}:5060;branch=z9hG4bK{method.lower()}{number}",
        "Max-Forwards: 70",
        f"To: <sip:agent@{AGENT.ip}>{to_tag}",
        *_shared_headers(method, number, call_id),
        f"Contact: <sip:caller@{CALLER.ip}>",
    ]
    return _message(lines, content_type, body)


def _reply(status: str, method: str, number: int, call_id: str, body: str = "") -> bytes:
    lines = [
        f"SIP/2.0 {status}",
        f"Via: SIP/2.0/UDP {CALLER.ip}:5060;branch=z9hG4bK{method.lower()}{number}",
        f"To: <sip:agent@{AGENT.ip}>;tag=agent",
        *_shared_headers(method, number, call_id),
        f"Contact: <sip:agent@{AGENT.ip}>",
    ]
    return _message(lines, "application/sdp" if body else "", body)


def _shared_headers(method: str, number: int, call_id: str) -> list[str]:
    return [
        f"From: <sip:caller@{CALLER.ip}>;tag=caller",
        f"Call-ID: {call_id}",
        f"CSeq: {number} {method}",
    ]


def _message(lines: list[str], content_type: str, body: str) -> bytes:
    if body:
        lines = [*lines, f"Content-Type: {content_type}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()


def _sdp(party: Party) -> str:
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {party.ip}",
        "s=-",
        f"c=IN IP4 {party.ip}",
        "t=0 0",
        f"m=audio {party.rtp_port} RTP/AVP {PCMU} {EVENT}",
        f"a=rtpmap:{PCMU} PCMU/8000",
        f"a=rtpmap:{EVENT} telephone-event/8000",
        f"a=fmtp:{EVENT} 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]
    return "\r\n".join(lines) + "\r\n"


def _sip(source: Party, target: Party, message: bytes) -> bytes:
    return _udp(source, target, 5060, 5060, message)


def _udp(source: Party, target: Party, sport: int, dport: int, payload: bytes) -> bytes:
    datagram = dpkt.udp.UDP(sport=sport, dport=dport, ulen=8 + len(payload), data=payload)
    packet = dpkt.ip.IP(
        src=socket.inet_aton(source.ip), dst=socket.inet_aton(target.ip), p=17, data=datagram
    )
    packet.len = len(packet)
    frame = dpkt.ethernet.Ethernet(
        src=b"\x02\0\0\0\0" + bytes([int(source.ip.rsplit(".", 1)[1])]),
        dst=b"\x02\0\0\0\0" + bytes([int(target.ip.rsplit(".", 1)[1])]),
        data=packet,
    )
    return bytes(frame)
