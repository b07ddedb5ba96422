"""The tape: absolute positions over bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from voicemask.audio.tape import Tape


def test_positions_stay_absolute_while_audio_is_let_go() -> None:
    tape = Tape(100)
    for n in range(200):
        tape.append(np.arange(n * 500, (n + 1) * 500, dtype=np.float32))
        tape.drop(tape.end - 700)
    assert tape.end == 100 + 100_000
    assert tape.view(tape.end - 3, tape.end).tolist() == [99997, 99998, 99999]


def test_what_was_let_go_cannot_be_seen() -> None:
    tape = Tape()
    tape.append(np.ones(10, np.float32))
    tape.drop(5)
    with pytest.raises(AssertionError):
        tape.view(4, 6)


def test_what_was_let_go_is_overwritten() -> None:
    tape = Tape()
    tape.append(np.ones(10, np.float32))
    view = tape.view(0, 10)
    tape.drop(6)
    assert view.tolist() == [0] * 6 + [1] * 4


def test_writing_to_a_view_changes_the_tape() -> None:
    tape = Tape()
    tape.append(np.ones(10, np.float32))
    tape.view(2, 4)[:] = 7
    assert tape.view(1, 5).tolist() == [1, 7, 7, 1]
