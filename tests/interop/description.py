"""Session descriptions (SDP): what a phone offers, and the little it needs of the other side's."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

MAPS = {
    "PCMU": (0, "PCMU/8000"),
    "PCMA": (8, "PCMA/8000"),
    "G722": (9, "G722/8000"),
    "G729": (18, "G729/8000"),
    "opus": (107, "opus/48000/2"),
    "telephone-event": (101, "telephone-event/8000"),
}


@dataclass(frozen=True)
class Key:
    """One ``a=crypto`` line: suite, master key and salt."""

    suite: str
    secret: bytes

    def line(self, tag: int) -> str:
        """Write it as an attribute."""
        return f"a=crypto:{tag} {self.suite} inline:{base64.b64encode(self.secret).decode()}"


def describe(
    address: str,
    port: int,
    codecs: Sequence[str] = ("PCMU", "telephone-event"),
    *,
    direction: str = "sendrecv",
    key: Key | None = None,
    key_tag: int = 1,
    rtcp_mux: bool = False,
    version: int = 1,
) -> str:
    """Write a description of one audio stream."""
    family = "IP6" if ":" in address else "IP4"
    profile = "RTP/SAVP" if key else "RTP/AVP"
    numbers = " ".join(str(MAPS[name][0]) for name in codecs)
    lines = [
        "v=0",
        f"o=phone 1 {version} IN {family} {address}",
        "s=call",
        f"c=IN {family} {address}",
        "t=0 0",
        f"m=audio {port} {profile} {numbers}",
        *(f"a=rtpmap:{MAPS[name][0]} {MAPS[name][1]}" for name in codecs),
        *(["a=fmtp:101 0-15"] if "telephone-event" in codecs else []),
        "a=ptime:20",
        f"a={direction}",
        *([key.line(key_tag)] if key else []),
        *(["a=rtcp-mux"] if rtcp_mux else []),
    ]
    return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True)
class Described:
    """What a description says of its first stream."""

    address: str
    port: int
    rtcp_port: int
    profile: str
    payload_types: tuple[int, ...]
    attributes: tuple[str, ...]
    text: str

    def cryptos(self) -> list[tuple[int, Key]]:
        """Read the ``a=crypto`` lines."""
        found = []
        for line in self.attributes:
            if line.startswith("crypto:"):
                tag, suite, inline = line.removeprefix("crypto:").split()[:3]
                text = inline.removeprefix("inline:").partition("|")[0]
                found.append((int(tag), Key(suite, base64.b64decode(text + "=="))))
        return found


def read(text: str) -> Described:
    """Read a description."""
    lines = text.split("\r\n")
    media = next(line for line in lines if line.startswith("m="))
    address = [line for line in lines if line.startswith("c=")][-1].split()[2]
    attributes = tuple(line[2:] for line in lines if line.startswith("a="))
    _, port, profile, *numbers = media.split()
    rtcp = next((a.split(":")[1].split()[0] for a in attributes if a.startswith("rtcp:")), None)
    rtcp_port = int(port) if "rtcp-mux" in attributes else int(rtcp or int(port) + 1)
    types = tuple(int(number) for number in numbers)
    return Described(address, int(port), rtcp_port, profile, types, attributes, text)
