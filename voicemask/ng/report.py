"""What `query`, `delete` and `statistics` tell, in rtpengine's words. Counts only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicemask.ng.dialog import Call, Medium, Party
from voicemask.ng.plan import CallState, LocalPort, StreamTotals


def call_report(call: Call, state: CallState, tags: set[str] | None = None) -> dict[str, Any]:
    """Tell the state of a call, or of the parties of some tags (none of them known: of all)."""
    totals = {stream.port: stream for stream in state.streams}
    known = {tag for tag in tags or () if call.tagged(tag) is not None}
    parties = [party for party in call.parties if not known or known & set(party.tags)]
    return {
        "created": int(state.created_s),
        "last signal": int(state.last_signal_s),
        "SSRC": _ssrcs(state),
        "tags": {party.tag: _party(call, party, state, totals) for party in parties},
        "totals": {"RTP": _sum(state), "RTCP": {"packets": 0, "bytes": 0, "errors": 0}},
        "recording": int(state.is_recording),
        "degraded": int(state.is_degraded),
    }


def plain(value: Any) -> Any:
    """Make totals fit for bencode: fractions become text, as in rtpengine."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return f"{value:.6f}"
    return value if isinstance(value, int | str | bytes) else str(value)


def _sum(state: CallState) -> dict[str, int]:
    return {
        "packets": sum(stream.packets_in for stream in state.streams),
        "bytes": sum(stream.octets_in for stream in state.streams),
        "errors": sum(stream.errors for stream in state.streams),
    }


def _ssrcs(state: CallState) -> dict[str, Any]:
    return {
        str(stream.ssrc): {"packets": stream.packets_in, "bytes": stream.octets_in}
        for stream in state.streams
        if stream.ssrc is not None
    }


def _party(
    call: Call, party: Party, state: CallState, totals: Mapping[LocalPort, StreamTotals]
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "tag": party.tag,
        "created": int(state.created_s),
        "medias": [
            _medium(index, medium, totals)
            for index, medium in enumerate(party.media, start=1)
            if medium is not None
        ],
    }
    peer = call.numbered(party.peer)
    if peer is not None and peer.tag:
        told["in dialogue with"] = peer.tag
    if party.label:
        told["label"] = party.label
    policy = state.policies.get(party.tag)
    if policy is not None:
        told["policy"] = policy.value
    return told


def _medium(index: int, medium: Medium, totals: Mapping[LocalPort, StreamTotals]) -> dict[str, Any]:
    remote = medium.remote
    flags = ["initialized"]
    flags += ["rtcp-mux"] if remote is not None and remote.rtcp_mux else []
    flags += ["SDES"] if "SAVP" in medium.protocol else []
    return {
        "index": index,
        "type": medium.kind,
        "protocol": medium.protocol,
        "flags": flags,
        "streams": [_stream(medium, totals.get(medium.port))],
    }


def _stream(medium: Medium, total: StreamTotals | None) -> dict[str, Any]:
    total = total or StreamTotals(medium.port)
    remote = medium.remote
    told: dict[str, Any] = {
        "local port": medium.port.rtp_port,
        "flags": ["RTP"],
        "last packet": int(total.last_packet_s),
        "stats": {
            "packets": total.packets_in,
            "bytes": total.octets_in,
            "errors": total.errors,
        },
        "stats_out": {"packets": total.packets_out, "bytes": total.octets_out, "errors": 0},
    }
    if total.ssrc is not None:
        told["SSRC"] = total.ssrc
    if remote is not None:
        told["advertised endpoint"] = _endpoint(remote.address, remote.port)
        host, _, port = total.source.rpartition(":")
        is_known = bool(host) and port.isdecimal()
        told["endpoint"] = (
            _endpoint(host.strip("[]"), int(port)) if is_known else told["advertised endpoint"]
        )
        if remote.send_key is not None:
            told["crypto suite"] = remote.send_key.suite
    return told


def _endpoint(address: str, port: int) -> dict[str, Any]:
    return {
        "family": "IPv6" if ":" in address else "IPv4",
        "address": address,
        "port": port,
    }
