"""Output that appears only when it is whole."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from voicemask.errors import AudioFileError
from voicemask.replay.output import whole_file


def test_nothing_stands_at_the_target_until_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    with whole_file(target) as part:
        part.write_bytes(b"audio")
        assert not target.exists()
    assert target.read_bytes() == b"audio"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interruption_leaves_the_old_file_and_no_rest(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    target = tmp_path / "out.wav"
    target.write_bytes(b"old")
    with pytest.raises(stop), whole_file(target) as part:
        part.write_bytes(b"half")
        raise stop
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_named_with_its_cure(tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    with (
        pytest.raises(AudioFileError, match=r"out.wav.*no space left.*free space"),
        whole_file(target),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(AudioFileError, match="cannot be written"),
        whole_file(tmp_path / "file" / "out.wav"),
    ):
        pass
