"""The wheel: what it installs, and that it runs with nothing beside it but what it asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]


def run(*command: object, env: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=env or clean_variables()
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def clean_variables() -> dict[str, str]:
    """The environment without what could lead a Python to our checkout."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ".")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel and its locked dependencies.

    The dependencies are links to those of the environment that runs the tests; with FULL_PACKAGING
    set they are installed from the index.
    """
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    if os.environ.get("FULL_PACKAGING"):
        run(*pip, "install", "--quiet", wheel)
    else:
        (site,) = folder.glob("lib/python*/site-packages")
        link_dependencies(site)
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    return folder / "bin"


def link_dependencies(site: Path) -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in re.findall(r"^([\w.-]+)==", lock, flags=re.MULTILINE):
        files = metadata.distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            target = Path(str(metadata.distribution(name).locate_file(top)))
            if target.exists() and not (site / top).exists():
                (site / top).symlink_to(target)


@pytest.fixture
def call(tmp_path: Path) -> Path:
    path = tmp_path / "call.wav"
    soundfile.write(path, np.zeros(8000), 8000, "PCM_16")
    return path


def test_the_wheel_installs_three_names_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "voicemask",
        "voicemask_api",
        "voicemask_models",
    }


def test_the_wheel_carries_types_models_and_the_pytest_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        text = archive.read(entry_points).decode()
    assert {f"{top}/py.typed" for top in ("voicemask", "voicemask_api", "voicemask_models")} < {
        *names
    }
    assert "voicemask_models/rx/decode.toml" in names
    assert "[pytest11]" in text


def test_the_wheel_tells_nothing_of_the_machine_that_built_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert os.fsencode(ROOT) not in content


def test_the_installed_command_says_its_version(clean: Path) -> None:
    assert run(clean / "voicemask", "--version").startswith("voicemask ")


def test_the_installed_command_runs_from_its_own_copy(clean: Path) -> None:
    where = run(clean / "python", "-I", "-c", "import voicemask; print(voicemask.__file__)")
    assert Path(where.strip()).is_relative_to(clean.parent)


def test_the_installed_command_finds_its_profiles(clean: Path) -> None:
    shown = run(clean / "voicemask", "profiles")
    assert "decode" in shown
    assert "mask" in shown


def test_the_installed_command_masks_and_verifies_a_file(clean: Path, call: Path) -> None:
    out = call.with_name("out.wav")
    run(clean / "voicemask", "mask", call, out)
    assert soundfile.info(out).frames == 8000
    run(clean / "voicemask", "verify", out)


def test_the_installed_command_reads_a_configuration(clean: Path, call: Path) -> None:
    out = call.with_name("out.wav")
    env = clean_variables() | {"VOICEMASK_POLICY": "mute", "VOICEMASK_FILL": "silence"}
    run(clean / "voicemask", "--log-level", "info", "mask", call, out, env=env)
    assert not soundfile.read(out, dtype="int16")[0].any()
