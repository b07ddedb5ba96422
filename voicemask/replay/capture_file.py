"""pcap and pcapng files: read whole into records, written as pcap.

Times are integers of nanoseconds, so that a packet is written with the time it was read with.
Both byte orders, both pcap resolutions, and every interface of a pcapng file with its own link
type and clock are read. A file that ends inside a record is refused: half a capture would be
taken for a whole one.

References
----------
draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng (block types 1, 2, 3, 6 and 0x0A0D0D0A).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from voicemask.errors import CaptureFileError

NS: Final = 1_000_000_000
_MAGIC_US: Final = 0xA1B2C3D4
_MAGIC_NS: Final = 0xA1B23C4D
_SECTION_BLOCK: Final = 0x0A0D0D0A
_BYTE_ORDER: Final = 0x1A2B3C4D
_INTERFACE_BLOCK: Final = 1
_OBSOLETE_BLOCK: Final = 2
_SIMPLE_BLOCK: Final = 3
_PACKET_BLOCK: Final = 6
_OPTION_RESOLUTION: Final = 9
_OPTION_OFFSET: Final = 14
_MAX_RECORD_BYTES: Final = 1 << 24
_CURE: Final = "capture the call again, or repair the file with pcapfix or editcap"


@dataclass(frozen=True, slots=True)
class Record:
    """One captured frame.

    Parameters
    ----------
    at_ns : nanoseconds since 1970.
    link_type : LINKTYPE_ number of its interface.
    data : the frame as captured.
    n_bytes : its length on the wire; above ``len(data)`` when the capture cut it.
    """

    at_ns: int
    link_type: int
    data: bytes
    n_bytes: int


def read_capture(path: Path) -> list[Record]:
    """Read all frames of a capture.

    Raises
    ------
    CaptureFileError
        The file is missing, empty, truncated, or not a capture.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CaptureFileError(str(path), "no such file", "check the path") from None
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise CaptureFileError(str(path), reason.lower(), "check the path and its rights") from None
    if not content:
        raise CaptureFileError(str(path), "the file is empty", "capture the call again")
    try:
        records = list(_read(content))
    except _FormatError as error:
        raise CaptureFileError(str(path), str(error), error.cure) from None
    if not records:
        raise CaptureFileError(
            str(path), "the capture holds no packet", "capture while a call is up"
        )
    return records


def write_pcap(file: BinaryIO, records: Iterable[Record], link_type: int) -> None:
    """Write frames as a little-endian pcap with nanosecond times where one needs them."""
    kept = list(records)
    is_fine = any(record.at_ns % 1000 for record in kept)
    tick_ns = 1 if is_fine else 1000
    magic = _MAGIC_NS if is_fine else _MAGIC_US
    file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 262144, link_type))
    for record in kept:
        seconds, rest = divmod(record.at_ns, NS)
        size = len(record.data)
        file.write(struct.pack("<IIII", seconds, rest // tick_ns, size, size))
        file.write(record.data)


class _FormatError(Exception):
    """The bytes are not the capture they claim to be."""

    def __init__(self, reason: str, cure: str = _CURE) -> None:
        super().__init__(reason)
        self.cure = cure


def _read(content: bytes) -> Iterator[Record]:
    if len(content) >= 4:
        for order in "<>":
            magic = struct.unpack_from(f"{order}I", content)[0]
            if magic == _SECTION_BLOCK:
                return _read_pcapng(content)
            if magic in (_MAGIC_US, _MAGIC_NS):
                return _read_pcap(content, order, 1 if magic == _MAGIC_NS else 1000)
    raise _FormatError("not a pcap or pcapng file", "give a capture of tcpdump or Wireshark")


def _read_pcap(content: bytes, order: str, tick_ns: int) -> Iterator[Record]:
    if len(content) < 24:
        raise _FormatError("truncated inside its header")
    # The upper bits of the last word tell of frame check sequences.
    link_type = struct.unpack_from(f"{order}I", content, 20)[0] & 0xFFFF
    header = struct.Struct(f"{order}IIII")
    at = 24
    while at < len(content):
        if at + 16 > len(content):
            raise _FormatError("truncated inside its last packet")
        seconds, ticks, size, n_bytes = header.unpack_from(content, at)
        if size > _MAX_RECORD_BYTES:
            raise _FormatError("corrupt: a packet longer than any network carries")
        at += 16
        if at + size > len(content):
            raise _FormatError("truncated inside its last packet")
        yield Record(seconds * NS + ticks * tick_ns, link_type, content[at : at + size], n_bytes)
        at += size


@dataclass(slots=True)
class _Interface:
    link_type: int
    snap: int
    ticks_per_s: int = 1_000_000
    offset_s: int = 0


@dataclass(slots=True)
class _Section:
    order: str = "<"
    interfaces: list[_Interface] = field(default_factory=list)


def _read_pcapng(content: bytes) -> Iterator[Record]:
    section = _Section()
    at = 0
    while at < len(content):
        if at + 12 > len(content):
            raise _FormatError("truncated inside its last block")
        if struct.unpack_from("<I", content, at)[0] == _SECTION_BLOCK:
            section = _start_section(content, at)
        kind, size = struct.unpack_from(f"{section.order}II", content, at)
        if size < 12 or size % 4:
            raise _FormatError("corrupt: a block with an impossible length")
        if at + size > len(content):
            raise _FormatError("truncated inside its last block")
        body = content[at + 8 : at + size - 4]
        try:
            record = _read_block(section, kind, body)
        except (struct.error, IndexError):
            raise _FormatError("corrupt: a block shorter than its fields") from None
        if record is not None:
            yield record
        at += size


def _start_section(content: bytes, at: int) -> _Section:
    for order in "<>":
        if struct.unpack_from(f"{order}I", content, at + 8)[0] == _BYTE_ORDER:
            return _Section(order)
    raise _FormatError("corrupt: a section without byte order")


def _read_block(section: _Section, kind: int, body: bytes) -> Record | None:
    order = section.order
    if kind == _INTERFACE_BLOCK:
        link_type, _, snap = struct.unpack_from(f"{order}HHI", body)
        interface = _Interface(link_type, snap)
        _read_options(interface, order, body[8:])
        section.interfaces.append(interface)
        return None
    if kind == _SIMPLE_BLOCK:
        raise _FormatError("its packets carry no times", "capture with packet times (the default)")
    if kind == _PACKET_BLOCK:
        number, high, low, size, n_bytes = struct.unpack_from(f"{order}IIIII", body)
    elif kind == _OBSOLETE_BLOCK:
        number, _, high, low, size, n_bytes = struct.unpack_from(f"{order}HHIIII", body)
    else:
        return None
    if 20 + size > len(body):
        raise _FormatError("corrupt: a packet longer than its block")
    interface = section.interfaces[number]
    ticks = high << 32 | low
    at_ns = interface.offset_s * NS + ticks * NS // interface.ticks_per_s
    return Record(at_ns, interface.link_type, body[20 : 20 + size], n_bytes)


def _read_options(interface: _Interface, order: str, options: bytes) -> None:
    at = 0
    while at + 4 <= len(options):
        code, size = struct.unpack_from(f"{order}HH", options, at)
        value = options[at + 4 : at + 4 + size]
        if code == 0:
            return
        if code == _OPTION_RESOLUTION and size == 1:
            power = value[0] & 0x7F
            if power > 63:
                raise _FormatError("corrupt: an interface with an impossible clock")
            interface.ticks_per_s = 2**power if value[0] & 0x80 else 10**power
        if code == _OPTION_OFFSET and size == 8:
            interface.offset_s = struct.unpack(f"{order}q", value)[0]
        at += 4 + size + -size % 4
