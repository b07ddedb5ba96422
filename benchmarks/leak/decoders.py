"""What ordinary receivers still decode from masked audio.

Not an attack (a receiver is far blinder than one: it needs 20-40 ms of tone), but the question
people ask first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.leak.press import Float32, LeakCall, samples
from benchmarks.peers import multimon, spandsp

KEYS = "123A456B789C*0#D"
NEAR_MS = 50.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """Counts over all calls: presses, keys a receiver reported, and right ones among them."""

    presses: int
    reported: int
    right: int

    def percent(self) -> float:
        """Share of presses decoded, percent."""
        return 100 * self.right / self.presses


def spandsp_decodes(calls: Sequence[LeakCall], outputs: Sequence[Float32]) -> Decoded:
    """Count presses spandsp names rightly within 50 ms of where they are."""
    reported = right = 0
    near = samples(NEAR_MS)
    for call, output in zip(calls, outputs, strict=True):
        found = spandsp.detect(output)
        reported += len(found)
        for key, start, end in zip(call.keys, call.start, call.end, strict=True):
            right += any(
                name == KEYS[key] and first < end + near and last > start - near
                for name, first, last in found
            )
    return Decoded(sum(c.keys.size for c in calls), reported, right)


def multimon_decodes(calls: Sequence[LeakCall], outputs: Sequence[Float32]) -> Decoded:
    """Count presses multimon-ng names rightly, by the longest common subsequence with the truth."""
    reported = right = 0
    for call, output in zip(calls, outputs, strict=True):
        found = multimon.decode(output)
        reported += len(found)
        right += common_length(found, "".join(KEYS[k] for k in call.keys))
    return Decoded(sum(c.keys.size for c in calls), reported, right)


def common_length(a: str, b: str) -> int:
    """Length of the longest common subsequence (bit-parallel: one bit per letter of `a`)."""
    places = {letter: sum(1 << i for i, x in enumerate(a) if x == letter) for letter in set(a)}
    full = (1 << len(a)) - 1
    row = full
    for letter in b:
        match = row & places.get(letter, 0)
        row = ((row + match) | (row - match)) & full
    return len(a) - row.bit_count()
