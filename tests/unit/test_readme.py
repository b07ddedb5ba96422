"""The README speaks of every command and option there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from voicemask.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
GROUP = typer.main.get_command(app)
COMMANDS = {name: item for name, item in GROUP.commands.items() if not item.hidden}  # type: ignore[attr-defined]


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
    shown = set(re.findall(r"^\$? *voicemask ([a-z]+)\b", README, flags=re.MULTILINE))
    assert shown <= COMMANDS.keys()
