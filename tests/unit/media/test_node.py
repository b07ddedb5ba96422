"""A whole node between real sockets: what of whom arrives where, and from when on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.unit.media.parties import (
    CALL,
    EVENT,
    EventKind,
    FakeVault,
    Rig,
    Two,
    n_descriptors,
    party,
)
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.errors import NgBusyError, NgError
from voicemask.media.settings import Customer, NodeSettings, RtpAddress
from voicemask.ng.plan import (
    CallPlan,
    Fork,
    ForkKind,
    LocalPort,
    MediumPlan,
    PartyPlan,
    PolicyChange,
    Role,
    Trigger,
)
from voicemask.rtp.sdp import STATIC_TYPES, PayloadType

FIRST = 20000 + os.getpid() % 900 * 10
MASKS = [Policy.CAPTURE, Policy.MUTE]


@pytest.fixture
def vault() -> FakeVault:
    return FakeVault()


@pytest.fixture
def two(vault: FakeVault) -> Iterator[Two]:
    rig = Two(vault=vault)
    yield rig
    rig.close()


def arrive(two: Two, n_a: int | None = None, n_b: int | None = None) -> None:
    """Wait until both have heard so many packets."""
    two.until(
        lambda: (
            (n_a is None or len(two.a.listen()) >= n_a)
            and (n_b is None or len(two.b.listen()) >= n_b)
        )
    )


@pytest.mark.parametrize("policy", MASKS)
@pytest.mark.parametrize(
    ("customer", "roles", "masked"),
    [
        (Customer.UNKNOWN, {}, "ab"),
        (Customer.CALLER, {}, "a"),
        (Customer.CALLEE, {}, "b"),
        (Customer.CALLEE, {"a": Role.CUSTOMER}, "a"),
        (Customer.UNKNOWN, {"a": Role.AGENT}, "b"),
    ],
)
def test_who_is_masked(
    policy: Policy, customer: Customer, roles: dict[str, Role], masked: str
) -> None:
    two = Two(customer, roles=roles)
    two.set(policy)
    said_a, said_b = two.take(two.a, two.at_a, 5), two.take(two.b, two.at_b, 5)
    arrive(two, 5, 5)
    assert (not set(said_a) & set(two.b.heard)) == ("a" in masked)
    assert (not set(said_b) & set(two.a.heard)) == ("b" in masked)
    # whoever is not masked is heard as it spoke
    assert "a" in masked or two.b.heard == said_a
    assert "b" in masked or two.a.heard == said_b
    two.close()


@pytest.mark.parametrize("policy", MASKS)
def test_a_named_party_is_masked_though_it_is_the_agent(policy: Policy) -> None:
    two = Two(Customer.CALLER)
    two.set(policy, "b")
    said_a, said_b = two.take(two.a, two.at_a, 3), two.take(two.b, two.at_b, 3)
    arrive(two, 3, 3)
    assert two.b.heard == said_a
    assert not set(said_b) & set(two.a.heard)
    two.close()


def test_a_role_that_is_settled_later_moves_the_mask(two: Two) -> None:
    two.set(Policy.CAPTURE)
    assert two.node.roles(CALL) == {"a": None, "b": None}
    two.node.set_role(CALL, "b", Role.CUSTOMER)
    assert two.node.roles(CALL) == {"a": Role.AGENT, "b": Role.CUSTOMER}
    said_a, said_b = two.take(two.a, two.at_a, 3), two.take(two.b, two.at_b, 3)
    arrive(two, 3, 3)
    assert two.b.heard == said_a
    assert not set(said_b) & set(two.a.heard)


@pytest.mark.parametrize("first", [*MASKS, Policy.OPEN, None])
@pytest.mark.parametrize("second", [*MASKS, Policy.OPEN, None])
def test_nothing_is_unmasked_or_lost_at_a_switch(
    two: Two, first: Policy | None, second: Policy | None
) -> None:
    """Packets are held when the policy changes, in both orders."""
    before = two.take(two.a, two.at_a, 2)
    two.set(first)
    during = two.take(two.a, two.at_a, 3)
    two.set(second)
    after = two.take(two.a, two.at_a, 3)
    arrive(two, n_b=8)
    assert two.b.heard[:2] == before
    for policy, said, place in ((first, during, slice(2, 5)), (second, after, slice(5, 8))):
        heard = two.b.heard[place]
        if policy in MASKS:
            assert not set(said) & set(heard)
        else:
            assert heard == said


def test_the_change_takes_effect_before_it_returns(two: Two) -> None:
    """A datagram that lies in the socket when the policy changes is masked."""
    two.take(two.a, two.at_a)
    late = [two.a.say(two.at_a) for _ in range(5)]
    two.set(Policy.MUTE)
    arrive(two, n_b=6)
    assert not set(late) & set(two.b.heard)
    # and one that is held when masking ends was masked before it ends
    two.set(Policy.CAPTURE)
    (held,) = two.take(two.a, two.at_a)
    two.set(Policy.OPEN)
    arrive(two, n_b=7)
    assert held not in two.b.heard


def test_how_it_is_masked_may_change_meanwhile(two: Two) -> None:
    said: list[bytes] = []
    for hold_ms in (0, 40, 60, 0):
        two.set(Policy.CAPTURE, hold_ms=hold_ms)
        said += two.take(two.a, two.at_a, 4)
    arrive(two, n_b=16)
    assert not set(said) & set(two.b.heard)


def test_each_origin_takes_back_its_own(two: Two) -> None:
    two.set(Policy.CAPTURE, origin="proxy")
    two.set(Policy.MUTE, origin="panel")
    two.set(None, origin="proxy")
    assert two.node.state(CALL).policies == {"a": Policy.MUTE, "b": Policy.MUTE}
    (said,) = two.take(two.a, two.at_a)
    two.set(None, origin="panel")
    (free,) = two.take(two.a, two.at_a)
    arrive(two, n_b=2)
    assert said not in two.b.heard
    assert two.b.heard[1] == free


@pytest.mark.parametrize("policy", MASKS)
def test_a_new_offer_changes_ports_and_codecs_and_no_mask(two: Two, policy: Policy) -> None:
    two.set(policy)
    said = two.take(two.a, two.at_a, 3)
    old = two.at_a
    two.at_a = two.node.reserve(4)
    two.apply(payload_types=(STATIC_TYPES[8], EVENT), ptime_ms=30)
    with pytest.raises(KeyError):
        two.port(old)
    for _ in range(4):
        n = two.port(two.at_a).n_in
        said.append(two.a.say(two.at_a, 8))
        two.until(lambda n=n: two.port(two.at_a).n_in > n)  # type: ignore[misc]
    arrive(two, n_b=4)
    two.serve()
    assert not set(said) & set(two.b.listen())
    assert two.node.state(CALL).policies == {"a": policy, "b": policy}


@pytest.mark.parametrize("policy", MASKS)
def test_branches_and_late_tags_are_masked_from_their_first_packet(
    two: Two, policy: Policy
) -> None:
    two.apply(tag_b="")
    two.set(policy)
    said = two.take(two.b, two.at_b, 2)
    c, at_c = two.phone(), two.node.reserve(4)
    parties = (
        party("a", two.at_a, two.a.remote(), (two.at_b, at_c), is_caller=True),
        party("b", two.at_b, two.b.remote(), (two.at_a,)),
        party("c", at_c, c.remote(), (two.at_a,)),
    )
    two.node.apply(CallPlan(CALL, parties))
    said += two.take(two.b, two.at_b, 2) + two.take(c, at_c, 2)
    said_a = two.take(two.a, two.at_a, 2)
    arrive(two, 6, 2)
    two.until(lambda: len(c.listen()) == 2)
    assert not set(said) & set(two.a.heard)
    assert not set(said_a) & {*two.b.heard, *c.heard}
    two.apply()  # the branch is gone
    assert set(two.node.state(CALL).policies) == {"a", "b"}


def test_a_party_without_a_remote_side_is_heard_by_nobody(two: Two) -> None:
    at_c = two.node.reserve(4)
    parties = (
        party("a", two.at_a, two.a.remote(), (at_c,), is_caller=True),
        party("", at_c, None, (two.at_a,)),
    )
    two.node.apply(CallPlan(CALL, parties))
    stranger = two.phone()
    stranger.say(at_c)
    two.until(lambda: two.port(at_c).n_strangers == 1)
    two.take(two.a, two.at_a)
    assert two.port(at_c).n_out == 0


def test_a_monitor_that_joins_is_masked_before_it_hears(two: Two) -> None:
    two.set(Policy.CAPTURE)
    said = two.take(two.a, two.at_a, 2)
    monitor, port = two.phone(), two.node.reserve(4)
    medium = MediumPlan(port, monitor.remote())
    two.node.set_fork(Fork(CALL, "m", ForkKind.MONITOR, (two.at_a,), (medium,)))
    said += two.take(two.a, two.at_a, 3)
    two.until(lambda: len(monitor.listen()) >= 3)
    assert not set(said) & set(monitor.heard)


def test_a_monitor_does_not_say_what_a_payload_type_means(two: Two) -> None:
    """Its answer is not what the party was offered: packets would be read as another codec's."""
    monitor, port = two.phone(), two.node.reserve(4)
    types = (PayloadType(96, "PCMU", 8000),)
    own = (PayloadType(96, "L16", 16000),)
    two.apply(payload_types=own)
    medium = MediumPlan(port, monitor.remote(payload_types=types))
    two.node.set_fork(Fork(CALL, "m", ForkKind.MONITOR, (two.at_a,), (medium,)))
    call = two.node._call(CALL)
    assert call.payload_types(call.parties["a"], 0) == {96: own[0]}


def test_what_cannot_be_decoded_is_filled_and_told(two: Two) -> None:
    g729 = PayloadType(18, "G729", 8000)
    two.apply(payload_types=(g729, STATIC_TYPES[0]))
    two.set(Policy.CAPTURE)
    said = two.take(two.a, two.at_a, 4, number=18)
    arrive(two, n_b=4)
    assert not set(said) & set(two.b.heard)
    two.until(lambda: EventKind.DEGRADED in two.kinds())
    assert two.node.state(CALL).is_degraded
    assert two.node.statistics()["calls_degraded"] == 1
    assert two.node.statistics()["packets_filled"]["policy"] == 4


def test_keys_of_a_capture_go_to_the_vault_and_none_else(two: Two, vault: FakeVault) -> None:
    two.a.press(two.at_a, 4)
    two.until(lambda: two.port(two.at_a).n_in == 1)
    assert vault.started == []
    two.set(Policy.CAPTURE)
    two.a.press(two.at_a, 1)
    two.b.press(two.at_b, 2)
    two.until(lambda: len(vault.keys) == 2)
    assert sorted(tag for tag, _ in vault.keys) == ["a", "b"]
    assert dict(vault.keys) == {"a": Digit.of("1"), "b": Digit.of("2")}
    two.node.info(CALL, "a", Digit.of("7"), 100)
    assert vault.keys[-1] == ("a", Digit.of("7"))
    pressed = [event for event in two.events if event.kind is EventKind.KEY_PRESSED]
    assert [set(event.details) for event in pressed] == [{"tag", "n_keys"}] * 3
    two.set(None)
    assert vault.open == {}
    two.node.info(CALL, "a", Digit.of("8"))
    assert len(vault.keys) == 3


def test_a_capture_ends_with_its_party(two: Two, vault: FakeVault) -> None:
    two.apply(tag_b="")
    two.set(Policy.CAPTURE)
    assert sorted(tag for _, tag in vault.open.values()) == ["", "a"]
    two.apply(tag_b="b")
    assert sorted(tag for _, tag in vault.open.values()) == ["a", "b"]
    two.apply()
    assert len(vault.started) == 3  # the same plan again begins nothing
    two.node.end(CALL)
    assert vault.open == {}


@pytest.mark.parametrize("tag", ["", "a"])
def test_keys_start_and_end_capture(two: Two, vault: FakeVault, tag: str) -> None:
    trigger = Trigger((Digit.of("*"), Digit.of("1")), (Digit.of("#"),), tag)
    two.node.set_trigger(CALL, trigger)
    said = two.take(two.a, two.at_a, 2)
    arrive(two, n_b=2)
    assert two.b.heard == said  # who is only listened to is heard as before
    two.a.press(two.at_a, 10)
    two.a.press(two.at_a, 1)
    two.until(lambda: two.node.state(CALL).policies["a"] is Policy.CAPTURE)
    masked = two.take(two.a, two.at_a, 2)
    two.apply()
    two.a.press(two.at_a, 5)
    two.until(lambda: bool(vault.keys))
    two.a.press(two.at_a, 11)
    two.until(lambda: two.node.state(CALL).policies["a"] is Policy.GUARD)
    (free,) = two.take(two.a, two.at_a)
    two.until(lambda: free in two.b.listen())
    assert not set(masked) & set(two.b.heard)
    assert Digit.of("*") not in [digit for _, digit in vault.keys]
    two.node.set_trigger(CALL, Trigger((), (), tag))
    assert two.node._room.n_streams == 0


def test_a_trigger_may_be_told_by_info(two: Two) -> None:
    two.node.set_trigger(CALL, Trigger((Digit.of("*"),)))
    two.take(two.a, two.at_a)
    two.node.info(CALL, "a", Digit.of("*"))
    assert set(two.node.state(CALL).policies.values()) == {Policy.CAPTURE}


def test_an_agents_keys_trigger_nothing_unless_it_is_named() -> None:
    two = Two(Customer.CALLER)
    two.node.set_trigger(CALL, Trigger((Digit.of("*"),)))
    two.node.info(CALL, "b", Digit.of("*"))
    assert two.port(two.at_b).listener is None
    two.node.set_trigger(CALL, Trigger((Digit.of("*"),), (), "b"))
    two.b.press(two.at_b, 10)
    two.until(lambda: two.node.state(CALL).policies["b"] is Policy.CAPTURE)
    assert two.node.state(CALL).policies["a"] is Policy.GUARD
    two.close()


def test_a_trigger_does_not_take_back_what_another_asked_for(two: Two) -> None:
    two.set(Policy.CAPTURE, origin="panel")
    two.node.set_trigger(CALL, Trigger((), (Digit.of("#"),)))
    two.node.info(CALL, "a", Digit.of("#"))
    assert set(two.node.state(CALL).policies.values()) == {Policy.CAPTURE}


def test_unknown_calls_and_tags_are_refused(two: Two) -> None:
    node = two.node
    for fails in (
        lambda: node.set_policy(CALL, PolicyChange(Policy.OPEN, "nobody")),
        lambda: node.set_role(CALL, "nobody", Role.AGENT),
        lambda: node.info(CALL, "nobody", Digit.of("1")),
        lambda: node.end_fork(CALL, "nobody"),
    ):
        with pytest.raises(NgError, match="Unknown tag"):
            fails()
    for fails in (
        lambda: node.set_policy("other", PolicyChange(Policy.OPEN)),
        lambda: node.end("other") and None,
        lambda: node.state("other") and None,
        lambda: node.set_trigger("other", Trigger()),
        lambda: node.info("other", "a", Digit.of("1")),
    ):
        with pytest.raises(NgError, match="Unknown call-id"):
            fails()
    assert node.state(CALL).policies == {"a": Policy.GUARD, "b": Policy.GUARD}


def test_state_and_statistics_count(two: Two) -> None:
    two.phone().say(two.at_a)
    two.until(lambda: two.port(two.at_a).n_strangers == 1)
    two.take(two.a, two.at_a, 3)
    two.take(two.b, two.at_b, 2)
    a, b = two.node.state(CALL).streams
    assert (a.tag, a.packets_in, a.octets_in, a.packets_out, a.octets_out) == ("a", 3, 516, 2, 344)
    assert (a.errors, a.ssrc, a.source) == (1, two.a.ssrc, f"127.0.0.1:{two.a.address[1]}")
    assert (b.packets_in, b.packets_out, b.errors) == (2, 3, 0)
    assert a.last_packet_s > 0
    told = two.node.statistics()
    expected = {"calls": 1, "calls_started": 1, "calls_capturing": 0, "streams_masked": 0}
    expected |= {"packets_in": 5, "packets_out": 5, "octets_in": 860, "octets_out": 860}
    assert {name: told[name] for name in expected} == expected
    assert told["packets_dropped"]["stranger"] == 1
    two.set(Policy.CAPTURE)
    assert two.node.statistics()["calls_capturing"] == 1
    assert two.node.statistics()["streams_masked"] == 2
    last = two.node.end(CALL)
    assert last.streams[0].packets_in == 3
    after = two.node.statistics()
    assert (after["calls"], after["packets_in"], after["packets_out"]) == (0, 5, 5)
    assert after["packets_dropped"]["stranger"] == 1
    assert (after["streams_masked"], after["ports_free"]) == (0, 5000)
    assert two.node.call_ids() == []


def test_events_of_a_call(two: Two) -> None:
    two.apply()
    two.set(Policy.CAPTURE)
    two.node.end(CALL)
    assert two.kinds() == [
        EventKind.CALL_STARTED, EventKind.CALL_CHANGED, EventKind.POLICY_CHANGED,
        EventKind.POLICY_CHANGED, EventKind.CALL_ENDED,
    ]  # fmt: skip
    assert [dict(event.details) for event in two.events[2:4]] == [
        {"tag": "a", "policy": "capture"},
        {"tag": "b", "policy": "capture"},
    ]


def test_the_end_of_a_call_closes_all_it_had() -> None:
    rig = Rig()
    before = n_descriptors()
    n_free = rig.node.statistics()["ports_free"]
    for n in range(30):
        two_ports: list[LocalPort] = [rig.node.reserve(4), rig.node.reserve(4, rtcp_mux=n % 2 > 0)]
        at_a, at_b = two_ports
        parties = (party("a", at_a, None, (at_b,), is_caller=True), party("b", at_b, None, (at_a,)))
        rig.node.apply(CallPlan(f"c{n}", parties))
        fork_port = rig.node.reserve(4)
        fork = Fork(f"c{n}", "m", ForkKind.MONITOR, (at_a,), (MediumPlan(fork_port, None),))
        rig.node.set_fork(fork)
        rig.node.set_policy(f"c{n}", PolicyChange((Policy.CAPTURE, Policy.MUTE, None)[n % 3]))
        rig.node.set_trigger(f"c{n}", Trigger((Digit.of("1"),)))
        rig.loop.run_once(0)
    assert rig.node.call_ids() == [f"c{n}" for n in range(30)]
    for n in range(0, 30, 2):
        rig.node.end(f"c{n}")
    rig.node.close()
    assert n_descriptors() == before
    assert rig.node.statistics()["ports_free"] == n_free
    assert (rig.node._ports, rig.node._heard, rig.node._calls) == ({}, {}, {})
    assert rig.node._room.n_streams == rig.node._room.n_heard == 0
    rig.close()


def test_a_port_in_no_plan_is_released(two: Two) -> None:
    before = n_descriptors()
    port = two.node.reserve(4)
    two.node.release(port)
    two.node.release(port)
    assert n_descriptors() == before


def test_a_node_without_ports_says_so() -> None:
    rig = Rig(settings=NodeSettings((RtpAddress("127.0.0.1", "127.0.0.1"),), FIRST, FIRST + 3))
    with pytest.raises(NgBusyError):
        for _ in range(3):
            rig.node.reserve(4)
    rig.close()


def test_what_is_held_of_a_call_that_ends_goes_nowhere(two: Two) -> None:
    two.set(Policy.CAPTURE)
    said = two.take(two.a, two.at_a, 3)
    two.node.end(CALL)
    two.serve()
    assert not set(said) & set(two.b.listen())


def test_a_role_settled_before_the_answer_goes_over_to_its_tag(two: Two) -> None:
    first, second = (two.node.reserve(4) for _ in range(2))
    caller = PartyPlan("x", (MediumPlan(first, None),), is_caller=True)
    two.node.apply(CallPlan("early", (caller, PartyPlan("", (MediumPlan(second, None),)))))
    two.node.set_role("early", "", Role.CUSTOMER)
    two.node.apply(CallPlan("early", (caller, PartyPlan("y", (MediumPlan(second, None),)))))
    assert two.node.roles("early") == {"x": Role.AGENT, "y": Role.CUSTOMER}
    two.node.end("early")
