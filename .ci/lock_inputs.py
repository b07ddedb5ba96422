"""Writes what pip-compile is to resolve: runtime.in, dev.in, bench.in from pyproject.toml."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Each list holds the ones before it, so that one resolution serves all three."""
    folder = Path(sys.argv[1])
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    wanted: list[str] = []
    lists = {
        "runtime": project["project"]["dependencies"],
        "dev": groups["dev"],
        "bench": groups["bench"],
    }
    for name, requirements in lists.items():
        wanted += requirements
        (folder / f"{name}.in").write_text("\n".join(wanted) + "\n", encoding="utf-8")


main()
