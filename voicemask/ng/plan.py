"""What the protocol asks of the media side: values, and the interface of whoever carries them out.

After every offer and answer the session hands over the whole `CallPlan`; the media side makes the
difference. So a retransmission or a repeated answer changes nothing, and nothing is forgotten in a
re-INVITE: policy, recording and subscriptions belong to the call and its tags, not to a plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Method, Policy
from voicemask.rtp.sdes import CryptoKey
from voicemask.rtp.sdp import DEFAULT_PTIME_MS, PayloadType


class Role(Enum):
    """Who a party of a call is; None in its place: not known, so both directions are masked."""

    CUSTOMER = "customer"
    AGENT = "agent"


class Learning(Enum):
    """Which sources other than the one in its SDP a port may take packets from."""

    STRICT = "strict"
    """None."""
    SYMMETRIC = "symmetric"
    """One on the SDP's or the signalling's address, learnt from its first packets, then locked."""


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A pair of local UDP ports facing one party.

    Parameters
    ----------
    number : handle of the media side.
    address : as written into SDP.
    rtp_port, rtcp_port : local ports, equal where RTP and RTCP share one.
    """

    number: int
    address: str
    rtp_port: int
    rtcp_port: int


@dataclass(frozen=True, slots=True)
class Remote:
    """What a party's SDP says of one media section.

    Parameters
    ----------
    address, port, rtcp_port : where it wants to receive; port 0 is a rejected section.
    kind : the m-line's first word; only "audio" is examined, the rest is relayed or withheld.
    protocol : as in the m-line (``RTP/AVP``, ``RTP/SAVP``, ...).
    payload_types : in the order of the m-line.
    direction : sendrecv, sendonly, recvonly or inactive, seen from the party.
    receive_key : SDES key of what the party sends to us; None for plain RTP.
    send_key : SDES key of what we send to the party.
    received_from : address its signalling came from, empty when not told.
    """

    address: str
    port: int
    rtcp_port: int
    kind: str = "audio"
    protocol: str = "RTP/AVP"
    payload_types: tuple[PayloadType, ...] = ()
    ptime_ms: int = DEFAULT_PTIME_MS
    direction: str = "sendrecv"
    rtcp_mux: bool = False
    receive_key: CryptoKey | None = None
    send_key: CryptoKey | None = None
    received_from: str = ""
    learning: Learning = Learning.SYMMETRIC


@dataclass(frozen=True, slots=True)
class MediumPlan:
    """One media section of one party.

    Parameters
    ----------
    port : our ports facing the party.
    remote : what its SDP says; None until it came.
    heard_by : ports of the parties that hear what this one says.
    """

    port: LocalPort
    remote: Remote | None
    heard_by: tuple[LocalPort, ...] = ()


@dataclass(frozen=True, slots=True)
class PartyPlan:
    """One party of a call, by its tag; empty, or ``;NUMBER``, until the answer brings one.

    No two parties of a plan have the same.
    """

    tag: str
    media: tuple[MediumPlan, ...]
    label: str = ""
    role: Role | None = None
    is_caller: bool = False


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call as the last offer or answer left it."""

    call_id: str
    parties: tuple[PartyPlan, ...]


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A wish about what may be heard of a call.

    Parameters
    ----------
    policy : None goes back to the configured default.
    tag : the party whose speech is meant; empty means the call. A tag names who is masked, whoever
        the customer is.
    method, fill, hold_ms : None keeps what is configured; a hold below what masking needs is
        raised to it.
    origin : who wishes. Each has a wish of its own, and takes back only that; the strictest of
        all holds.
    """

    policy: Policy | None
    tag: str = ""
    method: Method | None = None
    fill: Fill | None = None
    hold_ms: int | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Keys that start and end `capture` when a party of the call presses them; never printed."""

    start: tuple[Digit, ...] = ()
    end: tuple[Digit, ...] = ()
    tag: str = ""


class RecordingAction(Enum):
    """What is asked of a call's recording."""

    START = "start"
    PAUSE = "pause"
    STOP = "stop"


class ForkKind(Enum):
    """What a subscriber to a call is."""

    RECORDER = "recorder"
    """Gets the recording's master: masked by `guard` at least, about three seconds late."""
    MONITOR = "monitor"
    """Hears what the agent hears, when the agent hears it."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A subscription to a call: one of our ports for each medium it gets.

    Parameters
    ----------
    tag : to-tag of the subscription.
    sources : the ports whose speech goes out, in the order of `media`.
    media : ours facing the subscriber, and what its answer says (None until then).
    """

    call_id: str
    tag: str
    kind: ForkKind
    sources: tuple[LocalPort, ...]
    media: tuple[MediumPlan, ...]


@dataclass(frozen=True, slots=True)
class StreamTotals:
    """Counts of one local port: what came from the party behind it, and went to it."""

    port: LocalPort
    tag: str = ""
    packets_in: int = 0
    octets_in: int = 0
    packets_out: int = 0
    octets_out: int = 0
    errors: int = 0
    last_packet_s: float = 0.0
    """Unix time, 0 where none came."""
    ssrc: int | None = None
    source: str = ""
    """``address:port`` packets are taken from, empty before the first."""


@dataclass(frozen=True, slots=True)
class CallState:
    """What `query` tells of a call."""

    call_id: str
    created_s: float
    last_signal_s: float
    streams: tuple[StreamTotals, ...]
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """By tag: what masks this party's speech."""
    is_recording: bool = False
    is_degraded: bool = False


class MediaSide(Protocol):
    """Whoever carries plans out. Every method takes effect before it returns, or raises NgError."""

    def reserve(self, family: int, *, rtcp_mux: bool = False, interface: str = "") -> LocalPort:
        """Open a pair of ports (4 or 6) on an interface by its name (empty: the default).

        Raises
        ------
        NgError
            No such interface, or none of this family.
        NgBusyError
            No port is free.
        """
        ...

    def release(self, port: LocalPort) -> None:
        """Close a pair that is in no plan."""
        ...

    def apply(self, plan: CallPlan) -> None:
        """Set a call up, or bring it to this plan; ports no longer in it are closed."""
        ...

    def end(self, call_id: str) -> CallState:
        """End a call: ports closed, recording finished. Its last counts."""
        ...

    def set_policy(self, call_id: str, change: PolicyChange) -> None:
        """Change what may be heard of a call."""
        ...

    def set_trigger(self, call_id: str, trigger: Trigger) -> None:
        """Let keys start and end `capture`."""
        ...

    def record(self, call_id: str, action: RecordingAction, metadata: Mapping[str, str]) -> None:
        """Start, pause, go on with or stop the recording of a call."""
        ...

    def set_fork(self, fork: Fork) -> None:
        """Add a subscription, or complete it with its answer."""
        ...

    def end_fork(self, call_id: str, tag: str) -> None:
        """End a subscription; its ports are closed."""
        ...

    def state(self, call_id: str) -> CallState:
        """Tell the counts of a call; raises NgError when there is none."""
        ...

    def call_ids(self) -> Sequence[str]:
        """Name the calls, oldest first."""
        ...

    def statistics(self) -> Mapping[str, Any]:
        """Totals of the process: nested mappings of names to numbers."""
        ...
