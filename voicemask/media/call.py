"""One call of a media process: who its parties are, and what may be heard of each.

Policy belongs to the call and its tags, not to a plan: an offer, a branch or a re-INVITE changes
ports and codecs and never what is masked. A wish for the call means the customer, or everyone while
nobody knows who that is; a wish that names a tag means that party, whoever it is.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.live.values import LiveMeans
from voicemask.media.port import Port
from voicemask.media.settings import Customer, NodeSettings
from voicemask.ng.plan import CallPlan, Fork, PartyPlan, PolicyChange, Role, Trigger
from voicemask.rtp.sdp import PayloadType

TRIGGER: Final = "trigger"
"""Origin of the wishes of keys."""
MASKING: Final = frozenset({Policy.CAPTURE, Policy.MUTE})
"""Policies that mask a leg someone listens to; `guard` is about recordings."""
_STRICTNESS: Final = {None: -1, Policy.OPEN: 0, Policy.GUARD: 1, Policy.CAPTURE: 2, Policy.MUTE: 3}
_MOST_KEYS: Final = 32
"""Keys remembered to find a trigger in."""


@dataclass(slots=True)
class Party:
    """One party: its plan, its ports in the order of its media, and its last keys."""

    plan: PartyPlan
    ports: list[Port]
    keys: deque[Digit] = field(default_factory=lambda: deque(maxlen=_MOST_KEYS))


class MediaCall:
    """State of one call.

    Parameters
    ----------
    call_id : of the signalling.
    settings : of the node.
    """

    def __init__(self, call_id: str, settings: NodeSettings) -> None:
        self.call_id = call_id
        self.created_s = time.time()
        self.last_signal_s = self.created_s
        self.began_ns = time.monotonic_ns()
        """Start of its stream time."""
        self.parties: dict[str, Party] = {}
        self.forks: dict[str, Fork] = {}
        self.triggers: list[Trigger] = []
        self.is_degraded = False
        self.n_presses = 0
        self.captures: dict[str, UUID] = {}
        """What the vault calls them, by the tag of the party."""
        self._settings = settings
        self._roles: dict[str, Role] = {}
        self._wishes: dict[tuple[str, str], PolicyChange] = {}  # by origin and tag

    @property
    def fill(self) -> Fill:
        """What stands in for what recordings may not hold."""
        return self._settings.fill

    def now_ns(self) -> int:
        """Stream time."""
        return time.monotonic_ns() - self.began_ns

    def take_plan(self, plan: CallPlan, ports: dict[int, Port]) -> None:
        """Take who the parties are and where they are heard."""
        self.last_signal_s = time.time()
        old = self.parties
        was = {port.local.number: tag for tag, party in old.items() for port in party.ports}
        self.parties = {}
        for party in plan.parties:
            mine = [ports[medium.port.number] for medium in party.media]
            # an answer brings the tag of who was there before without one
            before = next((was[p.local.number] for p in mine if p.local.number in was), party.tag)
            known = old.get(party.tag) or old.get(before)
            keys = known.keys if known is not None else deque(maxlen=_MOST_KEYS)
            self.parties[party.tag] = Party(party, mine, keys)
            if before != party.tag and before in self._roles:
                self._roles.setdefault(party.tag, self._roles.pop(before))

    def set_role(self, tag: str, role: Role) -> None:
        """Settle who a party is, whatever its label says."""
        self._roles[tag] = role

    def role(self, party: PartyPlan) -> Role | None:
        """Who a party is; None where nobody knows."""
        told = self._roles.get(party.tag) or party.role
        if told is not None:
            return told
        others = [
            self._roles.get(p.plan.tag) or p.plan.role
            for p in self.parties.values()
            if p.plan.tag != party.tag
        ]
        if Role.CUSTOMER in others:
            return Role.AGENT
        if Role.AGENT in others:
            return Role.CUSTOMER
        if self._settings.customer is Customer.UNKNOWN:
            return None
        is_customer = party.is_caller == (self._settings.customer is Customer.CALLER)
        return Role.CUSTOMER if is_customer else Role.AGENT

    def take_change(self, change: PolicyChange) -> None:
        """Take a wish; one without policy takes back what its origin wished."""
        origin = change.origin
        if change.policy is None and origin == "":
            # who takes capture back over NG means what keys started, too
            self.take_change(replace(change, origin=TRIGGER))
        if not change.tag and change.policy is None:
            self._wishes = {at: wish for at, wish in self._wishes.items() if at[0] != origin}
        elif change.policy is None:
            self._wishes.pop((origin, change.tag), None)
        else:
            self._wishes[origin, change.tag] = change

    def change_for(self, party: PartyPlan) -> PolicyChange:
        """What holds for a party: of each origin the wish that names it, else the one for the call;
        of these the strictest."""
        is_agent = self.role(party) is Role.AGENT
        wishes = []
        for origin in dict.fromkeys(at[0] for at in self._wishes):
            wish = self._wishes.get((origin, party.tag))
            if wish is None and not is_agent:
                wish = self._wishes.get((origin, ""))
            if wish is not None:
                wishes.append(wish)
        default = PolicyChange(self._settings.policy)
        return max(wishes, key=lambda wish: _STRICTNESS[wish.policy], default=default)

    def policy(self, party: PartyPlan) -> Policy:
        """What may be heard of a party."""
        return self.change_for(party).policy or self._settings.policy

    def is_masked(self, party: PartyPlan) -> bool:
        """Whether a recording has to be masked in this party's direction."""
        return self.role(party) is not Role.AGENT or any(at[1] == party.tag for at in self._wishes)

    def means(self, party: PartyPlan) -> LiveMeans | None:
        """How a party is masked live; None where it is not."""
        change = self.change_for(party)
        settings = self._settings
        if change.policy not in MASKING:
            return None
        fill = change.fill or settings.fill
        if change.policy is Policy.MUTE:
            return LiveMeans(None, fill)
        hold_ms = settings.hold_ms if change.hold_ms is None else change.hold_ms
        return LiveMeans(change.method or settings.method, fill, hold_ms)

    def means_of_capture(self) -> LiveMeans:
        """How `capture` masks where nothing else is said."""
        return LiveMeans(self._settings.method, self._settings.fill, self._settings.hold_ms)

    def payload_types(self, party: Party, index: int) -> dict[int, PayloadType]:
        """Payload types a party may send: those it was offered, then its own."""
        types: dict[int, PayloadType] = {}
        port = party.ports[index]
        own = port.remote.payload_types if port.remote is not None else ()
        # a monitor offered the party nothing
        heard_by = party.plan.media[index].heard_by
        hearers = [sink.remote for sink in port.sinks if sink.remote and sink.local in heard_by]
        theirs = [t for remote in hearers for t in remote.payload_types]
        for payload_type in (*theirs, *own):
            types.setdefault(payload_type.number, payload_type)
        return types

    def channel(self, party: PartyPlan) -> int:
        """Channel of a party in recordings: the customer is left, else the caller."""
        role = self.role(party)
        if role is None:
            return 0 if party.is_caller else 1
        return 0 if role is Role.CUSTOMER else 1

    def triggered(self, party: Party, digit: Digit) -> list[PolicyChange]:
        """Take a key of a party; give what it triggers."""
        party.keys.append(digit)
        changes = []
        # one for the call is not the agent's
        tags = (party.plan.tag,) if self.role(party.plan) is Role.AGENT else ("", party.plan.tag)
        for trigger in self.triggers:
            if trigger.tag not in tags:
                continue
            is_capturing = self.policy(party.plan) is Policy.CAPTURE
            wanted = trigger.end if is_capturing else trigger.start
            if wanted and tuple(party.keys)[-len(wanted) :] == wanted:
                party.keys.clear()
                changes.append(
                    PolicyChange(
                        None if is_capturing else Policy.CAPTURE, trigger.tag, origin=TRIGGER
                    )
                )
        return changes

    def ports(self) -> list[Port]:
        """All ports that face parties."""
        return [port for party in self.parties.values() for port in party.ports]
