"""Which policy holds where on the time line of one sink.

A policy changes at an instant, and what has not left yet can still be held to a stricter one. So
`capture` reaches back over everything that is not final, and so does whatever follows `open`;
`mute` begins and ends at its instant; a milder policy never reaches back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from voicemask.capture.policy import Policy

FILLING: Final = frozenset({Policy.GUARD, Policy.CAPTURE})
"""Policies under which what detection names is filled."""
_STRICTNESS: Final = {
    policy: rank
    for rank, policy in enumerate((Policy.OPEN, Policy.GUARD, Policy.CAPTURE, Policy.MUTE))
}

Run = tuple[int, int, Policy]
"""Samples ``[begin, end)`` under one policy."""


def stricter(one: Policy, other: Policy) -> Policy:
    """Give the policy that lets less pass."""
    return max(one, other, key=_STRICTNESS.__getitem__)


class PolicyLine:
    """Policies of one sink, by sample; the last one goes on for ever.

    Parameters
    ----------
    policy : from sample 0 on.
    """

    def __init__(self, policy: Policy) -> None:
        self._starts = [0]
        self._policies = [policy]

    @property
    def latest(self) -> Policy:
        """The policy that was set last."""
        return self._policies[-1]

    @property
    def latest_start(self) -> int:
        """Where the policy set last begins."""
        return self._starts[-1]

    def change(self, policy: Policy, at: int, final: int) -> None:
        """Set a policy from sample `at` on; what lies before `final` stays as it was."""
        at = max(at, final)
        settled = max(at, self._starts[-1])
        changed: list[tuple[int, Policy]] = []
        for begin, end, old in self.runs(self._starts[0], settled):
            for start, stop in _cut(begin, end, (final, at)):
                reaches = start >= at or policy is Policy.CAPTURE or old is Policy.OPEN
                now = stricter(old, policy) if start >= final and reaches else old
                if stop > start and (not changed or changed[-1][1] is not now):
                    changed.append((start, now))
        if not changed or changed[-1][1] is not policy:
            changed.append((settled, policy))
        self._starts = [start for start, _ in changed]
        self._policies = [old for _, old in changed]

    def runs(self, begin: int, end: int) -> Iterator[Run]:
        """Give the runs of ``[begin, end)`` in order; the earliest one reaches back for ever."""
        n = len(self._starts)
        for i in range(n):
            stop = min(self._starts[i + 1], end) if i + 1 < n else end
            start = max(self._starts[i], begin) if i else begin
            if stop > start:
                yield start, stop, self._policies[i]

    def whole_run(self, at: int) -> tuple[int, int | None, Policy]:
        """Give the run that sample `at` lies in; its end is None where it goes on for ever."""
        i = self._place_of(at)
        end = self._starts[i + 1] if i + 1 < len(self._starts) else None
        return self._starts[i], end, self._policies[i]

    def at(self, sample: int) -> Policy:
        """Give the policy of a sample; the earliest one known before that."""
        return self._policies[self._place_of(sample)]

    def holds(self, policies: frozenset[Policy], begin: int) -> bool:
        """Tell whether one of `policies` holds anywhere from `begin` on."""
        return any(policy in policies for policy in self._policies[self._place_of(begin) :])

    def filling(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Give the stretches of ``[begin, end)`` in which what detection names is filled."""
        found: list[tuple[int, int]] = []
        for start, stop, policy in self.runs(begin, end):
            if policy not in FILLING:
                continue
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], stop)
            else:
                found.append((start, stop))
        return found

    def only(self, policy: Policy, begin: int, end: int) -> bool:
        """Tell whether all of ``[begin, end)`` is under one policy."""
        if len(self._policies) == 1:
            return self._policies[0] is policy
        return all(other is policy for *_, other in self.runs(begin, end))

    def forget(self, before: int) -> None:
        """Let go of runs that ended before a sample."""
        while len(self._starts) > 1 and self._starts[1] <= before:
            del self._starts[0], self._policies[0]

    def _place_of(self, sample: int) -> int:
        i = len(self._starts) - 1
        while i > 0 and self._starts[i] > sample:
            i -= 1
        return i


def _cut(begin: int, end: int, places: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Cut ``[begin, end)`` at two places in order."""
    for place in places:
        if begin < place < end:
            yield begin, place
            begin = place
    yield begin, end
