"""What ordinary receivers still decode from masked audio.

Not an attack (a receiver is far blinder than one: it needs 20-40 ms of tone), but the question
people ask first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchmarks.leak.press import Float32, LeakCall, samples
from benchmarks.peers import multimon, spandsp

KEYS = "123A456B789C*0#D"
NEAR_MS = 50.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """Per condition: presses, keys a receiver reported, and presses it named rightly."""

    counts: dict[str, tuple[int, int, int]]

    def total(self, conditions: Collection[str]) -> tuple[int, int, int]:
        """Sum of presses, reported and right over some conditions."""
        rows = [row for name, row in self.counts.items() if name in conditions]
        presses, reported, right = zip(*rows, strict=True)
        return sum(presses), sum(reported), sum(right)

    def percent(self, conditions: Collection[str]) -> float:
        """Share of presses named rightly, percent."""
        presses, _, right = self.total(conditions)
        return 100 * right / presses

    def where(self) -> str:
        """Conditions in which something was decoded, and how often."""
        hits = [f"{name}: {right}" for name, (_, _, right) in self.counts.items() if right]
        return ", ".join(hits) or "nowhere"


def spandsp_decodes(calls: Sequence[LeakCall], outputs: Sequence[Float32]) -> Decoded:
    """Count presses spandsp names rightly within 50 ms of where they are."""
    counts = {}
    near = samples(NEAR_MS)
    for call, output in zip(calls, outputs, strict=True):
        found = spandsp.detect(output)
        right = sum(
            any(
                name == KEYS[key] and first < end + near and last > start - near
                for name, first, last in found
            )
            for key, start, end in zip(call.keys, call.start, call.end, strict=True)
        )
        counts[call.condition] = (call.keys.size, len(found), right)
    return Decoded(counts)


def multimon_decodes(calls: Sequence[LeakCall], outputs: Sequence[Float32]) -> Decoded:
    """Count presses multimon-ng names rightly, by the longest common subsequence with the truth."""
    counts = {}
    for call, output in zip(calls, outputs, strict=True):
        found = multimon.decode(output)
        right = common_length(found, "".join(KEYS[key] for key in call.keys))
        counts[call.condition] = (call.keys.size, len(found), right)
    return Decoded(counts)


def common_length(a: str, b: str) -> int:
    """Length of the longest common subsequence (bit-parallel: one bit per letter of `a`)."""
    places = {letter: sum(1 << i for i, x in enumerate(a) if x == letter) for letter in set(a)}
    full = (1 << len(a)) - 1
    row = full
    for letter in b:
        match = row & places.get(letter, 0)
        row = ((row + match) | (row - match)) & full
    return len(a) - row.bit_count()
