"""What an exported file holds, and that there is none when something is wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voicemask.errors import AudioFileError, RecordingError
from voicemask.mask.span import Reason, Span
from voicemask.recording import export as exporting
from voicemask.recording.export import export
from voicemask.recording.keys import KeyRing
from voicemask.recording.reader import Recording
from voicemask.recording.writer import RecordingWriter

Begin = Callable[..., RecordingWriter]
Speech = Callable[[int], NDArray[np.int16]]


@pytest.fixture
def recording(begin: Begin, speech: Speech, ring: KeyRing) -> Recording:
    """4 s at 8 kHz: two spans, a pause, a lost stretch."""
    writer = begin(segment_s=1.0)
    writer.spans([Span(0, 4000, 6000, Reason.TONE, -9.0)])
    writer.write(0, speech(16_000))
    writer.pause("card")
    writer.write(16_000, speech(4000))
    writer.resume()
    writer.mark_lost(24_000, 24_800)
    writer.write(24_800, speech(7200))
    writer.spans([Span(1, 30_000, 31_000, Reason.EVENT, None)])
    writer.finish()
    return Recording(writer.folder, ring)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place < len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        yield name, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    assert place == len(data)


def _cues(path: Path) -> list[tuple[int, int, str]]:
    """Give cue points as (place, length, label), by a reader of its own."""
    (riff,) = _chunks(path.read_bytes())
    assert riff[0] == b"RIFF"
    chunks = dict(_chunks(riff[1][4:]))
    assert list(chunks)[:2] == [b"fmt ", b"data"]
    if b"cue " not in chunks:
        return []
    (count,) = struct.unpack_from("<I", chunks[b"cue "])
    points = {}
    for n in range(count):
        number, _, kind, _, _, place = struct.unpack_from("<II4sIII", chunks[b"cue "], 4 + 24 * n)
        assert kind == b"data"
        points[number] = place
    labels, lengths = {}, {}
    assert chunks[b"LIST"].startswith(b"adtl")
    for name, body in _chunks(chunks[b"LIST"][4:]):
        (number,) = struct.unpack_from("<I", body)
        if name == b"labl":
            assert body.endswith(b"\0")
            labels[number] = body[4:-1].decode()
        else:
            assert name == b"ltxt"
            lengths[number] = struct.unpack_from("<I4s", body, 4)[0]
    return [(points[number], lengths[number], labels[number]) for number in points]


def test_wav_has_the_audio_and_cue_points(recording: Recording, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    done = export(recording, target)
    audio, rate_hz = soundfile.read(target, dtype="int16")
    assert rate_hz == 8000
    assert np.array_equal(audio, recording.render())
    assert _cues(target) == [
        (4000, 2000, "masked: tone (customer)"),
        (16_000, 4000, "paused: card"),
        (24_000, 800, "lost: overload"),
        (30_000, 1000, "masked: event (agent)"),
    ]
    assert (done.paths, done.duration_s, done.n_marks) == ((target,), 4.0, 4)
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.wav"]


def test_a_part_has_its_audio_and_its_cue_points(recording: Recording, tmp_path: Path) -> None:
    target = tmp_path / "part.wav"
    export(recording, target, 0.625, 2.25)
    audio, _ = soundfile.read(target, dtype="int16")
    assert np.array_equal(audio, recording.render()[5000:18_000])
    assert _cues(target) == [
        (0, 1000, "masked: tone (customer)"),
        (11_000, 2000, "paused: card"),
    ]
    export(recording, target, 3.9)
    assert soundfile.info(target).frames == 800
    assert _cues(target) == []


def test_flac_has_the_audio_and_its_marks_beside_it(recording: Recording, tmp_path: Path) -> None:
    target = tmp_path / "out.FLAC"
    done = export(recording, target, 1.0)
    audio, rate_hz = soundfile.read(target, dtype="int16")
    assert (rate_hz, soundfile.info(target).format) == (8000, "FLAC")
    assert np.array_equal(audio, recording.render()[8000:])
    assert done.paths == (target, tmp_path / "out.FLAC.json")
    beside = json.loads(done.paths[1].read_text())
    assert (beside["from_s"], beside["duration_s"]) == (1.0, 3.0)
    assert beside["marks"][0] == {"start_s": 1.0, "end_s": 1.5, "label": "paused: card"}
    assert {path.stat().st_mode & 0o777 for path in done.paths} == {0o600}


def test_an_incomplete_recording_is_exported_as_far_as_it_goes(
    begin: Begin, speech: Speech, ring: KeyRing, tmp_path: Path
) -> None:
    writer = begin()
    writer.write(0, speech(5000))
    writer.close()
    export(Recording(writer.folder, ring), tmp_path / "out.wav")
    audio, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert np.array_equal(audio, speech(4000))


def test_of_an_empty_recording_there_is_nothing_to_export(
    begin: Begin, ring: KeyRing, tmp_path: Path
) -> None:
    writer = begin()
    writer.finish()
    with pytest.raises(RecordingError, match=r"holds nothing there, it is 0\.000 s long"):
        export(Recording(writer.folder, ring), tmp_path / "out.wav")


@pytest.mark.parametrize("name", ["out.wav", "out.flac"])
def test_damage_leaves_no_file(recording: Recording, tmp_path: Path, name: str) -> None:
    path = recording.folder / "audio-0001"
    data = bytearray(path.read_bytes())
    data[9000] ^= 1
    path.write_bytes(data)
    before = set(tmp_path.iterdir())
    with pytest.raises(RecordingError, match="was changed"):
        export(recording, tmp_path / name)
    assert set(tmp_path.iterdir()) == before
    export(recording, tmp_path / name, 0.0, 1.0)
    assert np.array_equal(
        soundfile.read(tmp_path / name, dtype="int16")[0], recording.render(0, 8000)
    )


def test_what_cannot_be_exported_says_why(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecordingError, match=r"neither \.wav nor \.flac"):
        export(recording, tmp_path / "out.mp3")
    with pytest.raises(RecordingError, match=r"it is 4\.000 s long"):
        export(recording, tmp_path / "out.wav", 4.0)
    with pytest.raises(RecordingError, match="holds nothing there"):
        export(recording, tmp_path / "out.wav", 2.0, 1.0)
    (tmp_path / "file").touch()
    with pytest.raises(AudioFileError):
        export(recording, tmp_path / "file" / "out.wav")
    monkeypatch.setattr(exporting, "_MAX_WAV_BYTES", 1000)
    with pytest.raises(RecordingError, match="cannot be so long"):
        export(recording, tmp_path / "out.wav")


def test_progress_ends_at_one(recording: Recording, tmp_path: Path) -> None:
    shares: list[float] = []
    export(recording, tmp_path / "out.wav", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
