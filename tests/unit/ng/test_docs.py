"""docs/ng.md names every command and every option, under what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicemask.ng.flag_table import TABLE, Use
from voicemask.ng.message import normalise
from voicemask.ng.session import COMMANDS, REFUSED

PAGE = (Path(__file__).parents[3] / "docs" / "ng.md").read_text(encoding="utf-8")


def codes(text: str) -> set[str]:
    """Give what stands between backquotes."""
    return {normalise(part) for part in text.split("`")[1::2]}


@pytest.mark.parametrize("use", Use)
def test_every_option_is_where_it_belongs(use: Use) -> None:
    section = PAGE.split(f"### {use.value.capitalize()}\n")[1].split("\n#")[0]
    rows = {next(iter(codes(row.split("|")[1]))) for row in section.split("\n") if "| `" in row}
    assert rows == {name for name, (found, _) in TABLE.items() if found is use}


def test_every_command_is_there() -> None:
    section = PAGE.split("## Commands\n")[1].split("\n## ")[0]
    assert {*COMMANDS, *REFUSED} <= codes(section)
