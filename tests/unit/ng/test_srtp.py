"""SDES keys on one side, on both, and through re-INVITEs; each side has keys of its own."""

from __future__ import annotations

import pytest

from tests.unit.ng.fakes import SDP_A, SDP_B, Proxy
from voicemask.ng.plan import Remote
from voicemask.rtp.sdes import CryptoKey, parse_crypto, serialize_crypto

KEY = CryptoKey(4, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
GCM = CryptoKey(5, "AEAD_AES_256_GCM", bytes(44))


def secure(sdp: bytes, *keys: CryptoKey) -> bytes:
    text = "".join(f"a=crypto:{serialize_crypto(key)}\r\n" for key in keys)
    return sdp.replace(b"RTP/AVP", b"RTP/SAVP") + text.encode()


def keys_in(sdp: bytes) -> list[CryptoKey]:
    lines = [line for line in sdp.decode().splitlines() if line.startswith("a=crypto:")]
    return [parse_crypto(line.partition(":")[2]) for line in lines]


def remote(proxy: Proxy, tag: str) -> Remote:
    found = proxy.party(tag).media[0].remote
    assert found is not None
    return found


def test_plain_to_srtp(proxy: Proxy) -> None:
    offered = keys_in(proxy.offer(transport_protocol="RTP/SAVP")["sdp"])
    assert [key.suite for key in offered][:2] == [
        "AES_CM_128_HMAC_SHA1_80",
        "AES_CM_128_HMAC_SHA1_32",
    ]
    assert len({key.key for key in offered}) == len(offered)
    theirs = CryptoKey(offered[1].tag, offered[1].suite, bytes(30))
    back = proxy.answer(secure(SDP_B, theirs), transport_protocol="RTP/AVP")["sdp"]
    assert b"m=audio 30000 RTP/AVP 0 101" in back
    assert not keys_in(back)
    callee = remote(proxy, "1B")
    assert (callee.receive_key, callee.send_key) == (theirs, offered[1])
    assert remote(proxy, "1A").send_key is None


def test_srtp_to_plain(proxy: Proxy) -> None:
    sent = proxy.offer(secure(SDP_A, GCM, KEY), transport_protocol="RTP/AVP")["sdp"]
    assert b"m=audio 30002 RTP/AVP" in sent
    assert not keys_in(sent)
    back = proxy.answer()["sdp"]
    assert b"m=audio 30000 RTP/SAVP" in back
    (ours,) = keys_in(back)
    assert (ours.tag, ours.suite) == (GCM.tag, GCM.suite)
    assert (remote(proxy, "1A").receive_key, remote(proxy, "1A").send_key) == (GCM, ours)
    assert remote(proxy, "1B").receive_key is None


def test_srtp_on_both_sides_shares_no_key(proxy: Proxy) -> None:
    offered = keys_in(proxy.offer(secure(SDP_A, KEY))["sdp"])
    assert KEY.key not in {key.key for key in offered}
    theirs = CryptoKey(1, offered[0].suite, b"\x77" * 30)
    (ours,) = keys_in(proxy.answer(secure(SDP_B, theirs))["sdp"])
    assert ours.key not in {theirs.key, KEY.key, offered[0].key}


def test_keys_are_kept_in_a_reinvite(proxy: Proxy) -> None:
    first = keys_in(proxy.offer(secure(SDP_A, KEY), transport_protocol="RTP/SAVP")["sdp"])
    answer = secure(SDP_B, CryptoKey(1, first[0].suite, bytes(30)))
    back = proxy.answer(answer)["sdp"]
    again = proxy.offer(secure(SDP_A, KEY), to_tag="1B")["sdp"]
    assert keys_in(again) == first
    assert proxy.answer(answer)["sdp"] == back


def test_a_reinvite_keeps_each_sides_protocol(proxy: Proxy) -> None:
    offered = keys_in(proxy.offer(transport_protocol="RTP/SAVP")["sdp"])
    callee = secure(SDP_B, CryptoKey(1, offered[0].suite, bytes(30)))
    proxy.answer(callee)
    sent = proxy.offer(callee, from_tag="1B", to_tag="1A")["sdp"]
    assert b"m=audio 30000 RTP/AVP 0 101" in sent
    back = proxy.answer(SDP_A, from_tag="1B", to_tag="1A")["sdp"]
    assert b"m=audio 30002 RTP/SAVP" in back
    # the key we send with stays: a new one under the old SSRC would begin its counters anew
    assert keys_in(back)[0].key == offered[0].key


def test_suites_can_be_chosen(proxy: Proxy) -> None:
    wishes = {"transport_protocol": "RTP/SAVP", "SDES": ["only-AEAD_AES_256_GCM"]}
    assert [key.suite for key in keys_in(proxy.offer(**wishes)["sdp"])] == ["AEAD_AES_256_GCM"]


@pytest.mark.parametrize(
    "answer",
    [
        SDP_B,
        SDP_B.replace(b"RTP/AVP", b"RTP/SAVP"),
        secure(SDP_B, KEY),
    ],
)
def test_an_answer_without_a_key_we_offered_is_an_error(proxy: Proxy, answer: bytes) -> None:
    proxy.offer(transport_protocol="RTP/SAVP")
    before = proxy.media.plans["c1"]
    assert proxy.answer(answer)["result"] == "error"
    assert proxy.media.plans["c1"] == before


def test_sdes_off_is_an_error_where_srtp_is_asked_for(proxy: Proxy) -> None:
    reply = proxy.offer(transport_protocol="RTP/SAVP", SDES="off")
    assert reply["error-reason"] == "SDES: is off, but RTP/SAVP has no other keys"
    assert not proxy.media.open


@pytest.mark.parametrize(
    "wish", [{"flags": ["WebRTC"]}, {"transport_protocol": "UDP/TLS/RTP/SAVPF"}]
)
def test_dtls_is_refused(proxy: Proxy, wish: dict[str, object]) -> None:
    assert proxy.offer(**wish)["result"] == "error"


def test_no_key_is_in_any_error_or_plan_text(proxy: Proxy) -> None:
    bad = secure(SDP_A, KEY).replace(b"inline:", b"inline:!")
    reply = proxy.offer(bad)
    assert serialize_crypto(KEY)[-20:] not in str(reply)
    proxy.offer(secure(SDP_A, KEY))
    assert repr(KEY.key) not in repr(proxy.media.plans)
