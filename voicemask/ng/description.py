"""A session description on its way through: read, and written again with our address in it.

Only what must change is replaced; every other line keeps its bytes and its line ending. What would
let the parties meet without us, or agree on keys or ports of their own, is always taken out: ICE
candidates, DTLS, ZRTP and MIKEY, capability negotiation, bundling, the other side's SDES keys.

References
----------
RFC 8866 (SDP), RFC 3264 sections 5, 6 (offer and answer), 8.4 (hold), RFC 3605 (a=rtcp), RFC 8839
(ICE attributes), RFC 5939 (capability negotiation), RFC 9143 (bundling).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from voicemask.errors import SdpError
from voicemask.rtp.sdes import CryptoKey, serialize_crypto
from voicemask.rtp.sdp import MediaSection, read_section, read_session

MAX_SECTIONS: Final = 16
RTP_PROTOCOLS: Final = frozenset({"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"})
_ICE: Final = frozenset(
    {
        *("candidate", "remote-candidates", "end-of-candidates", "ice-lite", "ice-mismatch"),
        *("ice-ufrag", "ice-pwd", "ice-options", "ice-pacing"),
    }
)
_KEYING: Final = frozenset(
    {
        *("crypto", "fingerprint", "setup", "tls-id", "identity", "key-mgmt", "zrtp-hash"),
    }
)
_CAPABILITIES: Final = frozenset(
    {
        *("csup", "creq", "acap", "tcap", "pcfg", "acfg", "rmcap", "omcap", "mfcap", "lcfg"),
    }
)
_REMOVED: Final = _ICE | _KEYING | _CAPABILITIES | {"bundle-only", "rtcp-mux-only", "rtcp-mux"}


class RtcpLine(Enum):
    """When ``a=rtcp`` is written."""

    NEEDED = "needed"
    """Where there was one, and where the port is not the next one."""
    FULL = "full"
    """Always, with the address."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Facing:
    """What the receiver of a description is to see of one section; the rest stays as it is.

    Parameters
    ----------
    removed : formats taken off the m-line, with their attributes.
    rtcp_mux : whether ``a=rtcp-mux`` is there.
    crypto : our keys.
    """

    address: str
    port: int
    rtcp_port: int
    protocol: str
    rtcp_mux: bool = False
    crypto: tuple[CryptoKey, ...] = ()
    removed: frozenset[str] = frozenset()
    rtcp_line: RtcpLine = RtcpLine.NEEDED


@dataclass(frozen=True, slots=True)
class Section:
    """One media section: its lines with their endings, and what they say."""

    lines: tuple[bytes, ...]
    media: MediaSection

    @property
    def protocol(self) -> str:
        """Its transport; RTP's in upper case."""
        return self.media.protocol.upper() if self.is_rtp else self.media.protocol

    @property
    def is_rtp(self) -> bool:
        """Whether it is RTP we can carry."""
        return self.media.protocol.upper() in RTP_PROTOCOLS

    @property
    def can_pass(self) -> bool:
        """Whether it can be relayed over our UDP ports."""
        words = self.media.protocol.upper().split("/")
        return self.is_rtp or words[0] == "UDPTL" or (words[0] == "UDP" and "TLS" not in words)

    @property
    def is_on_hold(self) -> bool:
        """Whether it has the zero address, the old way to ask for silence."""
        return is_zero(self.media.address)


@dataclass(frozen=True, slots=True)
class Description:
    """A session description."""

    session: tuple[bytes, ...]
    sections: tuple[Section, ...]
    ending: bytes = b"\r\n"


def is_zero(address: str) -> bool:
    """Whether an address is unspecified, of either family."""
    return address in {"0.0.0.0", "::", "0:0:0:0:0:0:0:0"}


def parse_description(body: bytes) -> Description:
    """Read a description for relaying.

    Raises
    ------
    SdpError
        It is no SDP, has no media, too many, or an m-line that cannot be read.
    """
    lines = _split(body)
    if not lines or not lines[0].lstrip().startswith(b"v="):
        raise SdpError("sdp", "does not begin with v=")
    ending = b"\r\n" if lines[0].endswith(b"\r\n") else b"\n"
    starts = [at for at, line in enumerate(lines) if _kind(line) == b"m"]
    if not starts or len(starts) > MAX_SECTIONS:
        raise SdpError("sdp", f"needs between 1 and {MAX_SECTIONS} media sections")
    session = lines[: starts[0]]
    address, direction = read_session([_text(line) for line in session])
    sections = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        media = read_section([_text(line) for line in lines[start:end]], address, direction)
        if media is None:
            raise SdpError("sdp", "has a media line that cannot be read")
        sections.append(Section(tuple(lines[start:end]), media))
    return Description(tuple(session), tuple(sections), ending)


def rewrite(
    description: Description,
    facings: Sequence[Facing | None],
    replaced: frozenset[str],
) -> bytes:
    """Write a description with our addresses, ports and keys.

    Parameters
    ----------
    facings : for each section, None for one that is rejected (port 0).
    replaced : NG's ``replace``: ``origin`` and ``session-connection`` are heeded; ``zero-address``
        replaces the zero address too.
    """
    active = [facing for facing in facings if facing is not None]
    ours = active[0].address if active else ""
    session_address = ""
    lines: list[bytes] = []
    for line in description.session:
        kept: bytes | None = line
        if _kind(line) == b"o" and ours and replaced & {"origin", "origin-full"}:
            kept = _with_origin(line, ours)
        elif _kind(line) == b"c":
            session_address, kept = _session_connection(line, description, facings, replaced)
        elif _is_removed(line):
            kept = None
        lines += [kept] if kept is not None else []
    for section, facing in zip(description.sections, facings, strict=True):
        keep_zero = section.is_on_hold and "zero-address" not in replaced
        writer = _SectionWriter(section, description.ending, session_address, keep_zero)
        lines += writer.rejected() if facing is None else writer.facing(facing)
    return b"".join(lines)


def _split(body: bytes) -> list[bytes]:
    lines = body.split(b"\n")
    whole = [line + b"\n" for line in lines[:-1]]
    return [*whole, lines[-1]] if lines[-1] else whole


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()


def _kind(line: bytes) -> bytes:
    return line.lstrip().partition(b"=")[0]


def _attribute(line: bytes) -> str:
    if not line.startswith(b"a="):
        line = line.lstrip()
        if not line.startswith(b"a="):
            return ""
    return line[2:].partition(b":")[0].strip().lower().decode("utf-8", "replace")


def _ending_of(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]


def _is_removed(line: bytes) -> bool:
    name = _attribute(line)
    if name == "group":
        return _text(line)[2:].lower().replace(" ", "").startswith("group:bundle")
    return name in _REMOVED or _kind(line) == b"k"


def _family_word(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


def _with_origin(line: bytes, address: str) -> bytes:
    words = line.split()
    if len(words) < 6:
        return line
    words[-2:] = [_family_word(address).encode(), address.encode()]
    return b" ".join(words) + _ending_of(line)


def _connection(address: str, ending: bytes) -> bytes:
    return f"c=IN {_family_word(address)} {address}".encode() + ending


def _seen_address(section: Section, facing: Facing, replaced: frozenset[str]) -> str:
    if section.is_on_hold and "zero-address" not in replaced:
        return "::" if ":" in facing.address else "0.0.0.0"
    return facing.address


def _session_connection(
    line: bytes,
    description: Description,
    facings: Sequence[Facing | None],
    replaced: frozenset[str],
) -> tuple[str, bytes]:
    """Give the address that holds for sections without their own, and the line."""
    if "session-connection" not in replaced:
        return "", line  # sections get lines of their own
    pairs = zip(description.sections, facings, strict=True)
    seen = [
        (
            any(_kind(line) == b"c" for line in section.lines),
            _seen_address(section, facing, replaced),
        )
        for section, facing in pairs
        if facing is not None
    ]
    if not seen:
        return "", line
    address = min(seen, key=lambda pair: pair[0])[1]
    return address, _connection(address, _ending_of(line))


class _SectionWriter:
    def __init__(
        self, section: Section, ending: bytes, session_address: str, keep_zero: bool
    ) -> None:
        self._section = section
        self._ending = ending
        self._session_address = session_address
        self._keep_zero = keep_zero

    def rejected(self) -> list[bytes]:
        media = self._section.media
        formats = media.formats or ("0",)
        dropped = ("rtcp",)
        return [
            self._media_line(0, media.protocol, formats),
            *(line for line in self._kept_lines() if _attribute(line) not in dropped),
        ]

    def facing(self, facing: Facing) -> list[bytes]:
        formats = tuple(word for word in self._section.media.formats if word not in facing.removed)
        lines = [self._media_line(facing.port, facing.protocol, formats)]
        body = [line for line in self._kept_lines() if not _is_of(line, facing.removed)]
        body = self._with_connection(body, facing)
        body = self._with_rtcp(body, facing)
        return lines + self._with_added(body, facing)

    def _media_line(self, port: int, protocol: str, formats: Sequence[str]) -> bytes:
        line = self._section.lines[0]
        media = self._section.media
        text = f"m={media.kind} {port} {protocol} {' '.join(formats)}"
        return text.encode() + (_ending_of(line) or self._ending)

    def _kept_lines(self) -> list[bytes]:
        return [line for line in self._section.lines[1:] if not _is_removed(line)]

    def _with_connection(self, lines: list[bytes], facing: Facing) -> list[bytes]:
        address = facing.address
        if self._keep_zero:
            address = "::" if ":" in address else "0.0.0.0"
        if any(_kind(line) == b"c" for line in lines):
            return [
                _connection(address, _ending_of(line) or self._ending)
                if _kind(line) == b"c"
                else line
                for line in lines
            ]
        if address == self._session_address:
            return lines
        at = 1 if lines and _kind(lines[0]) == b"i" else 0
        return self._after(lines[:at], _connection(address, self._ending)) + lines[at:]

    def _with_rtcp(self, lines: list[bytes], facing: Facing) -> list[bytes]:
        had = [line for line in lines if _attribute(line) == "rtcp"]
        short = f"a=rtcp:{facing.rtcp_port}"
        full = f"{short} IN {_family_word(facing.address)} {facing.address}"
        wants_full = facing.rtcp_line is RtcpLine.FULL or any(b" " in line.strip() for line in had)
        text = (full if wants_full else short).encode()
        if facing.rtcp_line is RtcpLine.NEVER:
            return [line for line in lines if _attribute(line) != "rtcp"]
        if had:
            return _replace_first(lines, "rtcp", lambda line: text + _ending_of(line))
        is_needed = facing.rtcp_line is RtcpLine.FULL or (
            not facing.rtcp_mux and facing.rtcp_port != facing.port + 1
        )
        if not is_needed or not self._section.is_rtp:
            return lines
        return self._after(lines, text + self._ending)

    def _with_added(self, lines: list[bytes], facing: Facing) -> list[bytes]:
        added = ["a=rtcp-mux"] if facing.rtcp_mux else []
        added += [f"a=crypto:{serialize_crypto(key)}" for key in facing.crypto]
        return self._after(lines, *(text.encode() + self._ending for text in added))

    def _after(self, lines: list[bytes], *added: bytes) -> list[bytes]:
        """Append lines, ending the last one first where the body does not."""
        if added and lines and not _ending_of(lines[-1]):
            lines = [*lines[:-1], lines[-1] + self._ending]
        return [*lines, *added]


def _is_of(line: bytes, formats: frozenset[str]) -> bool:
    if not formats or _attribute(line) not in {"rtpmap", "fmtp", "rtcp-fb"}:
        return False
    return _text(line).partition(":")[2].strip().partition(" ")[0] in formats


def _replace_first(lines: list[bytes], name: str, change: Callable[[bytes], bytes]) -> list[bytes]:
    """Change the first line of an attribute and drop its repetitions."""
    result: list[bytes] = []
    is_done = False
    for line in lines:
        if _attribute(line) != name:
            result.append(line)
        elif not is_done:
            result.append(change(line))
            is_done = True
    return result
