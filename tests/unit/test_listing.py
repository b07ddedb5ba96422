"""Rows and lines of what the commands list."""

from __future__ import annotations

import json
from pathlib import Path

from voicemask.capture.digit import Digit
from voicemask.listing import digit_line, digit_row, verdict_line, verdict_row
from voicemask.replay.listen import HeardDigit, ReadableDigit

PLACES = [ReadableDigit(1, n / 3, n / 3 + 0.1, 0.98765) for n in range(10)]


def heard() -> HeardDigit:
    return HeardDigit(1, 0.5, 0.58, Digit.of("7"), -13.25, -2.0)


def test_a_key_press_shows_the_key_it_was_given_and_not_its_own() -> None:
    row = digit_row(heard(), "*", Path("call.wav"))
    assert row == ["call.wav", "1", "0.500", "0.580", "*", "-13.2", "-2.0"]
    assert json.loads(digit_line(heard(), "*", None))["digit"] == "*"


def test_a_verdict_row_names_the_first_places_and_counts_the_rest() -> None:
    path, verdict, n_readable, where = verdict_row(Path("call.wav"), PLACES)
    assert (path, verdict, n_readable) == ("call.wav", "DIGITS READABLE", "10")
    assert where.startswith("1: 0.00, 1: 0.33, ")
    assert where.endswith("1: 2.33, and 2 more")


def test_a_verdict_line_holds_every_place() -> None:
    verdict = json.loads(verdict_line(Path("call.wav"), PLACES))
    assert (verdict["clean"], verdict["n_readable"], len(verdict["places"])) == (False, 10, 10)
    assert verdict["places"][1] == {
        "channel": 1, "start": 0.333333, "end": 0.433333, "confidence": 0.988
    }  # fmt: skip
