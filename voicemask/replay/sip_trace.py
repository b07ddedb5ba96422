"""What the SIP in a capture tells: which calls there are, where their audio goes, INFO digits.

Dialogs are told apart by Call-ID. The sender of the first INVITE is the caller; who sent any
later message follows from its From tag. Only what a replay needs is read, and a message that does
not parse is passed over.

References
----------
RFC 3261 sections 7 (messages), 12 (dialogs), 20 (headers, compact forms); RFC 6086 (INFO);
application/dtmf-relay as Cisco gateways send it: lines `Signal=` and `Duration=` (ms).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from voicemask.capture.digit import KEYS, Digit
from voicemask.replay.frames import Endpoint, Frame
from voicemask.rtp.sdp import MediaSection, parse_sdp

_START_LINE: Final = re.compile(
    rb"(?:SIP/2\.0 \d{3} |[A-Z]{3,16} sips?:\S+ SIP/2\.0|[A-Z]{3,16} tel:)"
)
_TAG: Final = re.compile(r";\s*tag\s*=\s*([^;\s>]+)", re.IGNORECASE)
_COMPACT: Final = {
    "i": "call-id",
    "f": "from",
    "t": "to",
    "c": "content-type",
    "l": "content-length",
}
_SIGNAL_LINE: Final = re.compile(r"^\s*signal\s*=\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_DURATION_LINE: Final = re.compile(r"^\s*duration\s*=\s*(\d{1,6})", re.IGNORECASE | re.MULTILINE)
_CODES: Final = {"10": "*", "11": "#"}
"""Some senders write RFC 4733 codes for the keys beside the digits."""
SDP_TYPE: Final = "application/sdp"


class Side(Enum):
    """A party of a call by how it began."""

    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> Side:
        """The other party."""
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


@dataclass(frozen=True, slots=True)
class SipMessage:
    """One message: method or status, headers by lower-case long name, and its body."""

    method: str
    is_request: bool
    headers: dict[str, str]
    body_at: int
    body: bytes

    def tag(self, header: str) -> str:
        """Give the tag of From or To, empty without one."""
        match = _TAG.search(self.headers.get(header, ""))
        return match.group(1) if match else ""

    @property
    def content_type(self) -> str:
        """Type of the body, lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class InfoDigit:
    """A key told by SIP INFO."""

    at_ns: int
    side: Side
    digit: Digit
    duration_ms: int


@dataclass(slots=True)
class Dialog:
    """One call as its signalling tells it.

    `media` are the audio sections each side described: where that side receives.
    """

    caller_tag: str
    frames: list[Frame] = field(default_factory=list)
    media: dict[Side, list[MediaSection]] = field(
        default_factory=lambda: {Side.CALLER: [], Side.CALLEE: []}
    )
    infos: list[InfoDigit] = field(default_factory=list)
    seen: set[tuple[str, Side]] = field(default_factory=set)

    def receives(self, side: Side) -> set[Endpoint]:
        """Give the endpoints where a side receives audio."""
        return {(media.address, media.port) for media in self.media[side] if media.port}


def looks_like_sip(payload: bytes) -> bool:
    """Tell whether a payload begins as a SIP message does."""
    return _START_LINE.match(payload) is not None


def parse_sip(payload: bytes) -> SipMessage | None:
    """Read a message; None when it is not one."""
    if not looks_like_sip(payload):
        return None
    body_at = payload.find(b"\r\n\r\n")
    body_at = len(payload) if body_at < 0 else body_at + 4
    head = payload[:body_at].decode("utf-8", "replace")
    lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if colon:
            headers.setdefault(_COMPACT.get(name, name), value.strip())
    is_request = not lines[0].startswith("SIP/2.0")
    method = lines[0].split(" ")[0] if is_request else headers.get("cseq", "").split(" ")[-1]
    return SipMessage(method, is_request, headers, body_at, payload[body_at:])


def blank_body(payload: bytes) -> bytes | None:
    """Give a message whose body tells no key; None when nothing had to go.

    Session descriptions stay; any other body may carry keys (dtmf-relay, dtmf, KPML, multipart)
    and is overwritten with spaces, so that all lengths stay true. So is what follows a
    description: over TCP a second message may begin there.
    """
    message = parse_sip(payload)
    if message is None:
        return None
    kept = message.body_at
    if message.content_type == SDP_TYPE:
        length = message.headers.get("content-length", "")
        kept = kept + int(length) if length.isdecimal() else len(payload)
    if not payload[kept:].strip():
        return None
    return payload[:kept] + bytes(
        octet if octet in b"\r\n" else ord(" ") for octet in payload[kept:]
    )


def parse_info_digit(message: SipMessage) -> tuple[Digit, int] | None:
    """Give the key and duration in ms of an INFO; None when it holds no key."""
    text = message.body.decode("utf-8", "replace")
    if message.content_type == "application/dtmf-relay":
        match = _SIGNAL_LINE.search(text)
        key = match.group(1) if match else ""
    elif message.content_type == "application/dtmf":
        match = _SIGNAL_LINE.search(text)
        key = match.group(1) if match else text.strip()
    else:
        return None
    key = _CODES.get(key, key).upper()
    if len(key) != 1 or key not in KEYS:
        return None
    duration = _DURATION_LINE.search(text)
    return Digit.of(key), int(duration.group(1)) if duration else 0


class SipTrace:
    """Collects the dialogs of a capture, given its SIP frames in order."""

    def __init__(self) -> None:
        self.dialogs: dict[str, Dialog] = {}

    def push(self, frame: Frame) -> bool:
        """Take a frame; False when it holds no SIP message of a dialog."""
        message = parse_sip(frame.payload)
        call_id = message.headers.get("call-id", "") if message else ""
        if message is None or not call_id:
            return False
        dialog = self.dialogs.get(call_id)
        if dialog is None:
            is_caller = message.is_request or message.method == "INVITE"
            dialog = Dialog(message.tag("from") if is_caller else message.tag("to"))
            self.dialogs[call_id] = dialog
        dialog.frames.append(frame)
        self._read(dialog, message, frame)
        return True

    def _read(self, dialog: Dialog, message: SipMessage, frame: Frame) -> None:
        owner = Side.CALLER if message.tag("from") == dialog.caller_tag else Side.CALLEE
        side = owner if message.is_request else owner.other
        if message.content_type == SDP_TYPE:
            dialog.media[side].extend(parse_sdp(message.body))
        if message.method == "INFO" and message.is_request:
            told = parse_info_digit(message)
            # A request sent again, or seen at two hops, carries the same CSeq.
            once = (message.headers.get("cseq", ""), side)
            if told is not None and once not in dialog.seen:
                dialog.seen.add(once)
                dialog.infos.append(InfoDigit(frame.at_ns, side, *told))
