"""The command line as other tools call it: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from voicemask import __version__
from voicemask.cli import app
from voicemask.synthetic import make_call

KEYS = "4242"


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No voicemask.toml and no variable of the machine that runs the tests."""
    from voicemask import cli

    for name in list(os.environ):
        if name.startswith("VOICEMASK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    cli._config.cache_clear()


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A stereo call with four keys on the right channel."""
    path = tmp_path / "call.wav"
    made = make_call(KEYS, n_channels=2, channel=1)
    soundfile.write(path, made.audio.T, made.rate_hz, "PCM_16")
    return path


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    path = tmp_path / "quiet.wav"
    soundfile.write(path, np.zeros(16000), 8000, "PCM_16")
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_version_is_printed_by_option_and_command() -> None:
    assert run("--version").stdout == run("version").stdout == f"voicemask {__version__}\n"


def test_detect_jsonl_hides_the_keys_unless_told_to_reveal_them(call: Path) -> None:
    shown = run("detect", call, "--format", "jsonl")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [list(line) for line in lines] == [["digit", "start", "end", "channel"]] * 4
    assert [line["digit"] for line in lines] == ["*"] * 4
    assert {line["channel"] for line in lines} == {1}
    starts = [line["start"] for line in lines]
    assert starts == sorted(starts)
    assert starts[0] == pytest.approx(0.5, abs=0.02)
    assert lines[0]["end"] == pytest.approx(0.58, abs=0.02)


def test_detect_reveal_prints_keys_and_warns_on_stderr(call: Path) -> None:
    shown = run("detect", call, "--format", "jsonl", "--reveal")
    assert "".join(json.loads(line)["digit"] for line in shown.stdout.splitlines()) == KEYS
    assert len(shown.stderr.splitlines()) == 1
    assert "--reveal" in shown.stderr


def test_detect_names_the_file_when_there_are_several(call: Path, quiet: Path) -> None:
    shown = run("detect", call, quiet, "--format", "jsonl")
    assert {json.loads(line)["file"] for line in shown.stdout.splitlines()} == {str(call)}


def test_detect_counts_nothing_where_nothing_could_be_read(tmp_path: Path) -> None:
    result = run("detect", tmp_path / "missing.wav")
    assert result.exit_code == 2
    assert "key presses" not in result.stdout


def test_detect_table_counts_and_shows_no_key(call: Path) -> None:
    shown = run("detect", call)
    assert shown.exit_code == 0
    assert "4 key presses" in shown.stdout
    assert " * " in shown.stdout


def test_verify_tells_clean_readable_and_unusable_apart(call: Path, quiet: Path) -> None:
    assert run("verify", quiet).exit_code == 0
    assert run("verify", call).exit_code == 1
    assert run("verify", "missing.wav").exit_code == 2


def test_verify_gives_the_worst_code_and_still_looks_at_every_file(call: Path, quiet: Path) -> None:
    shown = run("verify", call, "missing.wav", quiet, "--format", "jsonl")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["clean"] for line in lines] == [False, True]
    assert shown.exit_code == 2


def test_verify_jsonl_says_where_but_not_which(call: Path) -> None:
    line = json.loads(run("verify", call, "--format", "jsonl").stdout)
    assert line["n_readable"] == len(line["places"]) >= 4
    assert set(line["places"][0]) == {"channel", "start", "end", "confidence"}


def test_mask_cleans_a_call_and_reports_it(call: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out.wav", tmp_path / "report.json"
    assert run("mask", call, out, "--report", report).exit_code == 0
    assert run("verify", out).exit_code == 0
    body = json.loads(report.read_text())
    assert body["n_key_presses"] == 4
    assert {"channel", "start_s", "end_s", "reason", "level_dbfs"} == set(body["spans"][0])
    assert "digit" not in report.read_text()


def test_mask_puts_a_file_into_a_folder_that_is_there(call: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run("mask", call, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "call.wav").exists()


def test_mask_folder_goes_on_after_a_bad_file_and_exits_2(call: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    call.rename(source / "deep" / "call.wav")
    (source / "bad.wav").write_text("no audio")
    (source / "notes.txt").write_text("text")
    report = tmp_path / "report.json"
    shown = run("mask", source, out, "--jobs", 1, "--report", report)
    assert shown.exit_code == 2
    assert "1 files masked, 1 could not be used, 1 files are not audio" in shown.stdout
    assert "bad.wav" in shown.stderr
    assert run("verify", out / "deep" / "call.wav").exit_code == 0
    body = json.loads(report.read_text())
    assert (len(body["files"]), len(body["errors"]), body["n_not_audio"]) == (1, 1, 1)


def test_mask_folder_resumes_where_it_stopped(call: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    call.rename(source / "call.wav")
    run("mask", source, out, "--jobs", 1)
    before = (out / "call.wav").stat().st_mtime_ns
    again = run("mask", source, out, "--jobs", 1)
    assert "1 of them by an earlier run" in again.stdout
    assert (out / "call.wav").stat().st_mtime_ns == before


def test_mask_refuses_to_write_over_its_input(call: Path) -> None:
    before = call.read_bytes()
    link = call.with_name("link.wav")
    link.symlink_to(call)
    for target in (call, link):
        shown = run("mask", call, target)
        assert shown.exit_code == 2
        assert "to be masked itself" in shown.stderr
    assert call.read_bytes() == before


def test_mask_refuses_a_report_over_its_audio(call: Path, tmp_path: Path) -> None:
    shown = run("mask", call, tmp_path / "out.wav", "--report", call)
    assert shown.exit_code == 2
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("command", [("detect",), ("verify",)])
def test_an_unusable_file_is_one_line_with_its_name(command: tuple[str], tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    shown = run(*command, "empty.wav")
    assert shown.exit_code == 2
    assert len(shown.stderr.splitlines()) == 1
    assert shown.stderr.startswith("voicemask: empty.wav: is empty")


def test_a_file_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    shown = run("verify", "a\x1b[31m\nb.wav")
    assert "\x1b" not in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_profiles_lists_names_and_shows_values_with_source() -> None:
    assert "decode" in run("profiles").stdout
    assert "min_tone_ms" in run("profiles", "decode").stdout
    assert run("profiles", "nonesuch").exit_code == 2


@pytest.mark.parametrize("args", [["mask", "in.wav"], ["detect", "--nonsense"], ["nonesuch"]])
def test_a_wrong_command_line_exits_2(args: list[str]) -> None:
    assert run(*args).exit_code == 2


def test_the_environment_sets_defaults_and_options_outweigh_it(
    call: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEMASK_POLICY", "mute")
    monkeypatch.setenv("VOICEMASK_FILL", "silence")
    run("mask", call, tmp_path / "mute.wav")
    run("mask", call, tmp_path / "guard.wav", "--policy", "guard")
    assert not soundfile.read(tmp_path / "mute.wav", dtype="int16")[0].any()
    assert soundfile.read(tmp_path / "guard.wav", dtype="int16")[0].any()


def test_a_wrong_setting_is_one_line_and_exits_2(
    call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEMASK_FILL", "music")
    shown = run("mask", call, "out.wav")
    assert shown.exit_code == 2
    assert len(shown.stderr.splitlines()) == 1
    assert "fill" in shown.stderr


def test_log_level_logs_counts_to_stderr(call: Path) -> None:
    shown = run("--log-level", "info", "detect", call, "--format", "jsonl")
    assert "n_key_presses=4" in shown.stderr
    assert len(shown.stdout.splitlines()) == 4


def test_a_reader_that_goes_away_is_no_traceback(call: Path) -> None:
    code = "import sys; from voicemask.cli import main; sys.argv = sys.argv[:1] + ['detect', "
    code += f"{str(call)!r}, '--format', 'jsonl']; main()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 141


def test_start_up_leaves_heavy_modules_alone() -> None:
    heavy = ("scipy", "pydantic", "pydantic_settings", "soundfile", "structlog", "av", "rich.table")
    code = "import sys, voicemask.cli, voicemask.replay.wav, voicemask.replay.folder\n"
    code += f"print(*(name for name in {heavy!r} if name in sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == []


def test_an_interruption_exits_130_without_a_traceback(
    call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("voicemask.replay.listen.detect_file", interrupt)
    shown = run("detect", call)
    assert shown.exit_code == 130
    assert len(shown.stderr.splitlines()) == 1


def test_media_says_what_is_wrong_with_an_option() -> None:
    shown = run("media", "--rtp-address", "192.0.2.1", "--ng", "2223")
    assert shown.exit_code == 2
    assert shown.stderr.startswith("voicemask: media setting 'ng': is neither udp: nor tcp:; write")
    assert len(shown.stderr.splitlines()) == 1


def test_media_wants_an_address() -> None:
    shown = run("media")
    assert shown.exit_code == 2
    assert "'rtp_address': is missing" in shown.stderr


def test_media_serves_and_ends(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        port = client.getsockname()[1]
    options = ["--ng", f"udp:127.0.0.1:{port}", "--rtp-address", "127.0.0.1", "--log-level", "info"]
    options += ["--control", f"unix:{tmp_path}/control", "--recordings", str(tmp_path / "calls")]
    program = "from voicemask.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "media", *options], stderr=subprocess.PIPE, text=True
    ) as service:
        assert service.stderr is not None
        assert "event=serving" in service.stderr.readline()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(("127.0.0.1", port))
            client.send(b"k d7:command4:pinge")
            assert client.recv(100) == b"k d6:result4:ponge"
        service.terminate()
        assert service.wait(10) == 0
        assert service.stderr.read() == ""


@pytest.mark.parametrize(
    ("before", "behind", "level"),
    [((), (), "info"), (("debug",), (), "debug"), (("debug",), ("error",), "error")],
)
def test_media_logs_from_the_level_that_was_given(
    before: tuple[str, ...],
    behind: tuple[str, ...],
    level: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from voicemask import console
    from voicemask.media.supervisor import Supervisor

    monkeypatch.setattr(console, "_log_level", None)
    monkeypatch.setattr(Supervisor, "run", lambda _: 0)
    options = [("--log-level", *value) if value else () for value in (before, behind)]
    shown = run(*options[0], "media", "--rtp-address", "127.0.0.1", *options[1])
    assert shown.exit_code == 0
    assert console._log_level == level


def test_media_takes_its_settings_from_the_file_and_options_outweigh_it() -> None:
    Path("voicemask.toml").write_text('[media]\nrtp_address = "192.0.2.1"\nhold = -1\n')
    assert "'hold'" in run("media").stderr
    from voicemask import cli

    cli._config.cache_clear()
    assert "'ng'" in run("media", "--hold", "20", "--ng", "x").stderr


def test_config_check_says_what_it_would_do() -> None:
    Path("voicemask.toml").write_text(
        '[media]\nrtp_address = "127.0.0.1"\nng = "udp:127.0.0.1:1"\n'
    )
    shown = run("config", "check")
    assert "relays audio on 127.0.0.1" in shown.stdout
    assert "sends captured keys nowhere: no vault" in shown.stdout
    if os.geteuid() == 0:
        assert (shown.exit_code, shown.stderr) == (0, "")


def test_config_check_names_all_that_is_wrong() -> None:
    Path("bad.toml").write_text('[media]\nng = "x"\nrtp_ports = "1"\nmethod = "hope"\n')
    shown = run("config", "check", "bad.toml")
    assert shown.exit_code == 2
    assert [line.split(":")[1] for line in shown.stderr.splitlines()] == [
        " media setting 'ng'",
        " media setting 'rtp_ports'",
        " media setting 'method'",
        " media setting 'rtp_address'",
    ]
    assert all(";" in line for line in shown.stderr.splitlines())


def test_config_check_tries_what_the_machine_has() -> None:
    Path("voicemask.toml").write_text('[media]\nrtp_address = "192.0.2.77"\n')
    shown = run("config", "check")
    assert shown.exit_code == 2
    assert "not this machine's" in shown.stderr


def test_config_check_without_a_media_table_or_file() -> None:
    assert run("config", "check", "none.toml").exit_code == 2
    Path("voicemask.toml").write_text('fill = "tone"\n')
    shown = run("config", "check")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "no [media] table" in shown.stdout
