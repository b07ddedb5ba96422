"""The lock files: complete, hashed, and silent about the machine that made them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-bench.lock")


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s<>=!~\[;]", item)[0].lower().replace("_", "-") for item in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_no_path_and_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--find-links|--trusted|@ |(^|\s)/", text)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_version_has_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    for block in re.split(r"\n(?=\S)", text):
        assert block.startswith("#") or "--hash=sha256:" in block


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    assert names(project["project"]["dependencies"]) <= pins(LOCKS[0]).keys()
    assert names(groups["dev"]) <= pins(LOCKS[1]).keys()
    assert names(groups["bench"]) <= pins(LOCKS[2]).keys()


def test_the_locks_agree_with_each_other() -> None:
    runtime, dev, bench = (pins(lock).items() for lock in LOCKS)
    assert runtime <= dev <= bench


def test_every_dependency_has_its_sentence() -> None:
    """docs/dependencies.md says what each direct dependency does, who keeps it, its licence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    direct = list(project["project"]["dependencies"])
    for more in (
        *project["dependency-groups"].values(),
        *project["project"]["optional-dependencies"].values(),
    ):
        direct += more
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    assert {name for name in names(direct) if f"`{name}`" not in text} == set()
