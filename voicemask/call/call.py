"""The stages wired for one call: a composition of two legs and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from voicemask.call.leg import Leg
from voicemask.call.values import Arrival, LegPlan, Means, Output
from voicemask.capture.digit import Digit
from voicemask.capture.policy import Fill, Policy
from voicemask.rtp.reorder import DEFAULT_DEPTH

DEFAULT_HOLD_MS: Final = 500
"""An event reaches this far back, less its guard: to the onset that was sent before it."""
DEFAULT_BLOCK_MS: Final = 500
"""How much audio the masker is fed at a time; more is faster and lets go later."""


class Call:
    """One call: datagrams of both directions in, masked ones, audio, spans and presses out.

    Parameters
    ----------
    legs : one plan a direction; both masked unless the customer's side is known.
    policy : of the sinks behind this call.
    fill : what masked audio is replaced with.
    rate_hz : rate in which spans and presses are told.
    hold_ms : how far masking stays behind the newest packet of its direction.
    block_ms : masking goes on in steps of this much audio.
    lag_ms : how long masked audio may be held back at most, beyond `hold_ms` and `block_ms`; None:
        as long as detection asks. With a bound, what cannot be decided in time is masked, and
        marks of events and INFO reach back over all that is held.
    depth : packets that may wait for one that is missing; none may be displaced by so many.

    Notes
    -----
    What comes out of a direction depends on its packets and their stamps alone: not on how they
    are batched, nor on the order they arrive in as long as none is displaced by 16 or more.
    """

    def __init__(
        self,
        legs: Sequence[LegPlan],
        policy: Policy = Policy.GUARD,
        fill: Fill = Fill.NOISE,
        *,
        rate_hz: int = 8000,
        hold_ms: int = DEFAULT_HOLD_MS,
        block_ms: int = DEFAULT_BLOCK_MS,
        lag_ms: int | None = None,
        depth: int = DEFAULT_DEPTH,
    ) -> None:
        means = Means(policy, fill, rate_hz, hold_ms, block_ms, lag_ms, depth)
        self._legs = {plan.channel: Leg(plan, means) for plan in legs}

    def push(self, arrivals: Iterable[Arrival]) -> Output:
        """Take datagrams in the order they arrived; give what is ready to leave."""
        out = Output()
        for arrival in arrivals:
            self._legs[arrival.channel].push(arrival, out)
        return out

    def info(self, channel: int, at_ns: int, digit: Digit, duration_ms: int = 0) -> None:
        """Take a SIP INFO digit of the party that speaks on `channel`."""
        self._legs[channel].info(at_ns, digit, duration_ms)

    def set_policy(self, channel: int, policy: Policy, at_ns: int) -> None:
        """Set what the sinks may hear of `channel` from `at_ns` on.

        `capture`, and whatever follows `open`, holds for all that has not left yet too. `mute`
        begins and ends at its instant. A direction whose plan says it is not masked never is.
        """
        self._legs[channel].set_policy(policy, at_ns)

    def set_plan(self, channel: int, plan: LegPlan) -> None:
        """Go on with another plan: other payload types, or who is who became known."""
        self._legs[channel].set_plan(plan)

    def idle(self, until_ns: int) -> Output:
        """Let time go on to `until_ns` in directions of which no audio came since: silence."""
        out = Output()
        for leg in self._legs.values():
            out.extend(leg.idle(until_ns))
        return out

    def settled(self, channel: int) -> int:
        """Give the sample, at the call's rate, before which the audio of `channel` is told."""
        return self._legs[channel].settled

    def flush(self) -> Output:
        """End of the call: everything held comes out."""
        out = Output()
        for leg in self._legs.values():
            out.extend(leg.flush())
        return out
