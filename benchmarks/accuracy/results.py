"""Where benchmark figures are kept: small JSON files in benchmarks/results, committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "results"


def write_result(name: str, figures: dict[str, Any]) -> Path:
    """Write `figures` as ``results/<name>.json``; keys keep their order."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return path


def read_result(name: str) -> dict[str, Any]:
    """Read what `write_result` wrote.

    Raises
    ------
    FileNotFoundError
        That benchmark has not been run here.
    """
    figures: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return figures
