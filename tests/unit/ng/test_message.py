"""Datagrams: the cookie, both encodings, keys as proxies write them, and bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from voicemask.errors import NgError
from voicemask.ng.bencode import decode, encode
from voicemask.ng.message import MAX_REPLY_BYTES, Request, open_envelope, read_request, write_reply


def read(payload: bytes) -> Request:
    envelope = open_envelope(b"c " + payload)
    assert envelope is not None
    return read_request(envelope)


def of(**fields: Any) -> Request:
    return read(encode(fields))


@pytest.mark.parametrize("datagram", [b"", b"cookie", b"cookie ", b" d", b"\x01 de", b"x" * 999])
def test_who_has_no_cookie_is_not_answered(datagram: bytes) -> None:
    assert open_envelope(datagram) is None


def test_keys_come_with_spaces_hyphens_or_underscores_in_any_case() -> None:
    request = read(encode({"call id": "x", "From_Tag": "y", "DTMF-Security": "z"}))
    assert [request.text(key) for key in ("call-id", "from-tag", "dtmf-security")] == list("xyz")


def test_flags_are_a_set_of_bare_words() -> None:
    assert of(flags=["strict source", "Trust-Address"]).flags == {"strict-source", "trust-address"}
    assert of(flags="symmetric").flags == {"symmetric"}


def test_json_and_bencode_read_alike() -> None:
    fields = {"call-id": "é", "delay-buffer": 60, "replace": ["origin"], "sdp": "v=0\r\n"}
    assert read(json.dumps(fields).encode()) == read(encode(fields))


def test_a_reply_comes_in_the_encoding_of_the_request() -> None:
    for payload, reply in (
        (b'{"command":"ping"}', b'{"result":"pong"}'),
        (b"de", b"d6:result4:ponge"),
    ):
        envelope = open_envelope(b"c " + payload)
        assert envelope is not None
        assert write_reply(envelope, {"result": "pong"}) == b"c " + reply


def test_a_reply_too_long_for_a_datagram_is_an_error() -> None:
    envelope = open_envelope(b"c de")
    assert envelope is not None
    reply = write_reply(envelope, {"sdp": bytes(MAX_REPLY_BYTES)})
    assert decode(reply[2:]) == {
        b"result": b"error",
        b"error-reason": b"the reply is too long for a datagram",
    }


def test_sdp_stays_bytes() -> None:
    assert of(sdp=b"v=0\r\ns=\xff\r\n").body() == b"v=0\r\ns=\xff\r\n"


def test_the_flags_string_is_taken_apart() -> None:
    text = "replace-origin via-branch=x OSRTP=[accept] codec=[transcode=[PCMA PCMU] strip=[EVS]]"
    request = read(encode({"rtpp_flags": text}))
    assert request.flags == {"replace-origin"}
    assert request.texts("via-branch") == ("x",)
    assert request.texts("osrtp") == ("accept",)
    assert request.fields["codec"] == {b"transcode": [b"PCMA", b"PCMU"], b"strip": [b"EVS"]}


@pytest.mark.parametrize(
    "payload",
    [
        b"le",
        b"i1e",
        b"{",
        b'{"a":1.5}',
        b'{"a":NaN}',
        b'{"a":null}',
        b'{"a":"\\ud800"}',
        b'{"a":1,"a":2}',
        b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b"d5:flagsi1ee",
        b"d5:flagsd1:a1:bee",
        b"d1:\xff1:xe",
        b"d10:rtpp-flagsi1ee",
        b"d10:rtpp-flags100:" + b"a=[" * 33 + b" e",
    ],
)
def test_what_is_no_request_is_refused(payload: bytes) -> None:
    with pytest.raises(NgError):
        read(payload)


def test_brackets_in_strings_nest_nothing() -> None:
    assert read(b'{"a":"' + b"[" * 100 + b'\\""}').text("a") == "[" * 100 + '"'


def test_names_hold_no_control_characters() -> None:
    for value in (b"a\nb", b"\x7f", b"\xff", b"x" * 600):
        with pytest.raises(NgError):
            of(**{"call-id": value}).text("call-id")


def test_numbers_come_as_text_too() -> None:
    assert of(n="60").integer("n") == of(n=60).integer("n") == 60
    assert of().integer("n") is None
    for value in ("6x", "", [1]):
        with pytest.raises(NgError):
            of(n=value).integer("n")


def test_values_of_the_wrong_kind_are_refused() -> None:
    request = of(a=["x"], b={"x": "y"})
    with pytest.raises(NgError):
        request.text("a")
    with pytest.raises(NgError):
        request.texts("b")
    with pytest.raises(NgError):
        of(sdp=["v=0"]).body()
