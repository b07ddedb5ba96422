"""The README speaks of every command and option there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from voicemask.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def _leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Give every command that is no group, by its name with those of the groups it is in."""
    for name, item in group.commands.items():
        if hasattr(item, "commands"):
            yield from _leaves(item, f"{before}{name} ")
        elif not item.hidden:
            yield f"{before}{name}", item


COMMANDS = dict(_leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_readme_shows_every_command(name: str) -> None:
    assert re.search(rf"voicemask {name}\b", README)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option)
        for name, command in sorted(COMMANDS.items())
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    ],
)
def test_readme_speaks_of_every_option(name: str, option: str) -> None:
    assert re.search(rf"{option}\b", README), f"voicemask {name} {option}"


def test_readme_shows_no_command_that_is_not_there() -> None:
    shown = re.findall(r"^\$? *voicemask ((?:[a-z]+ ?)+)", README, flags=re.MULTILINE)
    for words in shown:
        assert any(f"{words.strip()} ".startswith(f"{name} ") for name in COMMANDS), words
