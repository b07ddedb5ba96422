"""`voicemask recordings` as other tools call it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from voicemask.cli import app
from voicemask.mask.span import Reason, Span
from voicemask.recording.keys import KeyRing, create_keys, load_keys
from voicemask.recording.metadata import Summary
from voicemask.recording.writer import RecordingWriter

Begin = Callable[..., RecordingWriter]
Speech = Callable[[int], NDArray[np.int16]]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder of its own, without configuration."""
    from voicemask import cli

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    cli._config.cache_clear()

    def invoke(*args: object) -> Result:
        return CliRunner().invoke(app, ["recordings", *map(str, args)])

    return invoke


@pytest.fixture
def places(tmp_path: Path, ring: KeyRing, recordings: Path) -> list[str]:
    """Give the options that name folder and key file."""
    create_keys(tmp_path / "recording.keys", ring)
    recordings.mkdir()
    key = str(tmp_path / "recording.keys")
    return ["--recordings", str(recordings), "--recording-key", key]


@pytest.fixture
def made(begin: Begin, speech: Speech, places: list[str]) -> str:
    """Give the id of a recording of 2 s."""
    writer = begin()
    writer.spans([Span(0, 4000, 6000, Reason.TONE, -9.0)])
    writer.event("policy", at=8000, policy="capture")
    writer.write(0, speech(16_000))
    writer.finish(Summary(packets={"agent": {"received": 7}}, reason="hangup"))
    return str(writer.recording_id)


def test_list_shows_what_there_is(run: Run, places: list[str], made: str) -> None:
    table = run("list", *places).stdout
    assert made in table
    assert "2025-01-01 12:00:00" in table
    assert "1 recordings" in table
    (line,) = run("list", *places, "--format", "jsonl").stdout.splitlines()
    entry = json.loads(line)
    assert (entry["id"], entry["state"], entry["duration_s"]) == (made, "complete", 2.0)
    assert entry["call_id"] == "call-1@example.org"


def test_list_without_keys_shows_what_is_outside(run: Run, places: list[str], made: str) -> None:
    entry = json.loads(run("list", *places[:2], "--format", "jsonl").stdout)
    assert (entry["state"], entry["call_id"], entry["duration_s"]) == ("locked", "", None)


def test_nothing_to_list_is_no_error(run: Run, places: list[str]) -> None:
    assert run("list", *places).stdout == "0 recordings\n"
    assert run("list", *places, "--format", "jsonl").stdout == ""


def test_show_tells_what_was_masked(run: Run, places: list[str], made: str) -> None:
    shown = json.loads(run("show", made[:6], *places, "--format", "jsonl").stdout)
    assert shown["customer"] == "1001"
    assert shown["packets"] == {"agent": {"received": 7}}
    assert shown["events"] == [{"at": 1.0, "name": "policy", "details": {"policy": "capture"}}]
    assert shown["stretches"] == [
        {"kind": "masked", "start_s": 0.5, "end_s": 0.75, "channel": "customer", "reason": "tone"}
    ]
    table = run("show", made, *places).stdout
    assert "2025-01-01 12:00:00" in table
    assert "0.750" in table


def test_export_writes_a_file(run: Run, places: list[str], made: str, speech: Speech) -> None:
    done = run("export", made, "out.wav", *places, "--from", "0.5", "--to", "1")
    assert done.stdout == "out.wav: 0.5 s, 1 stretches marked, complete\n"
    assert np.array_equal(soundfile.read("out.wav", dtype="int16")[0], speech(16_000)[4000:8000])
    run("export", made, ".", *places)
    assert soundfile.info(f"{made}.wav").frames == 16_000
    run("export", made, "out.flac", *places)
    assert Path("out.flac.json").exists()


def test_delete_erases(run: Run, places: list[str], made: str, recordings: Path) -> None:
    tried = run("delete", made, "ffffffff", "--dry-run", *places[:2])
    assert tried.stdout == f"{made}: would be deleted\n"
    assert (tried.exit_code, tried.stderr) == (
        2,
        "voicemask: recording ffffffff: is not there; list what there is\n",
    )
    assert run("delete", made, *places[:2]).stdout == f"{made}: deleted\n"
    assert not list(recordings.iterdir())


def test_retention_deletes_what_is_old(
    run: Run, places: list[str], made: str, recordings: Path
) -> None:
    assert run("delete", "--older-than", "100000", *places[:2]).stdout == ""
    old = ("delete", "--older-than", "1", *places[:2])
    assert run(*old, "--dry-run").stdout == f"{made}: would be deleted\n"
    assert run(*old).stdout == f"{made}: deleted\n"
    assert not list(recordings.iterdir())


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["list"], "folder of recordings: was not named; give --recordings"),
        (["show", "abcd", "--recordings", "."], "recording abcd: is not there"),
        (["list", "--recordings", "none"], "none: cannot be read"),
        (["list", "--recordings", ".", "--recording-key", "none"], "none: is not there"),
        (["keys", "create"], "key file: was not named; give --recording-key"),
        (["keys", "rotate", "--recording-key", "none"], "none: is not there"),
        (["delete", "--recordings", "."], "needs ids or --older-than"),
        (["delete", "abcd", "--older-than", "3"], "needs ids or --older-than"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    run: Run, args: list[str], complaint: str
) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


def test_folder_and_keys_come_from_the_configuration(
    run: Run, places: list[str], made: str
) -> None:
    Path("voicemask.toml").write_text(
        f'[media]\nrecordings = "{places[1]}"\nrecording_key = "{places[3]}"\n'
    )
    entry = json.loads(run("list", "--format", "jsonl").stdout)
    assert entry["state"] == "complete"


def test_keys_beside_the_folder_are_found(
    run: Run, places: list[str], made: str, recordings: Path
) -> None:
    Path(places[3]).rename(recordings.with_name("recordings.key"))
    assert json.loads(run("show", made, *places[:2], "--format", "jsonl").stdout)["id"] == made


def test_keys_are_made_rotated_rewrapped_and_removed(
    run: Run, places: list[str], made: str, tmp_path: Path
) -> None:
    keys = places[2:]
    first = load_keys(tmp_path / "recording.keys").current
    assert "is there already" in run("keys", "create", *keys).stderr
    assert run("keys", "rotate", *keys).exit_code == 0
    second = load_keys(tmp_path / "recording.keys").current
    assert run("keys", "rewrap", *places).stdout.startswith("1 of 1 recordings rewrapped")
    assert run("keys", "rewrap", made, *places).stdout.startswith("0 of 1 recordings rewrapped")
    assert run("keys", "remove", first, *keys).exit_code == 0
    assert run("show", made, *places).exit_code == 0
    assert "is the current one" in run("keys", "remove", second, *keys).stderr
    run("keys", "public", "public.keys", *keys)
    assert not load_keys(Path("public.keys")).can_open(second)
    shown = run("show", made, *places[:2], "--recording-key", "public.keys")
    assert "has no private part here" in shown.stderr
    assert run("keys", "create", "--recording-key", "new/recording.keys").exit_code == 0


def test_commands_start_without_what_they_do_not_need() -> None:
    code = (
        "import sys, voicemask.recording.commands;"
        "print([name for name in ('nacl', 'numpy', 'soundfile', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
