"""The options of a request, read once: what is honoured, what is ignored aloud, what is refused.

The list is `flag_table.TABLE`; here are their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill
from voicemask.errors import NgError, SecretError
from voicemask.ng.bencode import Value
from voicemask.ng.description import RTP_PROTOCOLS, RtcpLine
from voicemask.ng.flag_table import TABLE, Use
from voicemask.ng.message import Request, normalise, to_text
from voicemask.ng.plan import Learning

MAX_HOLD_MS: Final = 1000
MAX_TRIGGER_KEYS: Final = 32


_PREFIXES: Final = (
    "rtcp-mux",
    "replace",
    "ice",
    "sdes",
    "codec",
    "endpoint-learning",
    "dtmf-security",
    "osrtp",
)
_FILLS: Final[Mapping[str, Fill | None]] = {
    "": None,
    "drop": Fill.SILENCE,
    "silence": Fill.SILENCE,
    "tone": Fill.TONE,
    "random": Fill.NOISE,
    "zero": Fill.NOISE,
    "dtmf": Fill.NOISE,
}
_FAMILIES: Final = {"": 0, "inet": 4, "ip4": 4, "ipv4": 4, "inet6": 6, "ip6": 6, "ipv6": 6}
_CODEC_WARNINGS: Final[Mapping[str, str]] = {
    "mask": "codec-mask: taken out of the offer, but not converted",
    **{
        name: f"codec-{name}: codecs are not converted"
        for name in ("transcode", "consume", "accept", "set", "ignore")
    },
}


@dataclass(frozen=True, slots=True)
class DtmfWish:
    """What is to be masked, and how.

    Parameters
    ----------
    is_on : False is DTMF-security=off.
    fill, hold_ms : None keeps what is configured.
    """

    is_on: bool = True
    fill: Fill | None = None
    hold_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CodecFilter:
    """Which codecs leave an offer; names in upper case, ``ALL`` for every one."""

    strip: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one request."""

    address_family: int = 0
    codecs: CodecFilter = CodecFilter()
    dtmf: DtmfWish = DtmfWish()
    blocks_dtmf: bool = False
    interfaces: tuple[str, str] = ("", "")
    is_directional: bool = False
    is_for_all: bool = False
    label: str = ""
    other_label: str = ""
    learning: Learning | None = None
    media_address: str = ""
    received_from: str = ""
    records: bool = False
    replaced: frozenset[str] = frozenset()
    rtcp_line: RtcpLine = RtcpLine.NEEDED
    rtcp_mux: frozenset[str] = frozenset()
    sdes: frozenset[str] = frozenset()
    transport: str = ""
    trigger: tuple[Digit, ...] = ()
    trigger_end: tuple[Digit, ...] = ()
    masks_on_trigger: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_options(request: Request) -> Options:
    """Read the options of a request.

    Raises
    ------
    NgError
        One is refused, or has a value that cannot be read.
    """
    return _OptionReader(request).read()


class _OptionReader:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._lists: dict[str, list[str]] = {}
        self._warnings: list[str] = []
        self._bare: set[str] = set()
        for flag in sorted(request.flags):
            self._sort_flag(flag)

    def _sort_flag(self, flag: str) -> None:
        for prefix in _PREFIXES:
            if flag.startswith(prefix + "-") and flag not in TABLE:
                self._lists.setdefault(prefix, []).append(flag[len(prefix) + 1 :])
                return
        if flag.upper() in RTP_PROTOCOLS:
            self._lists.setdefault("transport-protocol", []).append(flag)
        elif flag.startswith("transcode-"):
            self._lists.setdefault("codec", []).append(flag)
        else:
            self._bare.add(flag)

    def read(self) -> Options:
        self._heed_table()
        trigger_end_mode = self._word("dtmf-security-trigger-end")
        keeps_masking = trigger_end_mode not in {"", "off"}
        end = self._keys("trigger-end") or self._keys("end-trigger")
        return Options(
            address_family=self._family(),
            codecs=self._codecs(),
            dtmf=self._dtmf_wish(),
            blocks_dtmf=bool(self._word("dtmf-security"))
            or ("block-dtmf" in self._bare and not self._keys("trigger")),
            interfaces=self._interfaces(),
            is_directional=self._is_set("directional"),
            is_for_all=self._is_set("all") or self._word("all") in {"all", "offer-answer"},
            label=self._request.text("label") or self._request.text("from-label"),
            other_label=self._request.text("to-label"),
            learning=self._learning(),
            media_address=self._media_address(),
            received_from=self._received_from(),
            records=self._word("record-call") in {"on", "yes"} or "record-call" in self._bare,
            replaced=frozenset(self._words("replace")),
            rtcp_line=self._rtcp_line(),
            rtcp_mux=frozenset(self._words("rtcp-mux")),
            sdes=frozenset(self._words("sdes")),
            transport=self._transport(),
            trigger=self._keys("trigger"),
            trigger_end=() if keeps_masking else end,
            masks_on_trigger=self._word("dtmf-security-trigger") != "off",
            metadata=_read_metadata(self._request.text("metadata")),
            warnings=tuple(self._warnings),
        )

    def _heed_table(self) -> None:
        for name in sorted(self._bare | self._request.fields.keys()):
            use, note = TABLE.get(name, (Use.HONOURED, ""))
            if use is Use.REFUSED and self._word(name) not in {"off", "no", "stop"}:
                raise NgError(name, note)
            if use is Use.WARNED and self._word(name) not in {"off", "no", "disable", "default"}:
                self._warnings.append(f"{name}: {note}")
        if set(self._words("ice")) - {"remove", "default"}:
            self._warnings.append("ICE: always removed")

    def _is_set(self, name: str) -> bool:
        return name in self._bare or self._word(name) in {"yes", "on"}

    def _word(self, name: str) -> str:
        words = self._words(name)
        return words[0] if words else ""

    def _words(self, name: str) -> list[str]:
        value = self._request.fields.get(name)
        given = [] if value is None or isinstance(value, dict) else self._request.texts(name)
        return [normalise(word) for word in given] + self._lists.get(name, [])

    def _family(self) -> int:
        word = self._word("address-family")
        if word not in _FAMILIES:
            raise NgError("address-family", "is neither inet nor inet6")
        return _FAMILIES[word]

    def _dtmf_wish(self) -> DtmfWish:
        mode = self._word("dtmf-security")
        if mode == "off":
            return DtmfWish(is_on=False)
        if mode not in _FILLS:
            raise NgError("DTMF-security", "is an unknown mode", "use silence, tone or off")
        hold_ms = self._request.integer("delay-buffer")
        if hold_ms is not None and not 0 <= hold_ms <= MAX_HOLD_MS:
            raise NgError("delay-buffer", f"is not between 0 and {MAX_HOLD_MS}")
        return DtmfWish(fill=_FILLS[mode], hold_ms=hold_ms)

    def _interfaces(self) -> tuple[str, str]:
        first = self._request.text("from-interface") or self._request.text("interface")
        second = self._request.text("to-interface")
        given = self._request.texts("direction")
        if given and len(given) != 2:
            raise NgError("direction", "does not name two interfaces")
        return (given[0], given[1]) if given else (first, second)

    def _learning(self) -> Learning | None:
        learning = self._word("endpoint-learning")
        if "asymmetric" in self._bare or learning == "off":
            return Learning.STRICT
        if learning or self._bare & {"symmetric", "strict-source"}:
            return Learning.SYMMETRIC
        return None

    def _received_from(self) -> str:
        given = self._request.texts("received-from")
        return given[-1] if given else ""

    def _media_address(self) -> str:
        given = self._request.text("media-address")
        if given or not self._is_set("sip-source-address"):
            return given
        source = self._received_from()
        if not source:
            raise NgError("SIP-source-address", "needs received-from")
        return source

    def _rtcp_line(self) -> RtcpLine:
        if self._is_set("no-rtcp-attribute"):
            return RtcpLine.NEVER
        return RtcpLine.FULL if self._is_set("full-rtcp-attribute") else RtcpLine.NEEDED

    def _transport(self) -> str:
        transport = self._word("transport-protocol").upper()
        if transport and transport != "ACCEPT" and transport not in RTP_PROTOCOLS:
            raise NgError(
                "transport-protocol", "is not supported", "use RTP/AVP, AVPF, SAVP or SAVPF"
            )
        return "" if transport == "ACCEPT" else transport

    def _keys(self, name: str) -> tuple[Digit, ...]:
        text = self._request.text(name)
        if len(text) > MAX_TRIGGER_KEYS:
            raise NgError(name, f"has more than {MAX_TRIGGER_KEYS} keys")
        try:
            return tuple(Digit.of(key) for key in text)
        except SecretError:
            raise NgError(name, "holds what is not a key") from None

    def _codecs(self) -> CodecFilter:
        lists: dict[str, list[str]] = {}
        given = self._request.fields.get("codec", {})
        if isinstance(given, dict):
            for key, value in given.items():
                lists[normalise(to_text("codec", key))] = list(_codec_names(value))
        for flag in self._lists.get("codec", []):
            name, _, codec = flag.partition("-")
            lists.setdefault(name, []).append(codec.upper())
        for name in sorted(lists.keys() & _CODEC_WARNINGS.keys()):
            self._warnings.append(_CODEC_WARNINGS[name])
        strip = [*lists.get("strip", []), *lists.get("mask", [])]
        kept = [*lists.get("except", []), *lists.get("offer", [])]
        return CodecFilter(frozenset(strip), frozenset(kept))


def _codec_names(value: Value) -> Iterable[str]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bytes):
            yield to_text("codec", item).upper()


def _read_metadata(text: str) -> dict[str, str]:
    """Read ``key:value|key:value``; what has no colon is kept under `metadata`."""
    result: dict[str, str] = {}
    for part in filter(None, text.split("|")):
        key, colon, value = part.partition(":")
        result[key.strip() if colon else "metadata"] = (value if colon else part).strip()
    return result
