"""A media side that carries nothing out and writes everything down, and a proxy that talks NG."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, cast

from voicemask.capture.policy import Policy
from voicemask.errors import NgBusyError, NgError
from voicemask.ng import bencode
from voicemask.ng.plan import (
    CallPlan,
    CallState,
    Fork,
    LocalPort,
    PartyPlan,
    PolicyChange,
    RecordingAction,
    StreamTotals,
    Trigger,
)
from voicemask.ng.remote import Terms
from voicemask.ng.session import NgServer

SDP_A = (
    b"v=0\r\no=caller 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)
SDP_B = (
    b"v=0\r\no=callee 7 7 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n"
    b"m=audio 5000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)


class FakeMedia:
    """Ports are counted, calls of methods are kept, what is in `failing` is refused."""

    def __init__(self) -> None:
        self.open: set[LocalPort] = set()
        self.plans: dict[str, CallPlan] = {}
        self.policies: list[PolicyChange] = []
        self.triggers: list[Trigger] = []
        self.recordings: list[tuple[RecordingAction, dict[str, str]]] = []
        self.forks: dict[tuple[str, str], Fork] = {}
        self.interfaces: list[tuple[int, str, bool]] = []
        self.failing: set[str] = set()
        self._numbers = itertools.count()

    def _try(self, what: str) -> None:
        if what in self.failing:
            raise NgError(what, "cannot be done")

    def reserve(self, family: int, *, rtcp_mux: bool = False, interface: str = "") -> LocalPort:
        if "reserve" in self.failing:
            raise NgBusyError("ports", "are all in use")
        if interface == "nowhere":
            raise NgError("interface", "is unknown")
        self.interfaces.append((family, interface, rtcp_mux))
        number = next(self._numbers)
        rtp_port = 30000 + 2 * number
        address = "2001:db8::9" if family == 6 else "192.0.2.9"
        port = LocalPort(number, address, rtp_port, rtp_port if rtcp_mux else rtp_port + 1)
        self.open.add(port)
        return port

    def release(self, port: LocalPort) -> None:
        self.open.discard(port)

    def apply(self, plan: CallPlan) -> None:
        self._try("apply")
        old = self.plans.get(plan.call_id)
        before = _ports_of(old) if old is not None else set()
        self.open -= before - _ports_of(plan)
        assert _ports_of(plan) <= self.open
        assert len({party.tag for party in plan.parties}) == len(plan.parties)
        self.plans[plan.call_id] = plan

    def end(self, call_id: str) -> CallState:
        state = self.state(call_id)
        self.open -= _ports_of(self.plans.pop(call_id))
        return state

    def set_policy(self, call_id: str, change: PolicyChange) -> None:
        self._try("set_policy")
        assert call_id in self.plans
        self.policies.append(change)

    def set_trigger(self, _call_id: str, trigger: Trigger) -> None:
        self._try("set_trigger")
        self.triggers.append(trigger)

    def record(self, _call_id: str, action: RecordingAction, metadata: Mapping[str, str]) -> None:
        self._try("record")
        self.recordings.append((action, dict(metadata)))

    def set_fork(self, fork: Fork) -> None:
        self._try("set_fork")
        self.forks[fork.call_id, fork.tag] = fork

    def end_fork(self, call_id: str, tag: str) -> None:
        self.open -= {medium.port for medium in self.forks.pop((call_id, tag)).media}

    def state(self, call_id: str) -> CallState:
        if call_id not in self.plans:
            raise NgError("", "Unknown call-id")
        parties = self.plans[call_id].parties
        streams = tuple(
            StreamTotals(medium.port, party.tag, 10, 1600, ssrc=medium.port.number)
            for party in parties
            for medium in party.media
        )
        policies = {party.tag: Policy.GUARD for party in parties}
        return CallState(call_id, 1_700_000_000.5, 1_700_000_001.5, streams, policies)

    def call_ids(self) -> Sequence[str]:
        return tuple(self.plans)

    def statistics(self) -> Mapping[str, Any]:
        return {"current": {"calls": len(self.plans), "load": 0.25}}


def _ports_of(plan: CallPlan) -> set[LocalPort]:
    return {medium.port for party in plan.parties for medium in party.media}


class Proxy:
    """Sends requests as a proxy does, each with a cookie of its own."""

    def __init__(self, media: FakeMedia) -> None:
        self.media = media
        random = itertools.count(1)
        terms = Terms(lambda n_bytes: next(random).to_bytes(n_bytes, "big"))
        self.server = NgServer(media, terms)
        self._cookies = itertools.count()

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a request; underscores in keys stand for hyphens. Gives the reply as text."""
        request = {key.replace("_", "-"): value for key, value in fields.items()}
        payload = bencode.encode({"command": command, "call-id": "c1", **request})
        reply = self.server.handle(b"%d %b" % (next(self._cookies), payload), "proxy:1", 0.0)
        assert reply is not None
        return cast("dict[str, Any]", readable(bencode.decode(reply.partition(b" ")[2])))

    def offer(self, sdp: bytes = SDP_A, **fields: Any) -> dict[str, Any]:
        return self.ask("offer", **{"sdp": sdp, "from_tag": "1A", **fields})

    def answer(self, sdp: bytes = SDP_B, **fields: Any) -> dict[str, Any]:
        return self.ask("answer", **{"sdp": sdp, "from_tag": "1A", "to_tag": "1B", **fields})

    def talk(self, **fields: Any) -> None:
        """Set a call up."""
        assert self.offer(**fields)["result"] == "ok"
        assert self.answer()["result"] == "ok"

    def party(self, tag: str) -> PartyPlan:
        """Give what the media side knows of a party."""
        return next(party for party in self.media.plans["c1"].parties if party.tag == tag)


def readable(value: object) -> Any:
    """Turn bytes into text, but for SDP, throughout."""
    if isinstance(value, bytes):
        return value if value.startswith(b"v=0") else value.decode()
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, list) else value
