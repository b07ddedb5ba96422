"""From a masker to its rows: run it over the conditions, attack its output, count hits.

`leak_table` is the function to tune a masker with; benchmarks/leak/run.py prints it for many.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.attacks import likelihood_attacks
from benchmarks.leak.conditions import CONDITIONS, GROUPS, PRESSES, Condition, make_call
from benchmarks.leak.press import Float32, Int64, LeakCall, to_pcm16
from benchmarks.leak.trained import discriminate, features
from benchmarks.material.codecs import CodecMissingError

ATTACKS: Final = ("any", "body", "onset", "tail", "trained")

CallMasker = Callable[[LeakCall], Float32]
"""A masker that is told more than the audio (truth, events)."""
AudioMasker = Callable[[Float32], Float32]


@dataclass(frozen=True, slots=True)
class Leak:
    """What the attacks made of one masker's output.

    Parameters
    ----------
    condition : (n_presses,) name of the condition of each press.
    keys : (n_presses,) truth.
    guesses : attack -> (n_presses,) guesses.
    """

    condition: NDArray[np.str_]
    keys: Int64
    guesses: dict[str, Int64]

    def accuracy(self, attack: str, conditions: Iterable[str]) -> tuple[float, float, int]:
        """Share of right guesses in percent, half its 95 % interval, and the number of presses."""
        chosen = np.isin(self.condition, sorted(conditions))
        n = int(chosen.sum())
        if n == 0:
            return float("nan"), float("nan"), 0
        share = float(np.mean(self.guesses[attack][chosen] == self.keys[chosen]))
        # Agresti-Coull keeps the interval honest near 0 and 100 %
        middle = (share * n + 2) / (n + 4)
        half = 1.96 * np.sqrt(middle * (1 - middle) / (n + 4))
        return 100 * share, 100 * float(half), n

    def chance(self, attack: str) -> float:
        """What the attack's guesses would score against keys in another order, percent."""
        guess = np.bincount(self.guesses[attack], minlength=16) / self.keys.size
        key = np.bincount(self.keys, minlength=16) / self.keys.size
        return 100 * float(guess @ key)

    def text(self, groups: Sequence[str] = tuple(GROUPS)) -> str:
        """Table of groups by attack, percent right with half the 95 % interval."""
        lines = [
            f"{'':24s}" + "".join(f"{a:>14s}" for a in ATTACKS) + f"{'worst':>9s}{'presses':>9s}"
        ]
        lines += [self._line(g, GROUPS[g]) for g in groups]
        lines.append(f"{'chance':24s}" + "".join(f"{self.chance(a):8.1f}      " for a in ATTACKS))
        return "\n".join(lines)

    def by_condition(self) -> str:
        """The same, one line per condition."""
        names = list(dict.fromkeys(self.condition.tolist()))
        return "\n".join(self._line(name, {name}) for name in names)

    def _line(self, label: str, conditions: Iterable[str]) -> str:
        cells = [self.accuracy(a, conditions) for a in ATTACKS]
        body = "".join(f"{share:8.1f} ±{half:4.1f}" for share, half, _ in cells)
        return f"{label:24s}{body}{max(cell[0] for cell in cells):9.1f}{cells[0][2]:9d}"


def make_calls(
    presses_per_condition: int = PRESSES,
    conditions: Sequence[Condition] = CONDITIONS,
    seed: int = 1,
) -> list[LeakCall]:
    """Synthesize the calls of all conditions whose codecs are installed; warn of the others."""
    calls = []
    for condition in conditions:
        try:
            calls.append(make_call(condition, presses_per_condition, seed))
        except CodecMissingError as error:
            print(f"condition left out: {condition.name}: {error}", file=sys.stderr)
    return calls


def attack_calls(calls: Sequence[LeakCall], outputs: Sequence[Float32]) -> Leak:
    """Run the five attacks on a masker's outputs, one per call."""
    guesses: dict[str, list[Int64]] = {a: [] for a in ATTACKS[:-1]}
    seen = []
    for call, output in zip(calls, outputs, strict=True):
        scores = likelihood_attacks(call, output)
        for name, score in scores.items():
            guesses[name].append(np.argmax(score, axis=1).astype(np.int64))
        seen.append(features(call, output, scores))
    keys = np.concatenate([c.keys for c in calls])
    named = {name: np.concatenate(parts) for name, parts in guesses.items()}
    named["trained"] = discriminate(np.vstack(seen), keys)
    condition = np.concatenate([np.full(c.keys.size, c.condition) for c in calls])
    return Leak(condition, keys, named)


def leak_calls(masker: CallMasker, calls: Sequence[LeakCall]) -> Leak:
    """Mask every call, as 16-bit audio, and attack the result."""
    return attack_calls(calls, [to_pcm16(masker(call)) for call in calls])


def leak_table(
    masker: AudioMasker,
    presses_per_condition: int = PRESSES,
    conditions: Sequence[Condition] = CONDITIONS,
    seed: int = 1,
) -> Leak:
    """Measure what a masker leaks.

    Parameters
    ----------
    masker : (n,) float32 at 8 kHz -> (n,) float32, same length, aligned.
    presses_per_condition : before the conditions' weights; the default gives over 8,000 presses.
    conditions : rows of the table to use.
    seed : of keys, phases, times, noise and speech; try others, or a masker is tuned to one.

    Returns
    -------
    Leak
        ``print(leak.text())`` for the groups, ``print(leak.by_condition())`` for each condition.
    """
    return leak_calls(
        lambda call: masker(call.audio), make_calls(presses_per_condition, conditions, seed)
    )
