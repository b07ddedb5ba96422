"""Calls through a live relay: how the tones are, how they are told, what the network does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from benchmarks.leak.conditions import Condition


class Carriage(Enum):
    """How a key press travels."""

    IN_BAND = "in-band"
    EVENT = "event"
    """RFC 4733 packets in place of the audio; the tone is nowhere in the audio."""
    BOTH = "both"
    """RFC 4733 packets beside audio that holds the tone."""
    CUT = "cut"
    """The tone begins in the audio and RFC 4733 packets cut it, as gateways do that detect it."""


@dataclass(frozen=True, slots=True)
class PathCondition:
    """One call through the relay.

    Parameters
    ----------
    sound : tones and background.
    family : group it is counted in.
    loss_percent : packets lost before the relay, at random.
    jitter_ms : each packet is early or late by up to this much; beyond 10 ms they overtake.
    swapped_percent : packets that change places with the next.
    negotiated : whether the SDP offers telephone-event.
    """

    sound: Condition
    family: str
    carriage: Carriage = Carriage.IN_BAND
    loss_percent: float = 0.0
    jitter_ms: float = 0.0
    swapped_percent: float = 0.0
    negotiated: bool = False

    @property
    def name(self) -> str:
        """As in tables."""
        return self.sound.name


def _row(name: str, family: str, **sound: object) -> PathCondition:
    return PathCondition(replace(Condition(name, family), **sound), family)  # type: ignore[arg-type]


def _net(name: str, **network: object) -> PathCondition:
    plain = PathCondition(Condition(name, "network", (40, 200), (40, 200)), "network")
    return replace(plain, **network)  # type: ignore[arg-type]


def _told(name: str, carriage: Carriage, **rest: object) -> PathCondition:
    sound = Condition(name, "events", (60, 160), (60, 200))
    if carriage is Carriage.CUT:
        sound = replace(sound, clamp_ms=20.0)
    plain = PathCondition(sound, "events", carriage, negotiated=True)
    return replace(plain, **rest)  # type: ignore[arg-type]


def _table() -> tuple[PathCondition, ...]:
    return (
        *(
            _row(f"tone {t} ms", "length", tone_ms=(t, t), gap_ms=(40, 200))
            for t in (40, 60, 80, 100, 200)
        ),
        *(
            _row(f"tone {t} ms", "short", tone_ms=(t, t), gap_ms=(40, 200))
            for t in (15, 20, 25, 30, 35)
        ),
        *(_row(f"level {d} dBm0", "level", level_dbm0=(d, d)) for d in (-3, -10, -20, -30, -40)),
        *(_row(f"twist {d:+} dB", "twist", twist_db=d) for d in (-12, -8, -4, 4, 8, 12)),
        *(_row(f"white noise {d} dB", "noise", noise="white", snr_db=d) for d in (20, 12, 9, 6, 3)),
        *(
            _row(f"over speech {d} dB", "speech", under="speech", under_db=d)
            for d in (20, 10, 6, 0)
        ),
        _net("loss 1 %", loss_percent=1),
        _net("loss 3 %", loss_percent=3),
        _net("jitter 10 ms", jitter_ms=10),
        _net("jitter 30 ms", jitter_ms=30),
        _net("swapped 3 %", swapped_percent=3),
        _net("loss 3 %, jitter 30 ms", loss_percent=3, jitter_ms=30),
        _net("telephone-event negotiated", negotiated=True),
        _told("event", Carriage.EVENT),
        _told("event, loss 3 %", Carriage.EVENT, loss_percent=3),
        _told("both", Carriage.BOTH),
        _told("both, loss 3 %", Carriage.BOTH, loss_percent=3),
        _told("both, jitter 30 ms", Carriage.BOTH, jitter_ms=30),
        _told("cut after 20 ms", Carriage.CUT),
    )


CONDITIONS: Final = _table()
EXCUSED: Final = frozenset({"short", "events", "noise", "speech"})
"""Families a detector-driven masker finds hard; the rest is what every line brings."""
FAMILIES: Final = tuple(dict.fromkeys(row.family for row in CONDITIONS))
