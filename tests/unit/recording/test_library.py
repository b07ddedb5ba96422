"""Finding, ageing, rewrapping and erasing recordings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.errors import RecordingError
from voicemask.recording import library
from voicemask.recording.keys import KeyRing
from voicemask.recording.metadata import Opening, State, Summary
from voicemask.recording.reader import Recording
from voicemask.recording.writer import RecordingWriter

Begin = Callable[..., RecordingWriter]
Speech = Callable[[int], NDArray[np.int16]]
DAY_S = 86_400
IDS = [UUID(int=(0xABC0 + n) << 112) for n in range(4)]


@pytest.fixture
def four(begin: Begin, speech: Speech, recordings: Path) -> list[RecordingWriter]:
    """Recordings that began 1, 2, 3 and 4 days after the epoch; the last is live."""
    writers = []
    for n, recording_id in enumerate(IDS):
        writer = begin(recording_id, started_at=(n + 1) * DAY_S, opening=Opening(f"call-{n}"))
        writer.write(0, speech(4000 * (n + 1)))
        writers.append(writer)
    writers[0].finish(Summary(is_degraded=True))
    writers[1].finish()
    writers[2].close()
    (recordings / "notes.txt").touch()
    (recordings / "not-an-id").mkdir()
    (recordings / "aaaaaaaa-5a4e-4b83-9a0f-0d5f0e8c1a2b").symlink_to(writers[0].folder)
    return writers


def test_the_list_is_in_order_of_start_and_tells_states(
    four: list[RecordingWriter], recordings: Path, ring: KeyRing
) -> None:
    listed = list(library.list_recordings(recordings, ring))
    assert [entry.name for entry in listed] == [str(recording_id) for recording_id in IDS]
    assert [entry.state for entry in listed] == [
        State.DEGRADED,
        State.COMPLETE,
        State.INCOMPLETE,
        State.LIVE,
    ]
    assert [entry.call_id for entry in listed] == [f"call-{n}" for n in range(4)]
    assert [entry.duration_s for entry in listed] == [0.5, 1.0, 1.5, 2.0]
    assert [entry.started_at for entry in listed] == [DAY_S, 2 * DAY_S, 3 * DAY_S, 4 * DAY_S]


@pytest.mark.parametrize("has_public", [True, False])
def test_without_a_private_key_only_what_is_outside_is_listed(
    four: list[RecordingWriter], recordings: Path, ring: KeyRing, has_public: bool
) -> None:
    keys = ring.public_only() if has_public else None
    listed = list(library.list_recordings(recordings, keys))
    assert [entry.state for entry in listed] == [State.LOCKED] * 3 + [State.LIVE]
    assert {(entry.call_id, entry.duration_s) for entry in listed} == {("", None)}
    assert all(entry.started_at for entry in listed)


def test_a_broken_recording_does_not_hide_the_others(
    four: list[RecordingWriter], recordings: Path, ring: KeyRing
) -> None:
    notes = four[1].folder / "notes"
    notes.write_bytes(notes.read_bytes()[:60] + b"x" * 20 + notes.read_bytes()[80:])
    (four[2].folder / "key").unlink()
    states = {entry.name: entry.state for entry in library.list_recordings(recordings, ring)}
    assert len(states) == 4
    assert states[str(IDS[1])] is State.DAMAGED
    assert states[str(IDS[2])] is State.ERASED


def test_a_recording_is_found_by_the_beginning_of_its_id(
    four: list[RecordingWriter], recordings: Path
) -> None:
    assert library.find_recording(recordings, "abc1") == four[1].folder
    assert library.find_recording(recordings, str(IDS[1])) == four[1].folder
    for name in ("abc", "", "ffff", "../x"):
        with pytest.raises(RecordingError, match="is not there"):
            library.find_recording(recordings, name)
    with pytest.raises(RecordingError, match="cannot be read"):
        library.find_recording(recordings / "none", "abc1")


def test_a_beginning_of_several_ids_finds_none(begin: Begin, recordings: Path) -> None:
    for n in range(2):
        begin(UUID(int=(0xABCDE0 + n) << 104)).close()
    with pytest.raises(RecordingError, match="several"):
        library.find_recording(recordings, "abcd")


def test_age_is_told_by_the_start_and_spares_what_is_live(
    four: list[RecordingWriter], recordings: Path
) -> None:
    assert library.older_than(recordings, 2.5, 5 * DAY_S) == [four[0].folder, four[1].folder]
    assert library.older_than(recordings, 0, 9 * DAY_S) == [w.folder for w in four[:3]]
    assert library.older_than(recordings, 9, 9 * DAY_S) == []
    (four[0].folder / "key").unlink()
    os.utime(four[0].folder, (8 * DAY_S, 8 * DAY_S))
    assert library.older_than(recordings, 2.5, 9 * DAY_S) == [w.folder for w in four[1:3]]


def test_erasing_takes_the_key_first(
    four: list[RecordingWriter], ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = four[1].folder
    before = (folder / "key").read_bytes()
    kept = folder.parent / "kept"
    os.link(folder / "key", kept)
    order = []
    unlink = Path.unlink

    def watch(path: Path, missing_ok: bool = False) -> None:
        order.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", watch)
    library.erase(folder)
    assert order[0] == "key"
    assert not folder.exists()
    assert len(kept.read_bytes()) == len(before)
    assert kept.read_bytes() != before, "its place on the disk was overwritten"


def test_what_was_erased_half_way_can_be_erased(
    four: list[RecordingWriter], recordings: Path
) -> None:
    (four[1].folder / "key").unlink()
    library.erase(four[1].folder)
    assert not four[1].folder.exists()
    (four[2].folder / "stranger").mkdir()
    with pytest.raises(RecordingError, match="cannot be removed"):
        library.erase(four[2].folder)
    assert not (four[2].folder / "key").exists()


def test_a_live_recording_is_neither_erased_nor_rewrapped(
    four: list[RecordingWriter], ring: KeyRing
) -> None:
    for work in (
        lambda: library.erase(four[3].folder),
        lambda: library.rewrap(four[3].folder, ring),
    ):
        with pytest.raises(RecordingError, match="is being written"):
            work()
    four[3].finish()
    library.erase(four[3].folder)


def test_rewrapped_recordings_open_with_the_current_key_only(
    four: list[RecordingWriter], ring: KeyRing
) -> None:
    folder = four[1].folder
    rotated = ring.rotated()
    before = Recording(folder, ring).render()
    assert library.rewrap(folder, rotated)
    assert not library.rewrap(folder, rotated)
    assert np.array_equal(Recording(folder, rotated.without(ring.current)).render(), before)
    with pytest.raises(RecordingError, match="is not in the key file"):
        Recording(folder, ring)
    with pytest.raises(RecordingError, match="is not in the key file"):
        library.rewrap(four[0].folder, rotated.without(ring.current))
    assert sorted(path.name for path in folder.iterdir()) == ["audio-0000", "key", "notes"]
