"""Round trips of packets and events, and order out for any legal order in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicemask.errors import PacketError
from voicemask.rtp.event import EventReport, EventTracker, parse_event, serialize_event
from voicemask.rtp.packet import Extension, RtpPacket
from voicemask.rtp.reorder import ReorderBuffer

WORD = st.integers(0, 2**32 - 1)
EXTENSIONS = st.builds(
    lambda profile, words: Extension(profile, b"".join(word.to_bytes(4, "big") for word in words)),
    st.integers(0, 0xFFFF),
    st.lists(WORD, max_size=4),
)
PADDINGS = st.integers(0, 40).flatmap(
    lambda n: st.binary(min_size=n, max_size=n).map(lambda pad: pad + bytes([n + 1]))
)
PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=WORD,
    ssrc=WORD,
    payload=st.binary(max_size=200),
    marker=st.booleans(),
    csrcs=st.lists(WORD, max_size=15).map(tuple),
    extension=st.none() | EXTENSIONS,
    padding=st.just(b"") | PADDINGS,
)
REPORTS = st.builds(
    EventReport,
    code=st.integers(0, 255),
    end=st.booleans(),
    volume=st.integers(0, 63),
    duration=st.integers(0, 0xFFFF),
    reserved=st.booleans(),
)


@given(PACKETS)
def test_a_packet_survives_its_bytes(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.serialize()) == packet


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda tail: b"\xb3" + tail))
def test_bytes_that_parse_come_back_and_others_are_refused(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except PacketError:
        return
    assert packet.serialize() == data


@given(st.lists(REPORTS, min_size=1, max_size=5))
def test_event_reports_survive_their_bytes(reports: list[EventReport]) -> None:
    assert list(parse_event(serialize_event(reports))) == reports


@given(st.integers(0, 0xFFFF), st.integers(1, 120), st.randoms(use_true_random=False))
def test_order_out_does_not_depend_on_order_in(first: int, n: int, random: object) -> None:
    depth = 8
    keys = [(k + random.uniform(0, depth - 1), k) for k in range(n)]  # type: ignore[attr-defined]
    buffer: ReorderBuffer[int] = ReorderBuffer(depth)
    out = []
    for _, k in sorted(keys):
        packet = RtpPacket(0, (first + k) % 65536, 0, 1, b"")
        out += buffer.push(packet, k).packets
    out += buffer.flush().packets
    assert [item.tag for item in out] == list(range(n))


@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(1, 40))
def test_an_event_is_one_whatever_packets_are_lost(lost: list[bool], n_updates: int) -> None:
    updates = [EventReport(5, False, 10, 160 * (k + 1)) for k in range(n_updates)]
    ends = [EventReport(5, True, 10, 160 * (n_updates + 1))] * 3
    kept = [r for k, r in enumerate(updates + ends) if not (k < 12 and lost[k])]
    tracker = EventTracker(8000)
    events = [event for report in kept for event in tracker.push(0, report)] + tracker.flush()
    assert len(events) == (1 if kept else 0)
