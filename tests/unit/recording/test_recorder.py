"""The recorder: what it writes is the call's masked master, whatever becomes of disk and peers."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.peers import spandsp
from voicemask.audio.codecs import make_codec
from voicemask.call import AGENT, CUSTOMER, Arrival, AudioChunk, Call, LegPlan, Output
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Policy
from voicemask.dtmf.auditor import audit
from voicemask.dtmf.detector import detect
from voicemask.recording import recorded_call
from voicemask.recording.keys import KeyRing, create_keys
from voicemask.recording.link import (
    ForkPacket,
    RecorderEvent,
    RecorderLink,
    RecordingState,
    StartRecording,
)
from voicemask.recording.metadata import State
from voicemask.recording.mix import StereoMix
from voicemask.recording.reader import Recording
from voicemask.recording.recorded_call import RecordedCall
from voicemask.recording.recorder import Recorder
from voicemask.recording.wire import FrameKind, LinkEnd
from voicemask.rtp.event import EventReport, event_code, serialize_event
from voicemask.rtp.packet import RtpPacket
from voicemask.rtp.sdp import PayloadType
from voicemask.synthetic import make_call

PCMU = PayloadType(0, "PCMU", 8000)
G722 = PayloadType(9, "G722", 8000)
EVENT = PayloadType(101, "telephone-event", 8000)
TYPES = {0: PCMU, 101: EVENT}
PAN = "4111111111111111"
RECORDING_ID = UUID("0b5f2f52-5e1b-4a5e-9a39-6f0f3f8f2c11")
FRAME_NS = 20_000_000
LEGS = (LegPlan(CUSTOMER, TYPES), LegPlan(AGENT, TYPES, masked=False))
PROGRAM = (
    "import sys; from pathlib import Path; from voicemask.recording.recorder import run_recorder; "
    "run_recorder(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))"
)


def packets(audio: NDArray[np.float32], ssrc: int = 7) -> list[bytes]:
    codec = make_codec(PCMU)
    return [
        RtpPacket(0, k, 160 * k, ssrc, codec.encode(audio[160 * k : 160 * k + 160])).serialize()
        for k in range(len(audio) // 160)
    ]


def keyed(tail_ms: float = 4000) -> NDArray[np.float32]:
    call = make_call(PAN, tone_ms=80, pause_ms=120, lead_ms=1000, tail_ms=tail_ms, noise_dbfs=-50)
    return call.audio[0]


def quiet(n_s: float, seed: int = 2) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.003, int(n_s * 8000)).astype(np.float32)


def start(**wishes: Any) -> StartRecording:
    facts: dict[str, Any] = {"recording_id": RECORDING_ID, "started_at": 1.7e9, **wishes}
    return StartRecording("call@example.org", facts.pop("legs", LEGS), **facts)


class Bench:
    """A recorder without a process, behind a real link."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        ours, theirs = socket.socketpair()
        self.link, self.end = RecorderLink(ours), LinkEnd(theirs)
        self.recorder = Recorder(folder, key_file, self.end.put)
        self.came: list[ForkPacket | RecorderEvent] = []

    def turn(self) -> None:
        self.link.flush()
        self.recorder.take(self.end.frames())
        self.end.flush()
        self.came += self.link.read()

    def feed(
        self, sent: Sequence[bytes], others: Sequence[bytes] = (), first: int = 0, key: int = 1
    ) -> None:
        """Give both directions' packets with their stamps, 20 ms at a time."""
        for k, data in enumerate(sent):
            at_ns = (first + k) * FRAME_NS
            self.link.packet(key, CUSTOMER, at_ns, data)
            if others:
                self.link.packet(key, AGENT, at_ns, others[k])
            if k % 5 == 4:
                self.link.tick(at_ns)
                self.turn()
        self.turn()

    def events(self) -> list[tuple[int, RecordingState]]:
        return [(e.key, e.state) for e in self.came if isinstance(e, RecorderEvent)]

    def close(self) -> None:
        self.link.close()
        self.end.close()


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return create_keys(tmp_path / "keys.toml")


@pytest.fixture
def bench(tmp_path: Path, recordings: Path, keys: KeyRing) -> Iterator[Bench]:
    made = Bench(recordings, tmp_path / "keys.toml")
    yield made
    made.close()


@pytest.fixture
def opened(recordings: Path, keys: KeyRing) -> Callable[[], Recording]:
    return lambda: Recording(recordings / str(RECORDING_ID), keys)


def assert_unreadable(audio: NDArray[np.int16]) -> None:
    """Nobody reads a key in a channel."""
    samples = audio.astype(np.float32) / 32768
    assert detect(samples) == []
    assert audit(samples[np.newaxis]) == []
    assert spandsp.detect(np.pad(samples, (800, 4000))) == []


# -- what is written


def test_the_recording_is_the_audio_of_the_call(bench: Bench, opened: Any) -> None:
    sent, others = packets(keyed()), packets(quiet(9), 8)
    bench.link.start(1, start())
    bench.feed(sent, others)
    bench.link.stop(1)
    bench.turn()
    call = Call(LEGS, hold_ms=0, block_ms=250, lag_ms=recorded_call.LAG_MS, depth=4)
    out = Output()
    for k, (data, other) in enumerate(zip(sent, others, strict=False)):
        out.extend(call.push([Arrival(CUSTOMER, k, k * FRAME_NS, data)]))
        out.extend(call.push([Arrival(AGENT, k, k * FRAME_NS, other)]))
    out.extend(call.flush())
    audio = opened().render()
    for channel in (CUSTOMER, AGENT):
        told = [chunk.samples for chunk in out.audio if chunk.channel == channel]
        np.testing.assert_array_equal(audio[:, channel], np.concatenate(told))
    spans = [(s.channel, s.start, s.end, s.reason) for s in opened().metadata.spans]
    assert spans == [(s.channel, s.start, s.end, s.reason.value) for s in out.spans]
    assert opened().state is State.COMPLETE
    assert bench.events() == [(1, RecordingState.STARTED), (1, RecordingState.ENDED)]


def test_no_key_is_in_what_is_written_or_goes_back(
    bench: Bench, opened: Any, recordings: Path
) -> None:
    sent = packets(np.concatenate([keyed(), quiet(4)]))
    for number, key in enumerate(PAN):
        code, first = event_code(Digit.of(key)), len(sent) - 190 + 10 * number
        timestamp = 160 * first
        for k in range(6):
            body = serialize_event([EventReport(code, k > 2, 10, 160 * (k + 1))])
            sent[first + k] = RtpPacket(101, first + k, timestamp, 7, body).serialize()
    bench.link.start(1, start(returns_packets=True))
    bench.feed(sent)
    bench.link.info(1, CUSTOMER, len(sent) * FRAME_NS, Digit.of("4"), 100)
    bench.link.stop(1)
    bench.turn()
    assert_unreadable(opened().render()[:, CUSTOMER])
    back = [RtpPacket.parse(p.data) for p in bench.came if isinstance(p, ForkPacket)]
    assert {packet.payload_type for packet in back} == {0}
    assert len(back) == len(sent)
    decoded = [make_codec(PCMU).decode(packet.payload) for packet in back]
    assert_unreadable((np.concatenate(decoded) * 32768).astype(np.int16))
    written = b"".join(path.read_bytes() for path in recordings.rglob("*") if path.is_file())
    assert PAN.encode() not in written + repr(opened().metadata).encode()


@pytest.mark.parametrize("at_s", [1.3, 2.0, 3.06, 4.11])
def test_capture_begun_and_ended_in_mid_call_leaves_nothing(
    bench: Bench, opened: Any, at_s: float
) -> None:
    sent = packets(keyed())
    n = int(at_s * 50)
    bench.link.start(1, start())
    bench.feed(sent[:n])
    bench.link.policy(1, CUSTOMER, Policy.CAPTURE, n * FRAME_NS)
    bench.feed(sent[n : n + 40], first=n)
    bench.link.policy(1, CUSTOMER, Policy.GUARD, (n + 40) * FRAME_NS)
    bench.feed(sent[n + 40 :], first=n + 40)
    bench.link.stop(1)
    bench.turn()
    assert_unreadable(opened().render()[:, CUSTOMER])
    told = [(e["name"], e["details"]["policy"]) for e in opened().metadata.events]
    assert told == [("policy", "capture"), ("policy", "guard")]


def test_a_mute_is_fill_between_its_instants(bench: Bench, opened: Any) -> None:
    audio = 0.2 * np.sin(2 * np.pi * 300 * np.arange(8000 * 8) / 8000).astype(np.float32)
    sent = packets(audio)
    bench.link.start(1, start())
    bench.feed(sent[:150])
    bench.link.policy(1, CUSTOMER, Policy.MUTE, 150 * FRAME_NS)
    bench.feed(sent[150:200], first=150)
    bench.link.policy(1, CUSTOMER, Policy.GUARD, 200 * FRAME_NS)
    bench.feed(sent[200:], first=200)
    bench.link.stop(1)
    bench.turn()
    loud = np.abs(opened().render()[:, CUSTOMER].astype(int)).reshape(-1, 160).max(axis=1) > 3000
    assert loud[:150].all()
    assert not loud[150:200].any()
    assert loud[205:].all()


def test_the_time_line_goes_on_where_no_packet_comes(bench: Bench, opened: Any) -> None:
    talk, others = packets(quiet(2)), packets(quiet(20), 8)
    bench.link.start(1, start())
    bench.feed(talk, others)
    for k in range(len(talk), len(others)):
        bench.link.packet(1, AGENT, k * FRAME_NS, others[k])
        bench.link.tick(k * FRAME_NS)
        bench.turn()
        assert opened().duration_s >= (k + 1) / 50 - 3
    again = [RtpPacket.parse(data) for data in packets(quiet(2, 5))]
    back = [
        RtpPacket(0, 100 + k, 160 * (1000 + k), 7, p.payload).serialize()
        for k, p in enumerate(again)
    ]
    bench.feed(back, others[:100], first=1000)
    bench.link.stop(1)
    bench.turn()
    audio = opened().render()[:, CUSTOMER]
    assert not audio[17_000:159_000].any()
    assert audio[160_000:].any()
    assert abs(len(audio) - 22 * 8000) < 1600


def test_a_call_without_any_packet_is_silence(bench: Bench, opened: Any) -> None:
    bench.link.start(1, start())
    for k in range(100):
        bench.link.tick(k * 100_000_000)
    bench.turn()
    bench.link.stop(1)
    bench.turn()
    assert opened().duration_s == pytest.approx(9.7, abs=0.2)
    assert not opened().render().any()


def test_a_pause_is_left_out_and_the_time_line_kept(bench: Bench, opened: Any) -> None:
    sent = packets(quiet(8))
    bench.link.start(1, start())
    bench.feed(sent[:100])
    bench.link.pause(1, "asked", 100 * FRAME_NS)
    bench.feed(sent[100:150], first=100)
    bench.link.resume(1, 150 * FRAME_NS)
    bench.feed(sent[150:], first=150)
    bench.link.stop(1)
    bench.turn()
    audio = opened().render()[:, CUSTOMER]
    assert len(audio) == 8 * 8000
    assert not audio[16_000:24_000].any()
    assert audio[:16_000].any()
    assert audio[24_000:].any()


def test_lost_packets_are_noted(bench: Bench, opened: Any) -> None:
    sent = packets(quiet(6))
    bench.link.start(1, start())
    bench.feed(sent[:100])
    bench.link.put(FrameKind.LOST, CUSTOMER, 1, 100 * FRAME_NS, b"50 %d" % (149 * FRAME_NS))
    bench.feed(sent[150:], first=150)
    bench.link.stop(1)
    bench.turn()
    (lost,) = opened().metadata.lost
    assert (lost.start, lost.reason) == (16_000, "overload")
    assert opened().metadata.finished["packets"]["customer"]["lost"] == 50
    assert opened().state is State.DEGRADED


def test_forks_need_no_file(bench: Bench, recordings: Path) -> None:
    bench.link.start(1, start(recording_id=None, returns_packets=True))
    bench.feed(packets(quiet(5)))
    bench.link.stop(1)
    bench.turn()
    assert sum(isinstance(item, ForkPacket) for item in bench.came) == 250
    assert bench.events() == []
    assert not recordings.exists()


# -- what goes wrong


def test_a_disk_that_refuses_is_told_and_tried_again(
    bench: Bench, opened: Any, recordings: Path
) -> None:
    recordings.write_text("in the way")
    bench.link.start(1, start(returns_packets=True))
    sent = packets(quiet(12))
    bench.feed(sent[:300])
    assert bench.events() == [(1, RecordingState.FAILED)]
    assert sum(isinstance(item, ForkPacket) for item in bench.came) > 100
    recordings.unlink()
    bench.feed(sent[300:], first=300)
    bench.link.stop(1)
    bench.turn()
    states = [state for _, state in bench.events()]
    assert states == [RecordingState.FAILED, RecordingState.RESUMED, RecordingState.ENDED]
    (lost,) = opened().metadata.lost
    assert (lost.start, lost.reason) == (0, "disk")
    assert opened().state is State.DEGRADED


def test_without_keys_a_recording_fails_and_says_why(tmp_path: Path, recordings: Path) -> None:
    bench = Bench(recordings, tmp_path / "no such file")
    bench.link.start(1, start())
    bench.feed(packets(quiet(1)))
    bench.link.stop(1)
    bench.turn()
    assert [state for _, state in bench.events()] == [RecordingState.FAILED, RecordingState.ENDED]
    assert str(tmp_path) not in repr(bench.came)
    bench.close()


def test_an_error_of_ours_ends_one_call_and_writes_no_more_of_it(
    bench: Bench, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = UUID(int=9)
    bench.link.start(1, start())
    bench.link.start(2, start(recording_id=other))
    sent = packets(quiet(8))
    bench.feed(sent[:200])
    bench.feed(sent[:200], key=2)
    before = opened().duration_s
    step = RecordedCall.step
    bad = bench.recorder._calls[1]

    def failing(call: RecordedCall) -> None:
        if call is bad:
            raise ZeroDivisionError
        step(call)

    monkeypatch.setattr(RecordedCall, "step", failing)
    bench.feed(sent[200:], first=200)
    bench.feed(sent[200:], first=200, key=2)
    bench.link.stop(1)
    bench.link.stop(2)
    bench.turn()
    assert opened().duration_s == before
    assert opened().state is State.INCOMPLETE
    ended = [state for key, state in bench.events() if key == 1]
    assert ended == [RecordingState.STARTED, RecordingState.FAILED, RecordingState.ENDED]
    assert [s for key, s in bench.events() if key == 2][-1] is RecordingState.ENDED
    assert bench.recorder.n_errors == 1


@pytest.mark.parametrize("kind", [kind for kind in FrameKind if kind != FrameKind.TICK])
@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b'{"legs": 5}', b"9" * 40])
def test_no_frame_ends_the_recorder(bench: Bench, kind: FrameKind, body: bytes) -> None:
    bench.link.start(1, start(recording_id=None))
    bench.link.start(2, start(recording_id=None, returns_packets=True))
    bench.link.put(kind, 200, 1, -5, body)
    bench.link.put(kind, 0, 77, 1 << 62, body)
    bench.feed(packets(quiet(5)), key=2)
    assert any(isinstance(item, ForkPacket) for item in bench.came)


# -- the mix


def test_wide_and_narrow_audio_share_a_time_line() -> None:
    t = np.arange(16_000) / 8000
    tone = (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
    wide = (8000 * np.sin(2 * np.pi * 440 * np.arange(96_000) / 48_000)).astype(np.int16)
    mix = StereoMix(16_000, (0, 1))
    for k in range(10):
        mix.take([AudioChunk(0, 1600 * k, 8000, tone[1600 * k : 1600 * k + 1600])])
        mix.take([AudioChunk(1, 9600 * k, 48_000, wide[9600 * k : 9600 * k + 9600])])
    parts = [mix.give()[1], mix.finish()[1]]
    audio = np.concatenate(parts)[200:-200].astype(float)
    assert len(parts[0]) > 31_000
    assert np.abs(audio[:, 0] - audio[:, 1]).max() < 60


# -- the process


class Child:
    """A recorder process behind a link."""

    def __init__(self, folder: Path, key_file: Path, bound_bytes: int = 4 << 20) -> None:
        ours, theirs = socket.socketpair()
        self.link = RecorderLink(ours, bound_bytes)
        arguments = [sys.executable, "-c", PROGRAM, str(theirs.fileno()), folder, key_file]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(arguments, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        self.came: list[ForkPacket | RecorderEvent] = []

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Serve the link until something has come back."""
        while not done() and not self.link.is_closed:
            writers = [self.link.fileno()] if self.link.wants_write else []
            ready = select.select([self.link.fileno()], writers, [], 60)
            assert any(ready), "the recorder went silent"
            self.link.flush()
            self.came += self.link.read()

    def n_back(self) -> int:
        return sum(isinstance(item, ForkPacket) for item in self.came)

    def close(self) -> None:
        self.link.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def child(tmp_path: Path, recordings: Path, keys: KeyRing) -> Iterator[Child]:
    made = Child(recordings, tmp_path / "keys.toml", bound_bytes=100_000)
    yield made
    made.close()


def feed(child: Child, sent: Sequence[bytes], first: int = 0) -> None:
    for k, data in enumerate(sent, first):
        child.link.packet(1, CUSTOMER, k * FRAME_NS, data)
        child.link.packet(1, AGENT, k * FRAME_NS, data)
        child.link.tick(k * FRAME_NS)
        if child.link.wants_write and k % 50 == 0:
            child.wait_for(lambda: not child.link.wants_write)


def test_kill_9_costs_three_seconds_at_most(child: Child, opened: Any) -> None:
    sent = packets(np.tile(keyed(), 2))
    child.link.start(1, start(legs=(LEGS[0], LegPlan(AGENT, TYPES)), returns_packets=True))
    feed(child, sent)
    least = 2 * (len(sent) - 150)
    child.wait_for(lambda: child.n_back() >= least)
    child.process.kill()
    child.process.wait()
    recording = opened()
    assert recording.state is State.INCOMPLETE
    assert recording.duration_s >= len(sent) / 50 - 3
    for channel in (CUSTOMER, AGENT):
        assert_unreadable(recording.render()[:, channel])


def test_a_media_process_that_dies_leaves_closed_recordings(child: Child, opened: Any) -> None:
    sent = packets(quiet(5))
    child.link.start(1, start(returns_packets=True))
    feed(child, sent)
    child.wait_for(lambda: child.n_back() >= 100)
    child.link.close()
    assert child.process.wait(60) == 0
    assert opened().state is State.DEGRADED
    assert opened().duration_s == pytest.approx(5, abs=0.1)


def test_sigterm_leaves_closed_recordings(child: Child, opened: Any) -> None:
    child.link.start(1, start(returns_packets=True))
    feed(child, packets(quiet(5)))
    child.wait_for(lambda: child.n_back() >= 100)
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(60) == 0
    assert opened().state is State.DEGRADED
    assert opened().duration_s > 2


def test_a_stopped_recorder_never_holds_up_the_media_side(child: Child, opened: Any) -> None:
    child.link.start(1, start(returns_packets=True))
    sent = packets(quiet(10))
    feed(child, sent[:200])
    child.wait_for(lambda: child.n_back() > 0)
    child.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.process.pid, os.WSTOPPED | os.WNOWAIT)
    n_given = 200
    while child.link.n_lost < 100:
        child.link.packet(1, CUSTOMER, n_given * FRAME_NS, sent[n_given % len(sent)])
        child.link.flush()  # would hang here if it could
        n_given += 1
    n_lost = child.link.n_lost
    child.process.send_signal(signal.SIGCONT)
    child.wait_for(lambda: not child.link.wants_write)
    child.link.stop(1)
    child.link.flush()
    child.wait_for(lambda: RecorderEvent(1, RecordingState.ENDED, "hangup") in child.came)
    assert opened().metadata.finished["packets"]["customer"]["lost"] == n_lost
    assert opened().metadata.lost
    assert opened().state is State.DEGRADED
