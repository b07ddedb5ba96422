"""Subscriptions: what a recorder is offered, and what is taken for an answer."""

from __future__ import annotations

import pytest

from tests.unit.ng.fakes import FakeMedia, Proxy
from voicemask.ng.plan import ForkKind
from voicemask.rtp.sdes import parse_crypto, serialize_crypto

ANSWER = (
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.3\r\ns=-\r\nc=IN IP4 10.0.0.3\r\nt=0 0\r\n"
    b"m=audio 7000 RTP/AVP 0\r\na=recvonly\r\nm=audio 7002 RTP/AVP 0\r\na=recvonly\r\n"
)


@pytest.fixture
def call(proxy: Proxy) -> Proxy:
    proxy.talk()
    return proxy


def test_a_recorder_is_offered_a_section_for_each_party(call: Proxy, media: FakeMedia) -> None:
    reply = call.ask("subscribe request", flags=["all"])
    assert reply["from-tags"] == ["1A", "1B"]
    assert reply["sdp"].split(b"\r\n")[4:9] == [
        b"m=audio 30004 RTP/AVP 0",
        b"c=IN IP4 192.0.2.9",
        b"a=rtpmap:0 PCMU/8000",
        b"a=ptime:20",
        b"a=sendonly",
    ]
    fork = media.forks["c1", reply["to-tag"]]
    assert fork.kind is ForkKind.RECORDER
    assert fork.sources == tuple(call.party(tag).media[0].port for tag in ("1A", "1B"))
    assert [medium.remote for medium in fork.media] == [None, None]


def test_its_answer_completes_the_subscription(call: Proxy, media: FakeMedia) -> None:
    tag = call.ask("subscribe request", to_tag="siprec")["to-tag"]
    assert tag == "siprec"
    assert call.ask("subscribe answer", to_tag=tag, sdp=ANSWER) == {"result": "ok"}
    remotes = [medium.remote for medium in media.forks["c1", tag].media]
    assert [remote.port for remote in remotes if remote] == [7000, 7002]
    assert call.ask("unsubscribe", to_tag=tag) == {"result": "ok"}
    assert len(media.open) == 2


def test_a_siprec_client_is_told_whose_section_is_whose(call: Proxy) -> None:
    call.answer(label="agent")
    reply = call.ask("subscribe request", flags=["all", "siprec"])
    assert reply["sdp"].count(b"a=label:") == 2
    first, second = reply["tag-medias"]
    media = [{"index": 1, "type": "audio", "mode": "sendrecv", "label": "1"}]
    assert first == {"tag": "1A", "medias": media}
    assert (second["label"], second["medias"][0]["label"]) == ("agent", "2")
    assert reply["media-labels"]["2"]["tag"] == "1B"


def test_a_monitor_hears_events_too(call: Proxy, media: FakeMedia) -> None:
    reply = call.ask("subscribe request", from_tag="1A", flags=["monitor"])
    assert b"m=audio 30004 RTP/AVP 0 101\r\n" in reply["sdp"]
    assert media.forks["c1", reply["to-tag"]].kind is ForkKind.MONITOR


def test_a_subscription_ends_with_its_call(call: Proxy, media: FakeMedia) -> None:
    call.ask("subscribe request")
    call.ask("delete")
    assert not media.open
    assert not media.forks


def test_a_new_request_takes_the_place_of_the_old_one(call: Proxy, media: FakeMedia) -> None:
    call.ask("subscribe request", to_tag="s", from_tags=["1A", "1B"])
    call.ask("subscribe request", to_tag="s", from_tags=["1A"], flags=["inactive"])
    assert len(media.forks["c1", "s"].media) == 1
    assert len(media.open) == 3


def test_a_subscription_over_srtp(call: Proxy, media: FakeMedia) -> None:
    reply = call.ask("subscribe request", to_tag="s", from_tag="1A", transport_protocol="RTP/SAVP")
    lines = [line for line in reply["sdp"].decode().splitlines() if "crypto" in line]
    key = parse_crypto(lines[0].partition(":")[2])
    one = ANSWER[: ANSWER.rindex(b"m=")].replace(b"RTP/AVP", b"RTP/SAVP")
    line = f"a=crypto:{serialize_crypto(key)}\r\n".encode()
    assert call.ask("subscribe answer", to_tag="s", sdp=one + line)["result"] == "ok"
    remote = media.forks["c1", "s"].media[0].remote
    assert remote is not None
    assert remote.send_key == key


def test_an_answer_that_lacks_a_codec_is_an_error(call: Proxy, media: FakeMedia) -> None:
    call.ask("subscribe request", to_tag="s")
    other = ANSWER.replace(b"RTP/AVP 0", b"RTP/AVP 8")
    assert call.ask("subscribe answer", to_tag="s", sdp=other)["result"] == "error"
    wishes = {"to_tag": "s", "sdp": other, "flags": ["allow transcoding"]}
    assert "left out" in call.ask("subscribe answer", **wishes)["warning"]


@pytest.mark.parametrize(
    "fields",
    [
        {"from_tag": "9Z"},
        {"to_tag": "1A"},
        {"flags": ["mix"]},
        {"flags": ["bidirectional"]},
        {"interface": "nowhere"},
        {"label": "nobody"},
    ],
)
def test_what_cannot_be_subscribed_is_an_error(
    call: Proxy, media: FakeMedia, fields: dict[str, object]
) -> None:
    assert call.ask("subscribe request", **fields)["result"] == "error"
    assert len(media.open) == 2


def test_a_subscription_that_fails_leaves_nothing(call: Proxy, media: FakeMedia) -> None:
    media.failing = {"set_fork"}
    assert call.ask("subscribe request")["result"] == "error"
    assert len(media.open) == 2


@pytest.mark.parametrize("command", ["subscribe answer", "unsubscribe"])
def test_an_unknown_subscription_is_an_error(call: Proxy, command: str) -> None:
    reply = call.ask(command, to_tag="s", sdp=ANSWER)
    assert reply["error-reason"] == "to-tag: names no subscription of this call"


def test_subscriptions_are_bounded(call: Proxy, media: FakeMedia) -> None:
    replies = [call.ask("subscribe request", from_tag="1A")["result"] for _ in range(20)]
    assert replies.count("ok") == 16
    call.ask("delete")
    assert not media.open
