"""`make bench` calls programs and options that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLS = re.findall(
    r"python -m (benchmarks[\w.]+)(.*)", (ROOT / "Makefile").read_text(encoding="utf-8")
)


def test_make_bench_writes_every_result_that_is_kept() -> None:
    sources = [source_of(module) for module, _ in CALLS]
    written = {name for text in sources for name in re.findall(r"write_result\(.(\w+)", text)}
    assert written == {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}


@pytest.mark.parametrize(("module", "words"), CALLS)
def test_make_bench_gives_options_that_are_there(module: str, words: str) -> None:
    text = source_of(module)
    assert [flag for flag in re.findall(r"--\w+", words) if f'"{flag}"' not in text] == []


def source_of(module: str) -> str:
    return (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
