"""a=crypto: what is understood, what is refused, and what never prints."""

from __future__ import annotations

import pytest

from voicemask.errors import SdpError
from voicemask.rtp.sdes import KEY_BYTES, CryptoKey, generate_crypto, parse_crypto, serialize_crypto

RFC_4568 = "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


def test_the_key_of_rfc_4568_is_read_and_written() -> None:
    key = parse_crypto(RFC_4568)
    assert (key.tag, key.suite) == (1, "AES_CM_128_HMAC_SHA1_80")
    assert key.key == b"wDfvg&T+)xG7@fb5jU,RaA}\\|p0%*#"
    assert serialize_crypto(key) == RFC_4568


def test_lifetime_padding_and_window_hint_are_taken() -> None:
    key = parse_crypto("7 aead_aes_128_gcm inline:" + "A" * 38 + "==|2^31 WSH=128")
    assert (key.tag, key.suite, key.key) == (7, "AEAD_AES_128_GCM", bytes(28))


@pytest.mark.parametrize("suite", KEY_BYTES)
def test_a_made_key_survives_its_line(suite: str) -> None:
    key = generate_crypto(3, suite, lambda n_bytes: bytes(range(n_bytes)))
    assert len(key.key) == KEY_BYTES[suite]
    assert parse_crypto(serialize_crypto(key)) == key


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1 AES_CM_128_HMAC_SHA1_80",
        "x AES_CM_128_HMAC_SHA1_80 inline:AAAA",
        "1 F8_128_HMAC_SHA1_80 inline:AAAA",
        RFC_4568[:-4],
        RFC_4568 + "!",
        RFC_4568 + "|1:4",
        RFC_4568 + ";inline:" + "A" * 40,
        RFC_4568 + " UNENCRYPTED_SRTP",
        RFC_4568.replace("inline", "uri"),
    ],
)
def test_what_we_could_not_speak_is_refused_and_not_told(value: str) -> None:
    with pytest.raises(SdpError) as refusal:
        parse_crypto(value)
    assert "d0Rm" not in str(refusal.value)


def test_a_key_does_not_print() -> None:
    assert "secret" not in repr(CryptoKey(1, "AEAD_AES_128_GCM", b"secret"))


def test_a_key_of_an_unknown_suite_is_not_made() -> None:
    with pytest.raises(SdpError):
        generate_crypto(1, "NULL", bytes)
