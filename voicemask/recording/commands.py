"""`voicemask recordings`: what is done with recordings and their keys from a command line.

The command line gives these commands its way with errors and exit codes, and the configured folder
and key file; everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from voicemask.console import bar, complain, print_table, printable
from voicemask.errors import InputError, RecordingError

if TYPE_CHECKING:
    from voicemask.recording.keys import KeyRing
    from voicemask.recording.library import Entry

_UNUSABLE: Final = 2
_LIST_HEADS: Final = ("id", "started", "seconds", "state", "call", "bytes", "problem")
_FACT_HEADS: Final = ("of the recording", "is")
_STRETCH_HEADS: Final = ("from s", "to s", "channel", "what", "reason")

Edge = Callable[[Callable[..., int]], Callable[..., None]]
Defaults = Callable[[], Mapping[str, Any]]


class OutputFormat(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSONL = "jsonl"


Folder = Annotated[
    Path | None,
    typer.Option("--recordings", metavar="DIR", help="Folder of recordings. [default: configured]"),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--recording-key", metavar="FILE", help="Key file. [default: configured]"),
]
Format = Annotated[OutputFormat, typer.Option("--format", help="How to print.")]
Name = Annotated[str, typer.Argument(metavar="ID", help="Its id, or how it begins.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids.")]


def make_app(edge: Edge, defaults: Defaults) -> typer.Typer:
    """Give the commands.

    Parameters
    ----------
    edge : turns what a command returns or raises into an exit code.
    defaults : gives ``recordings`` and ``recording_key`` where they are configured.
    """
    global _defaults  # noqa: PLW0603, one command line in a process
    _defaults = defaults
    settings: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
    app = typer.Typer(help="Recordings of calls: list, show, export, delete.", **settings)
    keys = typer.Typer(help="Keys that lock recordings.", **settings)
    for commands, place in ((_COMMANDS, app), (_KEY_COMMANDS, keys)):
        for name, command in commands.items():
            place.command(name)(edge(command))
    app.add_typer(keys, name="keys")
    return app


def _no_defaults() -> Mapping[str, Any]:
    return {}


_defaults: Defaults = _no_defaults


def _folder(given: Path | None) -> Path:
    return _named(given or _defaults().get("recordings"), "folder of recordings", "recordings")


def _key_file(given: Path | None, recordings: Path | None = None) -> Path:
    """Give the key file: as named, beside a folder that was named, as configured."""
    return _named(_key_file_if_any(given, recordings), "key file", "recording_key")


def _key_file_if_any(given: Path | None, recordings: Path | None) -> Path | None:
    from voicemask.recording.keys import key_file_beside  # noqa: PLC0415  # start-up time

    if given is None and recordings is not None and key_file_beside(recordings).exists():
        return key_file_beside(recordings)
    return given or _defaults().get("recording_key")


def _named(path: Path | str | None, what: str, name: str) -> Path:
    if path is None:
        option = "--" + name.replace("_", "-")
        raise RecordingError(what, "was not named", f"give {option}, or '{name}' in voicemask.toml")
    return Path(path)


def _keys(given: Path | None, recordings: Path | None = None) -> KeyRing:
    from voicemask.recording.keys import load_keys  # noqa: PLC0415  # start-up time

    return load_keys(_key_file(given, recordings))


def list_all(
    recordings: Folder = None,
    recording_key: KeyFile = None,
    output: Format = OutputFormat.TABLE,
) -> int:
    """List recordings by their start; without a private key only what lies outside encryption."""
    from voicemask.recording.library import list_recordings  # noqa: PLC0415  # start-up time

    has_keys = _key_file_if_any(recording_key, recordings) is not None
    keys = _keys(recording_key, recordings) if has_keys else None
    rows = []
    for entry in list_recordings(_folder(recordings), keys):
        if output is OutputFormat.JSONL:
            print(json.dumps(_entry_json(entry)))
        else:
            rows.append(_entry_row(entry))
    if output is OutputFormat.TABLE:
        if rows:
            print_table(_LIST_HEADS, rows)
        print(f"{len(rows)} recordings")
    return 0


def _time(unix_s: float | None) -> str:
    if unix_s is None:
        return ""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(sep=" ", timespec="seconds")


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.name,
        "started_at": entry.started_at,
        "duration_s": entry.duration_s,
        "state": entry.state.value,
        "call_id": entry.call_id,
        "key_id": entry.key_id,
        "bytes": entry.n_bytes,
        "problem": entry.problem,
    }


def _entry_row(entry: Entry) -> list[str]:
    seconds = "" if entry.duration_s is None else f"{entry.duration_s:.1f}"
    facts = [entry.name, _time(entry.started_at), seconds, entry.state.value, entry.call_id]
    return [*facts, str(entry.n_bytes), entry.problem]


def show(
    name: Name,
    recordings: Folder = None,
    recording_key: KeyFile = None,
    output: Format = OutputFormat.TABLE,
) -> int:
    """Show what is known of a recording: parties, what was masked, paused or lost, counts."""
    from voicemask.recording.library import find_recording  # noqa: PLC0415  # start-up time
    from voicemask.recording.reader import Recording  # noqa: PLC0415
    from voicemask.recording.report import facts, stretches  # noqa: PLC0415

    folder = find_recording(_folder(recordings), name)
    recording = Recording(folder, _keys(recording_key, recordings))
    known = facts(recording)
    marked = stretches(recording)
    if output is OutputFormat.JSONL:
        print(json.dumps({**known, "stretches": marked}))
        return 0
    known["started_at"] = _time(known["started_at"])
    print_table(_FACT_HEADS, [(fact, _fact(value)) for fact, value in known.items()])
    if marked:
        print_table(
            _STRETCH_HEADS,
            [
                (
                    f"{item['start_s']:.3f}",
                    f"{item['end_s']:.3f}",
                    item["channel"] or "both",
                    item["kind"],
                    item["reason"],
                )
                for item in marked
            ],
        )
    return 0


def _fact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def export(
    name: Name,
    target: Annotated[Path, typer.Argument(metavar="OUT", help=".wav or .flac, or a folder.")],
    *,
    recordings: Folder = None,
    recording_key: KeyFile = None,
    start: Annotated[
        float, typer.Option("--from", metavar="S", min=0, help="Begin here, in seconds.")
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option("--to", metavar="S", min=0, help="End here. [default: the end]"),
    ] = None,
) -> int:
    """Write a recording in clear: WAV with cue points, or FLAC with them as JSON beside it."""
    from voicemask.recording.export import export as write  # noqa: PLC0415  # start-up time
    from voicemask.recording.library import find_recording  # noqa: PLC0415
    from voicemask.recording.reader import Recording  # noqa: PLC0415

    folder = find_recording(_folder(recordings), name)
    recording = Recording(folder, _keys(recording_key, recordings))
    if target.is_dir():
        target = target / f"{folder.name}.wav"
    with bar(folder.name) as progress:
        done = write(recording, target, start, end, progress)
    print(
        f"{', '.join(printable(str(path)) for path in done.paths)}: {done.duration_s:.1f} s, "
        f"{done.n_marks} stretches marked, {recording.state.value}"
    )
    return 0


def delete(
    names: Names = None,
    recordings: Folder = None,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Delete those that began longer ago."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
) -> int:
    """Erase recordings: the key of each first, so that nothing that is left of it can be read."""
    from voicemask.recording import library  # noqa: PLC0415  # start-up time

    if bool(names) == (older_than is not None):
        raise RecordingError("delete", "needs ids or --older-than, one of them", "name one")
    folder = _folder(recordings)
    if older_than is not None:
        found = [path.name for path in library.older_than(folder, older_than, time.time())]
    else:
        found = list(names or [])

    def erase(name: str) -> None:
        place = library.find_recording(folder, name)
        if not dry_run:
            library.erase(place)
        print(f"{place.name}: {'would be deleted' if dry_run else 'deleted'}")

    return _for_each(found, erase)


def _for_each(names: Iterable[str], work: Callable[[str], None]) -> int:
    """Work through recordings; one that cannot be used does not stop the rest."""
    code = 0
    for name in names:
        try:
            work(name)
        except InputError as error:
            complain(str(error))
            code = _UNUSABLE
    return code


def create_keys(recording_key: KeyFile = None) -> int:
    """Make a key file."""
    from voicemask.recording import keys  # noqa: PLC0415  # start-up time

    path = _key_file(recording_key)
    ring = keys.create_keys(path)
    print(f"{printable(str(path))}: key {ring.current}; keep a copy, without it nothing opens")
    return 0


def rotate_keys(recording_key: KeyFile = None) -> int:
    """Add a new key; recordings begun from now on use it, older ones still open."""
    from voicemask.recording import keys  # noqa: PLC0415  # start-up time

    path = _key_file(recording_key)
    ring = keys.rotate_keys(path)
    print(f"{printable(str(path))}: key {ring.current} is current, {len(ring.pairs)} keys")
    return 0


def copy_public(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Key file to write.")],
    recording_key: KeyFile = None,
) -> int:
    """Write a key file that can lock recordings but open none, for a machine that records."""
    from voicemask.recording import keys  # noqa: PLC0415  # start-up time

    ring = keys.create_keys(target, _keys(recording_key).public_only())
    print(f"{printable(str(target))}: public part of key {ring.current}")
    return 0


def rewrap(names: Names = None, recordings: Folder = None, recording_key: KeyFile = None) -> int:
    """Lock recordings (default: all) with the current key; their audio is not written again."""
    from voicemask.recording import library  # noqa: PLC0415  # start-up time

    folder = _folder(recordings)
    keys = _keys(recording_key, recordings)
    n_rewrapped = 0

    def again(name: str) -> None:
        nonlocal n_rewrapped
        n_rewrapped += library.rewrap(library.find_recording(folder, name), keys)

    wanted = names or [path.name for path in library.recording_folders(folder)]
    code = _for_each(wanted, again)
    print(f"{n_rewrapped} of {len(wanted)} recordings rewrapped to key {keys.current}")
    return code


def remove_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id.")],
    recording_key: KeyFile = None,
) -> int:
    """Remove a key that is no longer current: what it still locks is erased for good."""
    from voicemask.recording import keys  # noqa: PLC0415  # start-up time

    path = _key_file(recording_key)
    ring = keys.remove_key(path, key_id)
    print(f"{printable(str(path))}: key {key_id} removed, {len(ring.pairs)} left")
    return 0


_COMMANDS: Final[Mapping[str, Callable[..., int]]] = {
    "list": list_all,
    "show": show,
    "export": export,
    "delete": delete,
}
_KEY_COMMANDS: Final[Mapping[str, Callable[..., int]]] = {
    "create": create_keys,
    "rotate": rotate_keys,
    "public": copy_public,
    "rewrap": rewrap,
    "remove": remove_key,
}
