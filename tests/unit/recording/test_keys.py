"""Key files: who may read them, what a changed one is, what rotation leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicemask.errors import RecordingError
from voicemask.recording.keys import (
    KeyPair,
    KeyRing,
    create_keys,
    load_keys,
    load_or_create_keys,
    parse_keys,
    remove_key,
    rotate_keys,
    serialize_keys,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "recording.keys"


def test_a_key_file_is_made_at_first_use_for_its_owner_only(path: Path) -> None:
    ring = load_or_create_keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_keys(path) == ring == load_keys(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_no_key_file_is_written_over(path: Path) -> None:
    ring = create_keys(path)
    with pytest.raises(RecordingError, match="is there already"):
        create_keys(path)
    assert load_keys(path) == ring


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622, 0o644])
def test_a_key_file_others_may_read_is_refused(path: Path, mode: int) -> None:
    create_keys(path)
    path.chmod(mode)
    with pytest.raises(RecordingError, match="others may read it"):
        load_keys(path)


def test_a_public_key_file_may_be_read_but_not_written_by_others(path: Path) -> None:
    create_keys(path, KeyRing.new().public_only())
    path.chmod(0o644)
    assert not load_keys(path).can_open(load_keys(path).current)
    path.chmod(0o664)
    with pytest.raises(RecordingError, match="others may write it"):
        load_keys(path)


def test_rotation_keeps_what_older_keys_open(path: Path) -> None:
    first = create_keys(path)
    sealed = first.seal(b"a secret")
    second = rotate_keys(path)
    assert second.current != first.current
    assert load_keys(path) == second
    assert second.open(first.current, sealed) == b"a secret"
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_a_key_that_is_not_current_can_be_removed(path: Path) -> None:
    first = create_keys(path)
    with pytest.raises(RecordingError, match="is the current one"):
        remove_key(path, first.current)
    rotate_keys(path)
    ring = remove_key(path, first.current)
    assert list(ring.pairs) == [ring.current]
    with pytest.raises(RecordingError, match="is not in the key file"):
        remove_key(path, first.current)


def test_a_wrong_key_opens_nothing() -> None:
    ring, other = KeyRing.new(), KeyRing.new()
    sealed = ring.seal(b"a secret")
    with pytest.raises(RecordingError, match="is not in the key file"):
        other.open(ring.current, sealed)
    with pytest.raises(RecordingError, match="does not open"):
        other.open(other.current, sealed)
    with pytest.raises(RecordingError, match="does not open"):
        ring.open(ring.current, sealed[:10])
    with pytest.raises(RecordingError, match="no private part"):
        ring.public_only().open(ring.current, sealed)


def test_a_private_key_is_not_shown() -> None:
    pair = KeyPair.new()
    assert pair.private is not None
    shown = repr(KeyRing(pair.id, {pair.id: pair}))
    assert str(pair.private) not in shown
    assert pair.private.hex() not in shown


def _changes() -> list[str]:
    ring = KeyRing.new()
    text = serialize_keys(ring)
    pair = ring.pairs[ring.current]
    assert pair.private is not None
    return [
        "",
        "\x00",
        "[keys",
        "version = 1",
        'version = 1\ncurrent = "00"\nkeys = 3',
        'version = 1\ncurrent = "00"\n[keys]\n00 = 1',
        text.replace("version = 1", "version = 2"),
        text.replace("current = ", "actual = "),
        text.replace(pair.public.hex(), KeyPair.new().public.hex()),
        text.replace(pair.private.hex(), "00" * 32),
        text.replace(pair.private.hex(), pair.private.hex()[:-2]),
        text.replace(pair.public.hex(), "zz"),
        text.replace("created = ", "made = "),
    ]


@pytest.mark.parametrize("text", _changes(), ids=range(len(_changes())))
def test_a_key_file_that_was_changed_is_refused(text: str) -> None:
    with pytest.raises(RecordingError, match="is not a whole key file") as refused:
        parse_keys(text, "keys")
    assert "private" not in str(refused.value)


def test_a_key_file_that_is_no_text_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\x00")
    path.chmod(0o600)
    with pytest.raises(RecordingError, match="it is not text"):
        load_keys(path)


def test_places_that_are_no_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="is not there"):
        load_keys(tmp_path / "none")
    with pytest.raises(RecordingError, match="cannot be read"):
        load_keys(tmp_path)
    with pytest.raises(RecordingError, match="cannot be read"):
        rotate_keys(tmp_path / "none" / "keys")
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="cannot be written"):
        create_keys(tmp_path / "file" / "keys")


def test_a_new_key_file_is_never_readable_by_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    link = os.link

    def watch(source: Path, target: Path) -> None:
        modes.append(source.stat().st_mode & 0o777)
        link(source, target)

    monkeypatch.setattr(os, "link", watch)
    create_keys(path)
    assert modes == [0o600]
