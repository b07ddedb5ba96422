"""SDES keys: the ``a=crypto`` attribute of SDP (RFC 4568), which nothing prints.

References
----------
RFC 4568 section 9 (grammar), 6.2 (suites); RFC 6188 (AES-192, AES-256); RFC 7714 (AES-GCM).
"""

from __future__ import annotations

from dataclasses import dataclass


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
