"""Bencode: what is read, what is refused."""

from __future__ import annotations

import pytest

from voicemask.errors import NgError
from voicemask.ng.bencode import MAX_DEPTH, decode, encode


def test_values_are_read() -> None:
    assert decode(b"d1:ai-7e1:bl0:3:a:bi0eee") == {b"a": -7, b"b": [b"", b"a:b", 0]}


def test_keys_need_no_order() -> None:
    assert decode(b"d1:b1:x1:a1:ye") == {b"b": b"x", b"a": b"y"}


def test_keys_are_written_in_order() -> None:
    assert encode({"result": "ok", "n": [1, b"x", {"é": True}]}) == (
        b"d1:nli1e1:xd2:\xc3\xa9i1eee6:result2:oke"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"d",
        b"d1:a",
        b"d1:a1:xe ",
        b"i01e",
        b"i-0e",
        b"ie",
        b"i--1e",
        b"i1",
        b"i99999999999999999999e",
        b"01:a",
        b"-1:a",
        b"3:ab",
        b"999999:a",
        b"d1:a1:x1:a1:ye",
        b"di1e1:xe",
        b"x",
        b"l" * (MAX_DEPTH + 2) + b"e" * (MAX_DEPTH + 2),
        b"l" + b"0:" * 5000 + b"e",
        b"65536:" + bytes(65536),
    ],
)
def test_what_breaks_the_format_is_refused(data: bytes) -> None:
    with pytest.raises(NgError):
        decode(data)


def test_what_bencode_does_not_have_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError):
        encode(1.5)
