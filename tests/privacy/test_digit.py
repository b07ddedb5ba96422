"""A digit does not get out by accident: not by print, format, log, JSON, pickle or comparison."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest

from voicemask.capture.digit import KEYS, Digit
from voicemask.errors import SecretError, VoicemaskError

SECRET = "7"


@pytest.fixture
def digit() -> Digit:
    return Digit.of(SECRET)


def test_digit_prints_as_a_star_in_every_way(digit: Digit) -> None:
    shown = [str(digit), repr(digit), f"{digit}", f"{digit!r}", "%s" % digit, "{:>3}".format(digit)]  # noqa: UP031, UP032
    shown += [str([digit]), str({digit: digit}), f"{digit:*^5}"]
    assert all(SECRET not in text and "*" in text for text in shown)


def test_digit_prints_alike_for_every_key() -> None:
    assert len({f"{Digit.of(key)!r} {Digit.of(key)}" for key in KEYS}) == 1


def test_digit_refuses_numeric_formats(digit: Digit) -> None:
    for spec in ("d", "x", "f", "c"):
        with pytest.raises(ValueError, match="format"):
            format(digit, spec)
    with pytest.raises(TypeError):
        int(digit)  # type: ignore[call-overload]


def test_digit_does_not_pickle_nor_a_value_that_holds_one(digit: Digit) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(SecretError):
            pickle.dumps([digit], protocol)


def test_digit_is_no_json(digit: Digit) -> None:
    with pytest.raises(TypeError):
        json.dumps({"digit": digit})


@pytest.mark.parametrize("other", [SECRET, "8", 7, b"7"])
def test_digit_refuses_to_compare_with_what_could_be_guessed(digit: Digit, other: object) -> None:
    with pytest.raises(SecretError):
        assert digit == other
    with pytest.raises(SecretError):
        assert digit != other


def test_digit_compares_with_digits(digit: Digit) -> None:
    assert digit == Digit.of(SECRET)
    assert digit != Digit.of("8")


def test_digit_has_no_order(digit: Digit) -> None:
    with pytest.raises(TypeError):
        sorted([digit, Digit.of("1")])  # type: ignore[type-var]


def test_digit_hash_is_not_that_of_its_key_or_index(digit: Digit) -> None:
    assert hash(digit) not in {hash(SECRET), hash(7), hash(KEYS.index(SECRET))}


def test_digit_copies_as_itself(digit: Digit) -> None:
    assert copy.deepcopy([digit])[0] is digit


def test_digit_stays_closed_inside_a_dataclass(digit: Digit) -> None:
    @dataclass(frozen=True, slots=True)
    class Press:
        digit: Digit

    press = Press(digit)
    assert SECRET not in f"{press} {press!r} {asdict(press)}"


def test_digit_logs_as_a_star(digit: Digit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("canary").debug("pressed %s %r", digit, digit)
    assert "pressed Digit(*) Digit(*)" in caplog.text


@pytest.mark.parametrize("text", ["x", "", "77", "７"])
def test_digit_refuses_what_is_no_key_without_repeating_it(text: str) -> None:
    with pytest.raises(SecretError) as caught:
        Digit.of(text)
    assert isinstance(caught.value, VoicemaskError)
    assert not text or text not in traceback.format_exception_only(caught.value)[0]
