"""Who may ask a digit for its key is a list, and this is it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "voicemask", ROOT / "api" / "voicemask_api", ROOT / "models")

ALLOWED_REVEAL = {
    "voicemask/cli.py: detect.hear",  # --reveal, asked for on the command line
    "voicemask/media/vault_link.py: VaultLink.key",  # the one way to the vault
}
ALLOWED_READ_DIGITS: set[str] = set()  # the auditor's own reading is for tests and benchmarks
PRIVATE = {"_index"}


class Uses(ast.NodeVisitor):
    """Collects (function path, name) of every attribute or name used."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._path: list[str] = []

    def _enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._path.append(node.name)
        self.generic_visit(node)
        self._path.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _enter  # noqa: N815

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.found.append((".".join(self._path), "." + node.attr))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.found.append((".".join(self._path), node.id))

    def visit_Constant(self, node: ast.Constant) -> None:
        if node.value in {"reveal", *PRIVATE}:  # getattr(digit, "reveal")
            self.found.append((".".join(self._path), f".{node.value}"))


def uses() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            visitor = Uses()
            visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
            where = path.relative_to(ROOT).as_posix()
            yield from ((f"{where}: {function}", name) for function, name in visitor.found)


@pytest.fixture(scope="module")
def used() -> list[tuple[str, str]]:
    return list(uses())


def test_reveal_is_called_from_the_allowed_places_only(used: list[tuple[str, str]]) -> None:
    assert {where for where, name in used if name == ".reveal"} == ALLOWED_REVEAL


def test_private_index_of_a_digit_is_read_by_the_digit_only(used: list[tuple[str, str]]) -> None:
    readers = {where for where, name in used if name == "._index"}
    assert {where for where in readers if "capture/digit.py: Digit" not in where} == set()


def test_auditor_reading_is_used_by_no_command(used: list[tuple[str, str]]) -> None:
    readers = {where for where, name in used if name in {"read_digits", ".read_digits"}}
    assert readers == ALLOWED_READ_DIGITS


def test_uses_notices_a_new_caller_of_reveal() -> None:
    visitor = Uses()
    visitor.visit(ast.parse("class A:\n def f(s, d): return d.reveal()\n\ngetattr(x, 'reveal')"))
    assert [found for found in visitor.found if found[1] == ".reveal"] == [
        ("A.f", ".reveal"),
        ("", ".reveal"),
    ]
