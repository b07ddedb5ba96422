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
    writing = [text for module, _ in CALLS if "write_result(" in (text := source_of(module))]
    named = {name for text in writing for name in re.findall(r"['\"]([\w-]+)['\"]", text)}
    kept = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert kept - named == set()


def test_make_bench_writes_its_results() -> None:
    for module, words in CALLS:
        text = source_of(module)
        assert '"--save"' not in text or "--save" in words, module


@pytest.mark.parametrize(("module", "words"), CALLS)
def test_make_bench_gives_options_that_are_there(module: str, words: str) -> None:
    text = source_of(module)
    assert [flag for flag in re.findall(r"--\w+", words) if f'"{flag}"' not in text] == []


def source_of(module: str) -> str:
    return (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
