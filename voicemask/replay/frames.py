"""Captured frames down to their UDP or TCP payload, and back up with another one.

A frame is read by offsets, so that a new payload is put into the very bytes that were captured:
only lengths and checksums change. IP fragments are put together first; the whole datagram then
stands as one frame at the time of its last fragment.

References
----------
RFC 791, RFC 8200 (section 4.5: fragments), RFC 768, RFC 1071 (checksum); LINKTYPE_ registry of
tcpdump.org; IEEE 802.1Q, 802.1ad.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from voicemask.replay.capture_file import Record

LINK_NULL: Final = 0
LINK_ETHERNET: Final = 1
LINK_RAW: Final = 101
LINK_LOOP: Final = 108
LINK_COOKED: Final = 113
LINK_IPV4: Final = 228
LINK_IPV6: Final = 229
LINK_COOKED_2: Final = 276
_RAW_LINKS: Final = frozenset({12, 14, LINK_RAW, LINK_IPV4, LINK_IPV6})
_ETHER_IP: Final = frozenset({0x0800, 0x86DD})
_ETHER_VLAN: Final = frozenset({0x8100, 0x88A8, 0x9100})
UDP: Final = 17
TCP: Final = 6
_FRAGMENT_HEADER: Final = 44
_SKIPPED_HEADERS: Final = frozenset({0, 43, 60})
_N_PENDING: Final = 256
"""Datagrams being put together at one time."""

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that carries UDP or TCP.

    Parameters
    ----------
    record : as captured, or put together of fragments.
    ip_at, transport_at, payload_at, end : offsets into its data; `end` leaves out link padding.
    protocol : `UDP` or `TCP`.
    source, destination : address as text, and port.
    """

    record: Record
    ip_at: int
    transport_at: int
    payload_at: int
    end: int
    protocol: int
    source: Endpoint
    destination: Endpoint

    @property
    def at_ns(self) -> int:
        """Capture time."""
        return self.record.at_ns

    @property
    def payload(self) -> bytes:
        """The transport's payload."""
        return self.record.data[self.payload_at : self.end]

    def with_payload(self, payload: bytes) -> Record:
        """Give the frame with another payload, lengths and checksums set right."""
        data = bytearray(self.record.data[: self.payload_at]) + payload
        ip_at, at = self.ip_at, self.transport_at
        is_v4 = data[ip_at] >> 4 == 4
        if is_v4:
            struct.pack_into("!H", data, ip_at + 2, len(data) - ip_at)
            _set_ipv4_checksum(data, ip_at)
        else:
            struct.pack_into("!H", data, ip_at + 4, len(data) - ip_at - 40)
        if self.protocol == UDP:
            had_checksum = any(data[at + 6 : at + 8]) or not is_v4
            struct.pack_into("!HH", data, at + 4, len(data) - at, 0)
            if had_checksum:
                checksum = _transport_checksum(data, ip_at, at, UDP) or 0xFFFF
                struct.pack_into("!H", data, at + 6, checksum)
        else:
            struct.pack_into("!H", data, at + 16, 0)
            struct.pack_into("!H", data, at + 16, _transport_checksum(data, ip_at, at, TCP))
        return replace(self.record, data=bytes(data), n_bytes=len(data))


@dataclass(slots=True)
class Counts:
    """Frames that were left out of all calls, by why."""

    not_ip: int = 0
    cut: int = 0
    fragments: int = 0


def read_frames(records: Iterable[Record], counts: Counts) -> Iterator[Frame]:
    """Give the UDP and TCP frames of a capture, fragments put together."""
    joiner = _Joiner()
    for record in records:
        if len(record.data) < record.n_bytes:
            counts.cut += 1
            continue
        ip_at = _find_ip(record)
        if ip_at is None:
            counts.not_ip += 1
            continue
        try:
            whole = joiner.push(record, ip_at)
            frame = None if whole is None else _read_transport(*whole)
        except (struct.error, IndexError):
            counts.cut += 1
            continue
        if frame is not None:
            yield frame
    counts.fragments += joiner.n_left


def to_raw(record: Record) -> Record:
    """Give a frame without its link header, as LINKTYPE_RAW."""
    ip_at = _find_ip(record)
    assert ip_at is not None
    data = record.data[ip_at:]
    return Record(record.at_ns, LINK_RAW, data, len(data))


def _find_ip(record: Record) -> int | None:
    """Give the offset of the IP header."""
    data, link = record.data, record.link_type
    if link in _RAW_LINKS:
        at: int | None = 0
    elif link in (LINK_NULL, LINK_LOOP):
        at = 4
    elif link == LINK_ETHERNET:
        at = _skip_vlans(data, 12)
    elif link == LINK_COOKED:
        at = _skip_vlans(data, 14)
    elif link == LINK_COOKED_2:
        at = 20 if _word(data, 0) in _ETHER_IP else None
    else:
        at = None
    if at is None or at >= len(data) or data[at] >> 4 not in (4, 6):
        return None
    return at


def _skip_vlans(data: bytes, at: int) -> int | None:
    while _word(data, at) in _ETHER_VLAN:
        at += 4
    return at + 2 if _word(data, at) in _ETHER_IP else None


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") if at + 2 <= len(data) else -1


def _read_transport(record: Record, ip_at: int) -> Frame | None:
    data = record.data
    if data[ip_at] >> 4 == 4:
        at, protocol = ip_at + 4 * (data[ip_at] & 0xF), data[ip_at + 9]
        end = ip_at + _word(data, ip_at + 2)
        source, destination = data[ip_at + 12 : ip_at + 16], data[ip_at + 16 : ip_at + 20]
    else:
        at, protocol = _skip_ipv6_headers(data, ip_at)
        end = ip_at + 40 + _word(data, ip_at + 4)
        source, destination = data[ip_at + 8 : ip_at + 24], data[ip_at + 24 : ip_at + 40]
    if protocol not in (UDP, TCP) or end > len(data):
        return None
    from_port, to_port = struct.unpack_from("!HH", data, at)
    payload_at = at + 8 if protocol == UDP else at + 4 * (data[at + 12] >> 4)
    if protocol == UDP:
        end = min(end, at + _word(data, at + 4))
    if payload_at > end:
        return None
    return Frame(
        record,
        ip_at,
        at,
        payload_at,
        end,
        protocol,
        _endpoint(source, from_port),
        _endpoint(destination, to_port),
    )


@lru_cache(maxsize=4096)
def _endpoint(address: bytes, port: int) -> Endpoint:
    """Give an endpoint, one object for all frames that name it."""
    return str(ipaddress.ip_address(address)), port


def _skip_ipv6_headers(data: bytes, ip_at: int) -> tuple[int, int]:
    at, protocol = ip_at + 40, data[ip_at + 6]
    while protocol in _SKIPPED_HEADERS:
        protocol, at = data[at], at + 8 * (data[at + 1] + 1)
    return at, protocol


@dataclass(slots=True)
class _Pending:
    head: bytes = b""
    total: int | None = None
    parts: dict[int, bytes] = field(default_factory=dict)

    def payload(self) -> bytes | None:
        """Give the datagram when it has no hole."""
        if self.total is None or not self.head:
            return None
        whole = b""
        for offset in sorted(self.parts):
            if offset > len(whole):
                return None
            whole = whole[:offset] + self.parts[offset]
        return whole if len(whole) == self.total else None


class _Joiner:
    """Puts IP fragments together; what never gets whole is counted and left out."""

    def __init__(self) -> None:
        self._pending: dict[tuple[bytes, int], _Pending] = {}
        self._n_dropped = 0

    def push(self, record: Record, ip_at: int) -> tuple[Record, int] | None:
        """Give the record itself, or the datagram its fragment made whole, or None."""
        is_v4 = record.data[ip_at] >> 4 == 4
        return self._push_v4(record, ip_at) if is_v4 else self._push_v6(record, ip_at)

    def _push_v4(self, record: Record, ip_at: int) -> tuple[Record, int] | None:
        data = record.data
        flags = _word(data, ip_at + 6)
        if not flags & 0x3FFF:
            return record, ip_at
        start = ip_at + 4 * (data[ip_at] & 0xF)
        part = data[start : ip_at + _word(data, ip_at + 2)]
        key = (data[ip_at + 9 : ip_at + 10] + data[ip_at + 12 : ip_at + 20], _word(data, ip_at + 4))
        whole = self._join(key, data[:start], (flags & 0x1FFF) * 8, part, bool(flags & 0x2000))
        if whole is None:
            return None
        head, payload = bytearray(whole[0]), whole[1]
        struct.pack_into("!HHH", head, ip_at + 2, len(head) - ip_at + len(payload), key[1], 0)
        _set_ipv4_checksum(head, ip_at)
        return _whole(record, bytes(head) + payload), ip_at

    def _push_v6(self, record: Record, ip_at: int) -> tuple[Record, int] | None:
        data = record.data
        at, protocol = _skip_ipv6_headers(data, ip_at)
        if protocol != _FRAGMENT_HEADER:
            return record, ip_at
        inner, _, flags, number = struct.unpack_from("!BBHI", data, at)
        part = data[at + 8 : ip_at + 40 + _word(data, ip_at + 4)]
        # Headers before the fragment header do not matter to UDP: the whole goes without them.
        head = data[: ip_at + 6] + bytes([inner]) + data[ip_at + 7 : ip_at + 40]
        key = (data[ip_at + 8 : ip_at + 40], number)
        whole = self._join(key, head, flags & 0xFFF8, part, bool(flags & 1))
        if whole is None:
            return None
        new_head = bytearray(whole[0])
        struct.pack_into("!H", new_head, ip_at + 4, len(whole[1]))
        return _whole(record, bytes(new_head) + whole[1]), ip_at

    def _join(
        self, key: tuple[bytes, int], head: bytes, offset: int, part: bytes, has_more: bool
    ) -> tuple[bytes, bytes] | None:
        pending = self._pending.setdefault(key, _Pending())
        pending.parts[offset] = part
        if offset == 0:
            pending.head = head
        if not has_more:
            pending.total = offset + len(part)
        payload = pending.payload()
        if payload is not None:
            del self._pending[key]
            return pending.head, payload
        if len(self._pending) > _N_PENDING:
            self._n_dropped += len(self._pending.pop(next(iter(self._pending))).parts)
        return None

    @property
    def n_left(self) -> int:
        """Fragments whose datagram never got whole."""
        return self._n_dropped + sum(len(p.parts) for p in self._pending.values())


def _whole(record: Record, data: bytes) -> Record:
    return replace(record, data=data, n_bytes=len(data))


def _checksum(data: bytes) -> int:
    """Give the internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def _set_ipv4_checksum(data: bytearray, ip_at: int) -> None:
    struct.pack_into("!H", data, ip_at + 10, 0)
    header = bytes(data[ip_at : ip_at + 4 * (data[ip_at] & 0xF)])
    struct.pack_into("!H", data, ip_at + 10, _checksum(header))


def _transport_checksum(data: bytearray, ip_at: int, at: int, protocol: int) -> int:
    is_v4 = data[ip_at] >> 4 == 4
    addresses = data[ip_at + 12 : ip_at + 20] if is_v4 else data[ip_at + 8 : ip_at + 40]
    pseudo = bytes(addresses) + struct.pack("!II", len(data) - at, protocol)
    return _checksum(pseudo + bytes(data[at:]))
