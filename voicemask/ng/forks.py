"""Subscriptions: copies of a call's media for a recorder or a monitor.

A subscriber gets one section for each source, named in its order, and sends nothing. Which master
it hears is its kind's matter: a recorder gets the recording's, a monitor what the agent hears.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from voicemask.errors import InputError, NgError, SdpError
from voicemask.ng.description import parse_description
from voicemask.ng.dialog import Call, Medium, Party
from voicemask.ng.exchange import Reservations
from voicemask.ng.flags import Options
from voicemask.ng.message import Request
from voicemask.ng.plan import Fork, ForkKind, LocalPort, MediaSide, MediumPlan
from voicemask.ng.remote import RemoteReader, Terms, our_keys
from voicemask.rtp.sdes import serialize_crypto
from voicemask.rtp.sdp import PayloadType

MAX_FORKS: Final = 16
"""Of one call."""


@dataclass(frozen=True, slots=True)
class _Source:
    port: LocalPort
    tag: str
    label: str
    index: int
    direction: str
    payload_types: tuple[PayloadType, ...]
    ptime_ms: int


@dataclass(frozen=True, slots=True)
class _Subscription:
    kind: ForkKind
    sources: tuple[_Source, ...]
    media: tuple[Medium, ...]

    def fork(self, call_id: str, tag: str) -> Fork:
        media = tuple(MediumPlan(medium.port, medium.remote) for medium in self.media)
        return Fork(call_id, tag, self.kind, tuple(source.port for source in self.sources), media)


class Forks:
    """The subscriptions of all calls, by call-id and to-tag."""

    def __init__(self, media: MediaSide, terms: Terms) -> None:
        self._media = media
        self._terms = terms
        self._calls: dict[str, dict[str, _Subscription]] = {}

    def request(self, call: Call, request: Request, options: Options) -> dict[str, Any]:
        """Offer a subscriber the media of the parties it names, of both where it names none."""
        kind = ForkKind.MONITOR if "monitor" in request.flags else ForkKind.RECORDER
        parties = _chosen(call, request, options)
        sources = [source for party in parties for source in _sources(call, party, kind)]
        if not sources:
            raise NgError("call", "has no audio to subscribe to yet")
        tag = request.text("to-tag") or self._terms.random(8).hex()
        known = self._calls.get(call.call_id, {})
        if tag not in known and len(known) >= MAX_FORKS:
            raise NgError("call", f"has {MAX_FORKS} subscriptions already")
        if call.tagged(tag) is not None:
            raise NgError("to-tag", "is a party of the call")
        if tag in known:
            self.end(call.call_id, tag)
        subscription = self._open(call.call_id, tag, kind, sources, options)
        is_siprec = "siprec" in request.flags
        direction = "inactive" if "inactive" in request.flags else "sendonly"
        reply: dict[str, Any] = {
            "sdp": _describe(subscription, direction, has_labels=is_siprec),
            "to-tag": tag,
            "from-tags": [source.tag for source in sources],
        }
        return reply | (_siprec_names(sources) if is_siprec else {})

    def answer(self, call: Call, request: Request, options: Options) -> Sequence[str]:
        """Take a subscriber's answer; gives warnings."""
        tag = request.text("to-tag")
        subscription = self._find(call.call_id, tag)
        description = parse_description(request.body())
        if len(description.sections) != len(subscription.media):
            raise SdpError("sdp", "has another number of media sections than was offered")
        reader = RemoteReader(options, self._terms)
        media: list[Medium] = []
        rows = zip(description.sections, subscription.media, subscription.sources, strict=True)
        for section, medium, source in rows:
            remote = reader.answered(section, medium) if section.media.port else None
            media.append(replace(medium, remote=remote))
            taken = {payload.encoding for payload in section.media.payload_types}
            left = [p.encoding for p in source.payload_types if p.encoding not in taken]
            if left and remote is not None:
                if "allow-transcoding" not in request.flags:
                    raise SdpError("sdp", "does not accept every codec, and none is converted")
                reader.warnings.append("allow-transcoding: packets of other codecs are left out")
        completed = replace(subscription, media=tuple(media))
        self._media.set_fork(completed.fork(call.call_id, tag))
        self._calls[call.call_id][tag] = completed
        return tuple(dict.fromkeys(reader.warnings))

    def end(self, call_id: str, tag: str) -> None:
        """End a subscription."""
        self._find(call_id, tag)
        self._media.end_fork(call_id, tag)
        del self._calls[call_id][tag]

    def end_all(self, call_id: str) -> None:
        """End those of a call that is about to end."""
        for tag in tuple(self._calls.get(call_id, {})):
            self.end(call_id, tag)
        self.forget(call_id)

    def forget(self, call_id: str) -> None:
        """Take note that a call is gone, and its subscriptions with it."""
        self._calls.pop(call_id, None)

    def _find(self, call_id: str, tag: str) -> _Subscription:
        subscription = self._calls.get(call_id, {}).get(tag)
        if subscription is None:
            raise NgError("to-tag", "names no subscription of this call")
        return subscription

    def _open(
        self, call_id: str, tag: str, kind: ForkKind, sources: list[_Source], options: Options
    ) -> _Subscription:
        protocol = options.transport or "RTP/AVP"
        encrypted = "SAVP" in protocol
        ports = Reservations(self._media)
        try:
            media = tuple(
                Medium(
                    ports.take(options.address_family or 4, options.interfaces[0]),
                    "audio",
                    protocol,
                    ours=our_keys(options, self._terms) if encrypted else (),
                )
                for _ in sources
            )
            subscription = _Subscription(kind, tuple(sources), media)
            self._media.set_fork(subscription.fork(call_id, tag))
        except InputError:
            ports.give_back()
            raise
        self._calls.setdefault(call_id, {})[tag] = subscription
        return subscription


def _chosen(call: Call, request: Request, options: Options) -> list[Party]:
    tags = request.texts("from-tags") or tuple(filter(None, [request.text("from-tag")]))
    if tags and not options.is_for_all:
        found = [call.tagged(tag) for tag in tags]
        if None in found:
            raise NgError("from-tag", "names no party of this call")
        return list(dict.fromkeys(party for party in found if party is not None))
    if options.label:
        return [party for party in call.parties if party.label == options.label]
    return [party for party in call.parties if _is_linked(call, party)]


def _is_linked(call: Call, party: Party) -> bool:
    peer = call.numbered(party.peer)
    return bool(party.tag) and peer is not None and peer.peer == party.number


def _sources(call: Call, party: Party, kind: ForkKind) -> list[_Source]:
    """Give the audio of a party, in the codecs its peer accepts: those it sends."""
    peer = call.numbered(party.peer)
    sources: list[_Source] = []
    for index, medium in enumerate(party.media):
        if medium is None or medium.kind != "audio" or medium.remote is None:
            continue
        hearer = peer.media[index] if peer is not None and index < len(peer.media) else None
        heard = hearer.remote if hearer is not None else None
        own = {payload.encoding for payload in medium.remote.payload_types}
        accepted = heard.payload_types if heard is not None else ()
        types = tuple(payload for payload in accepted if payload.encoding in own)
        types = types or medium.remote.payload_types
        if kind is ForkKind.RECORDER:  # its master has fill in the place of events
            types = tuple(payload for payload in types if not payload.is_event)
        if medium.remote.port and types:
            remote = medium.remote
            tag, label, number = party.tag, party.label, index + 1
            sources.append(
                _Source(medium.port, tag, label, number, remote.direction, types, remote.ptime_ms)
            )
    return sources


def _siprec_names(sources: list[_Source]) -> dict[str, Any]:
    """Say which section of the SDP is whose: what a SIPREC client's metadata is made of."""
    named: list[dict[str, Any]] = []
    labels: dict[str, dict[str, Any]] = {}
    for number, source in enumerate(sources, start=1):
        who = {"tag": source.tag} | ({"label": source.label} if source.label else {})
        what = {"index": source.index, "type": "audio", "mode": source.direction}
        named.append({**who, "medias": [{**what, "label": str(number)}]})
        labels[str(number)] = {**who, **what}
    return {"tag-medias": named, "media-labels": labels}


def _describe(subscription: _Subscription, direction: str, *, has_labels: bool) -> bytes:
    first = subscription.media[0].port.address
    word = "IP6" if ":" in first else "IP4"
    lines = ["v=0", f"o=- 1 1 IN {word} {first}", "s=voicemask", "t=0 0"]
    rows = zip(subscription.sources, subscription.media, strict=True)
    for number, (source, medium) in enumerate(rows, start=1):
        lines += _section(source, medium, direction)
        lines += [f"a=label:{number}"] if has_labels else []
    return "".join(f"{line}\r\n" for line in lines).encode()


def _section(source: _Source, medium: Medium, direction: str) -> list[str]:
    port = medium.port
    numbers = " ".join(str(payload.number) for payload in source.payload_types)
    word = "IP6" if ":" in port.address else "IP4"
    lines = [
        f"m=audio {port.rtp_port} {medium.protocol} {numbers}",
        f"c=IN {word} {port.address}",
    ]
    for payload in source.payload_types:
        lines += _map(payload)
    lines += [f"a=ptime:{source.ptime_ms}", f"a={direction}"]
    if port.rtcp_port != port.rtp_port + 1:
        lines.append(f"a=rtcp:{port.rtcp_port}")
    return lines + [f"a=crypto:{serialize_crypto(key)}" for key in medium.ours]


def _map(payload: PayloadType) -> list[str]:
    channels = f"/{payload.n_channels}" if payload.n_channels > 1 else ""
    lines = [f"a=rtpmap:{payload.number} {payload.encoding}/{payload.clock_hz}{channels}"]
    return lines + ([f"a=fmtp:{payload.number} {payload.fmtp}"] if payload.fmtp else [])
