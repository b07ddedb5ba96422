"""NG under any input: nothing raises, nothing leaks, both encodings mean the same."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.ng.fakes import SDP_A, SDP_B, FakeMedia
from voicemask.errors import NgError
from voicemask.ng import bencode
from voicemask.ng.feed import NgFeed
from voicemask.ng.flag_table import TABLE
from voicemask.ng.message import MAX_REPLY_BYTES
from voicemask.ng.remote import Terms
from voicemask.ng.session import COMMANDS, NgServer

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers(-(10**15), 10**15) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
TAGS = st.sampled_from(["1A", "1B", "2B", "3B", ""])
BRANCHES = st.sampled_from(["", "", "z1", "z2"])
VIDEO = b"m=video %d RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
BODIES = st.sampled_from(
    [
        SDP_A,
        SDP_B,
        SDP_A + VIDEO % 4002,
        SDP_A + VIDEO % 0,
        SDP_A.replace(b"audio 4000", b"audio 0"),
        SDP_A.replace(b"10.0.0.1", b"0.0.0.0"),
        SDP_A.replace(b"RTP/AVP", b"RTP/SAVP"),
        b"v=0\r\n",
    ]
)
STEPS = st.fixed_dictionaries(
    {
        "command": st.sampled_from(
            ["offer", "offer", "answer", "answer", "delete", "subscribe request", "unsubscribe"]
        ),
        "call-id": st.sampled_from(["c1", "c1", "c2"]),
        "from-tag": TAGS,
        "to-tag": TAGS,
        "via-branch": BRANCHES,
        "sdp": BODIES,
        "transport-protocol": st.sampled_from(["", "", "RTP/AVP", "RTP/SAVP"]),
        "rtcp-mux": st.sampled_from([[], [], ["require"], ["demux"]]),
    }
)
NAMES = sorted({*TABLE, "sdp", "call-id", "from-tag", "to-tag", "via-branch", "supports", "limit"})
WORDS = st.sampled_from(["on", "off", "silence", "1A", "*1", "60", "all", "IP6", "10.0.0.1"])
REQUESTS = st.builds(
    lambda command, options, flags: {
        "sdp": SDP_A,
        "from-tag": "1A",
        "to-tag": "1B",
        **options,
        "command": command,
        "call-id": "c1",
        "flags": flags,
    },
    st.sampled_from(sorted(COMMANDS)),
    st.dictionaries(
        st.sampled_from(NAMES),
        WORDS | st.lists(WORDS, max_size=2) | st.integers(-1, 99) | st.binary(max_size=20),
        max_size=5,
    ),
    st.lists(st.sampled_from(NAMES), max_size=3),
)
DATAGRAMS = (
    st.binary(max_size=300)
    | st.binary(max_size=300).map(lambda tail: b"c " + tail)
    | st.binary(max_size=300).map(lambda tail: b"c d" + tail)
    | st.text(max_size=100).map(lambda tail: b"c {" + tail.encode("utf-8", "ignore"))
    | VALUES.map(lambda value: b"c " + bencode.encode(value))
    | REQUESTS.map(lambda request: b"c " + bencode.encode(request))
)


class Side:
    """A server on a fake media side, asked with a new cookie each time."""

    def __init__(self) -> None:
        self.media = FakeMedia()
        random = itertools.count()
        self.server = NgServer(
            self.media, Terms(lambda n_bytes: next(random).to_bytes(n_bytes, "big"))
        )
        self._cookies = itertools.count()

    def ask(self, payload: bytes) -> bytes:
        reply = self.server.handle(b"%d %b" % (next(self._cookies), payload), "p", 0.0)
        assert reply is not None
        return reply.partition(b" ")[2]


@given(VALUES)
def test_bencode_survives_its_bytes(value: Any) -> None:
    assert bencode.decode(bencode.encode(value)) == value


@given(st.binary(max_size=100))
def test_bencode_that_is_read_says_what_it_said(data: bytes) -> None:
    try:
        value = bencode.decode(data)
    except NgError:
        return
    assert bencode.decode(bencode.encode(value)) == value


@given(st.lists(DATAGRAMS, min_size=1, max_size=6))
@settings(max_examples=150)
def test_no_datagram_raises_or_is_answered_at_length(datagrams: list[bytes]) -> None:
    side = Side()
    for at, datagram in enumerate(datagrams):
        reply = side.server.handle(datagram, "proxy:1", float(at))
        assert reply is None or len(reply) <= MAX_REPLY_BYTES
    for call_id in list(side.media.plans):
        side.ask(bencode.encode({"command": "delete", "call-id": call_id}))
    assert not side.media.open


@given(st.lists(STEPS, max_size=14))
@settings(max_examples=150)
def test_no_order_of_requests_leaks_a_port(steps: list[dict[str, Any]]) -> None:
    side = Side()
    for step in steps:
        side.ask(bencode.encode({key: value for key, value in step.items() if value}))
        planned = {
            medium.port
            for plan in side.media.plans.values()
            for party in plan.parties
            for medium in party.media
        }
        forked = {medium.port for fork in side.media.forks.values() for medium in fork.media}
        assert side.media.open == planned | forked
    for call_id in ("c1", "c2"):
        side.ask(bencode.encode({"command": "delete", "call-id": call_id}))
    assert not side.media.open
    assert not side.media.plans


@given(st.lists(STEPS, max_size=8))
def test_json_and_bencode_have_the_same_outcome(steps: list[dict[str, Any]]) -> None:
    by_bencode, by_json = Side(), Side()
    for step in steps:
        told = by_bencode.ask(bencode.encode(step))
        text = {key: v.decode() if isinstance(v, bytes) else v for key, v in step.items()}
        assert bencode.encode(json.loads(by_json.ask(json.dumps(text).encode()))) == told
    assert by_bencode.media.plans == by_json.media.plans


@given(st.lists(REQUESTS, min_size=1, max_size=4), st.integers(1, 50))
def test_a_stream_is_cut_where_its_messages_end(requests: list[Any], size: int) -> None:
    messages = [b"%d %b" % (at, bencode.encode(item)) for at, item in enumerate(requests)]
    stream = b"".join(messages)
    feed = NgFeed()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [message for piece in pieces for message in feed.feed(piece)] == messages


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_stream_is_refused_or_waits(pieces: list[bytes]) -> None:
    feed = NgFeed()
    try:
        for piece in pieces:
            feed.feed(piece)
    except NgError:
        pass
