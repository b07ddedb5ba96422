"""The arbiter: one press for one key, however it was told."""

from __future__ import annotations

import pytest

from voicemask.capture.digit import Digit
from voicemask.dtmf.arbiter import Arbiter, Carrier, KeyPress

MS = 8
FIVE, SIX = Digit.of("5"), Digit.of("6")
TONE, EVENT, INFO = Carrier.TONE, Carrier.EVENT, Carrier.INFO
Told = tuple[Carrier, int, int]


def arbitrate(*told: Told, digit: Digit = FIVE) -> list[KeyPress]:
    """Give sightings in ms to an arbiter; sightings come as they end."""
    arbiter = Arbiter(1, 8000)
    presses: list[KeyPress] = []
    for carrier, start, end in sorted(told, key=lambda item: item[2]):
        presses += arbiter.advance(end * MS - 1)
        if carrier is TONE:
            arbiter.tone(start * MS, end * MS, digit)
        elif carrier is EVENT:
            arbiter.event(start * MS, end * MS, digit)
        else:
            arbiter.info(end * MS, digit)
    return presses + arbiter.flush()


def info(at: int) -> Told:
    return (INFO, at, at)


@pytest.mark.parametrize(
    ("told", "carriers"),
    [
        ([(TONE, 0, 100)], {TONE}),
        ([(EVENT, 0, 100)], {EVENT}),
        ([info(100)], {INFO}),
        ([(TONE, 0, 100), (EVENT, 40, 160)], {TONE, EVENT}),
        ([(TONE, 0, 100), (EVENT, 0, 90)], {TONE, EVENT}),
        ([(TONE, 40, 100), (EVENT, 0, 100)], {TONE, EVENT}),
        ([(TONE, 0, 100), (EVENT, 20, 160), info(50)], {TONE, EVENT, INFO}),
        ([(TONE, 0, 100), (EVENT, 60, 160), info(1000)], {TONE, EVENT, INFO}),
        ([(EVENT, 0, 100), info(900)], {EVENT, INFO}),
        ([(TONE, 0, 5000), (EVENT, 40, 5100), info(60)], {INFO}),
        ([(TONE, 0, 5000), (EVENT, 40, 5100), info(800)], {INFO}),
    ],
)
def test_the_carriers_of_one_key_are_one_press(told: list[Told], carriers: set[Carrier]) -> None:
    (press,) = arbitrate(*told)
    assert press.carriers == carriers
    assert press.digit == FIVE
    assert press.channel == 1


def test_a_press_spans_its_tone_and_event() -> None:
    (press,) = arbitrate((TONE, 0, 100), (EVENT, 40, 160), info(900))
    assert (press.start, press.end) == (0, 160 * MS)


def test_a_short_gap_in_a_tone_is_one_press() -> None:
    (press,) = arbitrate((TONE, 0, 50), (TONE, 60, 110))
    assert (press.start, press.end) == (0, 110 * MS)


def test_segments_of_a_long_event_are_one_press() -> None:
    assert len(arbitrate((EVENT, 0, 8192), (EVENT, 8192, 9000))) == 1


@pytest.mark.parametrize("carrier", [TONE, EVENT])
def test_a_repeated_key_stays_two(carrier: Carrier) -> None:
    assert len(arbitrate((carrier, 0, 40), (carrier, 80, 120))) == 2


@pytest.mark.parametrize("lag", [0, 20, 40, 60, 100, 150])
@pytest.mark.parametrize("outlast", [0, 20, 35])
def test_a_repeated_key_on_two_carriers_out_of_step_stays_as_many(lag: int, outlast: int) -> None:
    told: list[Told] = []
    for n in range(5):
        told.append((TONE, 80 * n, 80 * n + 40))
        told.append((EVENT, 80 * n + lag, 80 * n + lag + 40 + outlast))
    assert len(arbitrate(*told)) == 5


@pytest.mark.parametrize("delay", [30, 300, 1000])
def test_a_repeated_key_with_late_infos_stays_as_many(delay: int) -> None:
    told = [(TONE, 200 * n, 200 * n + 80) for n in range(4)]
    told += [info(200 * n + delay) for n in range(4)]
    assert len(arbitrate(*told)) == 4


def test_pieces_of_a_tone_within_one_event_are_one_press() -> None:
    assert len(arbitrate((TONE, 0, 100), (TONE, 200, 300), (EVENT, 30, 330))) == 1


def test_pieces_of_an_event_within_one_tone_are_one_press() -> None:
    assert len(arbitrate((EVENT, 20, 100), (EVENT, 150, 300), (TONE, 0, 310))) == 1


def test_different_keys_are_never_joined() -> None:
    arbiter = Arbiter(0, 8000)
    arbiter.tone(0, 800, FIVE)
    arbiter.event(0, 800, SIX)
    assert {press.digit for press in arbiter.flush()} == {FIVE, SIX}


def test_a_press_is_told_once_nothing_can_join_it() -> None:
    arbiter = Arbiter(0, 8000)
    arbiter.tone(0, 100 * MS, FIVE)
    assert arbiter.advance(2099 * MS) == []
    assert len(arbiter.advance(2100 * MS)) == 1
    assert arbiter.flush() == []


def test_a_press_does_not_print_its_key() -> None:
    (press,) = arbitrate((TONE, 0, 100))
    assert "Digit(*)" in repr(press)
    assert "'5'" not in repr(press)
