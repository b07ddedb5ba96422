"""Which policy holds where, and what a change reaches back over."""

from __future__ import annotations

import pytest

from voicemask.capture.policy import Policy
from voicemask.mask.policies import PolicyLine

OPEN, GUARD, CAPTURE, MUTE = Policy.OPEN, Policy.GUARD, Policy.CAPTURE, Policy.MUTE


def runs(line: PolicyLine) -> list[tuple[int, int, Policy]]:
    return list(line.runs(0, 1000))


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (GUARD, CAPTURE, [(0, 200, GUARD), (200, 1000, CAPTURE)]),
        (CAPTURE, GUARD, [(0, 500, CAPTURE), (500, 1000, GUARD)]),
        (GUARD, MUTE, [(0, 500, GUARD), (500, 1000, MUTE)]),
        (MUTE, CAPTURE, [(0, 500, MUTE), (500, 1000, CAPTURE)]),
        (GUARD, OPEN, [(0, 500, GUARD), (500, 1000, OPEN)]),
        (OPEN, GUARD, [(0, 200, OPEN), (200, 1000, GUARD)]),
        (OPEN, MUTE, [(0, 200, OPEN), (200, 1000, MUTE)]),
        (GUARD, GUARD, [(0, 1000, GUARD)]),
    ],
)
def test_what_has_not_left_is_held_to_the_stricter(
    first: Policy, then: Policy, expected: list[tuple[int, int, Policy]]
) -> None:
    line = PolicyLine(first)
    line.change(then, at=500, final=200)
    assert runs(line) == expected


def test_a_change_that_has_left_begins_where_it_still_can() -> None:
    line = PolicyLine(GUARD)
    line.change(MUTE, at=100, final=300)
    assert runs(line) == [(0, 300, GUARD), (300, 1000, MUTE)]


def test_a_stricter_change_does_not_wait_for_a_milder_one_to_come() -> None:
    line = PolicyLine(CAPTURE)
    line.change(OPEN, at=600, final=0)
    line.change(MUTE, at=500, final=0)
    assert runs(line) == [(0, 500, CAPTURE), (500, 1000, MUTE)]


def test_the_change_set_last_holds_in_the_end_and_loosens_nothing_set_before() -> None:
    line = PolicyLine(GUARD)
    line.change(MUTE, at=600, final=0)
    line.change(OPEN, at=500, final=0)
    assert runs(line) == [(0, 600, GUARD), (600, 1000, OPEN)]


def test_what_was_forgotten_reads_as_the_earliest_known() -> None:
    line = PolicyLine(OPEN)
    line.change(GUARD, at=100, final=100)
    line.change(MUTE, at=200, final=200)
    line.forget(150)
    assert runs(line) == [(0, 200, GUARD), (200, 1000, MUTE)]
    assert line.at(50) is GUARD
    assert not line.only(OPEN, 0, 100)
