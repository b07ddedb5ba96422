"""The sample calls through detect, mask, verify and replay, each step checked against the manifest.

What is printed are counts and verdicts. The manifest knows every key (published test numbers only);
they are compared as digits and never shown.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.errors import ConfigError
from voicemask.replay.listen import audit_file, detect_file
from voicemask.replay.pcap import replay_capture
from voicemask.replay.wav import mask_file

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample call and the truth about it.

    Parameters
    ----------
    path : audio file or capture.
    about : what is special about it.
    keys : what is pressed, in order of start.
    """

    path: Path
    about: str
    keys: tuple[Digit, ...]


def read_samples(folder: Path) -> list[Sample]:
    """Read the manifest of a sample folder.

    Raises
    ------
    ConfigError
        There is no manifest, or it does not hold what it should.
    """
    path = folder / "manifest.toml"
    try:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
        return [_sample(folder, entry) for entry in manifest["sample"]]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        raise ConfigError(
            str(path),
            "is missing or no manifest of samples",
            "make it with samples/make_samples.py",
        ) from None


def _sample(folder: Path, entry: dict[str, Any]) -> Sample:
    pressed = sorted(entry["keys"], key=lambda key: float(key[1]))
    keys = tuple(Digit.of(key[3]) for key in pressed)
    return Sample(folder / entry["file"], entry["about"], keys)


def run_demo(folder: Path, say: Say) -> int:
    """Take every sample through its steps and say what was seen; give the number of failures.

    Parameters
    ----------
    folder : with the samples and their manifest.
    say : takes one line of text.

    Raises
    ------
    ConfigError
        There is no manifest.
    InputError
        A sample cannot be used.
    """
    samples = read_samples(folder)
    n_failed = 0
    with tempfile.TemporaryDirectory() as out:
        for sample in samples:
            say(f"{sample.path.name}: {sample.about}")
            steps = _replay if sample.path.suffix == ".pcap" else _mask
            for what, is_right in steps(sample, Path(out)):
                say(f"  {'ok  ' if is_right else 'FAIL'} {what}")
                n_failed += not is_right
    say(f"{len(samples)} calls, {n_failed} checks failed" if n_failed else "all as it should be")
    return n_failed


Check = tuple[str, bool]


def _mask(sample: Sample, out: Path) -> list[Check]:
    n_keys = len(sample.keys)
    heard = tuple(item.digit for item in detect_file(sample.path))
    n_before = len(audit_file(sample.path))
    checks = [
        (f"detect: {len(heard)} of {n_keys} key presses, none wrong", heard == sample.keys),
        (f"verify: readable in {n_before} places before masking", bool(n_before) == bool(n_keys)),
    ]
    for policy in (Policy.GUARD, Policy.CAPTURE):
        target = out / f"{policy.value}-{sample.path.name}"
        report = mask_file(sample.path, target, policy)
        n_after, n_heard = len(audit_file(target)), len(detect_file(target))
        share = 100 * report.masked_s / (report.duration_s * report.n_channels)
        text = f"mask {policy.value}: {len(report.spans)} spans, {share:.1f} % of the audio; "
        text += f"then verify reads {n_after}, detect {n_heard}"
        checks.append((text, n_after == n_heard == 0))
    return checks


def _replay(sample: Sample, out: Path) -> list[Check]:
    checks: list[Check] = []
    for policy in (Policy.GUARD, Policy.CAPTURE):
        folder = out / f"{policy.value}-{sample.path.stem}"
        calls = replay_capture(sample.path, folder, policy, Fill.NOISE)
        n_presses = sum(call.n_key_presses for call in calls)
        recordings = [path for call in calls for path in call.paths if path.suffix == ".wav"]
        n_after = sum(len(audit_file(path)) for path in recordings)
        text = f"replay {policy.value}: {n_presses} of {len(sample.keys)} key presses, "
        text += f"then verify reads {n_after} in {len(recordings)} recording(s)"
        checks.append((text, n_presses == len(sample.keys) and n_after == 0))
    return checks
