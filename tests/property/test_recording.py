"""Whatever is done to a recording's files, no wrong sample comes out of them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicemask.errors import RecordingError
from voicemask.mask.span import Reason, Span
from voicemask.recording.frames import FrameReader
from voicemask.recording.keys import KeyRing, parse_keys
from voicemask.recording.metadata import Opening, State, Summary
from voicemask.recording.reader import Recording
from voicemask.recording.writer import RecordingWriter

RING = KeyRing.new()
RECORDING_ID = UUID("6f1c7a30-5a4e-4b83-9a0f-0d5f0e8c1a2b")
N_SAMPLES = 1500
AUDIO = np.random.default_rng(3).normal(0, 3000, (N_SAMPLES, 2)).astype(np.int16)


def _begin(folder: Path, **wishes: float) -> RecordingWriter:
    return RecordingWriter.create(
        folder,
        RECORDING_ID,
        RING,
        started_at=1.0,
        rate_hz=8000,
        opening=Opening("call"),
        **wishes,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording in three files, six frames."""
    writer = _begin(tmp_path_factory.mktemp("recordings"), segment_s=0.05)
    writer.spans([Span(0, 10, 20, Reason.TONE, None)])
    for start in range(0, N_SAMPLES, 250):
        writer.write(start, AUDIO[start : start + 250])
        writer.flush()
    writer.finish(Summary(reason="hangup"))
    return writer.folder


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_changed_bytes_never_give_wrong_audio(folder: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    whole = path.read_bytes()
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(whole) - 1))
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    path.write_bytes(bytes(changed[:cut]))
    try:
        _check_is_true_or_error(folder)
    finally:
        path.write_bytes(whole)


def _check_is_true_or_error(folder: Path) -> None:
    try:
        read = Recording(folder, RING)
        for frame in read.frames():
            assert np.array_equal(frame.audio, AUDIO[frame.start : frame.end])
        state = read.state
        audio = read.render()
    except RecordingError:
        return
    assert np.array_equal(audio, AUDIO[: len(audio)])
    assert len(audio) == N_SAMPLES or state is State.INCOMPLETE


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_file_without_frames_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    reader = FrameReader(path, bytes(32), RECORDING_ID, 0)
    with contextlib.suppress(RecordingError):
        assert list(reader) == []
    assert not reader.is_final


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_no_key_file(text: str) -> None:
    with pytest.raises(RecordingError):
        parse_keys(text, "keys")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["write", "write", "write", "skip", "pause", "resume", "flush"]),
            st.integers(1, 5000),
        ),
        max_size=30,
    ),
    segment_s=st.sampled_from([0.1, 1.0, 600.0]),
    begin=st.integers(0, 30_000),
    length=st.integers(1, 30_000),
)
def test_any_order_of_writes_and_pauses_keeps_the_time_line(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int]],
    segment_s: float,
    begin: int,
    length: int,
) -> None:
    writer = _begin(tmp_path_factory.mktemp("any"), segment_s=segment_s, sync_s=100.0)
    source = np.random.default_rng(5).integers(-9000, 9000, (200_000, 2)).astype(np.int16)
    expected = np.zeros_like(source)
    position = 0
    is_paused = False
    for what, n_samples in steps:
        if what == "write":
            part = source[position : position + n_samples]
            writer.write(position, part)
            if not is_paused:
                expected[position : position + n_samples] = part
            position += n_samples
        elif what == "skip":
            writer.write(position + n_samples, source[:0])
            writer.write(position + n_samples, source[position + n_samples :][:1])
            if not is_paused:
                expected[position + n_samples] = source[position + n_samples]
            position += n_samples + 1
        elif what == "flush":
            writer.flush()
        else:
            is_paused = what == "pause"
            writer.pause("asked") if is_paused else writer.resume()
    writer.finish()
    read = Recording(writer.folder, RING)
    assert read.state is State.COMPLETE
    assert np.array_equal(read.render(), expected[:position])
    assert np.array_equal(
        read.render(begin, begin + length), expected[:position][begin : begin + length]
    )
