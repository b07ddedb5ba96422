"""What is known of a call's parties between messages, and the media plan that follows from it.

A call is a row of parties; each faces us over its own ports. A party has a *peer*: whom it talks
with. Where an offer went to several branches, they all name the caller as their peer, and the
caller names the branch that answered last; who name each other hear each other.

Without a branch to tell them apart, several to-tags answer over one pair of ports: they are one
party, and its last tag is the one that answered last.

All values are frozen: an offer that fails leaves the call as it was by not being kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from voicemask.ng.plan import CallPlan, LocalPort, MediumPlan, PartyPlan, Remote, Role
from voicemask.rtp.sdes import CryptoKey

MAX_PARTIES = 32
MAX_TAGS = 32


@dataclass(frozen=True, slots=True)
class Medium:
    """One media section of one party.

    Parameters
    ----------
    port : ours, facing it.
    protocol : spoken to it.
    remote : what holds of its SDP.
    offered : of an offer to change things, until it is answered: one that is refused changes
        nothing.
    ours : keys we told it.
    mux_told : we offered it rtcp-mux.
    mux_asked, mux_granted : it offered us rtcp-mux; we take it whatever the peer says.
    """

    port: LocalPort
    kind: str
    protocol: str
    remote: Remote | None = None
    offered: Remote | None = None
    ours: tuple[CryptoKey, ...] = ()
    mux_told: bool = False
    mux_asked: bool = False
    mux_granted: bool = False


@dataclass(frozen=True, slots=True)
class Party:
    """One party; `number` is its name within the call."""

    number: int
    tags: tuple[str, ...] = ()
    branch: str = ""
    peer: int = -1
    media: tuple[Medium | None, ...] = ()
    label: str = ""
    is_caller: bool = False
    is_answered: bool = False
    interface: str = ""
    family: int = 4

    @property
    def tag(self) -> str:
        """The tag it is known by: the last one that spoke."""
        return self.tags[-1] if self.tags else ""

    @property
    def plan_tag(self) -> str:
        """The tag, or what stands for it in plans: no two parties of a call share it.

        SIP allows no semicolon in a tag. The first party that is called is empty until it answers.
        """
        return self.tag or (f";{self.number}" if self.number > 1 else "")

    @property
    def ports(self) -> Iterator[LocalPort]:
        """Ours facing it."""
        return (medium.port for medium in self.media if medium is not None)

    def with_tag(self, tag: str, *, is_last: bool = True) -> Party:
        """Know it by a tag, among others."""
        if not tag or (tag in self.tags and not is_last):
            return self
        others = tuple(known for known in self.tags if known != tag)[-(MAX_TAGS - 1) :]
        return replace(self, tags=(*others, tag) if is_last or not others else (tag, *others))

    def without_tag(self, tag: str) -> Party:
        """Forget a tag; if it was the one that spoke, what it said goes with it."""
        media = self.media
        if tag == self.tag:
            media = tuple(medium and replace(medium, remote=None) for medium in media)
        return replace(self, tags=tuple(known for known in self.tags if known != tag), media=media)

    def role(self) -> Role | None:
        """Who it is, where its label says so."""
        return _ROLES.get(self.label.lower())


_ROLES = {role.value: role for role in Role}


@dataclass(frozen=True, slots=True)
class Call:
    """A call."""

    call_id: str
    parties: tuple[Party, ...] = ()
    n_parties: int = 0
    """Ever; numbers are not used twice."""

    def numbered(self, number: int) -> Party | None:
        """Find a party by its number."""
        return next((party for party in self.parties if party.number == number), None)

    def tagged(self, tag: str) -> Party | None:
        """Find a party by one of its tags."""
        return next((party for party in self.parties if tag and tag in party.tags), None)

    def facing(self, party: Party) -> tuple[Party, ...]:
        """Find who has a party for its peer, oldest first."""
        return tuple(other for other in self.parties if other.peer == party.number)

    def with_party(self, party: Party) -> Call:
        """Put a party in the place of the one of its number, or add it."""
        if self.numbered(party.number) is None:
            return replace(self, parties=(*self.parties, party), n_parties=party.number + 1)
        parties = tuple(party if old.number == party.number else old for old in self.parties)
        return replace(self, parties=parties)

    def without(self, party: Party) -> Call:
        """Take a party out; who talked with it talks with the newest that is left facing it."""
        left = tuple(other for other in self.parties if other.number != party.number)
        call = replace(self, parties=left)
        for other in left:
            if other.peer == party.number:
                facing = [next_ for next_ in call.facing(other) if next_.number != other.number]
                answered = [next_ for next_ in facing if next_.is_answered] or facing
                peer = answered[-1].number if answered else -1
                call = call.with_party(replace(other, peer=peer))
        return call

    @property
    def ports(self) -> frozenset[LocalPort]:
        """All of its ports."""
        return frozenset(port for party in self.parties for port in party.ports)

    def plan(self) -> CallPlan:
        """Say what the media side is to do."""
        return CallPlan(self.call_id, tuple(self._party_plan(party) for party in self.parties))

    def _party_plan(self, party: Party) -> PartyPlan:
        peer = self.numbered(party.peer)
        is_linked = peer is not None and peer.peer == party.number
        media = tuple(
            MediumPlan(medium.port, medium.remote, self._heard_by(index, medium, peer))
            if is_linked and peer is not None
            else MediumPlan(medium.port, medium.remote)
            for index, medium in enumerate(party.media)
            if medium is not None
        )
        return PartyPlan(party.plan_tag, media, party.label, party.role(), party.is_caller)

    @staticmethod
    def _heard_by(index: int, medium: Medium, peer: Party) -> tuple[LocalPort, ...]:
        other = peer.media[index] if index < len(peer.media) else None
        sides = (medium, other)
        is_rejected = any(
            side is not None and side.remote is not None and side.remote.port == 0 for side in sides
        )
        return () if other is None or is_rejected else (other.port,)
