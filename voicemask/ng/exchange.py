"""Offers and answers: from a description and what was known, what is known now and what to pass on.

An offer opens ports on both sides. What the offerer's SDP says holds at once in a new call, since
early media may come; in a call that stands it waits for the answer, so an offer that is refused, or
crosses another, changes nothing. Ports and keys are kept through all offers of a call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from voicemask.errors import NgError, SdpError
from voicemask.ng.description import Description, Facing, Section, rewrite
from voicemask.ng.dialog import MAX_PARTIES, Call, Medium, Party
from voicemask.ng.flags import CodecFilter, Options
from voicemask.ng.plan import LocalPort, MediaSide, Remote
from voicemask.ng.remote import RemoteReader, Terms, our_keys, with_mux
from voicemask.rtp.sdes import CryptoKey

_SOUNDLESS: Final = frozenset({"telephone-event", "CN"})


@dataclass(frozen=True, slots=True)
class Signal:
    """An offer or an answer; `from_tag` is who offered, in both."""

    from_tag: str
    to_tag: str
    branch: str
    description: Description
    options: Options


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Parameters
    ----------
    call : what is known now; to be kept once the media side has taken its plan.
    speaker : number of the party whose description it was.
    sdp : to pass on.
    """

    call: Call
    speaker: int
    sdp: bytes
    warnings: tuple[str, ...] = ()


class Reservations:
    """Ports opened for one request, given back if it fails."""

    def __init__(self, media: MediaSide) -> None:
        self._media = media
        self._taken: list[LocalPort] = []

    def take(self, family: int, interface: str = "", *, rtcp_mux: bool = False) -> LocalPort:
        """Open a pair of ports."""
        port = self._media.reserve(family, rtcp_mux=rtcp_mux, interface=interface)
        self._taken.append(port)
        return port

    def give_back(self) -> None:
        """Close them all."""
        while self._taken:
            self._media.release(self._taken.pop())


def offer(call: Call, signal: Signal, terms: Terms, ports: Reservations) -> Outcome:
    """Carry an offer out.

    Raises
    ------
    InputError
        It cannot be relayed; `ports` are to be given back.
    """
    return _Offer(call, signal, terms, ports).run()


def answer(call: Call, signal: Signal, terms: Terms) -> Outcome:
    """Carry an answer out.

    Raises
    ------
    InputError
        It cannot be relayed, or nobody offered.
    """
    return _Answer(call, signal, terms).run()


class _Offer:
    def __init__(self, call: Call, signal: Signal, terms: Terms, ports: Reservations) -> None:
        self.call = call
        self.signal = signal
        self.options = signal.options
        self.terms = terms
        self.reader = RemoteReader(signal.options, terms)
        self.warnings = self.reader.warnings
        self._ports = ports
        self._offerer, self._answerer = self._parties()

    def run(self) -> Outcome:
        facings: list[Facing | None] = []
        mine: list[Medium | None] = []
        theirs: list[Medium | None] = []
        for index, section in enumerate(self.signal.description.sections):
            ours, other, facing = self._section(index, section)
            mine.append(ours)
            theirs.append(other)
            facings.append(facing)
        sdp = rewrite(self.signal.description, facings, self.options.replaced)
        mine += self._offerer.media[len(mine) :]  # fewer sections than before are not allowed
        theirs += self._answerer.media[len(theirs) :]
        call = self.call.with_party(replace(self._offerer, media=tuple(mine)))
        call = call.with_party(replace(self._answerer, media=tuple(theirs)))
        return Outcome(call, self._offerer.number, sdp, tuple(self.warnings))

    def _parties(self) -> tuple[Party, Party]:
        """Find who offers to whom, or add them to the call."""
        call, signal, options = self.call, self.signal, self.options
        offerer, answerer = call.tagged(signal.from_tag), call.tagged(signal.to_tag)
        if answerer is not None and offerer is None:
            offerer = call.numbered(answerer.peer)
        elif offerer is not None and answerer is None:
            answerer = self._answerer_of(offerer)
        if offerer is not None and answerer is not None and offerer.number == answerer.number:
            raise NgError("to-tag", "is the same party as from-tag")
        number = call.n_parties
        if offerer is None:
            # a first offer with a to-tag is one in a 200 OK: the callee's
            family = _family_of(signal.description)
            is_caller = not signal.to_tag
            offerer = Party(
                number, is_caller=is_caller, interface=options.interfaces[0], family=family
            )
            number += 1
        if answerer is None:
            family = options.address_family or offerer.family
            answerer = Party(
                number,
                branch=signal.branch,
                is_caller=bool(signal.to_tag) and not offerer.is_caller,
                interface=options.interfaces[1],
                family=family,
            )
            number += 1
        if len(call.parties) + number - call.n_parties > MAX_PARTIES:
            raise NgError("call", f"has more than {MAX_PARTIES} branches")
        return self._introduce(offerer, answerer)

    def _introduce(self, offerer: Party, answerer: Party) -> tuple[Party, Party]:
        signal, options = self.signal, self.options
        offerer = replace(offerer.with_tag(signal.from_tag), label=options.label or offerer.label)
        answerer = replace(
            answerer.with_tag(signal.to_tag, is_last=False),
            label=options.other_label or answerer.label,
            peer=offerer.number,
        )
        peer = self.call.numbered(offerer.peer)
        if peer is None or not peer.is_answered:
            offerer = replace(offerer, peer=answerer.number)
        return offerer, answerer

    def _answerer_of(self, offerer: Party) -> Party | None:
        """Find whom an offer without a known to-tag is for."""
        facing = self.call.facing(offerer)
        same = [party for party in facing if party.branch == self.signal.branch]
        if self.signal.to_tag or not offerer.is_caller:
            is_branch = bool(same and self.signal.branch)
            return same[-1] if is_branch else self.call.numbered(offerer.peer)
        return same[-1] if same else None

    def _section(
        self, index: int, section: Section
    ) -> tuple[Medium | None, Medium | None, Facing | None]:
        old_mine, old_theirs = _at(self._offerer, index), _at(self._answerer, index)
        if section.media.port == 0:
            return _withdrawn(old_mine), old_theirs if old_mine else None, None
        if not section.can_pass:
            self.reader.unusable(
                section, "uses a transport that is not relayed", "use RTP/AVP or RTP/SAVP"
            )
            return old_mine, old_theirs, None
        known = old_mine.remote.send_key if old_mine and old_mine.remote else None
        received = self.reader.offered(section, known)
        if received is None:
            return old_mine, old_theirs, None
        mine = self._mine(section, old_mine, received, has_peer=old_theirs is not None)
        theirs = self._theirs(section, old_theirs)
        return mine, theirs, self._facing(section, theirs)

    def _mine(
        self, section: Section, old: Medium | None, remote: Remote, *, has_peer: bool
    ) -> Medium:
        mux = self.options.rtcp_mux
        asked = section.media.rtcp_mux
        granted = asked and bool(mux & {"accept", "demux"})
        waits = bool(self.signal.to_tag) and has_peer and old is not None and old.remote is not None
        medium = old or Medium(
            self._ports.take(self._offerer.family, self._offerer.interface),
            section.media.kind,
            section.protocol,
        )
        remote = with_mux(remote, medium.remote.rtcp_mux if medium.remote else granted)
        return replace(
            medium,
            kind=section.media.kind,
            protocol=section.protocol,
            remote=medium.remote if waits else remote,
            offered=remote if waits else None,
            ours=(remote.send_key,) if remote.send_key is not None else (),
            mux_asked=asked and "reject" not in mux,
            mux_granted=granted and "reject" not in mux,
        )

    def _theirs(self, section: Section, old: Medium | None) -> Medium:
        protocol = self._protocol_for(section, old)
        mux = self.options.rtcp_mux
        told = (section.media.rtcp_mux and not mux & {"demux", "reject"}) or bool(
            mux & {"offer", "require"}
        )
        port = old.port if old is not None else self._port_for_answerer()
        told = told or port.rtp_port == port.rtcp_port
        medium = old or Medium(port, section.media.kind, protocol)
        encrypted = section.is_rtp and "SAVP" in protocol
        return replace(
            medium,
            kind=section.media.kind,
            protocol=protocol,
            ours=our_keys(self.options, self.terms, medium.ours) if encrypted else (),
            mux_told=told and section.is_rtp,
        )

    def _port_for_answerer(self) -> LocalPort:
        party = self._answerer
        shares = "require" in self.options.rtcp_mux
        return self._ports.take(party.family, party.interface, rtcp_mux=shares)

    def _protocol_for(self, section: Section, old: Medium | None) -> str:
        if not section.is_rtp:
            return section.protocol
        if self.options.transport:
            return self.options.transport
        is_agreed = old is not None and old.remote is not None and old.protocol.startswith("RTP/")
        return old.protocol if old is not None and is_agreed else section.protocol

    def _facing(self, section: Section, theirs: Medium) -> Facing:
        port = theirs.port
        return Facing(
            address=port.address,
            port=port.rtp_port,
            rtcp_port=port.rtcp_port,
            protocol=theirs.protocol,
            rtcp_mux=theirs.mux_told,
            crypto=theirs.ours,
            removed=self._removed(section),
            rtcp_line=self.options.rtcp_line,
        )

    def _removed(self, section: Section) -> frozenset[str]:
        removed = frozenset(
            str(payload.number)
            for payload in section.media.payload_types
            if _is_stripped(payload.encoding, payload.clock_hz, self.options.codecs)
        )
        speaks = [
            payload
            for payload in section.media.payload_types
            if str(payload.number) not in removed and payload.encoding not in _SOUNDLESS
        ]
        if removed and not speaks:
            self.warnings.append("codec: nothing would be left, so all are offered")
            return frozenset()
        return removed


class _Answer:
    def __init__(self, call: Call, signal: Signal, terms: Terms) -> None:
        self.call = call
        self.signal = signal
        self.options = signal.options
        self.reader = RemoteReader(signal.options, terms)

    def run(self) -> Outcome:
        offerer, answerer = self._parties()
        sections = self.signal.description.sections
        if len(sections) > len(answerer.media):
            raise SdpError("sdp", "has more media sections than the offer")
        facings: list[Facing | None] = []
        mine, theirs = list(offerer.media), list(answerer.media)
        for index, section in enumerate(sections):
            mine[index], theirs[index], facing = self._section(
                section, _at(offerer, index), theirs[index]
            )
            facings.append(facing)
        sdp = rewrite(self.signal.description, facings, self.options.replaced)
        offerer = replace(offerer, media=tuple(mine), peer=answerer.number)
        answerer = replace(
            answerer.with_tag(self.signal.to_tag),
            media=tuple(theirs),
            peer=offerer.number,
            is_answered=True,
            label=self.options.label or answerer.label,
        )
        call = self.call.with_party(offerer).with_party(answerer)
        return Outcome(call, answerer.number, sdp, tuple(self.reader.warnings))

    def _parties(self) -> tuple[Party, Party]:
        offerer = self.call.tagged(self.signal.from_tag)
        answerer = self.call.tagged(self.signal.to_tag)
        if offerer is None:
            raise NgError("from-tag", "has offered nothing in this call")
        if answerer is not None and answerer.number == offerer.number:
            raise NgError("to-tag", "is the same party as from-tag")
        if answerer is None:
            answerer = self._branch_of(offerer) or self.call.numbered(offerer.peer)
        if answerer is None or answerer.peer != offerer.number:
            raise NgError("to-tag", "was offered nothing in this call")
        return offerer, answerer

    def _branch_of(self, offerer: Party) -> Party | None:
        """Find whom a new to-tag belongs to: the branch it names, else the newest offered."""
        facing = self.call.facing(offerer)
        named = [party for party in facing if party.branch and party.branch == self.signal.branch]
        if named:
            return named[-1]
        return facing[-1] if facing else None

    def _section(
        self, section: Section, mine: Medium | None, theirs: Medium | None
    ) -> tuple[Medium | None, Medium | None, Facing | None]:
        offered = (mine.offered or mine.remote) if mine is not None else None
        if mine is None or theirs is None or offered is None:
            return mine, theirs, None
        if offered.port == 0:
            return None, None, None  # withdrawn, and now agreed
        if section.media.port == 0:
            rejected = replace(_known(section, theirs), port=0)
            return mine, replace(theirs, remote=rejected), None
        remote = self.reader.answered(section, theirs)
        if remote is None:
            return mine, theirs, None
        mux = mine.mux_asked and (mine.mux_granted or remote.rtcp_mux)
        mux = mux or mine.port.rtp_port == mine.port.rtcp_port
        mine = replace(mine, remote=with_mux(offered, mux), offered=None)
        theirs = replace(theirs, remote=remote, offered=None, ours=_still_offered(remote, theirs))
        return mine, theirs, self._facing(mine, mux=mux)

    def _facing(self, mine: Medium, *, mux: bool) -> Facing:
        port = mine.port
        return Facing(
            address=port.address,
            port=port.rtp_port,
            rtcp_port=port.rtp_port if mux else port.rtcp_port,
            protocol=mine.protocol,
            rtcp_mux=mux,
            crypto=mine.ours if "SAVP" in mine.protocol else (),
            rtcp_line=self.options.rtcp_line,
        )


def _at(party: Party, index: int) -> Medium | None:
    return party.media[index] if index < len(party.media) else None


def _known(section: Section, theirs: Medium) -> Remote:
    """Give what is known of a party that takes no part in a section."""
    media = section.media
    return theirs.remote or Remote("", 0, 0, kind=media.kind, protocol=section.protocol)


def _withdrawn(medium: Medium | None) -> Medium | None:
    """Wait with closing a section for the answer."""
    if medium is None or medium.remote is None:
        return None
    return replace(medium, offered=replace(medium.remote, port=0))


def _still_offered(remote: Remote, medium: Medium) -> tuple[CryptoKey, ...]:
    """Give the keys that stay on offer: all, since another branch may answer with another one."""
    return medium.ours if remote.send_key is not None else ()


def _family_of(description: Description) -> int:
    return 6 if ":" in description.sections[0].media.address else 4


def _is_stripped(encoding: str, clock_hz: int, codecs: CodecFilter) -> bool:
    names = {encoding.upper(), f"{encoding.upper()}/{clock_hz}", "ALL"}
    return bool(codecs.strip & names) and not codecs.kept & (names - {"ALL"})
