"""A known card number goes through every command at level debug; then everything is searched.

What is searched: standard output and error, every file written, temporary files left behind; for
the number as text, also with something between its digits, and for audio that can still be read.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf

from voicemask.dtmf.auditor import audit

SAMPLES = Path(__file__).parents[2] / "samples"
VISA, AMEX = "4111111111111111", "378282246310005"
PATTERN = re.compile(
    "|".join(r"[^0-9]{0,6}".join(number) for number in (VISA, VISA[::-1], AMEX, AMEX[::-1]))
)
WAVS = ("inband_en.wav", "inband_fr.wav", "fast_en.wav", "gsm_en.wav")


def voicemask(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one command at debug level, in a folder and with temporary files of its own."""
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    program = "import sys; from voicemask.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "--log-level", "debug", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "OPENBLAS_NUM_THREADS": "1"},
    )


def said_by(tmp_path: Path, *arguments: str | Path, code: int = 0) -> str:
    """Run one command, which must end with this code, and give all it said."""
    done = voicemask(tmp_path, *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def assert_no_canary(tmp_path: Path, said: str) -> None:
    assert not PATTERN.search(said)
    for path in tmp_path.rglob("*"):
        assert not PATTERN.search(path.name)
        if path.is_file():
            text = path.read_bytes().decode("latin-1")
            assert not PATTERN.search(text), path.name
            assert not re.search(r"(?i)signal\s*=\s*[0-9a-d*#]", text), path.name


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ("guard", "inband_en.wav"),
        ("guard", "gsm_en.wav"),
        ("capture", "inband_fr.wav"),
        ("mute", "fast_en.wav"),
    ],
)
def test_canary_masked_by_the_command_line_is_nowhere(
    tmp_path: Path, name: str, policy: str
) -> None:
    masked, report = tmp_path / name, tmp_path / "report.json"
    options = ("--policy", policy, "--report", report)
    said = said_by(tmp_path, "mask", SAMPLES / name, masked, *options)
    assert report.is_file()
    assert_no_canary(tmp_path, said)
    audio, rate_hz = sf.read(masked, dtype="float32", always_2d=True)
    assert audit(audio.T, rate_hz) == []


def test_canary_detected_without_reveal_is_not_said(tmp_path: Path) -> None:
    said = said_by(tmp_path, "detect", "--format", "jsonl", *(SAMPLES / name for name in WAVS))
    assert len(re.findall(r'"digit": ?"\*"', said)) > len(VISA)
    assert_no_canary(tmp_path, said)


def test_canary_that_can_be_read_is_not_said_by_verify(tmp_path: Path) -> None:
    files = [SAMPLES / name for name in WAVS]
    assert_no_canary(tmp_path, said_by(tmp_path, "verify", *files, code=1))


@pytest.mark.parametrize(
    ("policy", "name"), [("guard", "events_clamped.pcap"), ("capture", "info.pcap")]
)
def test_canary_replayed_is_nowhere(tmp_path: Path, name: str, policy: str) -> None:
    out = tmp_path / "out"
    said = said_by(tmp_path, "replay", SAMPLES / name, "--out", out, "--policy", policy)
    assert any(out.rglob("*.wav"))
    assert_no_canary(tmp_path, said)


def test_canary_is_in_no_error_message(tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes((SAMPLES / "inband_en.wav").read_bytes()[:30])
    said = said_by(tmp_path, "mask", broken, tmp_path / "out.wav", code=2)
    assert_no_canary(tmp_path, said)
    assert not (tmp_path / "out.wav").exists()
