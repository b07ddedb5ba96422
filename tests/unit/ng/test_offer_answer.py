"""Offers and answers as Kamailio sends them: what goes on to the other side, and into the plan."""

from __future__ import annotations

import pytest

from tests.unit.ng.fakes import SDP_A, SDP_B, FakeMedia, Proxy
from voicemask.ng.plan import Learning, Role


def lines(sdp: bytes, start: bytes) -> list[bytes]:
    return [line for line in sdp.split(b"\r\n") if line.startswith(start)]


def test_ping_is_answered_as_rtpengine_answers_it(proxy: Proxy) -> None:
    reply = proxy.server.handle(b"0_6217_1 d7:command4:pinge", "proxy:1", 0.0)
    assert reply == b"0_6217_1 d6:result4:ponge"


def test_an_offer_of_kamailio_5_6_is_relayed(proxy: Proxy, sdp_a: bytes) -> None:
    reply = proxy.ask(
        "offer",
        supports=["load limit"],
        sdp=sdp_a,
        ICE="remove",
        record_call="off",
        replace=["origin", "session-connection"],
        transport_protocol="RTP/AVP",
        received_from=["IP4", "127.0.0.1"],
        from_tag="1A",
    )
    assert reply["sdp"] == sdp_a.replace(b"IP4 10.0.0.1", b"IP4 192.0.2.9").replace(
        b"audio 4000", b"audio 30002"
    )
    remote = proxy.party("1A").media[0].remote
    assert remote is not None
    assert (remote.address, remote.port, remote.received_from) == ("10.0.0.1", 4000, "127.0.0.1")


def test_only_what_must_change_changes(proxy: Proxy, sdp_a: bytes) -> None:
    odd = sdp_a.replace(b"s=-", b"s=\xff  two  spaces") + b"a=x-unknown:\x80 y\r\nb=AS:64"
    sent = proxy.offer(odd)["sdp"]
    assert lines(sent, b"o=") == [b"o=caller 1 1 IN IP4 10.0.0.1"]
    # the address of the session stays, each section gets its own
    assert lines(sent, b"c=") == [b"c=IN IP4 10.0.0.1", b"c=IN IP4 192.0.2.9"]
    expected = odd.replace(b"audio 4000", b"audio 30002")
    assert sent.replace(b"c=IN IP4 192.0.2.9\r\n", b"") == expected


def test_bare_line_feeds_stay(proxy: Proxy, sdp_a: bytes) -> None:
    assert b"\r" not in proxy.offer(sdp_a.replace(b"\r\n", b"\n"))["sdp"]


def test_addresses_of_sections_are_replaced(proxy: Proxy) -> None:
    sdp = (
        b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
        b"i=speech\r\nc=IN IP4 10.0.0.7\r\na=rtcp:4711 IN IP4 10.0.0.8\r\n"
        b"m=video 4002 RTP/AVP 96\r\nc=IN IP4 10.0.0.7\r\na=rtpmap:96 VP8/90000\r\n"
    )
    sent = proxy.offer(sdp)["sdp"]
    assert lines(sent, b"c=") == [b"c=IN IP4 192.0.2.9"] * 2
    assert lines(sent, b"a=rtcp") == [b"a=rtcp:30003 IN IP4 192.0.2.9"]
    assert lines(sent, b"m=") == [b"m=audio 30002 RTP/AVP 0", b"m=video 30006 RTP/AVP 96"]
    kinds = [medium.remote.kind for medium in proxy.party("1A").media if medium.remote]
    assert kinds == ["audio", "video"]
    remote = proxy.party("1A").media[0].remote
    assert remote is not None
    assert remote.rtcp_port == 4711


def test_an_answer_goes_back_with_the_port_facing_the_caller(proxy: Proxy, sdp_b: bytes) -> None:
    proxy.offer()
    reply = proxy.answer(replace=["origin", "session-connection"])
    assert reply["sdp"] == sdp_b.replace(b"IP4 10.0.0.2", b"IP4 192.0.2.9").replace(
        b"audio 5000", b"audio 30000"
    )
    caller, callee = proxy.party("1A"), proxy.party("1B")
    assert caller.media[0].heard_by == (callee.media[0].port,)
    assert callee.media[0].heard_by == (caller.media[0].port,)
    assert (caller.is_caller, callee.is_caller) == (True, False)


def test_early_media_is_heard_before_and_after_the_answer(proxy: Proxy) -> None:
    proxy.offer()
    (callee,) = [party for party in proxy.media.plans["c1"].parties if not party.tag]
    assert callee.media[0].heard_by == (proxy.party("1A").media[0].port,)
    first = proxy.answer()
    plan = proxy.media.plans["c1"]
    assert proxy.answer() == first  # 183, then 200
    assert proxy.media.plans["c1"] == plan


def test_a_reinvite_keeps_the_ports_and_waits_for_its_answer(
    proxy: Proxy, sdp_a: bytes, sdp_b: bytes
) -> None:
    proxy.talk()
    before = proxy.media.plans["c1"]
    moved = sdp_b.replace(b"audio 5000", b"audio 5900")
    reply = proxy.offer(moved, from_tag="1B", to_tag="1A")  # the callee's
    assert lines(reply["sdp"], b"m=") == [b"m=audio 30000 RTP/AVP 0 101"]
    assert proxy.media.plans["c1"] == before, "an offer that is refused changes nothing"
    reply = proxy.answer(sdp_a, from_tag="1B", to_tag="1A")
    assert lines(reply["sdp"], b"m=") == [b"m=audio 30002 RTP/AVP 0 8 101"]
    remote = proxy.party("1B").media[0].remote
    assert remote is not None
    assert remote.port == 5900
    assert len(proxy.media.open) == 2


def test_crossing_offers_do_no_harm(proxy: Proxy, sdp_a: bytes, sdp_b: bytes) -> None:
    proxy.talk()
    before = proxy.media.plans["c1"]
    proxy.offer(sdp_a.replace(b"4000", b"4444"), to_tag="1B")
    proxy.offer(sdp_b.replace(b"5000", b"5555"), from_tag="1B", to_tag="1A")
    assert proxy.media.plans["c1"] == before
    proxy.offer(to_tag="1B")
    proxy.answer()
    assert proxy.media.plans["c1"] == before


@pytest.mark.parametrize("direction", ["sendonly", "inactive", "recvonly"])
def test_hold_passes_through(proxy: Proxy, sdp_a: bytes, sdp_b: bytes, direction: str) -> None:
    proxy.talk()
    held = sdp_a.replace(b"sendrecv", direction.encode())
    assert b"a=" + direction.encode() in proxy.offer(held, to_tag="1B")["sdp"]
    proxy.answer(sdp_b)
    remote = proxy.party("1A").media[0].remote
    assert remote is not None
    assert remote.direction == direction


def test_hold_by_the_zero_address_passes_through(proxy: Proxy, sdp_a: bytes) -> None:
    proxy.talk()
    held = sdp_a.replace(b"c=IN IP4 10.0.0.1", b"c=IN IP4 0.0.0.0")
    wishes = {"to_tag": "1B", "replace": ["origin", "session-connection"]}
    assert lines(proxy.offer(held, **wishes)["sdp"], b"c=") == [b"c=IN IP4 0.0.0.0"]
    proxy.answer()
    remote = proxy.party("1A").media[0].remote
    assert remote is not None
    assert remote.address == "0.0.0.0"
    wishes["replace"] = ["session-connection", "zero-address"]
    assert lines(proxy.offer(held, **wishes)["sdp"], b"c=") == [b"c=IN IP4 192.0.2.9"]


def test_an_offer_in_the_200_is_the_callees(proxy: Proxy, sdp_a: bytes, sdp_b: bytes) -> None:
    # INVITE without SDP: Kamailio gives the offer of the 200 with the tags turned round
    assert proxy.offer(sdp_b, from_tag="1B", to_tag="1A")["result"] == "ok"
    assert proxy.answer(sdp_a, from_tag="1B", to_tag="1A")["result"] == "ok"
    caller, callee = proxy.party("1A"), proxy.party("1B")
    assert (caller.is_caller, callee.is_caller) == (True, False)
    assert caller.media[0].heard_by == (callee.media[0].port,)
    proxy.offer(sdp_a, from_tag="1A", to_tag="1B")
    assert len(proxy.media.open) == 2


def test_a_rejected_section_stays_rejected(proxy: Proxy, sdp_a: bytes, sdp_b: bytes) -> None:
    video = b"m=video %d RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
    proxy.offer(sdp_a + video % 4002)
    reply = proxy.answer(sdp_b + video % 0)
    assert lines(reply["sdp"], b"m=video") == [b"m=video 0 RTP/AVP 96"]
    assert [len(medium.heard_by) for medium in proxy.party("1A").media] == [1, 0]


def test_a_withdrawn_section_closes_its_ports_when_agreed(
    proxy: Proxy, sdp_a: bytes, sdp_b: bytes
) -> None:
    video = b"m=video %d RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
    proxy.offer(sdp_a + video % 4002)
    proxy.answer(sdp_b + video % 5002)
    assert len(proxy.media.open) == 4
    sent = proxy.offer(sdp_a + video % 0, to_tag="1B")["sdp"]
    assert lines(sent, b"m=video") == [b"m=video 0 RTP/AVP 96"]
    assert len(proxy.media.open) == 4
    proxy.answer(sdp_b + video % 0)
    assert len(proxy.media.open) == 2
    proxy.offer(sdp_a + video % 4002, to_tag="1B")
    proxy.answer(sdp_b + video % 5002)
    assert len(proxy.media.open) == 4


def test_ice_and_what_else_goes_round_us_is_removed(proxy: Proxy, sdp_a: bytes) -> None:
    extra = (
        b"a=ice-ufrag:x\r\na=ice-pwd:y\r\na=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\r\n"
        b"a=fingerprint:sha-256 00\r\na=setup:actpass\r\na=zrtp-hash:1.10 ff\r\n"
        b"a=pcfg:1 t=1\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\na=mid:0\r\n"
    )
    session = sdp_a.replace(
        b"t=0 0\r\n", b"t=0 0\r\na=group:BUNDLE 0\r\na=ice-lite\r\nk=prompt\r\n"
    )
    sent = proxy.offer(session + extra)["sdp"]
    assert sent.replace(b"c=IN IP4 192.0.2.9\r\n", b"") == (
        sdp_a.replace(b"audio 4000", b"audio 30002") + b"a=mid:0\r\n"
    )


def test_force_ice_is_ignored_aloud(proxy: Proxy) -> None:
    assert "ICE" in proxy.offer(ICE="force")["warning"]


def test_ipv6_to_ipv4_and_back(proxy: Proxy, sdp_a: bytes) -> None:
    six = sdp_a.replace(b"IP4 10.0.0.1", b"IP6 2001:db8::1")
    replaced = ["origin", "session-connection"]
    sent = proxy.offer(six, address_family="IP4", replace=replaced)["sdp"]
    assert lines(sent, b"c=") == [b"c=IN IP4 192.0.2.9"]
    back = proxy.answer(replace=replaced)["sdp"]
    assert lines(back, b"c=") == [b"c=IN IP6 2001:db8::9"]
    assert lines(back, b"o=") == [b"o=callee 7 7 IN IP6 2001:db8::9"]
    assert [family for family, _, _ in proxy.media.interfaces] == [6, 4]


def test_directions_name_interfaces(proxy: Proxy, media: FakeMedia) -> None:
    proxy.offer(direction=["inside", "outside"])
    assert [name for _, name, _ in media.interfaces] == ["inside", "outside"]


def test_an_unknown_interface_is_an_error_and_leaves_nothing(
    proxy: Proxy, media: FakeMedia
) -> None:
    reply = proxy.offer(direction=["inside", "nowhere"])
    assert reply == {"result": "error", "error-reason": "interface: is unknown"}
    assert not media.open
    assert proxy.ask("query") == {"result": "error", "error-reason": "Unknown call-id"}


@pytest.mark.parametrize("failing", ["apply", "set_policy", "set_trigger"])
def test_an_offer_that_fails_leaves_nothing(proxy: Proxy, media: FakeMedia, failing: str) -> None:
    media.failing = {failing}
    wishes = {"flags": ["block DTMF"], "trigger": "*1", "DTMF-security": "silence"}
    assert proxy.offer(**wishes)["result"] == "error"
    assert not media.open
    assert not media.plans


def test_a_full_node_says_so_in_the_way_the_proxy_knows(proxy: Proxy, media: FakeMedia) -> None:
    media.failing = {"reserve"}
    assert proxy.offer(supports=["load limit"])["result"] == "load limit"
    assert proxy.offer()["result"] == "error"


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({}, Learning.SYMMETRIC),
        ({"flags": ["strict source"]}, Learning.SYMMETRIC),
        ({"flags": ["asymmetric"]}, Learning.STRICT),
        ({"endpoint-learning": "off"}, Learning.STRICT),
        ({"flags": ["port latching", "symmetric"]}, Learning.SYMMETRIC),
    ],
)
def test_flags_say_whose_packets_are_taken(
    proxy: Proxy, wishes: dict[str, object], expected: Learning
) -> None:
    proxy.offer(**wishes)
    remote = proxy.party("1A").media[0].remote
    assert remote is not None
    assert remote.learning is expected


def test_the_signallings_address_can_stand_in_for_the_sdps(proxy: Proxy) -> None:
    proxy.offer(flags=["SIP source address"], received_from=["IP4", "198.51.100.7"])
    remote = proxy.party("1A").media[0].remote
    assert remote is not None
    assert remote.address == "198.51.100.7"


def test_labels_say_who_is_the_customer(proxy: Proxy) -> None:
    proxy.offer(label="Customer")
    proxy.answer(label="agent")
    assert proxy.party("1A").role is Role.CUSTOMER
    assert proxy.party("1B").role is Role.AGENT


def test_codecs_are_stripped_from_the_offer(proxy: Proxy) -> None:
    sent = proxy.offer(codec={"strip": ["PCMA"]})["sdp"]
    assert lines(sent, b"m=") == [b"m=audio 30002 RTP/AVP 0 101"]
    assert b"PCMA" not in sent
    remote = proxy.party("1A").media[0].remote
    assert remote is not None
    assert len(remote.payload_types) == 3


def test_all_codecs_but_some_are_stripped(proxy: Proxy) -> None:
    reply = proxy.offer(flags=["codec-strip-all", "codec-except-PCMA"])
    assert lines(reply["sdp"], b"m=") == [b"m=audio 30002 RTP/AVP 8"]


def test_codecs_are_not_stripped_to_nothing(proxy: Proxy) -> None:
    reply = proxy.offer(codec={"strip": ["PCMA", "PCMU"], "transcode": ["G722"]})
    assert lines(reply["sdp"], b"m=") == [b"m=audio 30002 RTP/AVP 0 8 101"]
    assert "codec-transcode" in reply["warning"]


@pytest.mark.parametrize(
    ("wishes", "asks", "tells", "takes", "grants"),
    [
        ([], True, True, True, True),
        ([], True, True, False, False),
        (["demux"], True, False, False, True),
        (["offer"], False, True, True, False),
        (["require"], False, True, True, False),
        (["accept"], True, True, False, True),
        (["reject"], True, False, False, False),
    ],
)
def test_rtcp_is_multiplexed_as_asked(
    proxy: Proxy, *, wishes: list[str], asks: bool, tells: bool, takes: bool, grants: bool
) -> None:
    mux = b"a=rtcp-mux\r\n"
    sent = proxy.offer(SDP_A + (mux if asks else b""), rtcp_mux=wishes)["sdp"]
    assert (mux in sent) is tells
    back = proxy.answer(SDP_B + (mux if takes else b""))["sdp"]
    assert (mux in back) is grants
    remotes = [proxy.party(tag).media[0].remote for tag in ("1A", "1B")]
    assert [remote.rtcp_mux for remote in remotes if remote] == [grants, takes]


def test_a_retransmission_gets_the_same_reply_and_is_done_once(proxy: Proxy) -> None:
    offer = b"7 d7:command5:offer7:call-id2:c13:sdp%d:%b8:from-tag2:1Ae"
    sdp = b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n"
    datagram = offer % (len(sdp), sdp)
    first = proxy.server.handle(datagram, "proxy:1", 0.0)
    assert proxy.server.handle(datagram, "proxy:1", 29.0) == first
    assert len(proxy.media.open) == 2
    other = proxy.server.handle(b"7 d7:command4:pinge", "proxy:1", 29.0)
    assert other == b"7 d6:result4:ponge", "a proxy that was started again counts anew"


@pytest.mark.parametrize(
    ("sdp", "reason"),
    [
        (b"", "No SDP body in message"),
        (b"hello", "sdp: does not begin with v="),
        (b"v=0\r\n", "sdp: needs between 1 and 16 media sections"),
        (b"v=0\r\nm=audio x RTP/AVP 0\r\n", "sdp: has a media line that cannot be read"),
        (
            b"v=0\r\nc=IN IP4 pbx.example\r\nm=audio 1 RTP/AVP 0\r\n",
            "sdp: names no IP address for media; use addresses, not host names",
        ),
        (
            b"v=0\r\nc=IN IP4 224.0.0.1\r\nm=audio 1 RTP/AVP 0\r\n",
            "sdp: asks for media at a multicast or broadcast address",
        ),
        (
            b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 1 UDP/TLS/RTP/SAVPF 0\r\n",
            "sdp: uses a transport that is not relayed; use RTP/AVP or RTP/SAVP",
        ),
        (
            b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 1 RTP/SAVP 0\r\n",
            "sdp: has no SDES key we can use; offer AES_CM_128_HMAC_SHA1_80",
        ),
    ],
)
def test_what_cannot_be_relayed_is_an_error(proxy: Proxy, sdp: bytes, reason: str) -> None:
    assert proxy.offer(sdp) == {"result": "error", "error-reason": reason}
    assert not proxy.media.open


def test_fax_and_other_kinds_are_relayed_as_they_are(proxy: Proxy, sdp_a: bytes) -> None:
    fax = b"m=image 4004 udptl t38\r\na=T38FaxVersion:0\r\n"
    chat = b"m=message 4006 TCP/MSRP *\r\n"
    reply = proxy.offer(sdp_a + fax + chat, transport_protocol="RTP/AVP")
    assert lines(reply["sdp"], b"m=") == [
        b"m=audio 30002 RTP/AVP 0 8 101",
        b"m=image 30006 udptl t38",
        b"m=message 0 TCP/MSRP *",
    ]
    assert "message" in reply["warning"]


def test_more_sections_than_offered_is_an_error(proxy: Proxy, sdp_b: bytes) -> None:
    proxy.offer()
    reply = proxy.answer(sdp_b + b"m=video 1 RTP/AVP 96\r\n")
    assert reply["error-reason"] == "sdp: has more media sections than the offer"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"call_id": ""}, "No call-id in message"),
        ({"from_tag": ""}, "No from-tag in message"),
        ({"to_tag": ""}, "No to-tag in message"),
        ({"call_id": "other"}, "Unknown call-id"),
        ({"from_tag": "9Z"}, "from-tag: has offered nothing in this call"),
    ],
)
def test_answers_name_a_known_call(proxy: Proxy, fields: dict[str, str], reason: str) -> None:
    proxy.offer()
    assert proxy.answer(**fields)["error-reason"] == reason


def test_a_party_does_not_offer_to_itself(proxy: Proxy) -> None:
    proxy.talk()
    assert proxy.offer(from_tag="1A", to_tag="1A")["result"] == "error"
    assert len(proxy.media.open) == 2
