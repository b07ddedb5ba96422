"""What is written can be read, and a disk that refuses ends nothing."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.errors import RecordingError
from voicemask.mask.span import Reason, Span
from voicemask.recording.keys import KeyRing
from voicemask.recording.metadata import State, Stretch, Summary
from voicemask.recording.reader import Recording
from voicemask.recording.writer import RecordingWriter

Begin = Callable[..., RecordingWriter]
Speech = Callable[[int], NDArray[np.int16]]
RECORDING_ID = UUID("6f1c7a30-5a4e-4b83-9a0f-0d5f0e8c1a2b")


@contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to make files longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("step", [160, 333, 2000, 7001])
def test_what_is_written_is_read(
    begin: Begin, ring: KeyRing, speech: Speech, rate_hz: int, step: int
) -> None:
    audio = speech(3 * rate_hz + 77)
    writer = begin(rate_hz=rate_hz)
    for start in range(0, len(audio), step):
        writer.write(start, audio[start : start + step])
    writer.finish()
    read = Recording(writer.folder, ring)
    assert np.array_equal(read.render(), audio)
    assert (read.state, read.rate_hz, read.end) == (State.COMPLETE, rate_hz, len(audio))
    assert read.envelope.started_at == 1_735_732_800.25
    assert read.metadata.opened["call_id"] == "call-1@example.org"


def test_a_media_machine_needs_no_private_key(begin: Begin, ring: KeyRing, speech: Speech) -> None:
    writer = begin(keys=ring.public_only())
    writer.write(0, speech(4000))
    writer.finish()
    with pytest.raises(RecordingError, match="no private part"):
        Recording(writer.folder, ring.public_only())
    assert Recording(writer.folder, ring).end == 4000


def test_between_writes_is_silence(begin: Begin, ring: KeyRing, speech: Speech) -> None:
    audio = speech(1000)
    writer = begin()
    writer.write(500, audio)
    writer.write(1600, audio)
    writer.write(40_000, audio)
    writer.finish(Summary(end=50_000))
    expected = np.zeros((50_000, 2), np.int16)
    for start in (500, 1600, 40_000):
        expected[start : start + 1000] = audio
    assert np.array_equal(Recording(writer.folder, ring).render(), expected)


def test_nothing_is_written_twice(begin: Begin, ring: KeyRing, speech: Speech) -> None:
    audio = speech(3000)
    writer = begin()
    writer.write(0, audio[:2500])
    writer.write(0, audio)
    writer.write(100, audio[:50])
    writer.finish()
    assert np.array_equal(Recording(writer.folder, ring).render(), audio)


def test_a_pause_keeps_the_time_line(begin: Begin, ring: KeyRing, speech: Speech) -> None:
    audio = speech(20_000)
    writer = begin()
    writer.write(0, audio[:5000])
    writer.pause("card", at=6000)
    writer.write(5000, audio[5000:9000])
    writer.resume(at=12_345)
    writer.write(9000, audio[9000:])
    writer.finish()
    read = Recording(writer.folder, ring)
    expected = audio.copy()
    expected[6000:12_345] = 0
    assert np.array_equal(read.render(), expected)
    assert read.metadata.pauses == [Stretch(6000, 12_345, "card")]


def test_a_pause_without_an_end_lasts_to_the_end(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    writer = begin()
    writer.write(0, speech(1000))
    writer.pause("asked")
    writer.pause("again")
    writer.write(1000, speech(3000))
    writer.finish()
    read = Recording(writer.folder, ring)
    assert read.metadata.pauses == [Stretch(1000, 4000, "asked")]
    assert not read.render(1000).any()
    assert read.end == 4000


def test_a_pause_does_not_outlive_audio_a_kill_takes(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    writer = begin()
    writer.write(0, speech(1000))
    writer.pause("asked")
    read = Recording(writer.folder, ring)
    assert read.end == 1000, "what was gathered before the pause is on the disk"
    writer.close()


def test_notes_are_read_as_they_were_told(begin: Begin, ring: KeyRing, speech: Speech) -> None:
    writer = begin()
    writer.spans([Span(0, 100, 900, Reason.TONE, -12.0), Span(1, 50, 60, Reason.EVENT, None)])
    writer.event("policy", at=70, policy="capture")
    writer.write(0, speech(16_000))
    writer.mark_lost(3000, 3500)
    writer.finish(Summary(packets={"customer": {"received": 100, "lost": 2}}, reason="hangup"))
    read = Recording(writer.folder, ring)
    told = read.metadata
    assert told.spans == [Stretch(100, 900, "tone", 0), Stretch(50, 60, "event", 1)]
    assert told.lost == [Stretch(3000, 3500, "overload")]
    assert told.events == [{"at": 70, "name": "policy", "details": {"policy": "capture"}}]
    assert told.finished["packets"]["customer"] == {"received": 100, "lost": 2}
    assert told.finished["reason"] == "hangup"
    talk = told.finished["talk"]["customer"]
    assert talk["talk_s"] + talk["silence_s"] == pytest.approx(2.0)
    assert read.state is State.DEGRADED


def test_a_span_keeps_no_level(begin: Begin, ring: KeyRing) -> None:
    writer = begin()
    writer.spans([Span(0, 0, 10, Reason.TONE, -12.0)])
    assert all("12" not in str(note) for note in Recording(writer.folder, ring)._notes())
    writer.close()


def test_many_spans_in_one_go(begin: Begin, ring: KeyRing) -> None:
    writer = begin()
    spans = [Span(0, 10 * n, 10 * n + 5, Reason.TONE, None) for n in range(20_000)]
    writer.spans(spans)
    writer.finish()
    assert len(Recording(writer.folder, ring).metadata.spans) == 20_000


def test_long_recordings_have_several_files(begin: Begin, ring: KeyRing, speech: Speech) -> None:
    audio = speech(40_000)
    writer = begin(segment_s=1.0)
    for start in range(0, len(audio), 160):
        writer.write(start, audio[start : start + 160])
    writer.finish()
    names = sorted(path.name for path in writer.folder.iterdir())
    assert names == [*(f"audio-{n:04d}" for n in range(5)), "key", "notes"]
    read = Recording(writer.folder, ring)
    assert np.array_equal(read.render(), audio)
    for start, end in [(0, 1), (7999, 8001), (8000, 9000), (30_000, 99_000), (39_999, 40_000)]:
        assert np.array_equal(read.render(start, end), audio[start:end])


def test_a_part_is_read_without_the_files_before_it(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    audio = speech(40_000)
    writer = begin(segment_s=1.0)
    writer.write(0, audio)
    writer.finish()
    second = writer.folder / "audio-0001"
    second.write_bytes(second.read_bytes()[:-30])
    read = Recording(writer.folder, ring)
    assert np.array_equal(read.render(24_000, 30_000), audio[24_000:30_000])
    with pytest.raises(RecordingError, match="ends early"):
        read.render()


def test_a_live_recording_is_told_from_one_that_was_given_up(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    writer = begin()
    writer.write(0, speech(2000))
    assert Recording(writer.folder, ring).state is State.LIVE
    writer.close()
    assert Recording(writer.folder, ring).state is State.INCOMPLETE


def test_an_id_is_used_once(begin: Begin) -> None:
    begin().close()
    with pytest.raises(RecordingError, match="file exists"):
        begin()


def test_a_full_disk_loses_a_stretch_and_no_more(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    audio = speech(80_000)
    writer = begin()
    writer.write(0, audio[:20_000])
    with files_no_larger_than(90_000):
        with pytest.raises(RecordingError, match="cannot be written"):
            writer.write(20_000, audio[20_000:30_000])
        assert writer.is_failed
        writer.write(30_000, audio[30_000:40_000])
        writer.spans([Span(0, 100, 200, Reason.TONE, None)])
        with pytest.raises(RecordingError):
            writer.retry()
        meanwhile = Recording(writer.folder, ring)
        assert np.array_equal(meanwhile.render(), audio[: meanwhile.end])
        assert meanwhile.end >= 20_000
    writer.retry()
    assert not writer.is_failed
    writer.write(40_000, audio[40_000:])
    writer.finish()
    read = Recording(writer.folder, ring)
    (lost,) = read.metadata.lost
    assert (lost.end, lost.reason) == (40_000, "disk")
    assert lost.start >= meanwhile.end
    expected = audio.copy()
    expected[lost.start : lost.end] = 0
    assert np.array_equal(read.render(), expected)
    assert read.state is State.DEGRADED
    assert len(read.metadata.spans) == 1


def test_a_full_disk_at_the_end_can_be_tried_again(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    writer = begin()
    writer.write(0, speech(2000))
    size = (writer.folder / "audio-0000").stat().st_size
    with files_no_larger_than(size):
        for _ in range(3):
            with pytest.raises(RecordingError):
                writer.finish()
    assert Recording(writer.folder, ring).state is State.LIVE
    writer.finish(Summary(reason="hangup"))
    read = Recording(writer.folder, ring)
    assert read.end == 2000
    assert np.array_equal(read.render(), speech(2000))
    assert read.state is State.COMPLETE


@pytest.mark.parametrize("limit", [*range(8000, 27_000, 397), 8069, 16_094, 16_139, 24_164])
def test_wherever_the_disk_is_full_the_recording_goes_on(
    begin: Begin, ring: KeyRing, speech: Speech, limit: int
) -> None:
    audio = speech(24_000)
    writer = begin(segment_s=0.75, sync_s=0.25)
    with files_no_larger_than(limit):
        for start in range(0, 12_000, 400):
            try:
                writer.write(start, audio[start : start + 400])
            except RecordingError:
                assert writer.is_failed
    writer.retry()
    for start in range(12_000, 24_000, 400):
        writer.write(start, audio[start : start + 400])
    writer.finish()
    read = Recording(writer.folder, ring)
    expected = audio.copy()
    for lost in read.metadata.lost:
        expected[lost.start : lost.end] = 0
    assert np.array_equal(read.render(), expected)
    assert read.state is (State.DEGRADED if read.metadata.lost else State.COMPLETE)


def test_notes_that_are_refused_lose_no_audio_unmarked(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    audio = speech(12_000)
    writer = begin()
    writer.write(0, audio[:3000])
    with files_no_larger_than(600), pytest.raises(RecordingError):
        for n in range(100):
            writer.event("policy", policy="capture", number=n)
    writer.write(3000, audio[3000:5000])
    writer.retry()
    writer.write(5000, audio[5000:])
    writer.finish()
    read = Recording(writer.folder, ring)
    assert read.metadata.lost == [Stretch(2000, 5000, "disk")]
    assert np.array_equal(read.render()[:2000], audio[:2000])
    assert np.array_equal(read.render()[5000:], audio[5000:])


def test_nowhere_to_write_is_an_error_and_leaves_nothing(
    begin: Begin, recordings: Path, ring: KeyRing
) -> None:
    recordings.write_text("a file where the folder should be")
    with pytest.raises(RecordingError):
        begin()
    recordings.unlink()
    with files_no_larger_than(100), pytest.raises(RecordingError, match="cannot be written"):
        begin()
    assert not list(recordings.iterdir())


def test_a_disk_that_is_gone_is_an_error(begin: Begin, speech: Speech, ring: KeyRing) -> None:
    writer = begin()
    writer.write(0, speech(2000))
    assert writer._track._file is not None
    os.close(writer._track._file._descriptor)  # type: ignore[arg-type]
    with pytest.raises(RecordingError):
        writer.write(2000, speech(4000))
    writer.retry()
    writer.finish()
    assert Recording(writer.folder, ring).end == 6000


def test_a_file_cut_behind_our_back_is_not_written_on(begin: Begin, speech: Speech) -> None:
    writer = begin()
    writer.write(0, speech(2000))
    assert writer._track._file is not None
    os.close(writer._track._file._descriptor)  # type: ignore[arg-type]
    os.truncate(writer.folder / "audio-0000", 10)
    with pytest.raises(RecordingError):
        writer.write(2000, speech(4000))
    with pytest.raises(RecordingError, match="shorter"):
        writer.retry()
    writer.close()


WRITING_CHILD = """
import sys
from pathlib import Path
import numpy as np
from uuid import UUID
from voicemask.recording.keys import load_keys
from voicemask.recording.metadata import Opening
from voicemask.recording.writer import RecordingWriter

folder, keys, recording_id = sys.argv[1:]
writer = RecordingWriter.create(
    Path(folder), UUID(recording_id), load_keys(Path(keys)),
    started_at=1.0, rate_hz=8000, opening=Opening("c"),
)
audio = np.arange(160, dtype=np.int16).repeat(2).reshape(-1, 2)
position = 0
while True:
    writer.write(position, audio + np.int16(position // 160 % 30_000))
    position += 160
    print(position, flush=True)
"""


def test_kill_9_takes_less_than_a_quarter_of_a_second(
    recordings: Path, ring: KeyRing, tmp_path: Path
) -> None:
    from voicemask.recording.keys import create_keys

    keys = tmp_path / "keys.toml"
    create_keys(keys, ring)
    args = [sys.executable, "-c", WRITING_CHILD, str(recordings), str(keys), str(RECORDING_ID)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(700)]
        child.send_signal(signal.SIGKILL)
        n_written = int((lines + child.stdout.readlines())[-1])
    read = Recording(recordings / str(RECORDING_ID), ring)
    audio = read.render()
    assert read.state is State.INCOMPLETE
    assert n_written - 2000 < read.end <= n_written + 160
    places = np.arange(read.end)
    assert np.array_equal(audio[:, 0], places % 160 + places // 160 % 30_000)
