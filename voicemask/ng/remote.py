"""What a party's media section asks of us: address, ports, keys; and the keys we ask it to take.

References
----------
RFC 4568 sections 5.1 (offer and answer of keys), 7.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from typing import Final

from voicemask.errors import NgError, SdpError
from voicemask.ng.description import Section
from voicemask.ng.dialog import Medium
from voicemask.ng.flags import Options
from voicemask.ng.plan import Learning, Remote
from voicemask.rtp.sdes import CryptoKey, generate_crypto, parse_crypto
from voicemask.rtp.sdp import MediaSection
from voicemask.rtp.srtp import SUITES

_BROADCAST: Final = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all calls.

    Parameters
    ----------
    random : gives as many unpredictable bytes as it is asked for: keys and tags.
    learning : where a request does not say.
    suites : offered, the preferred one first.
    """

    random: Callable[[int], bytes]
    learning: Learning = Learning.SYMMETRIC
    suites: tuple[str, ...] = SUITES


class RemoteReader:
    """Reads the sections of one description; what it had to leave out is in `warnings`."""

    def __init__(self, options: Options, terms: Terms) -> None:
        self._options = options
        self._terms = terms
        self.warnings: list[str] = []

    def offered(self, section: Section, known: CryptoKey | None) -> Remote | None:
        """Read a section that is offered to us, choosing keys where it is SRTP.

        Parameters
        ----------
        known : key we send to the party with, kept where the suite is the same.

        Raises
        ------
        SdpError
            It is audio that cannot be relayed; other kinds give None.
        """
        if not section.media.encrypted:
            return self._remote(section)
        key = self._key_of(section, lambda _: True)
        if key is None:
            self.unusable(section, "has no SDES key we can use", "offer AES_CM_128_HMAC_SHA1_80")
            return None
        if known is not None and known.suite == key.suite:
            return self._remote(section, key, replace(known, tag=key.tag))
        ours = generate_crypto(key.tag, key.suite, self._terms.random)
        return self._remote(section, key, ours)

    def answered(self, section: Section, medium: Medium) -> Remote | None:
        """Read the answer to a section that we offered; errors as in `offered`."""
        if section.media.encrypted != ("SAVP" in medium.protocol) or not section.can_pass:
            self.unusable(section, f"does not answer {medium.protocol}, as it was offered")
            return None
        receive = send = None
        if section.media.encrypted:
            ours = {(key.tag, key.suite): key for key in medium.ours}
            receive = self._key_of(section, lambda key: (key.tag, key.suite) in ours)
            if receive is None:
                self.unusable(section, "has no SDES key of those that were offered")
                return None
            send = ours[receive.tag, receive.suite]
        shares = medium.port.rtp_port == medium.port.rtcp_port
        mux = shares or (section.media.rtcp_mux and medium.mux_told)
        return with_mux(self._remote(section, receive, send), mux)

    def unusable(self, section: Section, reason: str, cure: str = "") -> None:
        """Refuse a description whose audio cannot be used; other sections can be left out."""
        if section.media.kind == "audio":
            raise SdpError("sdp", reason, cure)
        self.warnings.append(f"{section.media.kind}: {reason}")

    def _remote(
        self, section: Section, receive: CryptoKey | None = None, send: CryptoKey | None = None
    ) -> Remote:
        media = section.media
        return Remote(
            address=self._address(media),
            port=media.port,
            rtcp_port=media.rtcp_port,
            kind=media.kind,
            protocol=section.protocol,
            payload_types=media.payload_types,
            ptime_ms=media.ptime_ms,
            direction=media.direction,
            receive_key=receive,
            send_key=send,
            received_from=self._options.received_from,
            learning=self._options.learning or self._terms.learning,
        )

    def _address(self, media: MediaSection) -> str:
        for text in (self._options.media_address, media.address, self._options.received_from):
            try:
                address = ip_address(text)
            except ValueError:
                continue
            if address.is_multicast or address == _BROADCAST:
                raise SdpError("sdp", "asks for media at a multicast or broadcast address")
            return text
        raise SdpError("sdp", "names no IP address for media", "use addresses, not host names")

    def _key_of(self, section: Section, matches: Callable[[CryptoKey], bool]) -> CryptoKey | None:
        for value in section.media.crypto:
            try:
                key = parse_crypto(value)
            except SdpError:
                continue  # a suite or parameter of which the peer offers others
            if key.suite in self._terms.suites and matches(key):
                return key
        return None


def our_keys(
    options: Options, terms: Terms, known: tuple[CryptoKey, ...] = ()
) -> tuple[CryptoKey, ...]:
    """Make the keys to offer a party, one for each suite; those it knows stay.

    Raises
    ------
    NgError
        The request allows none.
    """
    wishes = {wish.upper() for wish in options.sdes}
    only = {wish[5:] for wish in wishes if wish.startswith("ONLY-")}
    refused = {wish[3:] for wish in wishes if wish.startswith("NO-")}
    names = {suite.replace("_", "-"): suite for suite in terms.suites}
    allowed = [names[name] for name in names if (not only or name in only) and name not in refused]
    if wishes & {"OFF", "NO", "DISABLE"} or not allowed:
        raise NgError("SDES", "is off, but RTP/SAVP has no other keys")
    if known:
        return known
    return tuple(
        generate_crypto(tag, suite, terms.random) for tag, suite in enumerate(allowed, start=1)
    )


def with_mux(remote: Remote, mux: bool) -> Remote:
    """Say whether RTP and RTCP share the party's port."""
    return replace(remote, rtcp_mux=mux, rtcp_port=remote.port if mux else remote.rtcp_port)
