"""Bencode: integers, byte strings, lists and dictionaries, read strictly and within bounds.

Dictionary keys need not be sorted: Kamailio does not sort them. Everything else is as written down:
no leading zeros, no negative zero, no key twice, nothing after the end. Strings stay bytes.

References
----------
BEP 3 (bencoding); rtpengine, docs/ng_control_protocol.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from voicemask.errors import NgError

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"

MAX_BYTES: Final = 65535
MAX_DEPTH: Final = 16
MAX_ITEMS: Final = 4096
_MAX_INTEGER_DIGITS: Final = 19
_MAX_LENGTH_DIGITS: Final = 5


def decode(data: bytes) -> Value:
    """Read one value that takes all of `data`.

    Raises
    ------
    NgError
        The data break the format or a bound.
    """
    if len(data) > MAX_BYTES:
        raise _malformed("is longer than 65535 bytes")
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise _malformed("goes on after its end")
    return value


def encode(value: object) -> bytes:
    """Write ints, bytes, text, sequences and mappings; keys are sorted.

    Raises
    ------
    TypeError
        A value of another type: an error of ours.
    """
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    if isinstance(value, bytes):
        return b"%d:%b" % (len(value), value)
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, dict | Mapping):
        items = sorted((_key(key), encode(item)) for key, item in value.items())
        return b"d" + b"".join(b"%d:%b%b" % (len(key), key, item) for key, item in items) + b"e"
    if isinstance(value, Sequence):
        return b"l" + b"".join(encode(item) for item in value) + b"e"
    raise TypeError(f"bencode has no {type(value).__name__}")


def _key(key: object) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode("utf-8", "replace")


def _malformed(reason: str) -> NgError:
    return NgError("bencode", reason)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._n_items = 0
        self.at = 0

    def value(self, depth: int) -> Value:
        self._n_items += 1
        if depth > MAX_DEPTH or self._n_items > MAX_ITEMS:
            raise _malformed("is nested too deep or has too many items")
        first = self._data[self.at : self.at + 1]
        if first == b"i":
            self.at += 1
            return self._integer(b"e", _MAX_INTEGER_DIGITS)
        if first == b"l":
            self.at += 1
            return self._list(depth)
        if first == b"d":
            self.at += 1
            return self._dictionary(depth)
        return self._string()

    def _integer(self, end: bytes, max_digits: int) -> int:
        stop = self._data.find(end, self.at, self.at + max_digits + 2)
        text = self._data[self.at : stop]
        digits = text[1:] if text.startswith(b"-") else text
        if stop < 0 or not digits.isdigit() or len(digits) > max_digits:
            raise _malformed("has a number that is cut off, too long or none")
        if (digits.startswith(b"0") and len(digits) > 1) or text == b"-0":
            raise _malformed("has a number with a needless zero")
        self.at = stop + 1
        return int(text)

    def _string(self) -> bytes:
        length = self._integer(b":", _MAX_LENGTH_DIGITS)
        start = self.at
        self.at += length
        if length < 0 or self.at > len(self._data):
            raise _malformed("has a string that is cut off")
        return self._data[start : self.at]

    def _is_end(self) -> bool:
        if self._data[self.at : self.at + 1] != b"e":
            return False
        self.at += 1
        return True

    def _list(self, depth: int) -> list[Value]:
        items: list[Value] = []
        while not self._is_end():
            items.append(self.value(depth + 1))
        return items

    def _dictionary(self, depth: int) -> dict[bytes, Value]:
        items: dict[bytes, Value] = {}
        while not self._is_end():
            key = self._string()
            if key in items:
                raise _malformed("has a key twice")
            items[key] = self.value(depth + 1)
        return items
