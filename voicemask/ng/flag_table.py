"""The options of NG, and what becomes of each.

One that is not in the table is ignored without a word, as rtpengine does. Refused is what would be
a promise about who hears, records or decodes that we would not keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Use(Enum):
    """What becomes of an option."""

    HONOURED = "honoured"
    WARNED = "ignored with a warning"
    REFUSED = "refused"


def _rows(use: Use, rows: Mapping[str, str]) -> dict[str, tuple[Use, str]]:
    return {name: (use, note) for name, note in rows.items()}


TABLE: Final[Mapping[str, tuple[Use, str]]] = {
    **_rows(
        Use.HONOURED,
        {
            "address": "chooses a party by its media address",
            "address-family": "of the ports facing who gets the SDP",
            "all": "of unblock and of subscribe request",
            "asymmetric": "packets are taken from the SDP's address only",
            "block-dtmf": "as the command, for the party",
            "codec": "strip, except and offer; see there",
            "delay-buffer": "a wish; raised to what masking needs",
            "detect-dtmf": "always on",
            "direction": "names of interfaces",
            "directional": "block and silence: only the party of from-tag",
            "dtmf-security": "off, drop, silence, tone, random, zero, DTMF",
            "dtmf-security-trigger": "off, or any mode: masks",
            "dtmf-security-trigger-end": "off ends masking; any other mode keeps it",
            "endpoint-learning": "off is strict, all others learn once and lock",
            "fatal": "delete of an unknown call is an error",
            "from-interface": "first of direction",
            "from-label": "as label",
            "from-tags": "of subscribe request",
            "full-rtcp-attribute": "a=rtcp with address",
            "ice": "remove; always done",
            "inactive": "of subscribe request",
            "interface": "of subscribe request",
            "label": "of the party; customer and agent set its role",
            "limit": "of list",
            "media-address": "taken in place of the SDP's",
            "metadata": "kept beside the recording",
            "monitor": "subscribe request: hears what the agent hears, when the agent hears it",
            "no-port-latching": "ports are kept",
            "no-rtcp-attribute": "without a=rtcp",
            "original-sendrecv": "always so",
            "pause": "of stop recording",
            "port-latching": "ports are kept",
            "received-from": "where packets may come from beside the SDP's address",
            "record-call": "on starts a recording that was never started; off does not stop one",
            "recrypt": "always so",
            "replace": "origin, session-connection, zero-address",
            "rtcp-mux": "offer, require, demux, accept, reject",
            "sdes": "off, no-SUITE, only-SUITE",
            "siprec": "of subscribe request: a=label, and whose it is in the reply",
            "sip-source-address": "received-from is taken in place of the SDP's address",
            "strict-source": "always so: sources are learnt once and locked",
            "symmetric": "the default",
            "to-interface": "second of direction",
            "to-label": "of the other party",
            "transport-protocol": "RTP/AVP, AVPF, SAVP, SAVPF",
            "trigger": "keys that start masking",
            "trigger-end": "keys that end it",
            "end-trigger": "as trigger-end",
            "trust-address": "the default",
        },
    ),
    **_rows(
        Use.WARNED,
        {
            "always-transcode": "codecs are not converted",
            "audio-player": "nothing is played",
            "dtls": "DTLS-SRTP is not spoken, SDES is",
            "dtls-fingerprint": "DTLS-SRTP is not spoken, SDES is",
            "dtmf-delay": "keys are masked, not delayed",
            "force-transcoding": "codecs are not converted",
            "generate-mid": "a=mid stays as it is",
            "generate-rtcp": "RTCP is relayed, not made",
            "inject-dtmf": "no key is played",
            "loop-protect": "no loop attribute is written",
            "media-handover": "it would let a stranger take a stream over",
            "nat-wait": "packets are not held back",
            "osrtp": "SRTP is spoken where the m-line says so",
            "output-destination": "recordings have their own place",
            "pierce-nat": "no empty packets are sent",
            "ptime": "packets keep their length",
            "ptime-reverse": "packets keep their length",
            "recording-announcement": "nothing is played",
            "recording-dir": "recordings have their own place",
            "recording-file": "recordings have their own place",
            "recording-pattern": "recordings have their own names",
            "repacketize": "packets keep their length",
            "reuse-codecs": "codecs pass as offered",
            "set-label": "labels are set by offer and answer",
            "single-codec": "codecs pass as answered",
            "static-codecs": "codecs pass as offered",
            "t.38": "fax passes, it is not converted",
            "tos": "set by the host",
            "trigger-end-digits": "masking goes on to trigger-end or unblock",
            "trigger-end-time": "masking goes on to trigger-end or unblock",
        },
    ),
    **_rows(
        Use.REFUSED,
        {
            "bidirectional": "a subscriber only listens",
            "discard-recording": "delete it with `voicemask recordings`",
            "drop-traffic": "use `block media`",
            "dtmf-log-dest": "keys are told to nobody but the vault",
            "exclude-recording": "a call is recorded whole or not at all",
            "fragment": "ICE is removed, so its candidates cannot be added",
            "media-echo": "media go to the other party",
            "mix": "a subscription has one media section for each source",
            "webrtc": "DTLS-SRTP is not supported, use RTP/SAVP with SDES",
        },
    ),
}
