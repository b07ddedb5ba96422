"""NG datagrams as Kamailio 5.6 sends them, and what damage makes of them.

Keys are in Kamailio's order, which is not sorted. `mutations` is endless, and the same for the
same seed.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

CALLER, CALLEE = "caller-tag", "callee-tag"
Message: TypeAlias = tuple[tuple[str, Any], ...]
SUPPORTS = ("supports", ["load limit"])
REPLACE = ("replace", ["origin", "session-connection"])
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "QUJD" * 10 + "\r\n"


def body(
    port: int, *, extra: str = "", profile: str = "RTP/AVP", address: str = "127.0.0.1"
) -> str:
    """An SDP of one audio section."""
    return (
        f"v=0\r\no=user 53655765 2353687637 IN IP4 {address}\r\ns=-\r\n"
        f"c=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} {profile} 0 8 101\r\n"
        "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
        f"a=ptime:20\r\n{extra}a=sendrecv\r\n"
    )


def bencode(value: Any) -> bytes:
    """Write text, numbers, lists, and dictionaries as lists of pairs in their order."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%b" % (len(value), value)
    if isinstance(value, tuple):
        return b"d" + b"".join(bencode(key) + bencode(item) for key, item in value) + b"e"
    return b"l" + b"".join(map(bencode, value)) + b"e"


def datagram(cookie: str, *items: tuple[str, Any]) -> bytes:
    """One message; items in the order they are sent in."""
    return cookie.encode() + b" " + bencode(tuple(items))


def messages(call_id: str, ports: tuple[int, int] = (6000, 6010)) -> list[Message]:
    """All that a proxy sends in the life of a call that is masked, held, recorded and forked."""
    named = ("call-id", call_id)
    dialog = (named, ("received-from", ["IP4", "127.0.0.1"]), ("from-tag", CALLER))
    both = (*dialog, ("to-tag", CALLEE))
    caller, callee = ports
    offer = ("command", "offer")
    answer = (("sdp", body(callee)), ("ICE", "remove"), REPLACE, *both, ("command", "answer"))
    flags = ("flags", ["detect-DTMF", "trust-address"])
    again = body(caller, extra="a=rtcp-mux\r\na=inactive\r\n")
    return [
        (("command", "ping"),),
        (SUPPORTS, ("sdp", body(caller)), ("ICE", "remove"), ("record-call", "off"), REPLACE,
         ("transport-protocol", "RTP/AVP"), *dialog, offer),
        (SUPPORTS, *answer),
        (SUPPORTS, named, ("from-tag", CALLER), ("to-tag", CALLEE), ("command", "query")),
        (SUPPORTS, ("DTMF-security", "silence"), ("delay-buffer", "60"),
         ("flags", ["detect-DTMF"]), named, ("command", "block DTMF")),
        (SUPPORTS, named, ("command", "unblock DTMF")),
        (SUPPORTS, named, ("from-tag", CALLER), ("command", "block media")),
        (SUPPORTS, named, ("from-tag", CALLER), ("command", "unblock media")),
        (SUPPORTS, named, ("command", "silence media")),
        (SUPPORTS, named, ("command", "unsilence media")),
        (SUPPORTS, ("sdp", again), flags, *both, offer),
        (SUPPORTS, *answer),
        (SUPPORTS, ("sdp", body(caller, extra=CRYPTO, profile="RTP/SAVP")),
         ("transport-protocol", "RTP/AVP"), ("SDES", ["no-AEAD_AES_256_GCM"]), *dialog, offer),
        (SUPPORTS, named, ("metadata", "agent:7"), ("command", "start recording")),
        (SUPPORTS, named, ("command", "pause recording")),
        (SUPPORTS, named, ("command", "stop recording")),
        (SUPPORTS, named, ("flags", ["all", "siprec"]), ("command", "subscribe request")),
        (SUPPORTS, named, ("to-tag", "fork"), ("sdp", body(6020)), ("command", "subscribe answer")),
        (SUPPORTS, named, ("to-tag", "fork"), ("command", "unsubscribe")),
        (SUPPORTS, named, ("code", "5"), ("command", "play DTMF")),
        (("limit", "8"), ("command", "list")),
        (("command", "statistics"),),
        (SUPPORTS, named, ("from-tag", CALLER), ("to-tag", CALLEE), ("command", "delete")),
    ]  # fmt: skip


def requests(call_id: str, ports: tuple[int, int] = (6000, 6010)) -> list[bytes]:
    """The same as datagrams, and one in JSON."""
    whole = enumerate(messages(call_id, ports))
    plain = [datagram(f"{call_id}_{number}", *items) for number, items in whole]
    json = b'%b_j {"command":"offer","call-id":"%b","from-tag":"j","sdp":"v=0","flags":["x"]}'
    return [*plain, json % (call_id.encode(), call_id.encode())]


_VALUES: tuple[Any, ...] = (
    0, -1, 2**62, "", b"\xff\xfe", "x" * 600, [], [[]], (("a", (("b", []),)),), ["a", 1, [2]],
    "all", "offer", "\0", "a" * 20000, CALLER, CALLEE, b"\n", "127.0.0.1", ["IP6", "::1"],
)  # fmt: skip
_INSERTS = (
    b"", b"\0", b"\xff" * 9, b"e", b"d", b"l" * 2000, b"d1:a" * 700, b"i-1e", b"i" + b"9" * 400,
    b"99999999999:", b"0:", b"-1:", b"%n%s", b"\r\nm=audio 1 RTP/AVP 0\r\n", b"m=audio 70000 x 999",
    b"[" * 900, b"{\"a\":" * 300, b"\xed\xa0\x80", b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:A",
    b"c=IN IP6 ::1", b"c=IN IP4 256.1.1.1", b"a=rtcp:99999", b"A" * 9000,
)  # fmt: skip


def mutations(seed: int, call_id: str = "1-11299@127.0.0.1") -> Iterator[bytes]:
    """Damage a call's datagrams, without end: their bytes, or values in a sound frame."""
    chance = random.Random(seed)
    whole, sources = messages(call_id), requests(call_id)
    for number in itertools.count():
        if chance.random() < 0.5:
            items = _damage_items(chance, chance.choice(whole), sources)
            yield datagram(f"m{number}", *items)[:60000]
            continue
        data = bytearray(chance.choice(sources))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            _damage(chance, data, sources)
        yield bytes(data[:60000])


def _damage_items(chance: random.Random, message: Message, sources: Sequence[bytes]) -> Message:
    """Change, drop, double or move values; what frames them stays sound."""
    items = list(message)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(items))
        key, value = items[at]
        kind = chance.randrange(6)
        if kind == 0 and len(items) > 1:
            del items[at]
        elif kind == 1:
            items[at] = (key, chance.choice(_VALUES))
        elif kind == 2:
            items.insert(at, chance.choice(message))
        elif kind == 3:
            other = chance.choice(("sdp", "from-tag", "to-tag", "call-id", "command", "flags"))
            items[at] = (other, value)
        elif isinstance(value, str | bytes):
            text = bytearray(value.encode() if isinstance(value, str) else value)
            _damage(chance, text, sources)
            items[at] = (key, bytes(text))
    return tuple(items)


def _damage(chance: random.Random, data: bytearray, sources: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + int(chance.expovariate(0.1)))
    kind = chance.randrange(8)
    if kind == 0 and start < len(data):
        data[start] ^= 1 << chance.randrange(8)
    elif kind == 1 and start < len(data):
        data[start] = chance.randrange(256)
    elif kind == 2:
        del data[start:end]
    elif kind == 3:
        data[start:start] = data[start:end] * chance.randrange(1, 50)
    elif kind == 4:
        data[start:end] = chance.choice(_INSERTS)
    elif kind == 5:
        other = chance.choice(sources)
        data[start:] = other[chance.randrange(len(other)) :]
    elif kind == 6:
        del data[start:]
    else:
        _change_number(chance, data)


def _change_number(chance: random.Random, data: bytearray) -> None:
    """Give some run of digits (a length, a port, a payload type) another value."""
    places = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
    if not places:
        return
    start = end = chance.choice(places)
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    value = chance.choice(
        (0, 1, -1, 127, 255, 256, 65535, 65536, 2**31, 2**64, chance.randrange(99))
    )
    data[start:end] = b"%d" % value
