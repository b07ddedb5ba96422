"""NG over TCP: messages cut out of a stream. Bencode and JSON both say where they end.

The place is kept between reads, so a message that comes byte by byte is read over once.
"""

from __future__ import annotations

from typing import Final

from voicemask.errors import NgError
from voicemask.ng.bencode import MAX_BYTES, MAX_DEPTH
from voicemask.ng.message import MAX_COOKIE_BYTES

MAX_MESSAGE_BYTES: Final = MAX_COOKIE_BYTES + 1 + MAX_BYTES
_BLANK: Final = b" \r\n\t\0"
_MAX_DIGITS: Final = 20


class NgFeed:
    """Takes the bytes of one connection."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._start_over()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, give the messages that are whole.

        Raises
        ------
        NgError
            The stream is not NG; nothing more can be made of it.
        """
        self._data += data
        messages: list[bytes] = []
        while self._find_end():
            messages.append(bytes(self._data[: self._at]))
            del self._data[: self._at]
            self._start_over()
        if len(self._data) > MAX_MESSAGE_BYTES:
            raise NgError("stream", "has a message longer than 65535 bytes")
        return messages

    def _start_over(self) -> None:
        self._at = 0
        self._depth = 0
        self._in_payload = False
        self._is_json = False
        self._in_string = False

    def _find_end(self) -> bool:
        if not self._in_payload and not self._find_payload():
            return False
        return self._end_of_json() if self._is_json else self._end_of_bencode()

    def _find_payload(self) -> bool:
        stripped = self._data.lstrip(_BLANK)
        if len(stripped) != len(self._data):
            self._data = stripped
        space = self._data.find(b" ", 0, MAX_COOKIE_BYTES + 1)
        if space < 0 or space + 1 == len(self._data):
            if len(self._data) > MAX_COOKIE_BYTES + 1:
                raise NgError("stream", "has no cookie")
            return False
        if self._data[space + 1] not in b"d{":
            raise NgError("stream", "has a message that is no dictionary")
        self._at = space + 1
        self._in_payload = True
        self._is_json = self._data[self._at] == ord("{")
        return True

    def _end_of_json(self) -> bool:
        data = self._data
        while self._at < len(data):
            byte = data[self._at]
            if self._in_string and byte == ord("\\"):
                if self._at + 1 == len(data):
                    return False
                self._at += 1
            elif byte == ord('"'):
                self._in_string = not self._in_string
            elif not self._in_string and byte in b"{[":
                self._depth += 1
            elif not self._in_string and byte in b"}]":
                self._depth -= 1
            self._at += 1
            if self._depth == 0:
                return True
        return False

    def _end_of_bencode(self) -> bool:
        data = self._data
        while self._at < len(data):
            byte = bytes(data[self._at : self._at + 1])
            if byte in {b"d", b"l"}:
                self._depth += 1
                self._at += 1
            elif byte == b"e":
                self._depth -= 1
                self._at += 1
            elif not self._skip_scalar(byte):
                return False
            if self._depth == 0:
                return True
            if self._depth > MAX_DEPTH:
                raise NgError("stream", "is nested too deep")
        return False

    def _skip_scalar(self, first: bytes) -> bool:
        """Go past an integer or a string; False where it is not all there."""
        data = self._data
        end = data.find(b"e" if first == b"i" else b":", self._at, self._at + _MAX_DIGITS + 2)
        if end < 0:
            if len(data) - self._at > _MAX_DIGITS + 1:
                raise NgError("stream", "is not bencode")
            return False
        if first == b"i":
            self._at = end + 1
            return True
        digits = bytes(data[self._at : end])
        if not digits.isdigit() or int(digits) > MAX_BYTES:
            raise NgError("stream", "is not bencode")
        if end + 1 + int(digits) > len(data):
            return False
        self._at = end + 1 + int(digits)
        return True
