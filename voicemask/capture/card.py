"""Checks of what a caller keyed: brand, length, check digit, expiry, security code.

Digits arrive as a mutable buffer of values 0..9 (`Digits`), are looked at in place and can be
overwritten with `wipe`; nothing here makes a text of them. An error says which field broke which
rule, never what was keyed.

References
----------
ISO/IEC 7812-1 for numbers and the Luhn check digit; ranges as the brands publish them. A *carte
bancaire* is co-badged and has the number of its Visa or Mastercard.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from voicemask.errors import CardError

Digits = MutableSequence[int]
"""Values 0..9 in a buffer that can be overwritten: a bytearray or a uint8 array."""


class Brand(Enum):
    """Card brand; the values are Twilio's names of card types."""

    VISA = "visa"
    MASTERCARD = "mastercard"
    AMEX = "amex"
    DINERS = "diners-club"
    DISCOVER = "discover"
    JCB = "jcb"
    MAESTRO = "maestro"
    UNIONPAY = "unionpay"


@dataclass(frozen=True, slots=True)
class _Range:
    """Numbers whose first digits lie in ``[first, last]``; both of the same length."""

    first: str
    last: str
    brand: Brand
    lengths: frozenset[int]


def _lengths(first: int, last: int) -> frozenset[int]:
    return frozenset(range(first, last + 1))


_VISA: Final = frozenset({13, 16, 19})
_ONLY_16: Final = frozenset({16})
_RANGES: Final = (
    # The more digits a row names, the earlier it stands: 6011 is Discover's, the rest of 60 is not.
    _Range("622126", "622925", Brand.DISCOVER, _lengths(16, 19)),
    _Range("2221", "2720", Brand.MASTERCARD, _ONLY_16),
    _Range("3528", "3589", Brand.JCB, _lengths(16, 19)),
    _Range("6011", "6011", Brand.DISCOVER, _lengths(16, 19)),
    _Range("300", "305", Brand.DINERS, _lengths(14, 19)),
    _Range("309", "309", Brand.DINERS, _lengths(14, 19)),
    _Range("644", "649", Brand.DISCOVER, _lengths(16, 19)),
    _Range("34", "34", Brand.AMEX, frozenset({15})),
    _Range("37", "37", Brand.AMEX, frozenset({15})),
    _Range("36", "36", Brand.DINERS, _lengths(14, 19)),
    _Range("38", "39", Brand.DINERS, _lengths(14, 19)),
    _Range("50", "50", Brand.MAESTRO, _lengths(12, 19)),
    _Range("51", "55", Brand.MASTERCARD, _ONLY_16),
    _Range("56", "59", Brand.MAESTRO, _lengths(12, 19)),
    _Range("62", "62", Brand.UNIONPAY, _lengths(16, 19)),
    _Range("65", "65", Brand.DISCOVER, _lengths(16, 19)),
    _Range("81", "81", Brand.UNIONPAY, _lengths(16, 19)),
    _Range("4", "4", Brand.VISA, _VISA),
    _Range("6", "6", Brand.MAESTRO, _lengths(12, 19)),
)

LONGEST_NUMBER: Final = 19
"""Digits of the longest card number, ISO/IEC 7812-1."""

_FARTHEST_EXPIRY_YEARS: Final = 20  # issuers give ten at most; farther is a slip of the finger


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of a year; orders by time."""

    year: int
    month: int

    def __sub__(self, other: Month) -> int:
        """Months from `other` to this one."""
        return 12 * (self.year - other.year) + self.month - other.month


def wipe(digits: Digits) -> None:
    """Overwrite the buffer with zeros, in place; its length stays."""
    for index in range(len(digits)):
        digits[index] = 0


def brand_of(digits: Digits) -> Brand | None:
    """Give the brand of a number from its first digits, None while they do not tell.

    May be asked while the number is still being keyed.
    """
    for row in _RANGES:
        width = len(row.first)
        if len(digits) >= width and int(row.first) <= _leading(digits, width) <= int(row.last):
            return row.brand
    return None


def lengths_of(brand: Brand) -> frozenset[int]:
    """Lengths a number of this brand may have."""
    return frozenset().union(*(row.lengths for row in _RANGES if row.brand is brand))


def security_code_length(brand: Brand) -> int:
    """Length of the code: four on the front of an Amex, three on the back of all others."""
    return 4 if brand is Brand.AMEX else 3


def passes_luhn(digits: Digits) -> bool:
    """Check digit of ISO/IEC 7812-1 annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return len(digits) > 0 and total % 10 == 0


def check_number(digits: Digits) -> Brand:
    """Check a card number, give its brand.

    Raises
    ------
    CardError
        Not digits, no known brand, a length the brand does not have, or a wrong check digit.
    """
    field = "payment-card-number"
    _check_digits(field, digits)
    brand = brand_of(digits)
    if brand is None:
        raise CardError(field, "is of no known brand")
    if len(digits) not in lengths_of(brand):
        raise CardError(field, "has a length its brand does not have")
    if not passes_luhn(digits):
        raise CardError(field, "has a wrong check digit")
    return brand


def check_expiry(digits: Digits, today: Month) -> Month:
    """Check an expiry keyed as MMYY; a card is good to the end of that month.

    Parameters
    ----------
    digits : four digits.
    today : the current month where the card is charged; time is an input here.

    Raises
    ------
    CardError
        Not four digits, no month, past, or more than 20 years ahead.
    """
    field = "expiration-date"
    _check_digits(field, digits)
    if len(digits) != 4:
        raise CardError(field, "is not two digits of month and two of year")
    month = _pair(digits, 0)
    if not 1 <= month <= 12:
        raise CardError(field, "has no such month")
    expiry = Month(_full_year(_pair(digits, 2), today.year), month)
    if expiry - today < 0:
        raise CardError(field, "is past")
    if expiry - today > 12 * _FARTHEST_EXPIRY_YEARS:
        raise CardError(field, "is too far ahead")
    return expiry


def check_security_code(digits: Digits, brand: Brand | None) -> None:
    """Check the length of a security code, which depends on the brand.

    Raises
    ------
    CardError
        Not digits, a wrong length, or the brand is not known yet: ask for the number first.
    """
    field = "security-code"
    _check_digits(field, digits)
    if brand is None:
        raise CardError(field, "cannot be checked before the card number")
    if len(digits) != security_code_length(brand):
        raise CardError(field, f"does not have the {security_code_length(brand)} digits it needs")


def _leading(digits: Digits, width: int) -> int:
    number = 0
    for index in range(width):
        number = 10 * number + int(digits[index])
    return number


def _pair(digits: Digits, at: int) -> int:
    return 10 * int(digits[at]) + int(digits[at + 1])  # int: a uint8 would overflow


def _full_year(two_digits: int, this_year: int) -> int:
    """Year nearest to this one that ends in these digits."""
    year = this_year - this_year % 100 + two_digits
    if year < this_year - 50:
        return year + 100
    return year - 100 if year > this_year + 49 else year


def _check_digits(field: str, digits: Digits) -> None:
    if len(digits) == 0:
        raise CardError(field, "is empty")
    if any(not 0 <= value <= 9 for value in digits):
        raise CardError(field, "holds something other than digits")
