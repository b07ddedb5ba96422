"""Batching invariance: file, frames and packets in any legal order give the same call."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemask.audio.codecs import make_codec, to_int16
from voicemask.call import CUSTOMER, Arrival, Call, LegPlan, Output, Verdict
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.auditor import audit
from voicemask.dtmf.detector import detect
from voicemask.mask.apply import Masked, Masker
from voicemask.rtp.event import EventReport, serialize_event
from voicemask.rtp.packet import RtpPacket
from voicemask.rtp.sdp import PayloadType

PCMU = PayloadType(0, "PCMU", 8000)
TYPES = {0: PCMU, 101: PayloadType(101, "telephone-event", 8000)}
SLOW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
POLICIES = st.sampled_from([Policy.GUARD, Policy.CAPTURE, Policy.MUTE])
FILLS = st.sampled_from(Fill)


@cache
def audio() -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    t = np.arange(800) / 8000
    parts = [rng.normal(0, 0.01, 4000)]
    for low, high in ((697, 1209), (697, 1209), (852, 1477), (941, 1336)):
        pair = np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)
        parts += [0.2 * pair, rng.normal(0, 0.01, 720)]
    parts.append(rng.normal(0, 0.01, 16000))
    joined = np.concatenate(parts).astype(np.float32)
    return joined[: len(joined) // 160 * 160]


@cache
def payloads() -> tuple[bytes, ...]:
    codec = make_codec(PCMU)
    return tuple(codec.encode(audio()[k : k + 160]) for k in range(0, len(audio()), 160))


def datagrams(with_event: bool) -> list[bytes]:
    packets = [RtpPacket(0, 65500 + k & 0xFFFF, 160 * k, 7, p) for k, p in enumerate(payloads())]
    if with_event:
        for k in range(8):
            report = EventReport(5, k >= 5, 10, 160 * min(k + 1, 6))
            packets[90 + k] = RtpPacket(
                101, packets[90 + k].sequence, packets[90].timestamp, 7, serialize_event([report])
            )
    return [packet.serialize() for packet in packets]


def run(arrivals: list[Arrival], cuts: list[int], policy: Policy, fill: Fill) -> Output:
    call = Call([LegPlan(CUSTOMER, TYPES)], policy, fill)
    out = Output()
    edges = [0, *sorted(cut % len(arrivals) for cut in cuts), len(arrivals)]
    for start, end in pairwise(edges):
        out.extend(call.push(arrivals[start:end]))
    out.extend(call.flush())
    return out


def recorded(out: Output) -> NDArray[np.int16]:
    return np.concatenate([chunk.samples for chunk in out.audio])


@SLOW
@given(
    policy=POLICIES,
    fill=FILLS,
    with_event=st.booleans(),
    cuts=st.lists(st.integers(0, 1000), max_size=6),
    seed=st.integers(0, 2**16),
)
def test_a_call_does_not_depend_on_order_or_batching(
    policy: Policy, fill: Fill, with_event: bool, cuts: list[int], seed: int
) -> None:
    in_order = [Arrival(0, k, k * 20_000_000, d) for k, d in enumerate(datagrams(with_event))]
    random = Random(seed)
    shuffled = sorted(in_order, key=lambda arrival: arrival.index + random.uniform(0, 15))
    one, two = run(in_order, [], policy, fill), run(shuffled, cuts, policy, fill)
    assert one.sent == two.sent
    assert one.spans == two.spans
    assert one.presses == two.presses
    assert np.array_equal(recorded(one), recorded(two))


@SLOW
@given(policy=POLICIES, fill=FILLS, frame=st.sampled_from([80, 160, 333, 4001]))
def test_file_frames_and_packets_give_the_same_audio(
    policy: Policy, fill: Fill, frame: int
) -> None:
    codec = make_codec(PCMU)
    decoded = np.concatenate([codec.decode(payload) for payload in payloads()])
    by_file = mask_file(decoded, len(decoded), policy, fill)
    by_frames = mask_file(decoded, frame, policy, fill)
    arrivals = [Arrival(0, k, k * 20_000_000, d) for k, d in enumerate(datagrams(False))]
    out = run(arrivals, [], policy, fill)
    assert np.array_equal(by_file[0], by_frames[0])
    assert np.array_equal(by_file[0], recorded(out))
    assert by_file[1] == by_frames[1] == [(span.start, span.end) for span in out.spans]


def mask_file(
    decoded: NDArray[np.float32], step: int, policy: Policy, fill: Fill
) -> tuple[NDArray[np.int16], list[tuple[int, int]]]:
    masker = Masker(1, policy=policy, fill=fill)
    given_out: list[Masked] = []
    for start in range(0, len(decoded), step):
        given_out.append(masker.push(decoded[np.newaxis, start : start + step]))
    given_out.append(masker.flush())
    masked = decoded.copy()
    for part in given_out:
        for patch in part.patches:
            masked[patch.start : patch.start + len(patch.audio)] = patch.audio
    return to_int16(masked), [(s.start, s.end) for part in given_out for s in part.spans]


CHANGES = st.lists(
    st.tuples(st.integers(0, 250), st.sampled_from([Policy.GUARD, Policy.CAPTURE, Policy.MUTE])),
    max_size=5,
).map(lambda made: sorted(made, key=lambda change: change[0]))


def run_changes(
    arrivals: list[Arrival], cuts: list[int], changes: list[tuple[int, Policy]], lag_ms: int | None
) -> Output:
    """Push packets in batches; each change comes between two packets, with its own stamp."""
    hold_ms = 500 if lag_ms is None else 0
    call = Call([LegPlan(CUSTOMER, TYPES)], hold_ms=hold_ms, block_ms=100, lag_ms=lag_ms)
    out, left = Output(), [change for change in changes if change[0] < len(arrivals)]
    edges = {0, *(cut % len(arrivals) for cut in cuts), *(at for at, _ in left), len(arrivals)}
    for start, end in pairwise(sorted(edges)):
        while left and left[0][0] <= start:
            at, policy = left.pop(0)
            call.set_policy(CUSTOMER, policy, at * 20_000_000)
        out.extend(call.push(arrivals[start:end]))
    out.extend(call.flush())
    return out


@SLOW
@given(
    changes=CHANGES,
    cuts=st.lists(st.integers(0, 1000), max_size=6),
    with_event=st.booleans(),
    lag_ms=st.sampled_from([None, 2500]),
)
def test_a_call_lets_no_key_out_whatever_policies_change(
    changes: list[tuple[int, Policy]], cuts: list[int], with_event: bool, lag_ms: int | None
) -> None:
    arrivals = [Arrival(0, k, k * 20_000_000, d) for k, d in enumerate(datagrams(with_event))]
    one = run_changes(arrivals, [], changes, lag_ms)
    two = run_changes(arrivals, cuts, changes, lag_ms)
    assert one.sent == two.sent
    assert one.spans == two.spans
    assert np.array_equal(recorded(one), recorded(two))
    assert detect(recorded(one)) == []
    assert audit(recorded(one)[np.newaxis].astype(np.float32) / 32768) == []
    codec = make_codec(PCMU)
    for sent in one.sent:
        assert sent.data is not None
        packet = RtpPacket.parse(sent.data)
        assert packet.payload_type == 0
        if sent.verdict is Verdict.FILLED:
            continue  # in place of an event, whose time is not that of its number
        start = 160 * sent.index
        heard = to_int16(codec.decode(packet.payload))
        assert np.abs(heard - recorded(one)[start : start + 160].astype(int)).max() <= 1024
