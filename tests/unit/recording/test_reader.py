"""What is not as it was written is an error; what ends early opens as far as it goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.errors import RecordingError
from voicemask.mask.span import Reason, Span
from voicemask.recording.envelope import Envelope
from voicemask.recording.frames import HEAD_BYTES
from voicemask.recording.keys import KeyRing
from voicemask.recording.metadata import State
from voicemask.recording.reader import Recording
from voicemask.recording.writer import RecordingWriter

Begin = Callable[..., RecordingWriter]
Speech = Callable[[int], NDArray[np.int16]]
OTHER_ID = UUID("00000000-5a4e-4b83-9a0f-0d5f0e8c1a2b")
FRAME_BYTES = 8 + 17 + 16 + 8000


@pytest.fixture
def folder(begin: Begin, speech: Speech) -> Path:
    """A finished recording of 1 s in two files: 4 frames and an end in the first, 2 and one."""
    writer = begin(segment_s=1.0)
    writer.spans([Span(0, 10, 20, Reason.TONE, None)])
    writer.write(0, speech(11_000))
    writer.finish()
    return writer.folder


def _cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


def test_a_file_cut_at_any_byte_opens_up_to_its_last_whole_frame(
    begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    audio = speech(300)
    writer = begin()
    for start in range(0, 300, 60):
        writer.write(start, audio[start : start + 60])
        writer.flush()
    writer.finish()
    path = writer.folder / "audio-0000"
    whole = path.read_bytes()
    frame = 8 + 17 + 16 + 240
    for n_bytes in range(len(whole)):
        path.write_bytes(whole[:n_bytes])
        read = Recording(writer.folder, ring)
        n_frames = min(max(0, n_bytes - HEAD_BYTES) // frame, 5)
        assert np.array_equal(read.render(), audio[: 60 * n_frames]), n_bytes
        assert read.state is State.INCOMPLETE
    path.unlink()
    assert Recording(writer.folder, ring).state is State.INCOMPLETE


def test_notes_cut_at_any_byte_keep_the_audio(folder: Path, ring: KeyRing, speech: Speech) -> None:
    path = folder / "notes"
    whole = path.read_bytes()
    for n_bytes in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:n_bytes])
        read = Recording(folder, ring)
        assert read.state is State.INCOMPLETE
        assert np.array_equal(read.render(), speech(11_000))
        assert len(read.metadata.spans) in (0, 1)
    path.unlink()
    assert np.array_equal(Recording(folder, ring).render(), speech(11_000))


def test_zeros_a_power_failure_left_are_an_end_not_damage(
    folder: Path, ring: KeyRing, speech: Speech
) -> None:
    path = folder / "audio-0001"
    whole = path.read_bytes()
    for n_kept in (0, 10, HEAD_BYTES, HEAD_BYTES + 3, HEAD_BYTES + 5000, HEAD_BYTES + FRAME_BYTES):
        path.write_bytes(whole[:n_kept] + bytes(len(whole) - n_kept))
        read = Recording(folder, ring)
        n_frames = max(0, n_kept - HEAD_BYTES) // FRAME_BYTES
        assert np.array_equal(
            np.concatenate([frame.audio for frame in read.frames()]),
            speech(11_000)[: 8000 + 2000 * n_frames],
        )
        assert (read.state, read.end) == (State.INCOMPLETE, 8000 + 2000 * n_frames)


def test_a_file_cut_in_the_middle_of_a_recording_is_an_error(folder: Path, ring: KeyRing) -> None:
    path = folder / "audio-0000"
    _cut(path, HEAD_BYTES + FRAME_BYTES)
    with pytest.raises(RecordingError, match="ends early though the recording goes on"):
        Recording(folder, ring).render()
    path.unlink()
    with pytest.raises(RecordingError, match="audio-0000 is missing"):
        Recording(folder, ring).render()


def _frames(path: Path) -> tuple[bytes, list[bytes]]:
    data = path.read_bytes()
    rest = data[HEAD_BYTES:]
    whole = [rest[n : n + FRAME_BYTES] for n in range(0, len(rest), FRAME_BYTES)]
    return data[:HEAD_BYTES], whole


def test_frames_reordered_repeated_or_left_out_are_errors(folder: Path, ring: KeyRing) -> None:
    path = folder / "audio-0000"
    head, (one, two, three, four, end) = _frames(path)
    for frames in (
        (two, one, three, four, end),
        (one, one, two, three, four, end),
        (one, three, four, end),
        (two, three, four, end),
        (one, two, three, end),
        (one, two, three, four, end, end),
    ):
        path.write_bytes(head + b"".join(frames))
        with pytest.raises(RecordingError, match=r"was changed|goes on behind|audio added"):
            Recording(folder, ring).render()


def test_files_changed_for_each_other_are_errors(folder: Path, ring: KeyRing) -> None:
    first, second = folder / "audio-0000", folder / "audio-0001"
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    with pytest.raises(RecordingError, match="does not belong here"):
        Recording(folder, ring).render()
    second.write_bytes(two)
    first.write_bytes(one[:28] + two[28:])
    with pytest.raises(RecordingError, match="was changed"):
        Recording(folder, ring).render()
    (folder / "notes").write_bytes(one)
    with pytest.raises(RecordingError, match="does not belong here"):
        Recording(folder, ring).render()


def test_audio_of_another_recording_is_an_error(
    folder: Path, begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    other = begin(OTHER_ID, segment_s=1.0)
    other.write(0, speech(11_000))
    other.finish()
    foreign = (other.folder / "audio-0001").read_bytes()
    (folder / "audio-0001").write_bytes(foreign)
    with pytest.raises(RecordingError, match="does not belong here"):
        Recording(folder, ring).render()
    ours = (folder / "audio-0000").read_bytes()
    (folder / "audio-0001").write_bytes(ours[:24] + foreign[24:])
    with pytest.raises(RecordingError, match="was changed"):
        Recording(folder, ring).render()


def test_a_file_added_is_an_error(folder: Path, ring: KeyRing) -> None:
    shutil.copy(folder / "audio-0001", folder / "audio-0002")
    with pytest.raises(RecordingError, match="has audio added to it"):
        _ = Recording(folder, ring).state


def test_a_key_file_from_elsewhere_opens_nothing(
    folder: Path, begin: Begin, ring: KeyRing, speech: Speech
) -> None:
    other = begin(OTHER_ID)
    other.close()
    foreign = (other.folder / "key").read_bytes()
    ours = (folder / "key").read_bytes()
    (folder / "key").write_bytes(foreign)
    with pytest.raises(RecordingError, match="key file of another one"):
        Recording(folder, ring)
    (folder / "key").write_bytes(ours[:24] + foreign[24:])
    with pytest.raises(RecordingError, match="its key file was changed"):
        Recording(folder, ring)
    later = int.from_bytes(ours[24:32], "little") + 1
    (folder / "key").write_bytes(ours[:24] + later.to_bytes(8, "little") + ours[32:])
    with pytest.raises(RecordingError, match="its key file was changed"):
        Recording(folder, ring)


def test_a_wrong_or_erased_key_is_an_error(folder: Path, ring: KeyRing) -> None:
    with pytest.raises(RecordingError, match="is not in the key file"):
        Recording(folder, KeyRing.new())
    for data in (b"", b"x", b"\0" * 144, (folder / "key").read_bytes()[:-1]):
        (folder / "key").write_bytes(data)
        with pytest.raises(RecordingError, match="cut or erased"):
            Recording(folder, ring)
    (folder / "key").unlink()
    with pytest.raises(RecordingError, match="was erased"):
        Recording(folder, ring)
    shutil.rmtree(folder)
    with pytest.raises(RecordingError, match="is not there"):
        Recording(folder, ring)


def test_a_later_format_is_told_apart_from_damage(folder: Path, ring: KeyRing) -> None:
    data = (folder / "key").read_bytes()
    (folder / "key").write_bytes(data[:7] + b"\x02" + data[8:])
    with pytest.raises(RecordingError, match="use a later voicemask"):
        Recording(folder, ring)


def test_a_rewrapped_envelope_opens_the_same_key(ring: KeyRing) -> None:
    envelope = Envelope.wrap(OTHER_ID, 1, bytes(32), ring)
    rotated = ring.rotated()
    again = envelope.rewrapped(rotated)
    assert (envelope.key_id, again.key_id) == (ring.current, rotated.current)
    assert again.unwrap(rotated) == envelope.unwrap(ring) == bytes(32)


def test_no_audio_lies_in_clear_on_the_disk(
    begin: Begin, recordings: Path, tmp_path: Path, ring: KeyRing
) -> None:
    """A waveform is looked for as samples, as bytes of each channel, and as G.711 would have it."""
    wave = (12_000 * np.sin(np.arange(16_000) * 0.7)).astype(np.int16)
    stereo = np.stack([wave, wave[::-1]], axis=1)
    writer = begin()
    for start in range(0, len(stereo), 160):
        writer.write(start, stereo[start : start + 160])
        if start % 4000 == 0:
            _search(tmp_path, stereo)
    writer.finish()
    _search(tmp_path, stereo)
    assert np.array_equal(Recording(writer.folder, ring).render(), stereo)


def _search(place: Path, stereo: NDArray[np.int16]) -> None:
    for path in place.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for start in range(0, len(stereo) - 16, 500):
                piece = stereo[start : start + 4]
                assert piece.tobytes() not in data, path
                assert piece[:, 0].tobytes() not in data, path
            assert b"call-1@example.org" not in data, path


def test_files_are_for_their_owner_only(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
