"""RTP packets as values: bytes in, bytes out, nothing lost between.

`RtpPacket.parse(data).serialize() == data` holds for every datagram that parses: contributing
sources, the header extension and the padding octets are kept as they came, so that a packet whose
payload is not touched leaves with the bytes it arrived with.

References
----------
RFC 3550 section 5.1 (fixed header), 5.3.1 (extension); RFC 5761 section 4 (telling RTCP apart).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

from voicemask.errors import PacketError

HEADER_BYTES: Final = 12
VERSION: Final = 2
SEQUENCE_MODULO: Final = 1 << 16
TIMESTAMP_MODULO: Final = 1 << 32

_FIXED: Final = struct.Struct("!BBHII")
_EXTENSION: Final = struct.Struct("!HH")
_CURE: Final = "check the port and payload types of the stream"


@dataclass(frozen=True, slots=True)
class Extension:
    """Header extension: the 16 bits of its profile, and its data (a multiple of 4 bytes)."""

    profile: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet.

    Parameters
    ----------
    payload_type : 0..127.
    sequence : 0..65535.
    timestamp : 0..2**32-1, in ticks of the payload's clock.
    ssrc : synchronization source.
    payload : without padding.
    marker : the M bit.
    csrcs : contributing sources, at most 15.
    extension : header extension, or None.
    padding : padding octets as they came, the count octet included; empty without padding.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: Extension | None = None
    padding: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Read a datagram.

        Raises
        ------
        PacketError
            The datagram is shorter than it says, or not version 2.
        """
        if len(data) < HEADER_BYTES:
            raise PacketError("RTP packet", "shorter than its fixed header", _CURE)
        first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
        if first >> 6 != VERSION:
            raise PacketError("RTP packet", "not version 2", _CURE)
        if first == VERSION << 6:
            # nothing optional: nearly every packet
            payload = bytes(data[HEADER_BYTES:])
            kind, marker = second & 0x7F, second > 0x7F
            return cls(kind, sequence, timestamp, ssrc, payload, marker)
        csrcs, at = _parse_csrcs(data, first & 0x0F)
        extension = None
        if first & 0x10:
            extension, at = _parse_extension(data, at)
        end = len(data) - _padding_bytes(data, at) if first & 0x20 else len(data)
        return cls(
            payload_type=second & 0x7F,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
            payload=bytes(data[at:end]),
            marker=bool(second & 0x80),
            csrcs=csrcs,
            extension=extension,
            padding=bytes(data[end:]),
        )

    def serialize(self) -> bytes:
        """Write the datagram."""
        first = VERSION << 6 | len(self.csrcs)
        first |= 0x20 if self.padding else 0
        first |= 0x10 if self.extension is not None else 0
        second = self.payload_type | (0x80 if self.marker else 0)
        parts = [_FIXED.pack(first, second, self.sequence, self.timestamp, self.ssrc)]
        parts.extend(csrc.to_bytes(4, "big") for csrc in self.csrcs)
        if self.extension is not None:
            words = len(self.extension.data) // 4
            parts += [_EXTENSION.pack(self.extension.profile, words), self.extension.data]
        parts += [self.payload, self.padding]
        return b"".join(parts)

    def with_payload(
        self, payload: bytes, payload_type: int | None = None, marker: bool | None = None
    ) -> RtpPacket:
        """Give the same packet with another payload; sequence, timestamp and SSRC stay."""
        return replace(
            self,
            payload=payload,
            payload_type=self.payload_type if payload_type is None else payload_type,
            marker=self.marker if marker is None else marker,
        )


def looks_like_rtp(data: bytes) -> bool:
    """Tell whether a datagram may be RTP: version 2, long enough, not RTCP's packet types."""
    return len(data) >= HEADER_BYTES and data[0] >> 6 == VERSION and not looks_like_rtcp(data)


def looks_like_rtcp(data: bytes) -> bool:
    """Tell whether a datagram may be RTCP: version 2 and a packet type of 192..223 (RFC 5761)."""
    return len(data) >= 8 and data[0] >> 6 == VERSION and 192 <= data[1] <= 223


def _parse_csrcs(data: bytes, n_csrcs: int) -> tuple[tuple[int, ...], int]:
    end = HEADER_BYTES + 4 * n_csrcs
    if len(data) < end:
        raise PacketError("RTP packet", "shorter than its contributing sources", _CURE)
    return struct.unpack_from(f"!{n_csrcs}I", data, HEADER_BYTES), end


def _parse_extension(data: bytes, at: int) -> tuple[Extension, int]:
    if len(data) < at + 4:
        raise PacketError("RTP packet", "shorter than its header extension", _CURE)
    profile, words = _EXTENSION.unpack_from(data, at)
    end = at + 4 + 4 * words
    if len(data) < end:
        raise PacketError("RTP packet", "shorter than its header extension", _CURE)
    return Extension(profile, bytes(data[at + 4 : end])), end


def _padding_bytes(data: bytes, at: int) -> int:
    n_bytes = data[-1]
    if n_bytes == 0 or at + n_bytes > len(data):
        raise PacketError("RTP packet", "its padding is longer than its payload", _CURE)
    return n_bytes
