"""One datagram of NG: a cookie, a space, and a dictionary in bencode or JSON.

The first byte of the dictionary tells which, and the reply takes the same. Keys come with hyphens,
spaces or underscores and in any case; they are kept in lower case with hyphens. Text is UTF-8 and
what names a call or a party holds no control character, since it goes into logs. SDP stays bytes.

`rtpp-flags` is the unparsed flags string that newer Kamailio hands over: ``flag key=value
key=[a b]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from voicemask.errors import InputError, NgError
from voicemask.ng import bencode
from voicemask.ng.bencode import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, Value

MAX_COOKIE_BYTES: Final = 256
MAX_REPLY_BYTES: Final = 65507
"""The most a UDP datagram over IPv4 holds."""
MAX_NAME_CHARACTERS: Final = 512
_MAX_INTEGER: Final = 10**15
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Encoding(Enum):
    """How a dictionary is written."""

    BENCODE = "bencode"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A datagram, its dictionary not read yet."""

    cookie: bytes
    payload: bytes

    @property
    def encoding(self) -> Encoding:
        """How the payload is written; what is neither counts as bencode."""
        return Encoding.JSON if self.payload[:1] == b"{" else Encoding.BENCODE


@dataclass(frozen=True, slots=True)
class Request:
    """A dictionary that was read.

    Parameters
    ----------
    fields : by key, normalised.
    flags : the bare words, normalised.
    """

    fields: Mapping[str, Value]
    flags: frozenset[str] = field(default_factory=frozenset)

    def text(self, key: str) -> str:
        """Give a short text, empty where there is none.

        Raises
        ------
        NgError
            It is no text, too long, not UTF-8, or holds a control character.
        """
        value = self.fields.get(key, b"")
        if isinstance(value, int):
            return str(value)
        if not isinstance(value, bytes):
            raise NgError(key, "is not a text")
        return to_text(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Give the texts of a list; one text is a list of one."""
        value = self.fields.get(key, [])
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, bytes | int) for item in items):
            raise NgError(key, "is not a list of texts")
        return tuple(to_text(key, _as_bytes(item)) for item in items)

    def integer(self, key: str) -> int | None:
        """Give a number, also one written as text.

        Raises
        ------
        NgError
            It is no number.
        """
        value = self.fields.get(key)
        if value is None or isinstance(value, int):
            return value
        if isinstance(value, bytes) and value.isdigit() and len(value) <= 9:
            return int(value)
        raise NgError(key, "is not a number")

    def body(self) -> bytes:
        """Give the SDP, empty where there is none."""
        value = self.fields.get("sdp", b"")
        if not isinstance(value, bytes):
            raise NgError("sdp", "is not a text")
        return value


def to_text(key: str, value: bytes) -> str:
    """Read a short text: UTF-8, no control character.

    Raises
    ------
    NgError
        It is not one.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise NgError(key, "is not UTF-8") from None
    if len(text) > MAX_NAME_CHARACTERS or _CONTROL.search(text):
        raise NgError(key, "is too long or holds a control character")
    return text


def normalise(name: str) -> str:
    """Bring a key or a bare flag to one spelling."""
    return name.strip().lower().replace(" ", "-").replace("_", "-")


def open_envelope(datagram: bytes) -> Envelope | None:
    """Take the cookie off; None where there is none, and nobody to answer."""
    cookie, space, payload = datagram.partition(b" ")
    if not space or not 0 < len(cookie) <= MAX_COOKIE_BYTES or not payload:
        return None
    return Envelope(cookie, payload) if all(33 <= byte < 127 for byte in cookie) else None


def read_request(envelope: Envelope) -> Request:
    """Read the dictionary.

    Raises
    ------
    NgError
        It is malformed, or beyond the bounds.
    """
    is_json = envelope.encoding is Encoding.JSON
    value = _read_json(envelope.payload) if is_json else bencode.decode(envelope.payload)
    if not isinstance(value, dict):
        raise NgError("message", "is not a dictionary")
    fields = {normalise(to_text("key", key)): item for key, item in value.items()}
    flags = fields.pop("flags", [])
    words = [flags] if isinstance(flags, bytes) else flags
    if not isinstance(words, list):
        raise NgError("flags", "is not a list")
    bare = {normalise(to_text("flags", _as_bytes(word))) for word in words}
    unparsed = fields.pop("rtpp-flags", b"")
    if unparsed:
        if not isinstance(unparsed, bytes):
            raise NgError("rtpp-flags", "is not a text")
        for key, item in _read_flags_string(to_text_long("rtpp-flags", unparsed)):
            if item is None:
                bare.add(key)
            else:
                fields.setdefault(key, item)
    return Request(fields, frozenset(bare))


def write_reply(envelope: Envelope, fields: Mapping[str, Any]) -> bytes:
    """Write a reply; one too long for a datagram becomes an error."""
    reply = envelope.cookie + b" " + _write(envelope.encoding, fields)
    if len(reply) > MAX_REPLY_BYTES:
        reason = {"result": "error", "error-reason": "the reply is too long for a datagram"}
        reply = envelope.cookie + b" " + _write(envelope.encoding, reason)
    return reply


def error_reply(error: InputError) -> dict[str, Any]:
    """Say why a request is not carried out; an error without a subject speaks as rtpengine does."""
    reason = str(error) if error.subject and error.reason else error.subject or error.reason
    return {"result": "error", "error-reason": reason}


def to_text_long(key: str, value: bytes) -> str:
    """Read a text of any length, control characters as spaces."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise NgError(key, "is not UTF-8") from None
    return _CONTROL.sub(" ", text)


def _as_bytes(value: Value) -> bytes:
    if isinstance(value, int):
        return b"%d" % value
    return value if isinstance(value, bytes) else b""


def _write(encoding: Encoding, fields: Mapping[str, Any]) -> bytes:
    if encoding is Encoding.BENCODE:
        return bencode.encode(fields)
    return json.dumps(_jsonable(fields), separators=(",", ":"), sort_keys=True).encode("ascii")


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value


def _read_json(payload: bytes) -> Value:
    if len(payload) > MAX_BYTES or max(payload.count(b"["), payload.count(b"{")) > MAX_ITEMS:
        raise NgError("JSON", "is too long")
    if _json_depth(payload) > MAX_DEPTH:
        raise NgError("JSON", "is nested too deep")
    try:
        loaded = json.loads(payload, object_pairs_hook=_unique, parse_constant=lambda _: _refuse())
    except ValueError:
        raise NgError("JSON", "is malformed") from None
    return _from_json(loaded)


def _json_depth(payload: bytes) -> int:
    """Count brackets: those in strings too, so an upper bound only where a string holds many."""
    depth = deepest = 0
    is_string = is_escaped = False
    for byte in payload:
        if is_escaped:
            is_escaped = False
        elif byte == 0x5C:
            is_escaped = is_string
        elif byte == 0x22:
            is_string = not is_string
        elif not is_string and byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not is_string and byte in b"]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise NgError("JSON", "has a key twice")
    return dict(pairs)


def _refuse() -> Any:
    raise NgError("JSON", "has a number that is none")


def _from_json(value: Any) -> Value:
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            raise NgError("JSON", "has a text that is not Unicode") from None
    if isinstance(value, bool):
        return b"yes" if value else b"no"
    if isinstance(value, int) and abs(value) <= _MAX_INTEGER:
        return value
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, dict):
        pairs = ((_from_json(key), _from_json(item)) for key, item in value.items())
        return {key: item for key, item in pairs if isinstance(key, bytes)}
    raise NgError("JSON", "has a value that is neither text nor whole number")


def _read_flags_string(text: str) -> Iterable[tuple[str, Value | None]]:
    """Read ``flag key=value key=[a b] key=[x=[a b]]``."""
    words = text.replace("[", " [ ").replace("]", " ] ").split()
    items, _ = _read_words(words, 0, 0)
    for name, value in items:
        yield normalise(name), value


def _read_words(
    words: list[str], at: int, depth: int
) -> tuple[list[tuple[str, Value | None]], int]:
    items: list[tuple[str, Value | None]] = []
    while at < len(words) and words[at] != "]":
        word = words[at]
        at += 1
        name, equals, text = word.partition("=")
        if equals and not text and at < len(words) and words[at] == "[":
            if depth >= MAX_DEPTH:
                raise NgError("rtpp-flags", "is nested too deep")
            inner, at = _read_words(words, at + 1, depth + 1)
            at += 1
            items.append((name, _group(inner)))
        elif word != "[":
            items.append((name, text.encode() if equals else None))
    return items, at


def _group(items: list[tuple[str, Value | None]]) -> Value:
    if any(value is not None for _, value in items):
        return {name.encode(): value if value is not None else b"" for name, value in items}
    return [name.encode() for name, _ in items]
