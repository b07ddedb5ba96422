"""The arbiter: what comes out depends on the sightings, not on when they were handed in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicemask.capture.digit import Digit
from voicemask.dtmf.arbiter import Arbiter, Carrier, KeyPress

RATE = 8000
SIGHTINGS = st.lists(
    st.tuples(
        st.sampled_from(Carrier),
        st.integers(0, 10 * RATE),
        st.integers(1, RATE),
        st.integers(0, 3),
    ),
    max_size=25,
)
Sighting = tuple[Carrier, int, int, int]


def give(arbiter: Arbiter, sighting: Sighting) -> None:
    carrier, start, length, index = sighting
    if carrier is Carrier.TONE:
        arbiter.tone(start, start + length, Digit(index))
    elif carrier is Carrier.EVENT:
        arbiter.event(start, start + length, Digit(index))
    else:
        arbiter.info(start, Digit(index))


def end_of(sighting: Sighting) -> int:
    carrier, start, length, _ = sighting
    return start if carrier is Carrier.INFO else start + length


@given(SIGHTINGS, st.integers(400, RATE), st.integers(0, RATE))
def test_presses_do_not_depend_on_batching(sightings: list[Sighting], step: int, lag: int) -> None:
    at_once = Arbiter(0, RATE)
    for sighting in sightings:
        give(at_once, sighting)
    expected = at_once.flush()
    stepped = Arbiter(0, RATE)
    presses: list[KeyPress] = []
    waiting = sorted(sightings, key=end_of)
    for now in range(0, 14 * RATE, step):
        while waiting and end_of(waiting[0]) <= now:
            give(stepped, waiting.pop(0))
        presses += stepped.advance(now - lag)
    presses += stepped.flush()
    # Two keys told for the very same samples have no order.
    assert sorted(presses, key=_place) == sorted(expected, key=_place)
    assert [press.end for press in presses] == [press.end for press in expected]


@given(st.integers(1, 8), st.integers(0, 150), st.booleans(), st.booleans(), st.integers(0, 900))
def test_a_key_repeated_is_as_many_presses_on_any_carriers(
    n: int, lag_ms: int, has_event: bool, has_info: bool, info_ms: int
) -> None:
    arbiter = Arbiter(0, RATE)
    for k in range(n):
        start = k * 160 * 8
        give(arbiter, (Carrier.TONE, start, 640, 5))
        if has_event:
            give(arbiter, (Carrier.EVENT, start + lag_ms * 8, 800, 5))
        if has_info:
            give(arbiter, (Carrier.INFO, start + info_ms * 8, 1, 5))
    assert len(arbiter.flush()) == n


def _place(press: KeyPress) -> tuple[int, int, int]:
    return press.start, press.end, hash(press.digit)
