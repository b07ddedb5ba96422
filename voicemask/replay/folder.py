"""A folder of audio files masked into another folder: in parallel, and again from where it stopped.

Every file is masked on its own; one that cannot be used does not stop the rest. Finished files are
noted in a ledger in OUT with the settings they were made with, so that a second run does only what
is missing or has changed. Links are not followed: what they name may lie outside the folder.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import voicemask
from voicemask.errors import AudioFileError, InputError
from voicemask.replay.output import PART_SUFFIX
from voicemask.replay.report import Settings

LEDGER_NAME: Final = ".voicemask-ledger.jsonl"

_UNCOMPRESSED: Final = (".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".snd")
AUDIO_SUFFIXES: Final = frozenset(
    (*_UNCOMPRESSED, ".flac", ".ogg", ".oga", ".opus", ".caf", ".mp3")
)
_AUDIO_MAGIC: Final = (
    b"RIFF",
    b"RF64",
    b"BW64",
    b"RIFX",
    b"riff",
    b"fLaC",
    b"OggS",
    b"FORM",
    b".snd",
)


Stamp = list[int]
"""Size and time of change of a file, as JSON keeps it."""


@dataclass(slots=True)
class Listing:
    """Files of a folder, relative to it, and what was passed over."""

    audio: list[Path] = field(default_factory=list)
    n_other: int = 0
    n_links: int = 0


@dataclass(frozen=True, slots=True)
class FileResult:
    """Outcome for one file: its report, or the error that stopped it.

    Parameters
    ----------
    name : path relative to the folder.
    report : what `FileReport.as_json` gave, None after an error.
    error : one line, None after success.
    is_resumed : it was finished by an earlier run.
    """

    name: str
    report: dict[str, Any] | None
    error: str | None = None
    is_resumed: bool = False


@dataclass(slots=True)
class FolderReport:
    """Outcome for a folder; results by name."""

    results: list[FileResult]
    n_other: int
    n_links: int

    @property
    def errors(self) -> list[FileResult]:
        """Files that could not be masked."""
        return [result for result in self.results if result.error is not None]

    def summary(self) -> str:
        """Say in one line what was done."""
        n_done = len(self.results) - len(self.errors)
        n_resumed = sum(result.is_resumed for result in self.results)
        parts = [f"{n_done} files masked"]
        parts += [f"{n_resumed} of them by an earlier run"] if n_resumed else []
        parts += [f"{len(self.errors)} could not be used"] if self.errors else []
        parts += [f"{self.n_other} files are not audio, left out"] if self.n_other else []
        parts += [f"{self.n_links} links not followed"] if self.n_links else []
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Give the report as a JSON object."""
        return {
            "files": [result.report for result in self.results if result.report is not None],
            "errors": [{"file": item.name, "error": item.error} for item in self.errors],
            "n_not_audio": self.n_other,
            "n_links_not_followed": self.n_links,
        }


def list_folder(folder: Path, leave_out: Path | None = None) -> Listing:
    """Walk a folder for audio files: by suffix, or by their first bytes.

    Parameters
    ----------
    folder : where to look, recursively; links are counted and left alone.
    leave_out : folder below it that is not entered (OUT inside IN).
    """
    listing = Listing()
    for root, folders, names in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(name for name in folders if not _is_same(here / name, leave_out))
        listing.n_links += sum((here / name).is_symlink() for name in folders)
        for name in sorted(names):
            path = here / name
            if path.is_symlink():
                listing.n_links += 1
            elif not name.endswith(PART_SUFFIX) and _looks_like_audio(path):
                listing.audio.append(path.relative_to(folder))
            else:
                listing.n_other += 1
    return listing


def _is_same(path: Path, other: Path | None) -> bool:
    return other is not None and other.exists() and path.samefile(other)


def _looks_like_audio(path: Path) -> bool:
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in _AUDIO_MAGIC
    except OSError:
        return False


def mask_folder(
    source: Path,
    target: Path,
    settings: Settings,
    *,
    n_jobs: int,
    progress: Callable[[FileResult, float], object] | None = None,
) -> FolderReport:
    """Mask every audio file of `source` into the same place below `target`.

    Parameters
    ----------
    source, target : folders; `target` may lie inside `source`, not the other way round.
    settings : how to mask.
    n_jobs : processes.
    progress : told of every result and of the share of files done, 0 to 1.

    Raises
    ------
    AudioFileError
        The folders cannot be used together. Errors of single files are in the report.
    """
    _refuse_overlap(source, target)
    target.mkdir(parents=True, exist_ok=True)
    listing = list_folder(source, leave_out=target)
    results: list[FileResult] = []
    for result in _results(source, target, listing.audio, settings, n_jobs):
        results.append(result)
        if progress:
            progress(result, len(results) / len(listing.audio))
    results.sort(key=lambda result: result.name)
    return FolderReport(results, listing.n_other, listing.n_links)


def _refuse_overlap(source: Path, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise AudioFileError(str(target), "is not a folder", "IN is a folder: name a folder as OUT")
    inside, outside = source.resolve(), target.resolve()
    if inside == outside or outside in inside.parents:
        raise AudioFileError(
            str(target), "holds the originals", "choose an OUT that does not contain IN"
        )


def _results(
    source: Path,
    target: Path,
    names: list[Path],
    settings: Settings,
    n_jobs: int,
) -> Iterator[FileResult]:
    ledger = Ledger(target, settings)
    # Taken before masking: a source that changes meanwhile is done again by the next run.
    stamps = {name: _stamp(source / name) for name in names}
    left: list[Path] = []
    for name in names:
        report = ledger.find(name, stamps[name])
        if report is None:
            left.append(name)
        else:
            yield FileResult(str(name), report, is_resumed=True)
    for result in _mask_all(source, target, left, settings, n_jobs):
        if result.report is not None:
            ledger.add(Path(result.name), stamps[Path(result.name)], result.report)
        yield result


def _mask_all(
    source: Path, target: Path, names: list[Path], settings: Settings, n_jobs: int
) -> Iterator[FileResult]:
    if n_jobs == 1 or len(names) < 2:
        for name in names:
            yield mask_one(source, target, name, settings)
        return
    # Spawned, not forked: a child starts clean, with one BLAS thread as set by the command line.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(n_jobs, len(names)), context, _leave_interrupts) as pool:
        tasks = {pool.submit(mask_one, source, target, name, settings): name for name in names}
        try:
            for task in as_completed(tasks):
                yield _outcome(task, tasks[task])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_interrupts() -> None:
    """Ctrl-C reaches the whole process group: a worker finishes its file, the parent stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _outcome(task: Future[FileResult], name: Path) -> FileResult:
    try:
        return task.result()
    except BrokenProcessPool:
        error = f"{name}: its process was ended from outside; run the command again"
        return FileResult(str(name), None, error)


def mask_one(source: Path, target: Path, name: Path, settings: Settings) -> FileResult:
    """Mask one file of a folder; what is wrong with it comes back as a line of text."""
    from voicemask.replay.wav import mask_file  # noqa: PLC0415, only workers need numpy

    try:
        _refuse_escape(target, name)
        report = mask_file(
            source / name,
            target / name,
            policy=settings.policy,
            fill=settings.fill,
            profile=settings.profile,
        )
    except InputError as error:
        return FileResult(str(name), None, str(error))
    return FileResult(str(name), report.as_json())


def _refuse_escape(target: Path, name: Path) -> None:
    """A link inside OUT must not lead writing elsewhere."""
    root = target.resolve()
    if not (target / name).parent.resolve().is_relative_to(root):
        raise AudioFileError(
            str(target / name), "lies behind a link that leaves OUT", "remove the link"
        )


class Ledger:
    """Finished files of an OUT folder: one JSON line each, the last line of a file counts.

    A file is finished when source and output are as they were then, and settings and version are
    the same. A line that was cut by a crash is passed over, and its file made again.

    Parameters
    ----------
    target : the OUT folder.
    settings : of this run.
    """

    def __init__(self, target: Path, settings: Settings) -> None:
        self._target = target
        self._settings = {
            "policy": settings.policy.value,
            "fill": settings.fill.value,
            "profile": [settings.profile, _stamp(Path(settings.profile))],
            "version": voicemask.__version__,
        }
        self._path = target / LEDGER_NAME
        self._lines = {line["key"]["name"]: line for line in _read_lines(self._path)}

    def find(self, name: Path, stamp: Stamp | None) -> dict[str, Any] | None:
        """Give the report of a finished file that is still what it was; None when it is to do."""
        line = self._lines.get(str(name))
        if line is None or line["key"] != self._key(name, stamp):
            return None
        report: dict[str, Any] = line["report"]
        return report

    def add(self, name: Path, stamp: Stamp | None, report: dict[str, Any]) -> None:
        """Note a finished file; `stamp` is its source as it was before."""
        line = {"key": self._key(name, stamp), "report": report}
        # A line break before as well: the last run may have died within its line.
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line) + "\n")

    def _key(self, name: Path, stamp: Stamp | None) -> dict[str, Any]:
        masked = _stamp(self._target / name)
        return {"name": str(name), "source": stamp, "target": masked, **self._settings}


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            if isinstance(line["key"]["name"], str) and isinstance(line["report"], dict):
                yield line
        except (ValueError, KeyError, TypeError):
            continue


def _stamp(path: Path) -> Stamp | None:
    """Give size and time of change of a file; None when there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]
