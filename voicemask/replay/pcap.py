"""Replays captured calls: masked packets, the recording as it would have been, and a report.

The calls run through `voicemask.call` as live ones would, with capture times as arrivals. Frames
keep their times and headers; payloads are masked; what was not understood is left out on doubt
and counted. An output appears under its name only when all outputs of its call are whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.codecs import make_codec
from voicemask.call import AGENT, CUSTOMER, Arrival, Call, LegPlan, Output, Verdict
from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.arbiter import Carrier
from voicemask.errors import CaptureFileError, CodecError
from voicemask.replay.call_output import (
    Recording,
    measure_talk,
    write_json,
    write_wav,
    write_whole,
)
from voicemask.replay.capture_file import Record, read_capture, write_pcap
from voicemask.replay.frames import Counts, Frame, read_frames, to_raw
from voicemask.replay.sip_trace import InfoDigit, Side, blank_body
from voicemask.replay.streams import FoundCall, find_calls

HOLD_MS: Final = 1500
"""A file can wait: long enough for a SIP INFO to reach back to its key."""
BLOCK_MS: Final = 2000
DEFAULT_RATE_HZ: Final = 8000
_BATCH: Final = 512
_RTCP_KEPT: Final = frozenset(range(200, 204))
"""SR, RR, SDES, BYE: reports and names. Application packets could hold anything."""


@dataclass(frozen=True, slots=True)
class CallSummary:
    """What was written of one call.

    Parameters
    ----------
    index : 1, 2, ... in the order the calls begin.
    codecs : names of the audio codecs met.
    duration_s : length of the recording.
    n_packets : RTP packets of the call, both directions.
    n_key_presses : keys pressed, by whatever carrier.
    n_spans : masked stretches.
    paths : the masked capture, the recording, the report.
    """

    index: int
    codecs: tuple[str, ...]
    duration_s: float
    n_packets: int
    n_key_presses: int
    n_spans: int
    paths: tuple[Path, ...]


def replay_capture(
    path: Path,
    out_dir: Path,
    policy: Policy,
    fill: Fill,
    *,
    customer: Side | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> list[CallSummary]:
    """Mask every call of a capture and write its outputs.

    Parameters
    ----------
    path : pcap or pcapng file.
    out_dir : folder, made if it is not there; gets ``call-0001.pcap .wav .json`` and so on.
    policy, fill : what is masked, and with what.
    customer : which side is the customer's; the other side is then never touched. None, or calls
        without SIP: both are masked, and the caller is on the left.
    on_progress : told the share of packets done, 0.0 to 1.0.

    Raises
    ------
    CaptureFileError
        The capture cannot be read or holds no call.
    AudioFileError
        The outputs cannot be written.
    """
    counts = Counts()
    found = find_calls(read_frames(read_capture(path), counts))
    if not found.calls:
        raise CaptureFileError(
            str(path), _why_no_call(counts, found.n_other), "capture SIP and RTP while a call is up"
        )
    left_out = found.n_other + counts.not_ip + counts.cut + counts.fragments
    n_all = sum(len(flow.frames) for call in found.calls for f in call.flows.values() for flow in f)
    n_done = 0
    summaries: list[CallSummary] = []
    for index, call in enumerate(found.calls, start=1):
        replay = _Replay(call, policy, fill, customer)
        for n_packets in replay.run():
            n_done += n_packets
            if on_progress is not None:
                on_progress(min(n_done / max(n_all, 1), 1.0))
        summaries.append(_write(replay, index, out_dir, left_out))
    return summaries


def _why_no_call(counts: Counts, n_other: int) -> str:
    if counts.fragments and not n_other:
        return "it holds pieces of IP fragments only"
    if counts.cut and not n_other:
        return "its packets were cut by the capture (snap length)"
    return "it holds no call"


class _Replay:
    """One call on its way through."""

    def __init__(self, call: FoundCall, policy: Policy, fill: Fill, customer: Side | None) -> None:
        self.found = call
        self.policy = policy
        self.fill = fill
        known = customer if call.sides_known else None
        left = known or Side.CALLER
        self.channels = {left: CUSTOMER, left.other: AGENT}
        self.names = ("customer", "agent") if known else ("caller", "callee")
        self.codecs, rates = self._codecs_met()
        self.rate_hz = max(rates, default=DEFAULT_RATE_HZ)
        plans = [
            LegPlan(
                channel,
                call.payload_types[side],
                masked=known is None or side is known,
                encrypted=call.encrypted,
            )
            for side, channel in self.channels.items()
        ]
        self._call = Call(
            plans, policy, fill, rate_hz=self.rate_hz, hold_ms=HOLD_MS, block_ms=BLOCK_MS
        )
        self.frames: list[Frame] = []
        self.out = Output()
        self.recording = Recording()
        self.verdicts: Counter[Verdict] = Counter()
        self.n_sip = self.n_blanked = self.n_rtcp = self.n_rtcp_left = 0
        self._records: dict[int, Record] = {}

    def run(self) -> Iterator[int]:
        """Play the call; gives the number of packets of each step."""
        infos = sorted(self.found.infos, key=lambda info: info.at_ns)
        batch: list[Arrival] = []
        for arrival in self._arrivals():
            at_ns = arrival.at_ns + self.found.begin_ns
            while infos and infos[0].at_ns <= at_ns:
                self._keep(self._call.push(batch))
                batch = []
                self._tell_info(infos.pop(0))
            batch.append(arrival)
            if len(batch) >= _BATCH:
                self._keep(self._call.push(batch))
                yield len(batch)
                batch = []
        self._keep(self._call.push(batch))
        for info in infos:
            self._tell_info(info)
        self._keep(self._call.flush())
        yield len(batch)

    def records(self) -> list[Record]:
        """Give the frames of the masked capture, in order of time."""
        kept = [self._records[index] for index in sorted(self._records)]
        kept += self._signalling() + self._controls()
        kept.sort(key=lambda record: record.at_ns)
        if len({record.link_type for record in kept}) > 1:
            kept = [to_raw(record) for record in kept]
        return kept

    def _arrivals(self) -> Iterator[Arrival]:
        spoken = [
            [(frame.at_ns, side, frame) for frame in flow.frames]
            for side, flows in self.found.flows.items()
            for flow in flows
        ]
        for at_ns, side, frame in merge(*spoken, key=lambda item: item[0]):
            index = len(self.frames)
            self.frames.append(frame)
            yield Arrival(self.channels[side], index, at_ns - self.found.begin_ns, frame.payload)

    def _tell_info(self, info: InfoDigit) -> None:
        at_ns = info.at_ns - self.found.begin_ns
        self._call.info(self.channels[info.side], at_ns, info.digit, info.duration_ms)

    def _keep(self, out: Output) -> None:
        for sent in out.sent:
            self.verdicts[sent.verdict] += 1
            frame = self.frames[sent.index]
            if sent.data is not None:
                is_same = sent.verdict is Verdict.PASSED
                record = frame.record if is_same else frame.with_payload(sent.data)
                self._records[sent.index] = record
        for chunk in out.audio:
            self.recording.chunks[chunk.channel].append(chunk)
        self.out.spans += out.spans
        self.out.presses += out.presses

    def _signalling(self) -> list[Record]:
        records = []
        for frame in self.found.signalling:
            self.n_sip += 1
            blanked = None if self.policy is Policy.OPEN else blank_body(frame.payload)
            self.n_blanked += blanked is not None
            records.append(frame.record if blanked is None else frame.with_payload(blanked))
        return records

    def _controls(self) -> list[Record]:
        kept = [f.record for f in self.found.controls if _is_plain_rtcp(f.payload)]
        self.n_rtcp, self.n_rtcp_left = len(kept), len(self.found.controls) - len(kept)
        return kept

    def _codecs_met(self) -> tuple[tuple[str, ...], list[int]]:
        names: dict[str, None] = {}
        rates: list[int] = []
        for side, flows in self.found.flows.items():
            types = self.found.payload_types[side]
            for number in (n for flow in flows for n in flow.n_by_type):
                payload_type = types.get(number)
                if payload_type is None or payload_type.is_event or payload_type.encoding == "CN":
                    continue
                names[payload_type.encoding] = None
                try:
                    rates.append(make_codec(payload_type).rate_hz)
                except CodecError:
                    continue
        return tuple(names), rates


def _is_plain_rtcp(payload: bytes) -> bool:
    """Whether a compound RTCP packet holds reports, names and goodbyes only."""
    at = 0
    while at + 4 <= len(payload):
        if payload[at + 1] not in _RTCP_KEPT:
            return False
        at += 4 * (int.from_bytes(payload[at + 2 : at + 4], "big") + 1)
    return at == len(payload)


def _report(replay: _Replay, index: int, audio: NDArray[np.int16], left_out: int) -> dict[str, Any]:
    """Give the report: where and why, how many, never which key."""
    presses = replay.out.presses
    talk = dict(zip(replay.names, measure_talk(audio, replay.rate_hz), strict=True))
    by_channel = Counter(press.channel for press in presses)
    carriers = Counter(
        "+".join(c.value for c in Carrier if c in press.carriers) for press in presses
    )
    return {
        "call": index,
        "policy": replay.policy.value,
        "fill": replay.fill.value,
        "duration_s": round(len(audio) / replay.rate_hz, 3),
        "rate_hz": replay.rate_hz,
        "codecs": list(replay.codecs),
        "channels": list(replay.names),
        "talk_s": {name: round(meter.talk_s, 2) for name, meter in talk.items()},
        "silence_s": {name: round(meter.silence_s, 2) for name, meter in talk.items()},
        "spans": [
            {
                "channel": span.channel,
                "start_s": round(span.start / replay.rate_hz, 4),
                "end_s": round(span.end / replay.rate_hz, 4),
                "reason": span.reason.value,
                "level_dbfs": span.level_dbfs,
            }
            for span in sorted(replay.out.spans, key=lambda s: (s.start, s.channel))
        ],
        "key_presses": {name: by_channel[i] for i, name in enumerate(replay.names)},
        "carriers": dict(sorted(carriers.items())),
        "packets": {
            "rtp": len(replay.frames),
            **{verdict.value: replay.verdicts[verdict] for verdict in Verdict},
            "sip": replay.n_sip,
            "sip_blanked": replay.n_blanked,
            "rtcp": replay.n_rtcp,
            "rtcp_left_out": replay.n_rtcp_left,
            "capture_left_out": left_out,
        },
    }


def _write(replay: _Replay, index: int, out_dir: Path, left_out: int) -> CallSummary:
    """Write the outputs of a call, then give all of them their names."""
    records = replay.records()
    audio = replay.recording.render(replay.rate_hz)
    report = _report(replay, index, audio, left_out)
    link_type = records[0].link_type if records else 1
    writers: dict[str, Callable[[BinaryIO], None]] = {
        "pcap": lambda file: write_pcap(file, records, link_type),
        "wav": lambda file: write_wav(file, audio, replay.rate_hz),
        "json": lambda file: write_json(file, report),
    }
    paths = write_whole(out_dir, f"call-{index:04d}", writers)
    return CallSummary(
        index=index,
        codecs=replay.codecs,
        duration_s=len(audio) / replay.rate_hz,
        n_packets=len(replay.frames),
        n_key_presses=len(replay.out.presses),
        n_spans=len(replay.out.spans),
        paths=paths,
    )
