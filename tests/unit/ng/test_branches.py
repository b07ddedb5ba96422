"""Forks, branches and what a delete leaves of them."""

from __future__ import annotations

import pytest

from tests.unit.ng.fakes import FakeMedia, Proxy
from voicemask.ng.plan import PartyPlan


def hears(proxy: Proxy, speaker: PartyPlan, hearer: PartyPlan) -> bool:
    return hearer.media[0].port in speaker.media[0].heard_by


def port_of(sdp: bytes) -> bytes:
    return next(line for line in sdp.split(b"\r\n") if line.startswith(b"m=")).split()[1]


def test_without_branches_callees_share_a_port_and_the_newest_answer_is_heard(
    proxy: Proxy, media: FakeMedia, sdp_b: bytes
) -> None:
    proxy.offer()
    proxy.answer(sdp_b, to_tag="1B")
    proxy.answer(sdp_b.replace(b"5000", b"6000"), to_tag="2B")
    remote = proxy.party("2B").media[0].remote
    assert remote is not None
    assert remote.port == 6000
    assert len(media.open) == 2
    proxy.answer(sdp_b, to_tag="1B")  # the first one wins
    remote = proxy.party("1B").media[0].remote
    assert remote is not None
    assert remote.port == 5000


def test_each_branch_has_a_port_of_its_own(proxy: Proxy, media: FakeMedia) -> None:
    first = proxy.offer(via_branch="z1")["sdp"]
    second = proxy.offer(via_branch="z2")["sdp"]
    assert proxy.offer(via_branch="z1")["sdp"] == first
    assert port_of(first) != port_of(second)
    assert len(media.open) == 3
    proxy.answer(to_tag="1B", via_branch="z1")
    proxy.answer(to_tag="2B", via_branch="z2")
    caller, one, two = (proxy.party(tag) for tag in ("1A", "1B", "2B"))
    assert hears(proxy, two, caller)
    assert hears(proxy, caller, two)
    assert not hears(proxy, one, caller)
    proxy.answer(to_tag="1B", via_branch="z1")
    assert hears(proxy, proxy.party("1B"), proxy.party("1A"))


def test_an_unanswered_call_is_heard_from_its_newest_branch(proxy: Proxy) -> None:
    proxy.offer(via_branch="z1")
    proxy.offer(via_branch="z2")
    caller, one, two = proxy.media.plans["c1"].parties
    assert (hears(proxy, one, caller), hears(proxy, two, caller)) == (False, True)


def test_an_unknown_tag_is_another_name_of_the_peer(proxy: Proxy, media: FakeMedia) -> None:
    proxy.offer()  # the answer was relayed without us
    assert proxy.offer(from_tag="1B", to_tag="1A")["result"] == "ok"
    assert proxy.offer(from_tag="1A", to_tag="9X")["result"] == "ok"
    assert len(media.open) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"from_tag": "1A"},
        {"from_tag": "1B"},
        {"from_tag": "1A", "to_tag": "1B"},
        {"from_tag": "1B", "to_tag": "1A"},
        {"via_branch": "of-the-BYE"},
        {"from_tag": "1A", "via_branch": "of-the-BYE"},
        {"from_tag": "1B", "via_branch": "of-the-BYE"},
        {"from_tag": "1A", "delete_delay": 30},
    ],
)
def test_a_hang_up_ends_the_call(proxy: Proxy, media: FakeMedia, fields: dict[str, object]) -> None:
    proxy.talk()
    reply = proxy.ask("delete", **fields)
    assert (reply["result"], reply["totals"]["RTP"]["packets"]) == ("ok", 20)
    assert not media.open
    assert not media.plans
    assert proxy.ask("query")["error-reason"] == "Unknown call-id"


@pytest.mark.parametrize("who", [{"from_tag": "1A"}, {}])
def test_a_cancelled_call_ends(proxy: Proxy, media: FakeMedia, who: dict[str, str]) -> None:
    proxy.offer(via_branch="z1")
    proxy.ask("delete", via_branch="z9", **who)
    assert media.open
    assert proxy.ask("delete", via_branch="z1", **who)["result"] == "ok"
    assert not media.open


def test_losing_branches_go_and_the_winner_stays(proxy: Proxy, media: FakeMedia) -> None:
    for branch in ("z1", "z2", "z3"):
        proxy.offer(via_branch=branch)
    proxy.answer(to_tag="2B", via_branch="z2")
    proxy.ask("delete", from_tag="1A", via_branch=["z1", "z3"])
    assert len(media.open) == 2
    assert hears(proxy, proxy.party("2B"), proxy.party("1A"))
    proxy.ask("delete", from_tag="1A")
    assert not media.open


def test_the_caller_hears_who_is_left(proxy: Proxy) -> None:
    proxy.offer(via_branch="z1")
    proxy.answer(to_tag="1B", via_branch="z1")
    proxy.offer(via_branch="z2")
    proxy.answer(to_tag="2B", via_branch="z2")
    proxy.ask("delete", from_tag="1A", to_tag="2B")
    assert hears(proxy, proxy.party("1B"), proxy.party("1A"))
    assert hears(proxy, proxy.party("1A"), proxy.party("1B"))


def test_a_tag_that_shares_its_port_goes_alone(proxy: Proxy, media: FakeMedia) -> None:
    proxy.offer()
    proxy.answer(to_tag="1B")
    proxy.answer(to_tag="2B")
    proxy.ask("delete", from_tag="1A", to_tag="2B")
    assert len(media.open) == 2
    assert proxy.party("1B").media[0].remote is None, "what 2B said goes with it"
    proxy.ask("delete", from_tag="1A", to_tag="1B")
    assert not media.open


@pytest.mark.parametrize(
    "fields",
    [
        {"call_id": "other"},
        {"from_tag": "9Z"},
        {"from_tag": "1A", "to_tag": "9Z"},
        {"from_tag": "1A", "to_tag": "1A"},
    ],
)
def test_a_delete_that_names_nothing_warns(
    proxy: Proxy, media: FakeMedia, fields: dict[str, str]
) -> None:
    proxy.talk()
    warning = "Call-ID not found or tags didn't match"
    assert proxy.ask("delete", **fields) == {"result": "ok", "warning": warning}
    assert proxy.ask("delete", flags=["fatal"], **fields)["result"] == "error"
    assert len(media.open) == 2


def test_branches_are_bounded(proxy: Proxy, media: FakeMedia) -> None:
    replies = [proxy.offer(via_branch=f"z{n}")["result"] for n in range(40)]
    assert (replies.count("ok"), replies.count("error")) == (31, 9)
    assert len(media.open) == 32
    proxy.ask("delete")
    assert not media.open


def test_a_call_the_media_side_ended_is_forgotten(proxy: Proxy, media: FakeMedia) -> None:
    proxy.talk()
    media.end("c1")
    proxy.server.forget("c1")
    assert proxy.ask("query")["error-reason"] == "Unknown call-id"
    proxy.talk()
    assert len(media.open) == 2
