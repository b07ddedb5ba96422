"""The little of SDP that says what an RTP payload type means and where media go.

Only `c= m= a=rtpmap fmtp ptime rtcp rtcp-mux crypto` and the direction attributes are read, and
whatever does not parse is passed over: a body that other endpoints accepted must not stop us.
Static payload types are those of RFC 3551.

References
----------
RFC 8866 (SDP), RFC 3551 section 6 table 4 (static payload types), RFC 4733 section 2.4, RFC 3605
(a=rtcp), RFC 5761 (a=rtcp-mux), RFC 4568 (a=crypto).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from voicemask.rtp.event import ENCODING_NAME

DEFAULT_PTIME_MS: Final = 20


@dataclass(frozen=True, slots=True)
class PayloadType:
    """What one payload type number stands for.

    Parameters
    ----------
    number : 0..127.
    encoding : encoding name in upper case, but `telephone-event` in lower case.
    clock_hz : RTP clock.
    n_channels : 1 unless the rtpmap says otherwise.
    fmtp : format parameters as written.
    """

    number: int
    encoding: str
    clock_hz: int
    n_channels: int = 1
    fmtp: str = ""

    @property
    def is_event(self) -> bool:
        """Whether it carries RFC 4733 events."""
        return self.encoding == ENCODING_NAME


STATIC_TYPES: Final[Mapping[int, PayloadType]] = {
    entry.number: entry
    for entry in (
        PayloadType(0, "PCMU", 8000),
        PayloadType(3, "GSM", 8000),
        PayloadType(4, "G723", 8000),
        PayloadType(5, "DVI4", 8000),
        PayloadType(6, "DVI4", 16000),
        PayloadType(7, "LPC", 8000),
        PayloadType(8, "PCMA", 8000),
        PayloadType(9, "G722", 8000),
        PayloadType(10, "L16", 44100, 2),
        PayloadType(11, "L16", 44100, 1),
        PayloadType(12, "QCELP", 8000),
        PayloadType(13, "CN", 8000),
        PayloadType(14, "MPA", 90000),
        PayloadType(15, "G728", 8000),
        PayloadType(16, "DVI4", 11025),
        PayloadType(17, "DVI4", 22050),
        PayloadType(18, "G729", 8000),
    )
}
"""RFC 3551 table 4. G.722 samples at 16 kHz, but its RTP clock is 8000 (section 4.5.2)."""


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One media section of a session description.

    Parameters
    ----------
    address : where the describing party receives, as written; empty if no c= line names it.
    port : 0 when the stream is refused.
    protocol : `RTP/AVP`, `RTP/SAVP`, ...
    payload_types : in order of preference.
    ptime_ms : packet time asked for.
    direction : sendrecv, sendonly, recvonly or inactive.
    kind : the m-line's first word.
    formats : the m-line's list, as written.
    rtcp_port : of a=rtcp, else the one after the media's, or the media's own with rtcp-mux.
    rtcp_mux : RTP and RTCP may share a port.
    crypto : values of the a=crypto lines, which hold keys and are not printed.
    """

    address: str
    port: int
    protocol: str
    payload_types: tuple[PayloadType, ...]
    ptime_ms: int = DEFAULT_PTIME_MS
    direction: str = "sendrecv"
    kind: str = "audio"
    formats: tuple[str, ...] = ()
    rtcp_port: int = 0
    rtcp_mux: bool = False
    crypto: tuple[str, ...] = field(default=(), repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether the stream is SRTP."""
        return "SAVP" in self.protocol.upper()


def parse_sdp(body: bytes) -> tuple[MediaSection, ...]:
    """Read the audio sections of a session description; anything else is passed over."""
    lines = body.decode("utf-8", "replace").splitlines()
    starts = [at for at, line in enumerate(lines) if line.strip().startswith("m=")]
    if not starts:
        return ()
    address, direction = read_session(lines[: starts[0]])
    ends = [*starts[1:], len(lines)]
    found = (
        read_section(lines[start:end], address, direction)
        for start, end in zip(starts, ends, strict=True)
    )
    return tuple(section for section in found if section is not None and section.kind == "audio")


def read_session(lines: Sequence[str]) -> tuple[str, str]:
    """Read address and direction that hold where a section has none of its own."""
    address, direction = "", "sendrecv"
    for line in lines:
        kind, _, value = line.strip().partition("=")
        if kind == "c":
            address = read_address(value)
        elif kind == "a" and value in DIRECTIONS:
            direction = value
    return address, direction


def read_section(
    lines: Sequence[str], address: str = "", direction: str = "sendrecv"
) -> MediaSection | None:
    """Read an m-line and the lines after it; None where the m-line cannot be used."""
    draft = _start(lines[0].strip().partition("=")[2], address, direction)
    if draft is None:
        return None
    for line in lines[1:]:
        kind, _, value = line.strip().partition("=")
        if kind == "c":
            draft.address = read_address(value) or draft.address
        elif kind == "a":
            _read_attribute(draft, value)
    return _finish(draft)


def read_address(value: str) -> str:
    """Take the address out of a c= line's value, empty where there is none."""
    words = value.split()
    return words[2].partition("/")[0] if len(words) >= 3 else ""


DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})


@dataclass(slots=True)
class _Draft:
    kind: str
    address: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    direction: str
    ptime_ms: int = DEFAULT_PTIME_MS
    rtcp_port: int = 0
    rtcp_mux: bool = False
    crypto: list[str] = field(default_factory=list)
    maps: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    fmtps: dict[str, str] = field(default_factory=dict)


def _is_number(text: str, highest: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) <= highest


def _start(value: str, address: str, direction: str) -> _Draft | None:
    words = value.split()
    if len(words) < 4:
        return None
    port = words[1].partition("/")[0]
    if not _is_number(port, 0xFFFF):
        return None
    return _Draft(words[0], address, int(port), words[2], tuple(words[3:]), direction)


def _read_attribute(draft: _Draft, value: str) -> None:
    name, _, rest = value.partition(":")
    rest = rest.strip()
    if name in DIRECTIONS:
        draft.direction = name
    elif name == "rtcp-mux":
        draft.rtcp_mux = True
    elif name == "crypto":
        draft.crypto.append(rest)
    elif name == "rtcp" and _is_number(rest.partition(" ")[0], 0xFFFF):
        draft.rtcp_port = int(rest.partition(" ")[0])
    elif name == "ptime" and _is_number(rest, 200) and int(rest) >= 1:
        draft.ptime_ms = int(rest)
    elif name in {"fmtp", "rtpmap"}:
        _read_format(draft, name, rest)


def _read_format(draft: _Draft, name: str, rest: str) -> None:
    number, _, text = rest.partition(" ")
    if name == "fmtp":
        draft.fmtps[number] = text.strip()
        return
    parts = text.strip().split("/")
    if len(parts) >= 2 and _is_number(parts[1], 10**6) and int(parts[1]) > 0:
        n_channels = int(parts[2]) if len(parts) > 2 and _is_number(parts[2], 255) else 1
        draft.maps[number] = (_encoding(parts[0]), int(parts[1]), n_channels)


def _encoding(name: str) -> str:
    return ENCODING_NAME if name.lower() == ENCODING_NAME else name.upper()


def _finish(draft: _Draft) -> MediaSection:
    types: list[PayloadType] = []
    for text in draft.formats:
        if not _is_number(text, 127):
            continue
        number = int(text)
        if text in draft.maps:
            encoding, clock_hz, n_channels = draft.maps[text]
            fmtp = draft.fmtps.get(text, "")
            types.append(PayloadType(number, encoding, clock_hz, n_channels, fmtp))
        elif number in STATIC_TYPES:
            types.append(STATIC_TYPES[number])
    rtcp_port = draft.port if draft.rtcp_mux else draft.rtcp_port or min(draft.port + 1, 0xFFFF)
    return MediaSection(
        draft.address,
        draft.port,
        draft.protocol,
        tuple(types),
        draft.ptime_ms,
        draft.direction,
        draft.kind,
        draft.formats,
        rtcp_port,
        draft.rtcp_mux,
        tuple(draft.crypto),
    )
