"""SDES keys: the ``a=crypto`` attribute of SDP (RFC 4568), which nothing prints.

A line is either understood whole or not used: a peer that wants a master key index, several keys,
or streams without encryption or authentication would not understand our packets, nor we its.

References
----------
RFC 4568 section 9 (grammar), 6.2 (suites), 6.3 (session parameters); RFC 6188 (AES-192, AES-256);
RFC 7714 section 14.2 (AES-GCM).
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from voicemask.errors import SdpError

KEY_BYTES: Final[Mapping[str, int]] = {
    "AES_CM_128_HMAC_SHA1_80": 16 + 14,
    "AES_CM_128_HMAC_SHA1_32": 16 + 14,
    "AES_256_CM_HMAC_SHA1_80": 32 + 14,
    "AES_256_CM_HMAC_SHA1_32": 32 + 14,
    "AEAD_AES_128_GCM": 16 + 12,
    "AEAD_AES_256_GCM": 32 + 12,
}
"""Bytes of master key and salt together."""
_CURE: Final = "offer one inline key of a common suite, without MKI"
_MAX_TAG: Final = 999_999_999


@dataclass(frozen=True, slots=True)
class CryptoKey:
    """One ``a=crypto`` line.

    Parameters
    ----------
    tag : number that an answer repeats.
    suite : name of the crypto suite.
    key : master key and salt, not printed.
    """

    tag: int
    suite: str
    key: bytes

    def __repr__(self) -> str:
        return f"CryptoKey(tag={self.tag}, suite={self.suite!r}, key=*)"


def parse_crypto(value: str) -> CryptoKey:
    """Read what follows ``a=crypto:``.

    Raises
    ------
    SdpError
        The line is malformed, or asks for a suite or parameter we do not have. The message never
        holds any of it.
    """
    words = value.split()
    if len(words) < 3 or not (words[0].isascii() and words[0].isdecimal() and len(words[0]) <= 9):
        raise SdpError("a=crypto", "has no tag, suite and key", _CURE)
    suite = words[1].upper()
    if suite not in KEY_BYTES:
        raise SdpError("a=crypto", "names an unknown suite", _CURE)
    if any(not word.upper().startswith("WSH=") for word in words[3:]):
        raise SdpError("a=crypto", "has a session parameter we do not support", _CURE)
    return CryptoKey(int(words[0]), suite, _read_inline(words[2], KEY_BYTES[suite]))


def serialize_crypto(key: CryptoKey) -> str:
    """Write what follows ``a=crypto:``; the base64 has no padding (RFC 4568 section 6.1)."""
    return f"{key.tag} {key.suite} inline:{b64encode(key.key).decode('ascii').rstrip('=')}"


def generate_crypto(tag: int, suite: str, random: Callable[[int], bytes]) -> CryptoKey:
    """Make a key from `random`, which gives as many unpredictable bytes as it is asked for.

    Raises
    ------
    SdpError
        The suite is unknown, or the tag is not one of RFC 4568.
    """
    if suite not in KEY_BYTES or not 0 <= tag <= _MAX_TAG:
        raise SdpError("a=crypto", "is asked for with an unknown suite or tag", _CURE)
    return CryptoKey(tag, suite, random(KEY_BYTES[suite]))


def _read_inline(word: str, n_bytes: int) -> bytes:
    method, _, rest = word.partition(":")
    text, *options = rest.split("|")
    if method.lower() != "inline" or ";" in rest or any(":" in option for option in options):
        raise SdpError("a=crypto", "holds more than one inline key, or a key index", _CURE)
    try:
        key = b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SdpError("a=crypto", "holds a key that is not base64", _CURE) from None
    if len(key) != n_bytes:
        raise SdpError("a=crypto", "holds a key of the wrong length", _CURE)
    return key
