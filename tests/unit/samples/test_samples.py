"""The committed samples are what their manifest says."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import dpkt
import pytest
import soundfile as sf

from voicemask.capture.digit import Digit
from voicemask.dtmf.auditor import audit, read_digits

SAMPLES = Path(__file__).parents[3] / "samples"
MANIFEST: dict[str, Any] = tomllib.loads((SAMPLES / "manifest.toml").read_text(encoding="utf-8"))
ENTRIES: list[dict[str, Any]] = MANIFEST["sample"]
WAVS = [entry for entry in ENTRIES if entry["file"].endswith(".wav")]
PUBLISHED = {"4111111111111111", "378282246310005", "5555555555554444"}


def named(entry: dict[str, Any]) -> str:
    return str(entry["file"])


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_sample_has_the_bytes_of_the_manifest(entry: dict[str, Any]) -> None:
    content = (SAMPLES / entry["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_samples_are_all_in_the_manifest_and_small() -> None:
    files = [path for path in SAMPLES.iterdir() if path.suffix in {".wav", ".pcap"}]
    assert {path.name for path in files} == {entry["file"] for entry in ENTRIES}
    assert sum(path.stat().st_size for path in files) < 3_000_000


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_sample_numbers_are_published_test_numbers(entry: dict[str, Any]) -> None:
    keys = "".join(row[3] for row in entry["keys"])
    assert not keys or any(keys.startswith(number) for number in PUBLISHED)


@pytest.mark.parametrize("entry", [entry for entry in WAVS if entry["keys"]], ids=named)
def test_sample_keys_can_be_read_where_the_manifest_says(entry: dict[str, Any]) -> None:
    audio, rate_hz = sf.read(SAMPLES / entry["file"], dtype="float32", always_2d=True)
    read = read_digits(audio[:, entry["keys"][0][0]], rate_hz)
    for _, start_s, end_s, key, _ in entry["keys"]:
        heard = [item[0] for item in read if start_s < sum(item[1:]) / 2 / rate_hz < end_s]
        assert Digit.of(key) in heard


def test_sample_without_keys_holds_nothing_readable() -> None:
    audio, rate_hz = sf.read(SAMPLES / "speech_only.wav", dtype="float32")
    assert audit(audio.T, rate_hz) == []


def payloads(name: str) -> list[bytes]:
    with (SAMPLES / name).open("rb") as file:
        return [
            bytes(dpkt.ethernet.Ethernet(frame).data.data.data)
            for _, frame in dpkt.pcap.Reader(file)
        ]


def test_sample_events_hold_one_event_per_key_with_three_ends() -> None:
    entry = next(entry for entry in ENTRIES if entry["file"] == "events_clamped.pcap")
    ends = [data for data in payloads(entry["file"]) if data[1] & 0x7F == 101 and data[13] & 0x80]
    assert len(ends) == 3 * len(entry["keys"])
    assert len({data[4:8] for data in ends}) == len(entry["keys"])


def test_sample_info_holds_one_request_per_key() -> None:
    entry = next(entry for entry in ENTRIES if entry["file"] == "info.pcap")
    requests = [data for data in payloads(entry["file"]) if data.startswith(b"INFO ")]
    assert len(requests) == len(entry["keys"])


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng makes the speech")
def test_samples_are_what_their_seeds_give() -> None:
    script = [sys.executable, str(SAMPLES / "make_samples.py"), "--check"]
    run = subprocess.run(script, capture_output=True, text=True, check=False)
    if "cannot compare" in run.stdout:
        pytest.skip(run.stdout.strip())
    assert run.returncode == 0, run.stdout + run.stderr
