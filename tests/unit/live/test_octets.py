"""A window of octets that grows at one end and is let go of at the other."""

from __future__ import annotations

import numpy as np
import pytest

from voicemask.live.octets import Octets


def test_octets_are_found_by_their_position_however_they_come_and_go() -> None:
    rng = np.random.default_rng(3)
    told = rng.integers(0, 256, 60_000, np.uint8).tobytes()
    octets = Octets(1000)
    at = 0
    while at < len(told):
        n = int(rng.integers(1, 500))
        octets.append(told[at : at + n])
        at = min(at + n, len(told))
        assert octets.end == 1000 + at
        start = int(rng.integers(octets.begin, octets.end + 1))
        assert octets.view(start, octets.end) == told[start - 1000 : at]
        octets.drop(octets.end - int(rng.integers(0, 700)))
        assert len(octets._buffer) <= 4096 + 1200 + n


def test_octets_let_go_of_what_is_there_only() -> None:
    octets = Octets()
    octets.append(b"abc")
    octets.drop(-5)
    assert octets.begin == 0
    octets.drop(10)
    assert (octets.begin, octets.end) == (3, 3)
    octets.append(b"de")
    assert octets.view(3, 5) == b"de"


@pytest.mark.parametrize("position", [0, 7, 100])
def test_octets_go_on_elsewhere(position: int) -> None:
    octets = Octets(5)
    octets.append(b"abc")
    octets.skip_to(position)
    assert (octets.begin, octets.end, bytes(octets._buffer)) == (position, position, b"")
    octets.append(b"x")
    assert octets.view(position, position + 1) == b"x"
