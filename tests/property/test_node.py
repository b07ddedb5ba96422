"""A node under any order of plans, policies and packets: who is masked is never heard as it spoke.

Every packet has a payload of its own. One that the node took while policy masked its party must not
arrive with that payload at any socket; one it took while policy passed it arrives, where somebody
hears the party. At the end no port and no descriptor is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.media.parties import CALL, EVENT, FakeVault, Phone, Rig, n_descriptors, party
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.media.call import MASKING
from voicemask.media.settings import Customer
from voicemask.ng.plan import (
    CallPlan,
    Fork,
    ForkKind,
    LocalPort,
    MediumPlan,
    PolicyChange,
    Role,
    Trigger,
)
from voicemask.rtp.sdp import STATIC_TYPES

TAGS = ("a", "b", "c")
TYPES = ((STATIC_TYPES[0], STATIC_TYPES[8], EVENT), (STATIC_TYPES[8], STATIC_TYPES[0], EVENT))
ONE = st.sampled_from(TAGS)
ANY = st.sampled_from(("", *TAGS))
STEPS = st.one_of(
    st.tuples(st.just("say"), ONE, st.integers(1, 4), st.sampled_from((0, 0, 8, 101, 77))),
    st.tuples(st.just("say"), ONE, st.integers(1, 4), st.just(0)),
    st.tuples(st.just("skip"), ONE, st.integers(1, 70)),
    st.tuples(st.just("plan"), st.sampled_from(("ab", "ab", "abc", "ac")), st.booleans(),
              st.sampled_from((0, 1)), st.sampled_from(("audio", "audio", "audio", "image"))),
    st.tuples(st.just("policy"), st.sampled_from((*Policy, *MASKING, None)), ANY,
              st.sampled_from(("x", "y"))),
    st.tuples(st.just("role"), ONE, st.sampled_from(Role)),
    st.tuples(st.just("monitor"), st.booleans()),
    st.tuples(st.just("trigger"), ANY),
    st.tuples(st.just("key"), ONE),
    st.tuples(st.just("serve"), st.sampled_from((0.0, 0.005, 0.03))),
    st.tuples(st.just("end")),
)  # fmt: skip


@dataclass
class World:
    """A call that changes, and what each payload is allowed to do."""

    rig: Rig
    phones: dict[str, Phone] = field(default_factory=dict)
    ports: dict[str, LocalPort] = field(default_factory=dict)
    monitor: Phone | None = None
    secret: set[bytes] = field(default_factory=set)
    public: dict[bytes, list[Phone]] = field(default_factory=dict)
    kind: str = "audio"

    def begin(self) -> None:
        self.phones = self.phones or {tag: self.rig.phone() for tag in TAGS}
        self.plan("ab", False, 0, "audio")

    def plan(self, tags: str, moves: bool, codecs: int, kind: str) -> None:
        """Offer again: the callee branches or changes, with other ports and codecs."""
        self.kind = kind
        for tag in tags:
            if moves or tag not in self.ports:
                self.ports[tag] = self.rig.node.reserve(4)
        self.ports = {tag: port for tag, port in self.ports.items() if tag in tags}
        callees = tuple(self.ports[tag] for tag in tags[1:])
        parties = []
        for tag in tags:
            remote = self.phones[tag].remote(payload_types=TYPES[codecs], kind=kind)
            hearers = callees if tag == "a" else (self.ports["a"],)
            parties.append(party(tag, self.ports[tag], remote, hearers, is_caller=tag == "a"))
        if self.monitor is not None and moves:
            self.monitors(False)  # its source is gone; the protocol asks for it anew
        self.rig.node.apply(CallPlan(CALL, tuple(parties)))

    def say(self, tag: str, n: int, number: int) -> None:
        if tag not in self.ports:
            return
        phone = self.phones[tag]
        for _ in range(n):
            policy = self.rig.node.state(CALL).policies[tag]
            if number == EVENT.number:  # its payload is no packet's own
                port = self.rig.port(self.ports[tag])
                n_in = port.n_in
                phone.press(self.ports[tag], 4)
                while port.n_in == n_in:
                    self.rig.loop.run_once(0.02)
                continue
            (payload,) = self.rig.take(phone, self.ports[tag], 1, number)
            if policy in MASKING:
                self.secret.add(payload)
            elif self.kind == "audio":
                others = [t for t in self.ports if (t == "a") != (tag == "a")]
                self.public[payload] = [self.phones[t] for t in others]

    def monitors(self, wanted: bool) -> None:
        """Have somebody listen to the caller, or no longer."""
        if wanted and self.monitor is None:
            self.monitor = self.rig.phone()
            media = (MediumPlan(self.rig.node.reserve(4), self.monitor.remote()),)
            self.rig.node.set_fork(Fork(CALL, "m", ForkKind.MONITOR, (self.ports["a"],), media))
        elif not wanted and self.monitor is not None:
            self.rig.node.end_fork(CALL, "m")
            self.monitor = None

    def step(self, what: str, *how: Any) -> None:
        node = self.rig.node
        known = {"", *self.ports}
        match what, how:
            case "plan", (tags, moves, codecs, kind):
                self.plan(tags, moves, codecs, kind)
            case "say", (tag, n, number):
                self.say(tag, n, number)
            case "skip", (tag, n):
                self.phones[tag].seq += n
            case "policy", (policy, tag, origin) if tag in known:
                node.set_policy(CALL, PolicyChange(policy, tag, origin=origin))
            case "role", (tag, role) if tag in known:
                node.set_role(CALL, tag, role)
            case "monitor", (wanted,):
                self.monitors(wanted)
            case "trigger", (tag,):
                node.set_trigger(CALL, Trigger((Digit.of("4"),), (Digit.of("5"),), tag))
            case "key", (tag,) if tag in known:
                node.info(CALL, tag, Digit.of("5"))
            case "serve", (for_s,):
                self.rig.serve(for_s)
            case "end", ():
                self.rig.serve(0.05)
                node.end(CALL)
                self.ports, self.monitor = {}, None
                self.begin()

    def check(self) -> None:
        """Nothing secret was heard by anyone."""
        for phone in self.rig.phones:
            heard = phone.listen()
            assert not self.secret & set(heard)

    def check_all(self) -> None:
        def all_came() -> bool:
            return all(
                payload in phone.listen() for payload, hearers in self.public.items()
                for phone in hearers
            )  # fmt: skip

        self.rig.until(all_came)
        self.rig.serve(0.1)
        self.check()


def run(customer: Customer, steps: list[tuple[Any, ...]], check: Callable[[World], None]) -> None:
    vault = FakeVault()
    world = World(Rig(customer, vault=vault))
    world.rig.loop.run_once(0)
    try:
        world.begin()
        for step in steps:
            world.step(*step)
            world.check()
        world.check_all()
        check(world)
    finally:
        world.rig.close()
    assert vault.open == {}
    assert world.rig.node.statistics()["ports_free"] == 5000
    assert (world.rig.node._ports, world.rig.node._heard) == ({}, {})


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(Customer), st.lists(STEPS, min_size=8, max_size=30))
def test_who_is_masked_is_never_heard_as_it_spoke(
    customer: Customer, steps: list[tuple[Any, ...]]
) -> None:
    before = n_descriptors()
    run(customer, steps, lambda _: None)
    assert n_descriptors() == before


def test_the_property_sees_what_it_is_to_see() -> None:
    """Both kinds of payload come up, in a sequence of every step."""

    def check(world: World) -> None:
        assert len(world.secret) >= 12
        assert len(world.public) >= 8

    steps: list[tuple[Any, ...]] = [
        ("say", "a", 4, 0), ("monitor", True), ("say", "b", 4, 8),
        ("policy", Policy.CAPTURE, "", "x"), ("say", "a", 4, 0),
        ("plan", "abc", True, 1, "audio"), ("say", "a", 4, 8), ("say", "c", 2, 0),
        ("policy", Policy.MUTE, "a", "y"), ("policy", None, "", "x"), ("say", "a", 4, 0),
        ("plan", "ac", False, 0, "image"), ("say", "a", 2, 0), ("plan", "ab", False, 0, "audio"),
        ("say", "a", 3, 77), ("skip", "a", 65), ("say", "a", 3, 0), ("policy", None, "a", "y"),
        ("say", "a", 3, 0), ("role", "b", Role.AGENT), ("trigger", ""), ("say", "a", 1, 101),
        ("say", "a", 2, 0), ("key", "a"), ("say", "a", 2, 0), ("end",), ("say", "a", 1, 0),
    ]  # fmt: skip
    run(Customer.UNKNOWN, steps, check)
