"""The digit of a key press, as a value that cannot be shown by accident.

A `Digit` prints as `Digit(*)`, refuses `str()`-like formatting, JSON, pickling and comparison with
text, and gives its value only through `reveal()`. The callers of `reveal()` are an allow-list that
tests/privacy holds.
"""

from __future__ import annotations

from typing import Final, NoReturn

from voicemask.errors import SecretError

KEYS: Final = "123A456B789C*0#D"
"""The sixteen keys in row order: index = 4 * row + column (ITU-T Q.23)."""


class Digit:
    """One key of the keypad.

    Parameters
    ----------
    index : 0..15, ``4 * row + column`` of the Q.23 keypad.

    Raises
    ------
    SecretError
        The index is not a key.
    """

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        if not 0 <= index < len(KEYS):
            raise SecretError("a key index runs from 0 to 15")
        self._index = index

    @classmethod
    def of(cls, key: str) -> Digit:
        """Make the digit of a key as text (``0-9 * # A-D``).

        Raises
        ------
        SecretError
            The text is not one key.
        """
        if len(key) != 1 or key.upper() not in KEYS:
            raise SecretError("a key is one of 0-9, *, #, A-D")
        return cls(KEYS.index(key.upper()))

    def reveal(self) -> str:
        """Give the key as text. Callers are listed in tests/privacy."""
        return KEYS[self._index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Digit):
            return self._index == other._index
        if isinstance(other, str | bytes | int):
            raise SecretError("a digit compares with a digit only")
        return NotImplemented

    def __hash__(self) -> int:
        return hash((Digit, self._index))

    def __repr__(self) -> str:
        return "Digit(*)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("*", spec)

    def __reduce__(self) -> NoReturn:
        raise SecretError("a digit does not pickle")

    def __copy__(self) -> Digit:
        return self

    def __deepcopy__(self, memo: object) -> Digit:
        return self
