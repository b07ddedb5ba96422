"""The little of SDP that says what an RTP payload type means and where audio goes.

Only `c= m= a=rtpmap a=fmtp a=ptime` and the direction attributes of audio sections are read, and
whatever does not parse is passed over: a body that other endpoints accepted must not stop us.
Static payload types are those of RFC 3551.

References
----------
RFC 8866 (SDP), RFC 3551 section 6 table 4 (static payload types), RFC 4733 section 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
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
class AudioMedia:
    """One audio section of a session description.

    Parameters
    ----------
    address : where the describing party receives, as written; empty if no c= line names it.
    port : 0 when the stream is refused.
    protocol : `RTP/AVP`, `RTP/SAVP`, ...
    payload_types : in order of preference.
    ptime_ms : packet time asked for.
    direction : sendrecv, sendonly, recvonly or inactive.
    """

    address: str
    port: int
    protocol: str
    payload_types: tuple[PayloadType, ...]
    ptime_ms: int = DEFAULT_PTIME_MS
    direction: str = "sendrecv"

    @property
    def encrypted(self) -> bool:
        """Whether the stream is SRTP, which we cannot examine."""
        return "SAVP" in self.protocol.upper()


@dataclass(slots=True)
class _Draft:
    address: str
    port: int
    protocol: str
    formats: list[str]
    direction: str
    ptime_ms: int = DEFAULT_PTIME_MS
    maps: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    fmtps: dict[str, str] = field(default_factory=dict)


def parse_sdp(body: bytes) -> tuple[AudioMedia, ...]:
    """Read the audio sections of a session description; anything else is passed over."""
    drafts: list[_Draft] = []
    session_address, session_direction = "", "sendrecv"
    draft: _Draft | None = None
    in_session = True
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.strip().partition("=")
        if kind == "m":
            in_session = False
            draft = _start_media(value, session_address, session_direction)
            drafts += [draft] if draft is not None else []
        elif kind == "c" and in_session:
            session_address = _address(value)
        elif kind == "c" and draft is not None:
            draft.address = _address(value) or draft.address
        elif kind == "a" and draft is not None:
            _read_attribute(draft, value)
        elif kind == "a" and in_session and value in _DIRECTIONS:
            session_direction = value
    return tuple(_finish(draft) for draft in drafts)


_DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})


def _address(value: str) -> str:
    words = value.split()
    return words[2].partition("/")[0] if len(words) >= 3 else ""


def _start_media(value: str, address: str, direction: str) -> _Draft | None:
    words = value.split()
    if len(words) < 4 or words[0] != "audio":
        return None
    port = words[1].partition("/")[0]
    if not port.isdecimal() or int(port) > 0xFFFF:
        return None
    return _Draft(address, int(port), words[2], words[3:], direction)


def _read_attribute(draft: _Draft, value: str) -> None:
    name, _, rest = value.partition(":")
    number, _, text = rest.strip().partition(" ")
    if name in _DIRECTIONS:
        draft.direction = name
    elif name == "ptime" and rest.strip().isdecimal() and 1 <= int(rest) <= 200:
        draft.ptime_ms = int(rest)
    elif name == "fmtp":
        draft.fmtps[number] = text.strip()
    elif name == "rtpmap":
        parts = text.strip().split("/")
        if len(parts) >= 2 and parts[1].isdecimal() and int(parts[1]) > 0:
            n_channels = int(parts[2]) if len(parts) > 2 and parts[2].isdecimal() else 1
            draft.maps[number] = (_encoding(parts[0]), int(parts[1]), n_channels)


def _encoding(name: str) -> str:
    return ENCODING_NAME if name.lower() == ENCODING_NAME else name.upper()


def _finish(draft: _Draft) -> AudioMedia:
    types: list[PayloadType] = []
    for text in draft.formats:
        if not text.isdecimal() or int(text) > 127:
            continue
        number = int(text)
        if text in draft.maps:
            encoding, clock_hz, n_channels = draft.maps[text]
            fmtp = draft.fmtps.get(text, "")
            types.append(PayloadType(number, encoding, clock_hz, n_channels, fmtp))
        elif number in STATIC_TYPES:
            types.append(STATIC_TYPES[number])
    return AudioMedia(
        draft.address, draft.port, draft.protocol, tuple(types), draft.ptime_ms, draft.direction
    )
