"""What a media process is told at its start: plain values, checked by whoever makes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from voicemask.capture.policy import Fill, Method, Policy
from voicemask.ng.plan import Learning


class Customer(Enum):
    """Which party of a call is the customer where nothing else tells."""

    CALLER = "caller"
    CALLEE = "callee"
    UNKNOWN = "unknown"
    """Both parties' keys are masked."""


@dataclass(frozen=True, slots=True)
class RtpAddress:
    """A local address for RTP.

    Parameters
    ----------
    bind : IPv4 or IPv6 address sockets are bound to.
    advertised : address written into SDP; differs from `bind` behind a NAT.
    name : of the interface, for NG's ``direction``; empty for the default.
    """

    bind: str
    advertised: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How calls are relayed and masked.

    Parameters
    ----------
    addresses : at least one; the first of a family is its default.
    first_port, last_port : RTP ports, inclusive.
    policy : outside capture: `guard` or `open`.
    customer : who is the customer where nothing tells.
    method, fill, hold_ms : of `capture`; the hold is raised to what the method needs.
    learning : of sources.
    """

    addresses: tuple[RtpAddress, ...]
    first_port: int = 30000
    last_port: int = 39999
    policy: Policy = Policy.GUARD
    customer: Customer = Customer.UNKNOWN
    method: Method = Method.SUPPRESS
    fill: Fill = Fill.NOISE
    hold_ms: int = 0
    learning: Learning = Learning.SYMMETRIC


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """A whole media service.

    Parameters
    ----------
    node : of its calls.
    ng : where NG is served: ``udp:HOST:PORT``, ``tcp:HOST:PORT``.
    control, vault : Unix sockets; None is none.
    recordings : folder of recordings; None records nothing.
    recording_key : file of the keys that wrap recordings' keys.
    n_processes : media processes; the port range is shared out.
    metrics : ``HOST:PORT`` of the metrics page; empty is none.
    user : account whose rights are kept after binding; empty keeps what is there.
    """

    node: NodeSettings
    ng: tuple[str, ...] = ("udp:127.0.0.1:2223",)
    control: Path | None = None
    vault: Path | None = None
    recordings: Path | None = None
    recording_key: Path | None = None
    n_processes: int = 1
    metrics: str = ""
    user: str = ""
