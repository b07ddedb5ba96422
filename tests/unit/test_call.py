"""One call: what leaves for what came, by policy, codec and kind of packet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.audio.codecs import make_codec
from voicemask.call import CUSTOMER, Arrival, Call, LegPlan, Output, Verdict
from voicemask.capture.digit import KEYS, Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.arbiter import Carrier
from voicemask.dtmf.detector import detect
from voicemask.mask.span import Reason
from voicemask.rtp.event import EventReport, event_code, serialize_event
from voicemask.rtp.packet import RtpPacket
from voicemask.rtp.sdp import PayloadType

PCMU = PayloadType(0, "PCMU", 8000)
PCMA = PayloadType(8, "PCMA", 8000)
G722 = PayloadType(9, "G722", 8000)
GSM = PayloadType(3, "GSM", 8000)
OPUS = PayloadType(111, "OPUS", 48000, 2)
CN = PayloadType(13, "CN", 8000)
EVENT = PayloadType(101, "telephone-event", 8000)
ALL = {kind.number: kind for kind in (PCMU, PCMA, G722, GSM, OPUS, CN, EVENT)}
LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477, 1633)
FRAME_NS = 20_000_000


def tone(key: str, n_samples: int, rate_hz: int = 8000) -> NDArray[np.float32]:
    index, t = KEYS.index(key), np.arange(n_samples) / rate_hz
    pair = np.sin(2 * np.pi * LOW[index // 4] * t) + np.sin(2 * np.pi * HIGH[index % 4] * t)
    return (0.2 * pair).astype(np.float32)


def room(n_samples: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.003, n_samples).astype(np.float32)


def keyed(keys: str, rate_hz: int = 8000) -> NDArray[np.float32]:
    parts = [room(rate_hz)]
    for number, key in enumerate(keys):
        parts += [tone(key, rate_hz // 10, rate_hz), room(rate_hz // 5, number)]
    return np.concatenate([*parts, room(rate_hz, 99)])


def packets(audio: NDArray[np.float32], kind: PayloadType = PCMU) -> list[RtpPacket]:
    codec = make_codec(kind)
    n = codec.rate_hz // 50
    return [
        RtpPacket(
            kind.number, k, k * codec.clock_hz // 50, 7, codec.encode(audio[k * n : (k + 1) * n])
        )
        for k in range(len(audio) // n)
    ]


def with_event(
    sent: list[RtpPacket], key: str, first: int, n_frames: int, n_lost_ends: int = 0
) -> list[RtpPacket]:
    start, code = sent[first].timestamp, event_code(Digit.of(key))
    events = []
    for k in range(n_frames - n_lost_ends):
        report = EventReport(code, k >= n_frames - 3, 10, 160 * min(k + 1, n_frames - 2))
        packet = RtpPacket(
            101, sent[first + k].sequence, start, 7, serialize_event([report]), k == 0
        )
        events.append(packet)
    return sent[:first] + events + sent[first + n_frames :]


def run(
    sent: Iterable[RtpPacket],
    policy: Policy = Policy.GUARD,
    *,
    rate_hz: int = 8000,
    masked: bool = True,
    fill: Fill = Fill.NOISE,
    types: dict[int, PayloadType] = ALL,
    infos: Sequence[tuple[int, str]] = (),
) -> Output:
    call = Call([LegPlan(CUSTOMER, types, masked)], policy, fill, rate_hz=rate_hz, hold_ms=1500)
    out = Output()
    left = list(infos)
    for index, packet in enumerate(sent):
        at_ns = packet.sequence * FRAME_NS
        while left and left[0][0] * 1_000_000 <= at_ns:
            at_ms, key = left.pop(0)
            call.info(CUSTOMER, at_ms * 1_000_000, Digit.of(key), 100)
        out.extend(call.push([Arrival(CUSTOMER, index, at_ns, packet.serialize())]))
    out.extend(call.flush())
    return out


def recorded(out: Output) -> NDArray[np.int16]:
    return np.concatenate([chunk.samples for chunk in out.audio])


def rms(audio: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(audio.astype(float) ** 2)))


@pytest.mark.parametrize("kind", [PCMU, PCMA, G722, OPUS, GSM], ids=lambda kind: kind.encoding)
def test_guard_fills_tones_and_passes_the_rest(kind: PayloadType) -> None:
    rate_hz = make_codec(kind).rate_hz
    sent = packets(keyed("12", rate_hz), kind)
    out = run(sent, rate_hz=rate_hz)
    verdicts = Counter(item.verdict for item in out.sent)
    assert verdicts[Verdict.PATCHED] >= 10
    assert verdicts[Verdict.PASSED] >= 70
    assert set(verdicts) == {Verdict.PATCHED, Verdict.PASSED}
    audio = recorded(out)
    assert rms(audio[rate_hz : rate_hz * 11 // 10]) < 1000
    assert len(audio) == len(sent) * rate_hz // 50


def test_packets_out_keep_their_place_and_passed_ones_their_bytes() -> None:
    sent = packets(keyed("12"))
    out = run(sent)
    assert [item.index for item in out.sent] == list(range(len(sent)))
    for item in out.sent:
        assert item.data is not None
        before, after = sent[item.index], RtpPacket.parse(item.data)
        assert (after.sequence, after.timestamp, after.ssrc) == (
            before.sequence,
            before.timestamp,
            before.ssrc,
        )
        if item.verdict is Verdict.PASSED:
            assert item.data == before.serialize()


def test_a_partly_filled_packet_keeps_the_bytes_outside_the_span() -> None:
    sent = packets(keyed("1")[37:])
    out = run(sent)
    (span,) = out.spans
    assert span.start % 160 or span.end % 160
    for item in out.sent:
        before = np.frombuffer(sent[item.index].payload, np.uint8)
        after = np.frombuffer(RtpPacket.parse(item.data or b"").payload, np.uint8)
        position = np.arange(160) + 160 * item.index
        outside = (position < span.start) | (position >= span.end)
        assert np.array_equal(before[outside], after[outside])


def test_mu_law_negative_zero_keeps_its_byte_in_a_patched_packet() -> None:
    sent = packets(keyed("1")[37:])
    sent = [
        packet.with_payload(b"\x7f" * 20 + packet.payload[20:]) if 40 < k < 65 else packet
        for k, packet in enumerate(sent)
    ]
    out = run(sent)
    (span,) = out.spans
    first = next(item for item in out.sent if item.verdict is Verdict.PATCHED)
    assert first.data is not None
    kept = RtpPacket.parse(first.data).payload[: span.start - 160 * first.index]
    assert kept == sent[first.index].payload[: len(kept)]


def test_recorded_samples_outside_spans_are_the_decoded_ones() -> None:
    sent = packets(keyed("1"))
    out = run(sent)
    codec = make_codec(PCMU)
    decoded = np.concatenate([codec.decode(packet.payload) for packet in sent]) * 32768
    outside = np.ones(len(decoded), bool)
    for span in out.spans:
        outside[span.start : span.end] = False
    assert np.array_equal(recorded(out)[outside], decoded.astype(np.int16)[outside])


@pytest.mark.parametrize("policy", [Policy.GUARD, Policy.CAPTURE, Policy.MUTE])
def test_no_event_packet_passes_a_masking_policy(policy: Policy) -> None:
    sent = with_event(packets(room(32000)), "7", 60, 10)
    out = run(sent, policy)
    leaving = [RtpPacket.parse(item.data) for item in out.sent if item.data]
    assert {packet.payload_type for packet in leaving} == {0}
    assert len(leaving) == len(sent)


def test_fill_in_place_of_an_event_keeps_sequence_timestamp_and_ssrc() -> None:
    sent = with_event(packets(room(32000)), "7", 60, 10)
    out = run(sent)
    filled = [item for item in out.sent if item.verdict is Verdict.FILLED]
    assert len(filled) == 10
    for item in filled:
        after, before = RtpPacket.parse(item.data or b""), sent[item.index]
        assert (after.sequence, after.timestamp) == (before.sequence, before.timestamp)
        assert len(after.payload) == 160
        assert not after.marker


def test_an_event_is_one_press_and_a_span_with_its_guards() -> None:
    out = run(with_event(packets(room(32000)), "7", 60, 10))
    (press,) = out.presses
    assert press.carriers == {Carrier.EVENT}
    assert (press.start, press.end) == (9600, 9600 + 8 * 160)
    starts = min(span.start for span in out.spans if span.reason is Reason.EVENT)
    ends = max(span.end for span in out.spans if span.reason is Reason.EVENT)
    assert starts <= 9600 - 480
    assert ends >= 9600 + 8 * 160 + 480


def test_audio_sent_before_an_event_was_known_is_filled() -> None:
    audio = room(32000)
    audio[9600 - 120 : 9600] = tone("7", 120)
    out = run(with_event(packets(audio), "7", 60, 10))
    assert rms(recorded(out)[9600 - 120 : 9600]) < 500


def test_audio_after_an_event_whose_end_was_lost_is_filled() -> None:
    audio = room(32000)
    audio[70 * 160 : 71 * 160] = tone("7", 160)
    out = run(with_event(packets(audio), "7", 60, 10, n_lost_ends=3))
    assert rms(recorded(out)[70 * 160 : 71 * 160]) < 500


def test_events_beside_running_audio_are_dropped() -> None:
    sent = packets(room(32000))
    extra = with_event(packets(room(32000)), "7", 60, 10)[60:70]
    mixed = sent[:60]
    for audio, event in zip(sent[60:70], extra, strict=True):
        mixed += [audio, event]
    mixed += sent[70:]
    mixed = [RtpPacket(p.payload_type, k, p.timestamp, 7, p.payload) for k, p in enumerate(mixed)]
    out = run(mixed)
    dropped = [item.index for item in out.sent if item.verdict is Verdict.DROPPED]
    assert dropped == [61 + 2 * k for k in range(10)]


def test_open_passes_events_and_all_bytes() -> None:
    sent = with_event(packets(keyed("12")), "7", 90, 10)
    out = run(sent, Policy.OPEN)
    assert [item.data for item in out.sent] == [packet.serialize() for packet in sent]
    assert out.spans == []
    assert len(out.presses) == 3


def test_a_direction_that_is_not_masked_is_never_touched() -> None:
    sent = with_event(packets(keyed("12")), "7", 90, 10)
    out = run(sent, Policy.MUTE, masked=False)
    assert {item.verdict for item in out.sent} == {Verdict.PASSED}
    assert rms(recorded(out)[8000:8800]) > 3000


@pytest.mark.parametrize("policy", [Policy.CAPTURE, Policy.MUTE])
def test_nothing_passes_with_its_bytes_where_policy_masks_all(policy: Policy) -> None:
    sent = packets(keyed("12"))
    out = run(sent, policy)
    before = b"".join(packet.payload for packet in sent)
    after = b"".join(RtpPacket.parse(item.data or b"").payload for item in out.sent)
    same = np.frombuffer(before, np.uint8) == np.frombuffer(after, np.uint8)
    assert same.mean() < 0.2
    assert rms(recorded(out)[8000:8800]) < 1000


def test_an_unknown_payload_type_never_passes() -> None:
    sent = packets(keyed("12"))
    loud = make_codec(PCMU).encode(tone("1", 160))
    sent[20] = RtpPacket(77, 20, sent[20].timestamp, 7, loud)
    out = run(sent)
    assert out.sent[20].verdict is Verdict.FILLED
    assert Reason.UNDECODABLE in {span.reason for span in out.spans}
    assert RtpPacket.parse(out.sent[20].data or b"").payload != loud
    assert rms(recorded(out)[3200:3360]) < 500


def test_a_codec_we_do_not_have_leaves_nothing_but_fill() -> None:
    types = {18: PayloadType(18, "G729", 8000)}
    sent = [RtpPacket(18, k, 160 * k, 7, bytes(20)) for k in range(100)]
    out = run(sent, types=types)
    assert {item.verdict for item in out.sent} == {Verdict.DROPPED}
    assert len(recorded(out)) == 100 * 160


def test_srtp_never_passes() -> None:
    call = Call([LegPlan(CUSTOMER, ALL, encrypted=True)])
    arrivals = [Arrival(0, k, 0, p.serialize()) for k, p in enumerate(packets(room(16000)))]
    out = call.push(arrivals)
    out.extend(call.flush())
    assert {item.verdict for item in out.sent} == {Verdict.DROPPED}


def test_a_datagram_that_is_not_rtp_is_dropped() -> None:
    call = Call([LegPlan(CUSTOMER, ALL)])
    (sent,) = call.push([Arrival(CUSTOMER, 5, 0, b"not rtp")]).sent
    assert (sent.index, sent.verdict, sent.data) == (5, Verdict.DROPPED, None)


def test_comfort_noise_packets_pass() -> None:
    sent = packets(room(32000))
    sent[100:120] = [RtpPacket(13, 100, 16000, 7, b"\x40")]
    sent[101:] = [
        RtpPacket(0, k + 101, p.timestamp, 7, p.payload) for k, p in enumerate(sent[101:])
    ]
    out = run(sent)
    assert {item.verdict for item in out.sent} == {Verdict.PASSED}


def test_an_info_is_a_press_and_fills_before_it() -> None:
    out = run(packets(room(32000)), infos=[(2000, "5")])
    (press,) = out.presses
    assert press.carriers == {Carrier.INFO}
    span = next(span for span in out.spans if span.reason is Reason.INFO)
    assert span.start <= 16000 - 3200 < 16000 <= span.end


def test_an_info_joins_its_tone() -> None:
    out = run(packets(keyed("5")), infos=[(1900, "5")])
    (press,) = out.presses
    assert press.carriers == {Carrier.TONE, Carrier.INFO}


def test_lost_packets_leave_silence_of_their_length() -> None:
    sent = packets(room(32000))
    out = run(sent[:50] + sent[53:])
    assert len(recorded(out)) == 32000
    assert len(out.sent) == 197


def test_a_new_ssrc_goes_on_after_the_old() -> None:
    first = packets(keyed("1"))
    n = len(first)
    second = [
        RtpPacket(0, n + k, 987654 + 160 * k, 8, p.payload)
        for k, p in enumerate(packets(keyed("2")))
    ]
    out = run(first + second)
    assert len(recorded(out)) == 2 * n * 160
    assert [press.start > n * 160 for press in out.presses] == [False, True]


def test_events_with_an_ssrc_of_their_own_are_one_press() -> None:
    sent = with_event(packets(room(32000)), "7", 60, 10)
    sent = [
        RtpPacket(p.payload_type, p.sequence, p.timestamp, 9, p.payload) if p.payload_type else p
        for p in sent
    ]
    out = run(sent)
    assert len(out.presses) == 1
    assert len(recorded(out)) == 32000
    assert {RtpPacket.parse(item.data).payload_type for item in out.sent if item.data} == {0}


def test_a_change_of_codec_begins_a_new_section() -> None:
    first = packets(keyed("1"))
    n = len(first)
    second = [
        RtpPacket(9, n + k, (n + k) * 160, 7, p.payload)
        for k, p in enumerate(packets(keyed("2", 16000), G722))
    ]
    out = run(first + second)
    assert {chunk.rate_hz for chunk in out.audio} == {8000, 16000}
    assert len(out.presses) == 2
    assert out.presses[1].start == pytest.approx(n * 160 + 8000, abs=200)
    assert sum(item.verdict is Verdict.PATCHED for item in out.sent) >= 10


def test_what_is_held_does_not_grow_with_the_call() -> None:
    call = Call([LegPlan(CUSTOMER, ALL)])
    n_out = 0
    for k in range(1000):
        data = RtpPacket(0, k, 160 * k, 7, b"\xff" * 160).serialize()
        n_out += len(call.push([Arrival(CUSTOMER, k, k * FRAME_NS, data)]).sent)
        assert k - n_out < 50 * 5


# -- what changes in mid-call


def run_steps(
    sent: Sequence[RtpPacket], call: Call, steps: dict[int, Callable[[], None]]
) -> Output:
    """Give packets by their sequence numbers' time, with a step before some of them."""
    out = Output()
    for index, packet in enumerate(sent):
        if index in steps:
            steps[index]()
        out.extend(call.push([Arrival(CUSTOMER, index, index * FRAME_NS, packet.serialize())]))
    out.extend(call.flush())
    return out


def set_policy(call: Call, policy: Policy, index: int) -> Callable[[], None]:
    return lambda: call.set_policy(CUSTOMER, policy, index * FRAME_NS)


def test_capture_reaches_back_over_all_that_has_not_left() -> None:
    sent = packets(keyed("1"))
    call = Call([LegPlan(CUSTOMER, ALL)])
    out = run_steps(sent, call, {100: set_policy(call, Policy.CAPTURE, 100)})
    assert {item.verdict for item in out.sent} == {Verdict.PATCHED}


def test_mute_holds_between_its_instants_and_stops_events() -> None:
    sent = with_event(packets(room(32000)), "7", 60, 10)
    call = Call([LegPlan(CUSTOMER, ALL)])
    steps = {50: set_policy(call, Policy.MUTE, 50), 80: set_policy(call, Policy.GUARD, 80)}
    out = run_steps(sent, call, steps)
    verdicts = [item.verdict for item in out.sent]
    assert set(verdicts[:50]) == {Verdict.PASSED}
    assert set(verdicts[50:60] + verdicts[70:80]) == {Verdict.PATCHED}
    assert set(verdicts[60:70]) == {Verdict.FILLED}
    assert set(verdicts[96:]) == {Verdict.PASSED}
    assert [(s.start, s.end) for s in out.spans if s.reason is Reason.MUTE] == [(8000, 12800)]


def test_what_came_before_a_milder_policy_stays_masked() -> None:
    sent = packets(keyed("1234"))
    call = Call([LegPlan(CUSTOMER, ALL)], Policy.CAPTURE)
    out = run_steps(sent, call, {90: set_policy(call, Policy.OPEN, 90)})
    verdicts = [item.verdict for item in out.sent]
    assert Verdict.PASSED not in verdicts[:90]
    assert set(verdicts[110:]) == {Verdict.PASSED}


def test_open_lets_nothing_out_that_was_not_final() -> None:
    sent = with_event(packets(keyed("12")), "7", 90, 10)
    call = Call([LegPlan(CUSTOMER, ALL)], Policy.OPEN, block_ms=20)
    out = run_steps(sent, call, {95: set_policy(call, Policy.GUARD, 95)})
    leaving = [RtpPacket.parse(item.data) for item in out.sent if item.data]
    assert [packet.payload_type for packet in leaving if packet.sequence >= 70].count(101) == 0
    assert leaving[52].payload == sent[52].payload


def test_a_duplicate_does_not_pass_while_its_audio_is_held() -> None:
    sent = packets(keyed("1"))
    call = Call([LegPlan(CUSTOMER, ALL)])
    for k, packet in enumerate(sent[:60]):
        call.push([Arrival(CUSTOMER, k, k * FRAME_NS, packet.serialize())])
    call.set_policy(CUSTOMER, Policy.OPEN, 60 * FRAME_NS)
    (again,) = call.push([Arrival(CUSTOMER, 99, 60 * FRAME_NS, sent[51].serialize())]).sent
    assert again.verdict is Verdict.DROPPED


def test_a_policy_goes_on_in_the_next_section() -> None:
    first = packets(keyed("1"))
    n = len(first)
    second = [
        RtpPacket(9, n + k, (n + k) * 160, 7, p.payload)
        for k, p in enumerate(packets(keyed("2", 16000), G722))
    ]
    call = Call([LegPlan(CUSTOMER, ALL)])
    out = run_steps(first + second, call, {100: set_policy(call, Policy.MUTE, 100)})
    assert {item.verdict for item in out.sent[100:]} == {Verdict.PATCHED}
    assert {item.verdict for item in out.sent[:45]} == {Verdict.PASSED}


def test_a_direction_that_is_not_masked_stays_so_whatever_policy_says() -> None:
    sent = packets(keyed("12"))
    call = Call([LegPlan(CUSTOMER, ALL, masked=False)])
    out = run_steps(sent, call, {50: set_policy(call, Policy.MUTE, 50)})
    assert {item.verdict for item in out.sent} == {Verdict.PASSED}


def test_a_direction_becomes_masked_when_its_plan_says_so() -> None:
    sent = packets(keyed("12"))
    call = Call([LegPlan(CUSTOMER, ALL, masked=False)])
    plan = LegPlan(CUSTOMER, ALL)
    out = run_steps(sent, call, {45: lambda: call.set_plan(CUSTOMER, plan)})
    audio = recorded(out)
    assert rms(audio[8000:8800]) < 500
    assert rms(audio[10400:11200]) < 500
    assert {item.verdict for item in out.sent[:20]} == {Verdict.PASSED}


def test_a_direction_is_let_go_when_its_plan_says_so() -> None:
    sent = packets(keyed("12"))
    call = Call([LegPlan(CUSTOMER, ALL)])
    plan = LegPlan(CUSTOMER, ALL, masked=False)
    out = run_steps(sent, call, {60: lambda: call.set_plan(CUSTOMER, plan)})
    audio = recorded(out)
    assert rms(audio[8000:8800]) < 500
    assert rms(audio[10400:11200]) > 3000


def test_payload_types_are_replaced_in_mid_call() -> None:
    kinds = {0: PCMU, 96: PayloadType(96, "telephone-event", 8000)}
    others = {96: PCMA, 97: PayloadType(97, "telephone-event", 8000)}
    sent = packets(keyed("1"))
    sent[60:] = [
        RtpPacket(96, p.sequence, p.timestamp, 7, after.payload)
        for p, after in zip(sent[60:], packets(keyed("1"), PCMA)[60:], strict=True)
    ]
    for k in range(70, 80):
        report = EventReport(event_code(Digit.of("5")), k > 76, 10, 160 * (k - 69))
        sent[k] = RtpPacket(97, k, 160 * 70, 7, serialize_event([report]))
    call = Call([LegPlan(CUSTOMER, kinds)], depth=1)
    out = run_steps(sent, call, {60: lambda: call.set_plan(CUSTOMER, LegPlan(CUSTOMER, others))})
    verdicts = Counter(item.verdict for item in out.sent)
    assert verdicts[Verdict.DROPPED] == 0
    assert verdicts[Verdict.FILLED] == 10
    assert verdicts[Verdict.PASSED] > 60
    assert [press.carriers for press in out.presses] == [{Carrier.TONE}, {Carrier.EVENT}]


def test_silence_goes_on_where_no_packet_comes() -> None:
    sent = packets(room(16000))
    call = Call([LegPlan(CUSTOMER, ALL)], hold_ms=0, block_ms=100, lag_ms=2500)
    for k, packet in enumerate(sent):
        call.push([Arrival(CUSTOMER, k, k * FRAME_NS, packet.serialize())])
    for tenth in range(20, 100):
        call.idle(tenth * 100_000_000)
        assert tenth * 800 - call.settled(CUSTOMER) <= 2.7 * 8000
    late = RtpPacket(0, 100, 160 * 500, 7, sent[0].payload)
    call.push([Arrival(CUSTOMER, 100, 500 * FRAME_NS, late.serialize())])
    assert len(recorded(call.flush())) + call.settled(CUSTOMER) >= 500 * 160


def test_a_bounded_lag_is_kept_and_what_waits_too_long_is_masked() -> None:
    audio = np.concatenate([keyed("123"), room(16000), *(tone("5", 3000) for _ in range(3))])
    sent = packets(np.concatenate([audio, room(40000)]))
    call = Call([LegPlan(CUSTOMER, ALL)], hold_ms=0, block_ms=100, lag_ms=2500)
    out = Output()
    for k, packet in enumerate(sent):
        out.extend(call.push([Arrival(CUSTOMER, k, k * FRAME_NS, packet.serialize())]))
        assert (k - 16) * 160 - call.settled(CUSTOMER) <= 2.65 * 8000
    out.extend(call.flush())
    assert detect(recorded(out)) == []
