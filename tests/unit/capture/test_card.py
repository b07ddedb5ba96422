"""Card checks on the published test numbers of the card brands and Stripe, Telnyx and Adyen."""

from __future__ import annotations

import numpy as np
import pytest

from voicemask.capture.card import (
    Brand,
    Month,
    brand_of,
    check_expiry,
    check_number,
    check_security_code,
    lengths_of,
    passes_luhn,
    wipe,
)
from voicemask.errors import CardError

TODAY = Month(2025, 6)

PUBLISHED = [
    ("4111111111111111", Brand.VISA),
    ("4222222222222", Brand.VISA),
    ("5555555555554444", Brand.MASTERCARD),
    ("2223003122003222", Brand.MASTERCARD),
    ("378282246310005", Brand.AMEX),
    ("30569309025904", Brand.DINERS),
    ("3056930009020004", Brand.DINERS),
    ("6011111111111117", Brand.DISCOVER),
    ("3566002020360505", Brand.JCB),
    ("6200000000000005", Brand.UNIONPAY),
    ("6771798021000008", Brand.MAESTRO),
]


def keyed(text: str) -> bytearray:
    return bytearray(int(key) for key in text)


@pytest.mark.parametrize(("number", "brand"), PUBLISHED)
def test_number_published_for_tests_is_accepted_with_its_brand(number: str, brand: Brand) -> None:
    assert check_number(keyed(number)) is brand


@pytest.mark.parametrize(
    ("leading", "brand"),
    [
        ("2220", None),
        ("2221", Brand.MASTERCARD),
        ("2720", Brand.MASTERCARD),
        ("2721", None),
        ("50", Brand.MAESTRO),
        ("51", Brand.MASTERCARD),
        ("55", Brand.MASTERCARD),
        ("56", Brand.MAESTRO),
        ("3527", None),
        ("3528", Brand.JCB),
        ("3589", Brand.JCB),
        ("3590", None),
        ("6011", Brand.DISCOVER),
        ("6012", Brand.MAESTRO),
        ("62", Brand.UNIONPAY),
        ("622126", Brand.DISCOVER),
        ("643", Brand.MAESTRO),
        ("644", Brand.DISCOVER),
        ("9", None),
        ("", None),
    ],
)
def test_brand_changes_at_the_edges_of_its_ranges(leading: str, brand: Brand | None) -> None:
    assert brand_of(keyed(leading)) is brand


@pytest.mark.parametrize(
    ("brand", "lengths"),
    [
        (Brand.VISA, {13, 16, 19}),
        (Brand.AMEX, {15}),
        (Brand.MASTERCARD, {16}),
        (Brand.DINERS, {14, 15, 16, 17, 18, 19}),
        (Brand.DISCOVER, {16, 17, 18, 19}),
        (Brand.JCB, {16, 17, 18, 19}),
        (Brand.UNIONPAY, {16, 17, 18, 19}),
        (Brand.MAESTRO, set(range(12, 20))),
    ],
)
def test_lengths_are_those_of_the_brand(brand: Brand, lengths: set[int]) -> None:
    assert lengths_of(brand) == lengths


@pytest.mark.parametrize("place", range(16))
def test_luhn_notices_every_single_wrong_digit(place: int) -> None:
    digits = keyed("4111111111111111")
    digits[place] = (digits[place] + 3) % 10
    assert not passes_luhn(digits)


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        ("4111111111111112", "check digit"),
        ("411111111111111", "length"),
        ("9999999999999995", "no known brand"),
        ("", "empty"),
    ],
)
def test_number_error_names_field_and_rule_and_no_digit(number: str, rule: str) -> None:
    with pytest.raises(CardError, match=rule) as caught:
        check_number(keyed(number))
    assert caught.value.field == "payment-card-number"
    assert not any(character.isdigit() for character in str(caught.value))


def test_number_with_a_star_in_it_is_refused() -> None:
    with pytest.raises(CardError, match="other than digits"):
        check_number(bytearray([4, 1, 12, 1]))


def test_number_may_be_an_array() -> None:
    digits = np.frombuffer(keyed("4111111111111111"), dtype=np.uint8)
    assert check_number(digits) is Brand.VISA  # type: ignore[arg-type]


def test_expiry_is_good_to_the_end_of_its_month() -> None:
    assert check_expiry(keyed("0625"), TODAY) == TODAY


@pytest.mark.parametrize(
    ("expiry", "rule"),
    [
        ("0525", "past"),
        ("1225", None),
        ("1324", "no such month"),
        ("0030", "no such month"),
        ("0646", "too far"),
        ("062", "two digits"),
        ("", "empty"),
    ],
)
def test_expiry_is_checked_against_the_month_given(expiry: str, rule: str | None) -> None:
    if rule is None:
        check_expiry(keyed(expiry), TODAY)
    else:
        with pytest.raises(CardError, match=rule):
            check_expiry(keyed(expiry), TODAY)


def test_expiry_may_be_an_array() -> None:
    digits = np.array([0, 1, 9, 9], dtype=np.uint8)
    assert check_expiry(digits, Month(2098, 12)) == Month(2099, 1)  # type: ignore[arg-type]


def test_expiry_passes_into_the_next_century() -> None:
    assert check_expiry(keyed("0102"), Month(2098, 12)) == Month(2102, 1)


@pytest.mark.parametrize(("brand", "length"), [(Brand.AMEX, 4), (Brand.VISA, 3), (Brand.JCB, 3)])
def test_security_code_has_the_length_of_the_brand(brand: Brand, length: int) -> None:
    check_security_code(bytearray(length), brand)
    with pytest.raises(CardError, match="digits it needs"):
        check_security_code(bytearray(length + 1), brand)


def test_security_code_waits_for_the_number() -> None:
    with pytest.raises(CardError, match="before the card number"):
        check_security_code(bytearray(3), None)


def test_wipe_overwrites_the_buffer_it_was_given() -> None:
    digits = keyed("4111111111111111")
    view = memoryview(digits)
    wipe(digits)
    assert bytes(view) == bytes(16)
