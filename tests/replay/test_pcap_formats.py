"""Container formats, link layers and fragments: one call gives one result whatever carries it."""

from __future__ import annotations

import io
import ipaddress
import struct
from pathlib import Path

import dpkt
import pytest

from voicemask.errors import CaptureFileError
from voicemask.replay.capture_file import Record, read_capture, write_pcap
from voicemask.replay.frames import Counts, Frame, read_frames, to_raw

BEGIN_NS = 1_700_000_000_123_456_789
PAYLOAD = bytes(range(200)) * 10
SOURCE, DESTINATION = ("10.0.0.1", 4000), ("10.0.0.2", 5000)
SOURCE_6, DESTINATION_6 = ("fd00::1", 4000), ("fd00::2", 5000)
ETHER_4, ETHER_6 = b"\x08\x00", b"\x86\xdd"
MACS = bytes(12)


def udp(payload: bytes, with_checksum: bool = True) -> bytes:
    head = struct.pack("!HHHH", 4000, 5000, 8 + len(payload), 1 if with_checksum else 0)
    return head + payload


def ipv4(body: bytes, flags: int = 0, number: int = 7) -> bytes:
    head = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, flags, 64, 17, 0))
    head += ipaddress.ip_address(SOURCE[0]).packed + ipaddress.ip_address(DESTINATION[0]).packed
    struct.pack_into("!H", head, 10, dpkt.in_cksum(bytes(head)))
    return bytes(head) + body


def ipv6(body: bytes, following: int = 17) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(body), following, 64)
    addresses = (ipaddress.ip_address(e[0]).packed for e in (SOURCE_6, DESTINATION_6))
    return head + b"".join(addresses) + body


def frames_of(*frames: bytes, link_type: int = 1) -> tuple[list[Frame], Counts]:
    counts = Counts()
    records = [Record(BEGIN_NS + n, link_type, data, len(data)) for n, data in enumerate(frames)]
    return list(read_frames(records, counts)), counts


LINKS = {
    "ethernet": (1, MACS + ETHER_4 + ipv4(udp(PAYLOAD))),
    "ethernet with trailer": (1, MACS + ETHER_4 + ipv4(udp(PAYLOAD)) + b"trailer"),
    "vlan": (1, MACS + b"\x81\x00\x00\x05" + ETHER_4 + ipv4(udp(PAYLOAD))),
    "two vlans": (1, MACS + b"\x88\xa8\x00\x05\x81\x00\x00\x06" + ETHER_4 + ipv4(udp(PAYLOAD))),
    "cooked": (113, bytes(14) + ETHER_4 + ipv4(udp(PAYLOAD))),
    "cooked 2": (276, ETHER_4 + bytes(18) + ipv4(udp(PAYLOAD))),
    "raw": (101, ipv4(udp(PAYLOAD))),
    "raw as written by BSD": (12, ipv4(udp(PAYLOAD))),
    "loopback": (0, b"\x02\x00\x00\x00" + ipv4(udp(PAYLOAD))),
    "ethernet, IPv6": (1, MACS + ETHER_6 + ipv6(udp(PAYLOAD))),
    "raw, IPv6 with options": (101, ipv6(b"\x11\x00" + bytes(6) + udp(PAYLOAD), 60)),
}


@pytest.mark.parametrize("name", LINKS)
def test_the_payload_is_found_below_any_link(name: str) -> None:
    link_type, data = LINKS[name]
    (frame,), _ = frames_of(data, link_type=link_type)
    assert frame.payload == PAYLOAD
    assert frame.source[1:] == (4000,)
    assert frame.destination in (DESTINATION, DESTINATION_6)


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("payload", [PAYLOAD, b"odd", b""])
def test_a_new_payload_leaves_lengths_and_checksums_right(name: str, payload: bytes) -> None:
    link_type, data = LINKS[name]
    (frame,), _ = frames_of(data, link_type=link_type)
    record = to_raw(frame.with_payload(payload))
    ip = dpkt.ip.IP(record.data) if record.data[0] >> 4 == 4 else dpkt.ip6.IP6(record.data)
    datagram = ip.data
    assert datagram.data == payload
    assert datagram.ulen == 8 + len(payload)
    pseudo = ip.src + ip.dst + struct.pack("!II", datagram.ulen, 17)
    assert dpkt.in_cksum(pseudo + bytes(datagram)) == 0
    if record.data[0] >> 4 == 4:
        assert dpkt.in_cksum(record.data[:20]) == 0
        assert ip.len == len(record.data)


def test_a_datagram_without_checksum_stays_without() -> None:
    (frame,), _ = frames_of(ipv4(udp(PAYLOAD, with_checksum=False)), link_type=101)
    assert frame.with_payload(b"x").data[26:28] == b"\0\0"


def fragments_4(body: bytes, size: int = 800) -> list[bytes]:
    starts = range(0, len(body), size)
    return [
        ipv4(body[at : at + size], at // 8 | (0x2000 if at + size < len(body) else 0))
        for at in starts
    ]


def fragments_6(body: bytes, size: int = 800) -> list[bytes]:
    parts = []
    for at in range(0, len(body), size):
        more = int(at + size < len(body))
        parts.append(ipv6(struct.pack("!BBHI", 17, 0, at | more, 9) + body[at : at + size], 44))
    return parts


@pytest.mark.parametrize("cut", [fragments_4, fragments_6])
@pytest.mark.parametrize("order", [1, -1])
def test_fragments_are_put_together_in_any_order(cut: object, order: int) -> None:
    parts = cut(udp(PAYLOAD))[::order]  # type: ignore[operator]
    (frame,), counts = frames_of(*parts, link_type=101)
    assert frame.payload == PAYLOAD
    assert frame.at_ns == BEGIN_NS + len(parts) - 1
    assert counts.fragments == 0


def test_a_datagram_with_a_hole_is_left_out_and_counted() -> None:
    parts = fragments_4(udp(PAYLOAD))
    frames, counts = frames_of(parts[0], parts[2], link_type=101)
    assert (frames, counts.fragments) == ([], 2)


def test_frames_the_capture_cut_are_left_out_and_counted() -> None:
    data = ipv4(udp(PAYLOAD))
    counts = Counts()
    assert list(read_frames([Record(0, 101, data[:100], len(data))], counts)) == []
    assert counts.cut == 1


@pytest.mark.parametrize("n_bytes", range(0, 60, 3))
def test_short_frames_are_passed_over(n_bytes: int) -> None:
    data = (MACS + ETHER_4 + ipv4(udp(PAYLOAD)))[:n_bytes]
    assert frames_of(data)[0] == []


def test_frames_without_ip_are_counted() -> None:
    frames, counts = frames_of(MACS + b"\x08\x06" + bytes(28))
    assert (frames, counts.not_ip) == ([], 1)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "tick_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_pcap_of_either_byte_order_and_resolution(
    tmp_path: Path, order: str, magic: int, tick_ns: int
) -> None:
    head = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, 101)
    packet = struct.pack(f"{order}IIII", 1_700_000_000, 123_456_789 // tick_ns, 4, 9) + b"data"
    path = tmp_path / "call.pcap"
    path.write_bytes(head + packet)
    (record,) = read_capture(path)
    assert record == Record(
        1_700_000_000_000_000_000 + 123_456_789 // tick_ns * tick_ns, 101, b"data", 9
    )


@pytest.mark.parametrize("at_ns", [BEGIN_NS, BEGIN_NS // 1000 * 1000])
def test_pcap_written_keeps_times_to_the_nanosecond(at_ns: int) -> None:
    file = io.BytesIO()
    write_pcap(file, [Record(at_ns, 1, b"data", 4)], 1)
    file.seek(0)
    ((time, data),) = dpkt.pcap.Reader(file)
    assert (round(time * 10**9), data) == (pytest.approx(at_ns, abs=500), b"data")


def test_pcap_survives_reading_and_writing(tmp_path: Path) -> None:
    records = [Record(BEGIN_NS + n, 1, bytes(n), n) for n in range(5)]
    path = tmp_path / "call.pcap"
    with path.open("wb") as file:
        write_pcap(file, records, 1)
    assert read_capture(path) == records


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def pcapng(*blocks: bytes, order: str = "<") -> bytes:
    section = struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1)
    return block(0x0A0D0D0A, section, order) + b"".join(blocks)


def interface(link_type: int, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, 0) + options, order)


def enhanced(number: int, ticks: int, data: bytes, order: str = "<") -> bytes:
    head = struct.pack(
        f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data)
    )
    return block(6, head + data, order)


@pytest.mark.parametrize("order", "<>")
def test_pcapng_of_either_byte_order(tmp_path: Path, order: str) -> None:
    path = tmp_path / "call.pcapng"
    path.write_bytes(
        pcapng(interface(1, order=order), enhanced(0, 5_000_001, b"data!", order), order=order)
    )
    assert read_capture(path) == [Record(5_000_001_000, 1, b"data!", 5)]


def test_pcapng_interfaces_have_their_own_link_and_clock(tmp_path: Path) -> None:
    nanoseconds = struct.pack("<HHB3x", 9, 1, 9)
    halves = struct.pack("<HHB3x", 9, 1, 0x81) + struct.pack("<HHq", 14, 8, 100)
    path = tmp_path / "call.pcapng"
    path.write_bytes(
        pcapng(
            interface(1, nanoseconds),
            interface(101, halves),
            enhanced(0, 7, b"a"),
            block(0x0BAD, b"unknown"),
            enhanced(1, 3, b"b"),
        )
    )
    assert read_capture(path) == [
        Record(7, 1, b"a", 1),
        Record(101_500_000_000, 101, b"b", 1),
    ]


def test_pcapng_of_dpkt_reads(tmp_path: Path) -> None:
    path = tmp_path / "call.pcapng"
    with path.open("wb") as file:
        writer = dpkt.pcapng.Writer(file)
        writer.writepkt(b"data", ts=1.5)
    assert read_capture(path) == [Record(1_500_000_000, 1, b"data", 4)]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty"),
        (b"RIFF1234WAVEfmt ", "not a pcap"),
        (b"\xd4\xc3\xb2\xa1", "truncated"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 1), "holds no packet"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 1) + bytes(7), "truncated"),
        (
            struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 1)
            + struct.pack("<IIII", 0, 0, 2**31, 0),
            "corrupt",
        ),
        (pcapng(interface(1), enhanced(0, 0, b"data"))[:-5], "truncated"),
        (pcapng(interface(1), enhanced(3, 0, b"data")), "corrupt"),
        (pcapng(interface(1), block(3, b"\x04\0\0\0data")), "no times"),
        (pcapng(struct.pack("<II", 6, 8) + bytes(8)), "corrupt"),
        (pcapng(block(1, b"\x01\x00")), "corrupt"),
    ],
)
def test_files_that_are_no_whole_capture_are_refused(
    tmp_path: Path, content: bytes, rule: str
) -> None:
    path = tmp_path / "call.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureFileError, match=rule) as caught:
        read_capture(path)
    assert caught.value.cure


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureFileError, match="is a directory"):
        read_capture(tmp_path)
