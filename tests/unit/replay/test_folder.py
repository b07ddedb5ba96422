"""Folders: what is listed, what the ledger remembers, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicemask.capture.policy import Fill
from voicemask.errors import AudioFileError
from voicemask.replay import folder
from voicemask.replay.folder import Ledger, list_folder, mask_folder
from voicemask.replay.report import Settings


def touch(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_listing_knows_audio_by_suffix_or_first_bytes(tmp_path: Path) -> None:
    touch(tmp_path / "a.WAV")
    touch(tmp_path / "deep" / "er" / "b.flac")
    touch(tmp_path / "no-suffix", b"OggS....")
    touch(tmp_path / "notes.txt", b"text")
    touch(tmp_path / ".0123.voicemask-part", b"RIFF")
    listing = list_folder(tmp_path)
    assert sorted(map(str, listing.audio)) == ["a.WAV", "deep/er/b.flac", "no-suffix"]
    assert listing.n_other == 2


def test_listing_follows_no_link(tmp_path: Path) -> None:
    outside = touch(tmp_path / "outside" / "secret.wav")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.wav").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    listing = list_folder(inside)
    assert (listing.audio, listing.n_links) == ([], 2)


def test_listing_leaves_out_the_output_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    touch(tmp_path / "masked" / "a.wav")
    assert list_folder(tmp_path, tmp_path / "masked").audio == [Path("a.wav")]


@pytest.mark.parametrize("out", [".", "..", "../.."])
def test_an_output_folder_around_the_originals_is_refused(tmp_path: Path, out: str) -> None:
    source = tmp_path / "one" / "in"
    touch(source / "a.wav")
    with pytest.raises(AudioFileError, match="holds the originals"):
        mask_folder(source, source / out, Settings(), n_jobs=1)


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.wav")
    with pytest.raises(AudioFileError, match="is not a folder"):
        mask_folder(tmp_path / "in", touch(tmp_path / "out"), Settings(), n_jobs=1)


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, list[int]]:
    """An OUT folder with one finished file, and the stamp of its source."""
    touch(tmp_path / "a.wav", b"masked")
    Ledger(tmp_path, Settings()).add(Path("a.wav"), [9, 9], {"n_key_presses": 4})
    return tmp_path, [9, 9]


def test_ledger_finds_a_finished_file(finished: tuple[Path, list[int]]) -> None:
    out, stamp = finished
    assert Ledger(out, Settings()).find(Path("a.wav"), stamp) == {"n_key_presses": 4}


def test_ledger_forgets_a_file_whose_source_changed(finished: tuple[Path, list[int]]) -> None:
    out, _ = finished
    assert Ledger(out, Settings()).find(Path("a.wav"), [9, 10]) is None


def test_ledger_forgets_a_file_whose_output_changed(finished: tuple[Path, list[int]]) -> None:
    out, stamp = finished
    (out / "a.wav").write_bytes(b"other")
    assert Ledger(out, Settings()).find(Path("a.wav"), stamp) is None


def test_ledger_forgets_files_made_with_other_settings(finished: tuple[Path, list[int]]) -> None:
    out, stamp = finished
    assert Ledger(out, Settings(fill=Fill.TONE)).find(Path("a.wav"), stamp) is None


def test_ledger_survives_a_line_cut_by_a_crash(finished: tuple[Path, list[int]]) -> None:
    out, stamp = finished
    path = out / folder.LEDGER_NAME
    path.write_text(path.read_text() + '{"key": {"name": "b.w')
    touch(out / "c.wav", b"masked")
    Ledger(out, Settings()).add(Path("c.wav"), [1, 1], {"n_key_presses": 1})
    again = Ledger(out, Settings())
    assert again.find(Path("a.wav"), stamp) is not None
    assert again.find(Path("c.wav"), [1, 1]) is not None
