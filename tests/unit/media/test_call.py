"""Who the parties of a call are, and what holds for each."""

from __future__ import annotations

import itertools

import pytest

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Method, Policy
from voicemask.live.values import LiveMeans
from voicemask.media.call import MediaCall, Party
from voicemask.media.settings import Customer, NodeSettings
from voicemask.ng.plan import CallPlan, PartyPlan, PolicyChange, Role, Trigger

CUSTOMER, AGENT = Role.CUSTOMER, Role.AGENT


def make(
    customer: Customer = Customer.UNKNOWN,
    a: Role | None = None,
    b: Role | None = None,
    *more: PartyPlan,
) -> MediaCall:
    call = MediaCall("call-1", NodeSettings((), customer=customer))
    parties = (PartyPlan("a", (), role=a, is_caller=True), PartyPlan("b", (), role=b), *more)
    call.take_plan(CallPlan("call-1", parties), {})
    return call


def policies(call: MediaCall) -> dict[str, Policy]:
    return {tag: call.policy(party.plan) for tag, party in call.parties.items()}


@pytest.mark.parametrize(
    ("customer", "a", "b", "expected"),
    [
        (Customer.UNKNOWN, None, None, (None, None)),
        (Customer.CALLER, None, None, (CUSTOMER, AGENT)),
        (Customer.CALLEE, None, None, (AGENT, CUSTOMER)),
        (Customer.UNKNOWN, CUSTOMER, None, (CUSTOMER, AGENT)),
        (Customer.UNKNOWN, None, CUSTOMER, (AGENT, CUSTOMER)),
        (Customer.UNKNOWN, AGENT, None, (AGENT, CUSTOMER)),
        (
            Customer.CALLER,
            None,
            CUSTOMER,
            (AGENT, CUSTOMER),
        ),  # a label is worth more than a default
        (Customer.UNKNOWN, CUSTOMER, CUSTOMER, (CUSTOMER, CUSTOMER)),
    ],
)
def test_roles(
    customer: Customer, a: Role | None, b: Role | None, expected: tuple[Role | None, ...]
) -> None:
    call = make(customer, a, b)
    assert tuple(call.role(party.plan) for party in call.parties.values()) == expected
    call.take_change(PolicyChange(Policy.CAPTURE))
    masked = [policy is Policy.CAPTURE for policy in policies(call).values()]
    assert masked == [role is not AGENT for role in expected]


def test_a_told_role_is_worth_more_than_a_label() -> None:
    call = make(Customer.CALLER, CUSTOMER)
    call.set_role("a", AGENT)
    call.set_role("b", CUSTOMER)
    assert [call.role(party.plan) for party in call.parties.values()] == [AGENT, CUSTOMER]


def test_a_second_agent_is_an_agent() -> None:
    call = make(Customer.UNKNOWN, CUSTOMER, None, PartyPlan("c", ()))
    assert call.role(call.parties["c"].plan) is AGENT


def test_roles_outlive_a_plan() -> None:
    call = make()
    call.set_role("a", CUSTOMER)
    call.take_plan(CallPlan("call-1", (PartyPlan("a", ()), PartyPlan("z", ()))), {})
    assert [call.role(party.plan) for party in call.parties.values()] == [CUSTOMER, AGENT]


@pytest.mark.parametrize(
    "order", list(itertools.permutations((Policy.OPEN, Policy.CAPTURE, Policy.MUTE)))
)
def test_the_strictest_wish_holds_and_each_takes_back_its_own(order: tuple[Policy, ...]) -> None:
    call = make(Customer.CALLER)
    for policy in order:
        call.take_change(PolicyChange(policy, origin=policy.value))
    assert policies(call) == {"a": Policy.MUTE, "b": Policy.GUARD}
    call.take_change(PolicyChange(None, origin="somebody"))
    assert policies(call)["a"] is Policy.MUTE
    call.take_change(PolicyChange(None, origin="mute"))
    assert policies(call)["a"] is Policy.CAPTURE
    call.take_change(PolicyChange(None, origin="capture"))
    assert policies(call)["a"] is Policy.OPEN
    call.take_change(PolicyChange(None, origin="open"))
    assert policies(call)["a"] is Policy.GUARD


def test_a_wish_that_names_a_party_comes_before_the_one_for_the_call() -> None:
    call = make(Customer.CALLER)
    call.take_change(PolicyChange(Policy.MUTE))
    call.take_change(PolicyChange(Policy.CAPTURE, "a"))
    assert policies(call) == {"a": Policy.CAPTURE, "b": Policy.GUARD}
    call.take_change(PolicyChange(None, "a"))
    assert policies(call)["a"] is Policy.MUTE


def test_the_agent_is_masked_when_its_tag_is_named() -> None:
    call = make(Customer.CALLER)
    call.take_change(PolicyChange(Policy.MUTE, "b"))
    assert policies(call) == {"a": Policy.GUARD, "b": Policy.MUTE}
    assert call.is_masked(call.parties["b"].plan)
    call.take_change(PolicyChange(None))  # takes back all of its origin, named or not
    assert policies(call) == {"a": Policy.GUARD, "b": Policy.GUARD}
    assert not call.is_masked(call.parties["b"].plan)


def test_of_two_equal_wishes_the_first_says_how() -> None:
    call = make(Customer.CALLER)
    plan = call.parties["a"].plan
    call.take_change(PolicyChange(Policy.CAPTURE, method=Method.FILL, origin="x"))
    for name in "abcdefgh":
        call.take_change(PolicyChange(Policy.CAPTURE, method=Method.SUPPRESS, origin=name))
        assert call.means(plan) == LiveMeans(Method.FILL, Fill.NOISE, 0)


@pytest.mark.parametrize(
    ("change", "means"),
    [
        (PolicyChange(Policy.OPEN), None),
        (PolicyChange(Policy.GUARD), None),
        (PolicyChange(None), None),
        (PolicyChange(Policy.MUTE, fill=Fill.SILENCE), LiveMeans(None, Fill.SILENCE)),
        (PolicyChange(Policy.CAPTURE), LiveMeans(Method.SUPPRESS, Fill.NOISE, 0)),
        (
            PolicyChange(Policy.CAPTURE, method=Method.FILL, fill=Fill.TONE, hold_ms=60),
            LiveMeans(Method.FILL, Fill.TONE, 60),
        ),
    ],
)
def test_means(change: PolicyChange, means: LiveMeans | None) -> None:
    call = make(Customer.CALLER)
    call.take_change(change)
    assert call.means(call.parties["a"].plan) == means


@pytest.mark.parametrize(
    ("customer", "channels"),
    [(Customer.UNKNOWN, (0, 1)), (Customer.CALLER, (0, 1)), (Customer.CALLEE, (1, 0))],
)
def test_the_customer_is_left_else_the_caller(
    customer: Customer, channels: tuple[int, int]
) -> None:
    call = make(customer)
    assert tuple(call.channel(party.plan) for party in call.parties.values()) == channels


def press(call: MediaCall, party: Party, text: str) -> list[PolicyChange]:
    return [change for key in text for change in call.triggered(party, Digit.of(key))]


def test_a_trigger_starts_and_ends_capture() -> None:
    call = make(Customer.CALLER)
    start, end = tuple(map(Digit.of, "*1")), (Digit.of("#"),)
    call.triggers.append(Trigger(start, end))
    a = call.parties["a"]
    assert press(call, a, "1*#*") == []
    (change,) = press(call, a, "1")
    assert (change.policy, change.tag) == (Policy.CAPTURE, "")
    call.take_change(change)
    assert press(call, a, "*1") == []
    (change,) = press(call, a, "#")
    assert (change.policy, change.tag) == (None, "")


def test_a_trigger_of_one_party_is_not_anothers() -> None:
    call = make()
    call.triggers.append(Trigger((Digit.of("*"),), (), "b"))
    assert press(call, call.parties["a"], "*") == []
    (change,) = press(call, call.parties["b"], "*")
    assert (change.policy, change.tag) == (Policy.CAPTURE, "b")


def test_keys_of_a_trigger_may_lie_either_side_of_a_new_plan_and_are_few() -> None:
    call = make()
    call.triggers.append(Trigger(tuple(map(Digit.of, "*1"))))
    press(call, call.parties["a"], "*" * 100)
    assert len(call.parties["a"].keys) <= 32
    call.take_plan(CallPlan("call-1", (PartyPlan("a", ()),)), {})
    assert len(press(call, call.parties["a"], "1")) == 1


def test_a_trigger_for_the_call_is_not_the_agents() -> None:
    call = make(Customer.CALLER)
    call.triggers.append(Trigger((Digit.of("*"),)))
    call.triggers.append(Trigger((Digit.of("*"),), (), "b"))
    (change,) = press(call, call.parties["b"], "*")
    assert (change.policy, change.tag) == (Policy.CAPTURE, "b")
