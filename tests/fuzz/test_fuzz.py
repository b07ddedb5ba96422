"""Every fuzz target for a few thousand inputs, with a fixed seed; for longer see `__main__`."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
HAS_ATHERIS = sys.version_info < (3, 14) and platform.machine() == "x86_64"
"""As pyproject.toml has it: atheris is built for no other machine."""


@pytest.mark.skipif(not HAS_ATHERIS, reason="atheris has no wheel for this machine")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_promise_holds_for_mutated_input(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", name, f"-runs={TARGETS[name].n_runs}"]
    run = subprocess.run(
        [*command, "-seed=1", f"-artifact_prefix={tmp_path}/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert f"Done {TARGETS[name].n_runs} runs" in run.stderr


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_promise_holds_for_the_seeds(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)
        for cut in range(0, min(len(seed), 300), 29):
            TARGETS[name].run(seed[:cut])
