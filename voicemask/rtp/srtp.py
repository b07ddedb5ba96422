"""SRTP and SRTCP under an SDES key: bytes in, bytes out, through libsrtp.

A context serves one direction of one party: the key of an ``a=crypto`` line belongs to who sends
with it. It takes any SSRC, follows each one's rollover counter, and refuses a packet twice, in both
directions: a sequence number that is encrypted twice under one key would tell both payloads. A new
key is a new context.

A sender that jumps back by more than the window under one SSRC is refused until it is past its old
place again: so RFC 3711 has it, and a receiver would drop the packets as well. Who relays plain RTP
into SRTP gives such a stream a new SSRC.

Not for threads: libsrtp's call lets the interpreter go on, and the buffer is the session's own.

References
----------
RFC 3711 (SRTP), 3.3.1 (rollover counter), 3.3.2 (replay); RFC 4568 section 6.2, RFC 7714 section
14.2 (suites and their key lengths).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import pylibsrtp

from voicemask.errors import SrtpError
from voicemask.rtp.packet import HEADER_BYTES, VERSION
from voicemask.rtp.sdes import CryptoKey

_PROFILES: Final[Mapping[str, tuple[int, int]]] = {
    "AES_CM_128_HMAC_SHA1_80": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16 + 14),
    "AES_CM_128_HMAC_SHA1_32": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16 + 14),
    "AEAD_AES_128_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12),
    "AEAD_AES_256_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32 + 12),
}
"""Profile of libsrtp, and bytes of master key and salt. libsrtp has AES_256_CM (RFC 6188) too, its
Python binding has not."""
SUITES: Final = tuple(_PROFILES)
"""Suites that work, the one every peer has to know first."""
MAX_BYTES: Final = 1352
"""Longest packet to protect: the binding's buffer of 1500 bytes, less what it keeps for the tag."""

_WINDOW_PACKETS: Final = 1024
"""Of the replay check: 20 s of 20 ms packets. RFC 3711 asks for 64 at least."""
_MAX_SSRCS: Final = 256
"""Streams of one context: a party that changes its SSRC in each packet must not fill the memory."""
_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "authentication failure": ("fails its authentication", "check the a=crypto lines of both ends"),
    "replay check failed (bad index)": ("was there before", ""),
    "replay check failed (index too old)": ("is older than the replay window", ""),
    "can't use key any more": ("the key is used up", "offer a new key"),
}


class _Kind(NamedTuple):
    name: str
    n_header: int
    ssrc_at: int


_RTP: Final = _Kind("RTP packet", HEADER_BYTES, 8)
_SRTP: Final = _Kind("SRTP packet", HEADER_BYTES, 8)
_RTCP: Final = _Kind("RTCP packet", 8, 4)
_SRTCP: Final = _Kind("SRTCP packet", 8, 4)


def key_length(suite: str) -> int:
    """Give the bytes of master key and salt together.

    Raises
    ------
    SrtpError
        The suite is not supported.
    """
    return _profile(suite)[1]


def _profile(suite: str) -> tuple[int, int]:
    try:
        return _PROFILES[suite]
    except KeyError:
        cure = f"offer one of {', '.join(SUITES)}"
        raise SrtpError("SDES key", "its crypto suite is not supported", cure) from None


class SrtpContext:
    """What one party's packets are protected with, or opened with.

    Parameters
    ----------
    key : of the ``a=crypto`` line.

    Raises
    ------
    SrtpError
        The suite is not supported, or the key has not its length.
    """

    __slots__ = ("_inbound", "_key", "_outbound", "_ssrcs")

    def __init__(self, key: CryptoKey) -> None:
        if len(key.key) != key_length(key.suite):
            reason = f"{key.suite} takes {key_length(key.suite)} bytes of key and salt"
            raise SrtpError("SDES key", reason, "check the inline: part of the a=crypto line")
        self._key = key
        self._inbound: pylibsrtp.Session | None = None
        self._outbound: pylibsrtp.Session | None = None
        self._ssrcs: set[bytes] = set()

    def protect(self, packet: bytes) -> bytes:
        """Encrypt an RTP packet.

        Raises
        ------
        SrtpError
            It is no RTP packet, its sequence number was sent before or is too old, or it is too
            long.
        """
        return self._run(self._sender().protect, packet, _RTP)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt a compound RTCP packet; raises SrtpError as `protect` does."""
        return self._run(self._sender().protect_rtcp, packet, _RTCP)

    def unprotect(self, packet: bytes) -> bytes:
        """Open an SRTP packet.

        Raises
        ------
        SrtpError
            It fails its authentication, was there before, is too old, or is no SRTP packet.
        """
        return self._run(self._receiver().unprotect, packet, _SRTP)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Open an SRTCP packet; raises SrtpError as `unprotect` does."""
        return self._run(self._receiver().unprotect_rtcp, packet, _SRTCP)

    def _run(self, function: Callable[[bytes], bytes], packet: bytes, kind: _Kind) -> bytes:
        if len(packet) < kind.n_header or packet[0] >> 6 != VERSION:
            raise SrtpError(kind.name, "shorter than its header, or not version 2")
        ssrc = bytes(packet[kind.ssrc_at : kind.ssrc_at + 4])
        known = ssrc in self._ssrcs
        if not known and len(self._ssrcs) >= _MAX_SSRCS:
            raise SrtpError(kind.name, "its sender had too many SSRCs", "offer a new key")
        result = _call(function, packet, kind.name)
        if not known:
            self._ssrcs.add(ssrc)
        return result

    def _sender(self) -> pylibsrtp.Session:
        if self._outbound is None:
            self._outbound = _open(self._key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        return self._outbound

    def _receiver(self) -> pylibsrtp.Session:
        if self._inbound is None:
            self._inbound = _open(self._key, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        return self._inbound


def _open(key: CryptoKey, ssrc_type: int) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(key=key.key, ssrc_type=ssrc_type, srtp_profile=_profile(key.suite)[0])
    policy.window_size = _WINDOW_PACKETS
    policy.allow_repeat_tx = False
    return pylibsrtp.Session(policy)


def _call(function: Callable[[bytes], bytes], packet: bytes, subject: str) -> bytes:
    try:
        return function(packet if isinstance(packet, bytes) else bytes(packet))
    except pylibsrtp.Error as error:
        reason, cure = _REASONS.get(str(error), ("cannot be taken apart", ""))
        raise SrtpError(subject, reason, cure) from None
    except ValueError:
        raise SrtpError(subject, "longer than a packet of a call") from None
