"""The recordings of a folder: listed, found, aged, rewrapped, erased.

Erasing begins with the key: it is overwritten, synced and removed before anything else, so that
what a power failure or a copy leaves of the audio cannot be opened by what is in the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.utils import random as random_bytes

from voicemask.errors import RecordingError
from voicemask.recording import layout
from voicemask.recording.envelope import ENVELOPE_BYTES
from voicemask.recording.frames import disk_error
from voicemask.recording.keys import KeyRing, sync_folder
from voicemask.recording.metadata import State
from voicemask.recording.reader import Recording, read_envelope, unreadable
from voicemask.recording.writer import write_envelope

_DAY_S: Final = 86_400
_SHORTEST_NAME: Final = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording of a list; what is not known without a private key is None or empty.

    Parameters
    ----------
    name : its id, the name of its folder.
    started_at : Unix time; None where its key file is gone or broken.
    key_id : of the key that wraps its own.
    n_bytes : on the disk.
    problem : why it cannot be read, where it cannot.
    """

    name: str
    started_at: float | None
    key_id: str
    state: State
    n_bytes: int
    duration_s: float | None = None
    call_id: str = ""
    problem: str = ""


def recording_folders(recordings: Path) -> list[Path]:
    """Give the folders of recordings, by name.

    Raises
    ------
    RecordingError
        The folder of recordings cannot be read.
    """
    try:
        return sorted(
            path
            for path in recordings.iterdir()
            if layout.parse_id(path.name) and path.is_dir() and not path.is_symlink()
        )
    except OSError as error:
        reason = (error.strerror or "it failed").lower()
        raise RecordingError(
            str(recordings), f"cannot be read: {reason}", "name the folder with --recordings"
        ) from None


def find_recording(recordings: Path, name: str) -> Path:
    """Give the folder of a recording, by its id or the beginning of it.

    Raises
    ------
    RecordingError
        There is none, or more than one.
    """
    found = [
        path
        for path in recording_folders(recordings)
        if path.name == name or (len(name) >= _SHORTEST_NAME and path.name.startswith(name))
    ]
    if len(found) != 1:
        what = "stands for several recordings" if found else "is not there"
        raise RecordingError(f"recording {name}", what, "list what there is")
    return found[0]


def list_recordings(recordings: Path, keys: KeyRing | None) -> Iterator[Entry]:
    """Give what is known of each recording, by start; one that is broken says why.

    Raises
    ------
    RecordingError
        The folder of recordings cannot be read.
    """
    folders = [(start_of(folder) or 0.0, folder) for folder in recording_folders(recordings)]
    for _, folder in sorted(folders):
        yield describe(folder, keys)


def start_of(folder: Path) -> float | None:
    """Give when a recording began; None where its key file does not tell."""
    try:
        return read_envelope(folder).started_at
    except RecordingError:
        return None


def describe(folder: Path, keys: KeyRing | None) -> Entry:
    """Give what is known of a recording."""
    name = folder.name
    n_bytes = _size(folder)
    try:
        envelope = read_envelope(folder)
    except RecordingError as error:
        return Entry(name, None, "", State.ERASED, n_bytes, problem=error.reason)
    known = (name, envelope.started_at, envelope.key_id)
    if keys is None or not keys.can_open(envelope.key_id):
        state = State.LIVE if layout.is_live(folder) else State.LOCKED
        return Entry(*known, state, n_bytes)
    try:
        recording = Recording(folder, keys)
        call_id = str(recording.metadata.opened.get("call_id", ""))
        return Entry(*known, recording.state, n_bytes, recording.duration_s, call_id)
    except RecordingError as error:
        return Entry(*known, State.DAMAGED, n_bytes, problem=error.reason)


def _size(folder: Path) -> int:
    try:
        return sum(path.lstat().st_size for path in folder.iterdir())
    except OSError:
        return 0


def older_than(recordings: Path, days: float, now: float) -> list[Path]:
    """Give the recordings that began more than `days` before `now`, without those being written.

    What is left of an erased one is aged by its folder.

    Raises
    ------
    RecordingError
        The folder of recordings cannot be read.
    """
    limit = now - days * _DAY_S
    return [
        folder
        for folder in recording_folders(recordings)
        if _age_mark(folder) < limit and not layout.is_live(folder)
    ]


def _age_mark(folder: Path) -> float:
    started_at = start_of(folder)
    try:
        return folder.stat().st_mtime if started_at is None else started_at
    except OSError:
        return float("inf")


def rewrap(folder: Path, keys: KeyRing) -> bool:
    """Wrap a recording's key with the current key; False where it is already.

    Raises
    ------
    RecordingError
        It cannot be opened or written, or is being written.
    """
    with layout.held(folder) as is_ours:
        if not is_ours:
            raise _busy(folder)
        envelope = read_envelope(folder)
        if envelope.key_id == keys.current:
            return False
        try:
            write_envelope(folder, envelope.rewrapped(keys))
        except OSError as error:
            raise disk_error(folder, error) from error
    return True


def erase(folder: Path) -> None:
    """Erase a recording: its key first, then the rest.

    Raises
    ------
    RecordingError
        It is being written, or may not be removed.
    """
    with layout.held(folder) as is_ours:
        if not is_ours:
            raise _busy(folder)
        try:
            for name in (layout.KEY, layout.KEY_PART):
                _erase_key(folder / name)
            sync_folder(folder)
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            sync_folder(folder.parent)
        except FileNotFoundError as error:
            raise unreadable(folder, error) from None
        except OSError as error:
            reason = (error.strerror or "it failed").lower()
            raise RecordingError(
                f"recording {folder.name}", f"cannot be removed: {reason}", "see its rights"
            ) from None


def _erase_key(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        os.write(descriptor, random_bytes(ENVELOPE_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()


def _busy(folder: Path) -> RecordingError:
    return RecordingError(
        f"recording {folder.name}", "is being written", "wait until its call has ended"
    )
