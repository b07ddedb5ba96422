"""SRTP contexts: against vectors of RFC 3711 B.3, HMAC of the standard library, and each other."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest

from voicemask.errors import SrtpError
from voicemask.rtp.sdes import CryptoKey
from voicemask.rtp.srtp import MAX_BYTES, SUITES, SrtpContext, key_length

B3_MASTER = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6")
B3_AUTH_KEY = bytes.fromhex("cebe321f6ff7716b6fd4ab49af256a156d38baa4")
"""RFC 3711 B.3: master key and salt, and the authentication key derived from them."""
DRIVER_PACKET = bytes.fromhex("800f1234decafbadcafebabe" + "ab" * 16)
DRIVER_SRTP = bytes.fromhex(
    "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
)
"""The packet libsrtp's own srtp_driver.c protects with that key."""


def master(suite: str, seed: int = 1) -> CryptoKey:
    return CryptoKey(1, suite, hashlib.shake_128(bytes([seed])).digest(key_length(suite)))


def rtp(sequence: int, ssrc: int = 7, payload: bytes = b"\xd5" * 160) -> bytes:
    return struct.pack("!BBHII", 0x80, 8, sequence % 65536, sequence * 160, ssrc) + payload


def rtcp(ssrc: int = 7) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def tag(protected: bytes, rollovers: int) -> bytes:
    signed = protected[:-10] + struct.pack("!I", rollovers)
    return hmac.new(B3_AUTH_KEY, signed, hashlib.sha1).digest()[:10]


@pytest.fixture(params=SUITES)
def pair(request: pytest.FixtureRequest) -> tuple[SrtpContext, SrtpContext]:
    key = master(request.param)
    return SrtpContext(key), SrtpContext(key)


def test_the_vector_of_the_rfcs_key() -> None:
    key = CryptoKey(1, "AES_CM_128_HMAC_SHA1_80", B3_MASTER)
    assert SrtpContext(key).protect(DRIVER_PACKET) == DRIVER_SRTP
    assert SrtpContext(key).unprotect(DRIVER_SRTP) == DRIVER_PACKET


def test_the_rollover_counter_is_in_the_tag_after_a_wrap() -> None:
    context = SrtpContext(CryptoKey(1, "AES_CM_128_HMAC_SHA1_80", B3_MASTER))
    last, first = context.protect(rtp(65535)), context.protect(rtp(65536))
    assert last[-10:] == tag(last, 0)
    assert first[-10:] == tag(first, 1)


def test_packets_come_back_and_are_not_in_the_clear(
    pair: tuple[SrtpContext, SrtpContext],
) -> None:
    sender, receiver = pair
    for sequence in (65533, 65534, 65535, 65536, 65540, 65538, 66000):
        protected = sender.protect(rtp(sequence))
        assert protected[:12] == rtp(sequence)[:12]
        assert b"\xd5\xd5" not in protected
        assert receiver.unprotect(protected) == rtp(sequence)


def test_a_wrap_inside_a_loss_is_survived(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    protected = {n: sender.protect(rtp(n)) for n in range(65500, 65600)}
    for n in (65500, 65599, 65534, 65537):
        assert receiver.unprotect(protected[n]) == rtp(n)


def test_rtcp_comes_back(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    for _ in range(3):
        assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp())) == rtcp()


def test_a_changed_ssrc_is_a_stream_of_its_own(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    for ssrc, sequence in ((1, 50000), (2, 3), (1, 50001), (3, 65535)):
        packet = rtp(sequence, ssrc)
        assert receiver.unprotect(sender.protect(packet)) == packet


def test_a_packet_is_taken_once(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    protected = sender.protect(rtp(1))
    receiver.unprotect(protected)
    with pytest.raises(SrtpError, match="was there before"):
        receiver.unprotect(protected)


def test_a_packet_is_sent_once_whatever_it_holds(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, _ = pair
    sender.protect(rtp(1))
    with pytest.raises(SrtpError, match="was there before"):
        sender.protect(rtp(1, payload=b"other"))
    sender.protect(rtp(5000))
    with pytest.raises(SrtpError, match="older than the replay window"):
        sender.protect(rtp(3))


def test_rtcp_is_taken_once(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    protected = sender.protect_rtcp(rtcp())
    receiver.unprotect_rtcp(protected)
    with pytest.raises(SrtpError, match="was there before"):
        receiver.unprotect_rtcp(protected)


def test_a_flipped_bit_anywhere_is_refused_and_harms_nothing(
    pair: tuple[SrtpContext, SrtpContext],
) -> None:
    sender, receiver = pair
    protected = sender.protect(rtp(1))
    for at in range(len(protected)):
        broken = bytearray(protected)
        broken[at] ^= 1
        with pytest.raises(SrtpError):
            receiver.unprotect(bytes(broken))
    assert receiver.unprotect(protected) == rtp(1)


def test_another_key_does_not_open(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, _ = pair
    protected = sender.protect(rtp(1))
    for suite in SUITES:
        with pytest.raises(SrtpError, match="authentication"):
            SrtpContext(master(suite, 2)).unprotect(protected)


@pytest.mark.parametrize("packet", [b"", b"\x80", rtp(1)[:7], b"\x00" * 40, b"\x80" * 5])
def test_what_is_no_packet_is_refused(pair: tuple[SrtpContext, SrtpContext], packet: bytes) -> None:
    for context in pair:
        for method in (
            context.protect,
            context.unprotect,
            context.protect_rtcp,
            context.unprotect_rtcp,
        ):
            with pytest.raises(SrtpError):
                method(packet)


def test_header_lengths_that_lie_are_refused(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    for packet in (b"\x8f" + rtp(1)[1:20], b"\x90" + rtp(1)[1:12], b"\x90" + rtp(1)[1:14]):
        with pytest.raises(SrtpError):
            sender.protect(packet)
        with pytest.raises(SrtpError):
            receiver.unprotect(packet)


def test_the_longest_packet_goes_through_and_a_longer_one_does_not(
    pair: tuple[SrtpContext, SrtpContext],
) -> None:
    sender, receiver = pair
    longest = rtp(1, payload=bytes(MAX_BYTES - 12))
    assert receiver.unprotect(sender.protect(longest)) == longest
    with pytest.raises(SrtpError, match="longer"):
        sender.protect(rtp(2, payload=bytes(1500)))
    with pytest.raises(SrtpError, match="longer"):
        receiver.unprotect(rtp(2, payload=bytes(9000)))


def test_a_sender_of_endless_ssrcs_is_stopped(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    for ssrc in range(256):
        receiver.unprotect(sender.protect(rtp(1, ssrc)))
    for context in pair:
        with pytest.raises(SrtpError, match="SSRCs"):
            context.protect(rtp(1, 256))
    assert receiver.unprotect(sender.protect(rtp(2, 255))) == rtp(2, 255)


def test_buffers_are_taken_as_bytes_are(pair: tuple[SrtpContext, SrtpContext]) -> None:
    sender, receiver = pair
    protected = sender.protect(memoryview(rtp(1)))  # type: ignore[arg-type]
    assert receiver.unprotect(bytearray(protected)) == rtp(1)  # type: ignore[arg-type]


def test_an_unknown_suite_names_the_known() -> None:
    with pytest.raises(SrtpError, match=r"AES_CM_128_HMAC_SHA1_80, .*AEAD_AES_256_GCM"):
        SrtpContext(CryptoKey(1, "F8_128_HMAC_SHA1_80", bytes(30)))


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_key_of_another_length_is_refused_and_not_told(suite: str, change: int) -> None:
    secret = b"K" * (key_length(suite) + change)
    with pytest.raises(SrtpError, match=f"takes {key_length(suite)} bytes") as caught:
        SrtpContext(CryptoKey(1, suite, secret))
    assert "KK" not in str(caught.value) + repr(caught.value)


def test_errors_hold_no_payload(pair: tuple[SrtpContext, SrtpContext]) -> None:
    _, receiver = pair
    with pytest.raises(SrtpError) as caught:
        receiver.unprotect(rtp(1, payload=b"4111111111111111" * 4))
    assert caught.value.__cause__ is None
    assert "4111" not in repr(caught.value)
