"""What was asked to be masked, of a call and of single parties, and what follows from it.

Blocking of DTMF, of media, and silence are three wishes that come and go one by one; the strictest
that is left holds. A party's own wishes add to the call's and never take from them, so no order of
requests ends in less masking than was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from voicemask.capture.policy import Fill, Policy
from voicemask.ng.flags import DtmfWish
from voicemask.ng.plan import PolicyChange

WHOLE_CALL: Final = -1
"""In place of a party's number."""


class Wish(Enum):
    """What can be asked for."""

    DTMF = "DTMF"
    MEDIA = "media"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked of one party, or of the call."""

    kinds: frozenset[Wish] = frozenset()
    dtmf: DtmfWish = field(default_factory=DtmfWish)

    def joined(self, other: Wishes) -> Wishes:
        """Add the wishes of another; its manner of masking counts where this has none."""
        dtmf = self.dtmf if Wish.DTMF in self.kinds else other.dtmf
        return Wishes(self.kinds | other.kinds, dtmf)

    def change(self, tag: str) -> PolicyChange:
        """Say what the media side is to do about a tag, empty for the call."""
        if Wish.SILENCE in self.kinds or Wish.MEDIA in self.kinds:
            return PolicyChange(Policy.MUTE, tag, fill=Fill.SILENCE)
        if Wish.DTMF in self.kinds:
            return PolicyChange(Policy.CAPTURE, tag, fill=self.dtmf.fill, hold_ms=self.dtmf.hold_ms)
        return PolicyChange(None, tag)


@dataclass(frozen=True, slots=True)
class WishBook:
    """All wishes of a call, by party number or `WHOLE_CALL`."""

    by_party: Mapping[int, Wishes] = field(default_factory=dict)

    def added(self, party: int, wish: Wish, dtmf: DtmfWish | None = None) -> WishBook:
        """Take a wish in."""
        old = self.by_party.get(party, Wishes())
        new = Wishes(old.kinds | {wish}, dtmf if dtmf is not None else old.dtmf)
        return replace(self, by_party={**self.by_party, party: new})

    def dropped(self, party: int, wish: Wish, *, everywhere: bool = False) -> WishBook:
        """Take a wish back; of single parties too where it is meant."""
        left = dict(self.by_party)
        for number in [party, *left] if everywhere else [party]:
            old = left.get(number, Wishes())
            left[number] = Wishes(old.kinds - {wish}, old.dtmf)
        return replace(self, by_party=left)

    def of_call(self) -> Wishes:
        """Give what holds for the call."""
        return self.by_party.get(WHOLE_CALL, Wishes())

    def of_party(self, number: int) -> Wishes | None:
        """Give what holds for a party with wishes of its own; None for the others."""
        own = self.by_party.get(number)
        return own.joined(self.of_call()) if own is not None and own.kinds else None
