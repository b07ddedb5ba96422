"""Files of every format through masking: what changes, what does not, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voicemask.capture.policy import Fill, Policy
from voicemask.errors import AudioFileError
from voicemask.replay import wav
from voicemask.replay.folder import mask_folder
from voicemask.replay.listen import audit_file, detect_file
from voicemask.replay.report import FileReport, Settings
from voicemask.replay.wav import mask_file
from voicemask.synthetic import make_call

KEYS = "0123456789*#ABCD"
EXACT = [
    ("wav", "PCM_U8", 8000),
    ("wav", "PCM_16", 8000),
    ("wav", "PCM_24", 16000),
    ("wav", "PCM_32", 32000),
    ("wav", "FLOAT", 44100),
    ("wav", "DOUBLE", 48000),
    ("wav", "ULAW", 8000),
    ("wav", "ALAW", 8000),
    ("wav", "PCM_16", 11025),
    ("wavex", "PCM_16", 8000),
    ("wavex", "ULAW", 8000),
    ("rf64", "PCM_16", 8000),
    ("w64", "PCM_24", 8000),
    ("flac", "PCM_16", 8000),
    ("flac", "PCM_24", 48000),
    ("aiff", "PCM_16", 8000),
]
LOSSY = [("wav", "GSM610", 8000), ("ogg", "VORBIS", 16000), ("ogg", "OPUS", 48000)]


def write_call(
    folder: Path, kind: str = "wav", subtype: str = "PCM_16", rate_hz: int = 8000, **made: int
) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"call.{'wav' if kind == 'wavex' else kind}"
    call = make_call(KEYS, rate_hz=rate_hz, tail_ms=1000, level_dbfs=-8, noise_dbfs=-45, **made)
    soundfile.write(path, call.audio.T, rate_hz, subtype, format=kind.upper())
    return path


def masked_frames(report: FileReport) -> np.ndarray:
    """Where the report says something changed, (n_frames, n_channels)."""
    covered = np.zeros((report.n_frames, report.n_channels), bool)
    for span in report.spans:
        covered[span.start : span.end, span.channel] = True
    return covered


@pytest.mark.parametrize(("kind", "subtype", "rate_hz"), EXACT)
def test_guard_changes_masked_samples_and_no_other(
    tmp_path: Path, kind: str, subtype: str, rate_hz: int
) -> None:
    source = write_call(tmp_path, kind, subtype, rate_hz, n_channels=2, channel=1)
    target = tmp_path / "out" / source.name
    report = mask_file(source, target)
    before, _ = soundfile.read(source, dtype="float64", always_2d=True)
    after, _ = soundfile.read(target, dtype="float64", always_2d=True)
    covered = masked_frames(report)
    assert after.shape == before.shape
    assert report.n_key_presses == len(KEYS)
    assert (before != after)[covered].mean() > 0.5
    np.testing.assert_array_equal(after[~covered], before[~covered])
    assert soundfile.info(target).subtype == soundfile.info(source).subtype
    assert audit_file(target) == []


@pytest.mark.parametrize(("kind", "subtype", "rate_hz"), LOSSY)
def test_lossy_files_keep_format_and_length_and_lose_their_tones(
    tmp_path: Path, kind: str, subtype: str, rate_hz: int
) -> None:
    source = write_call(tmp_path, kind, subtype, rate_hz)
    target = tmp_path / "out" / source.name
    mask_file(source, target)
    before, after = soundfile.info(source), soundfile.info(target)
    assert (after.format, after.subtype) == (before.format, before.subtype)
    assert abs(after.frames - before.frames) < rate_hz * 0.05
    assert audit_file(source) != []
    assert audit_file(target) == []


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_guard_keeps_every_byte_outside_spans_both_zeros_too(tmp_path: Path, subtype: str) -> None:
    source = write_call(tmp_path, "wav", subtype)
    content = bytearray(source.read_bytes())
    zeros = b"\x7f\xff" * 400  # in the quiet last second
    content[-len(zeros) :] = zeros
    source.write_bytes(content + b"LIST" + (8).to_bytes(4, "little") + b"INFOkept" + b"stray")
    target = tmp_path / "out.wav"
    report = mask_file(source, target)
    masked = target.read_bytes()
    head = masked.index(b"data") + 8
    covered = masked_frames(report)[:, 0]
    end = head + len(covered)
    assert masked[:head] == content[:head]
    kept = np.frombuffer(masked[head:end], np.uint8) == np.frombuffer(content[head:], np.uint8)
    assert kept[~covered].all()
    assert masked[end:] == b"LIST" + (8).to_bytes(4, "little") + b"INFOkept"


def test_an_odd_number_of_bytes_keeps_its_pad(tmp_path: Path) -> None:
    source = tmp_path / "odd.wav"
    soundfile.write(source, np.zeros(8001), 8000, "ULAW")
    target = tmp_path / "out.wav"
    mask_file(source, target)
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("policy", [Policy.CAPTURE, Policy.MUTE])
def test_stricter_policies_leave_nothing_readable(tmp_path: Path, policy: Policy) -> None:
    source = write_call(tmp_path, n_channels=2)
    target = tmp_path / "out.wav"
    report = mask_file(source, target, policy)
    assert audit_file(target) == []
    assert soundfile.info(target).frames == report.n_frames


def test_fill_silence_is_silent_inside_spans(tmp_path: Path) -> None:
    source = write_call(tmp_path)
    target = tmp_path / "out.wav"
    report = mask_file(source, target, Policy.GUARD, Fill.SILENCE)
    after, _ = soundfile.read(target, dtype="int16", always_2d=True)
    assert (after[masked_frames(report)] == 0).mean() > 0.8


def test_the_size_of_blocks_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_call(tmp_path, n_channels=2, channel=1)
    mask_file(source, tmp_path / "whole.wav")
    monkeypatch.setattr(wav, "BLOCK_SAMPLES", 1234)
    mask_file(source, tmp_path / "pieces.wav")
    assert (tmp_path / "pieces.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_many_channels_are_masked_each_for_itself(tmp_path: Path) -> None:
    call = make_call("15", n_channels=1)
    audio = np.repeat(call.audio, 24, axis=0)
    audio[1::2] = 0.0
    source = tmp_path / "many.wav"
    soundfile.write(source, audio.T, 8000, "PCM_16", format="WAVEX")
    report = mask_file(source, tmp_path / "out.wav")
    assert {span.channel for span in report.spans} == set(range(0, 24, 2))


def test_flac_keeps_its_tags(tmp_path: Path) -> None:
    source = tmp_path / "call.flac"
    with soundfile.SoundFile(source, "w", 8000, 1, "PCM_16") as file:
        file.title = "Call 7"
        file.write(np.zeros(8000))
    mask_file(source, tmp_path / "out.flac")
    with soundfile.SoundFile(tmp_path / "out.flac") as file:
        assert file.title == "Call 7"


def test_float_damage_passes_unmasked_and_does_not_stop_masking(tmp_path: Path) -> None:
    source = tmp_path / "call.wav"
    audio = make_call(KEYS, tail_ms=3000).audio[0]
    audio[-100:] = np.nan
    soundfile.write(source, audio, 8000, "FLOAT")
    mask_file(source, tmp_path / "out.wav")
    after, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert np.isnan(after[-100:]).all()
    assert audit_file(tmp_path / "out.wav") == []


def test_the_original_is_not_touched(tmp_path: Path) -> None:
    source = write_call(tmp_path)
    before = (source.read_bytes(), source.stat().st_mtime_ns)
    mask_file(source, tmp_path / "out.wav")
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before


def _cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def _unusable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Path and what the error says, by case."""
    folder.mkdir()
    cases = {
        "missing": (folder / "missing.wav", "does not exist"),
        "empty": (folder / "empty.wav", "is empty"),
        "text": (folder / "text.wav", "not audio"),
        "folder": (folder / "folder.wav", "is a folder"),
        "silent": (folder / "silent.wav", "0 samples"),
        "slow": (folder / "slow.wav", "6000 Hz"),
        "header": (folder / "header.wav", "corrupt"),
    }
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("This is no audio at all.\n" * 40)
    (folder / "folder.wav").mkdir()
    soundfile.write(folder / "silent.wav", np.zeros(0), 8000)
    soundfile.write(folder / "slow.wav", np.zeros(6000), 6000)
    soundfile.write(folder / "header.wav", np.zeros(8000), 8000)
    _cut(folder / "header.wav", 0.0015)
    for number, (kind, subtype, rate_hz) in enumerate(
        [("wav", "PCM_16", 8000), ("wav", "GSM610", 8000), ("flac", "PCM_16", 8000), LOSSY[2]]
    ):
        path = write_call(folder / str(number), kind, subtype, rate_hz)
        _cut(path, 0.6)
        cases[f"cut-{subtype}-{kind}"] = (path, "truncated")
    return cases


CASES = ["missing", "empty", "text", "folder", "silent", "slow", "header"]
CASES += ["cut-PCM_16-wav", "cut-GSM610-wav", "cut-PCM_16-flac", "cut-OPUS-ogg"]


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_used_is_named_in_one_line_and_leaves_nothing(
    tmp_path: Path, case: str
) -> None:
    path, said = _unusable(tmp_path / "in")[case]
    out = tmp_path / "out"
    out.mkdir()
    for work in (detect_file, audit_file, lambda path: mask_file(path, out / path.name)):
        with pytest.raises(AudioFileError, match=said) as caught:
            work(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(out.iterdir())


def test_a_folder_is_masked_in_parallel_with_its_tree(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_call(source)
    write_call(source / "deep", "flac")
    (source / "bad.wav").write_bytes(b"RIFF")
    report = mask_folder(source, source / "out", Settings(), n_jobs=2)
    assert [result.name for result in report.errors] == ["bad.wav"]
    for name in ("call.wav", "deep/call.flac"):
        assert audit_file(source / "out" / name) == []
    assert not list((source / "out").rglob("*part"))


def test_a_link_planted_in_the_output_leads_nowhere(tmp_path: Path) -> None:
    source, outside = tmp_path / "in", tmp_path / "outside"
    outside.mkdir()
    source.mkdir()
    write_call(source / "deep")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").symlink_to(outside)
    report = mask_folder(source, tmp_path / "out", Settings(), n_jobs=1)
    assert "leaves OUT" in str(report.errors[0].error)
    assert not list(outside.iterdir())


def test_a_full_disk_leaves_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_call(tmp_path)
    out = tmp_path / "out"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("voicemask.replay.audio_file._write_all", full)
    with pytest.raises(AudioFileError, match="free space"):
        mask_file(source, out / "call.wav")
    assert not list(out.iterdir())


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Three hours, 173 MB, in a process of its own that may not hold them."""
    source = tmp_path / "long.wav"
    with soundfile.SoundFile(source, "w", 8000, 1, "PCM_16") as file:
        hour = (np.random.default_rng(1).standard_normal(8000 * 600) * 30).astype(np.int16)
        for _ in range(18):
            file.write(hour)
    code = (
        "import resource, sys; from pathlib import Path;"
        "from voicemask.replay.wav import mask_file;"
        "mask_file(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, source, tmp_path / "out.wav"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert int(shown.stdout) < 300
