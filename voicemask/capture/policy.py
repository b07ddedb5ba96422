"""What a sink may hear, and what stands in for what it may not."""

from __future__ import annotations

from enum import Enum


class Policy(Enum):
    """Policy of one sink (agent leg, recording, monitor, file)."""

    OPEN = "open"
    """Everything passes."""
    GUARD = "guard"
    """Tones are filled, everything else keeps its bytes: recordings outside capture."""
    CAPTURE = "capture"
    """The tones' subspace is suppressed in every block, and filled where detection is sure."""
    MUTE = "mute"
    """Nothing of the customer passes."""


class Fill(Enum):
    """What replaces a masked span."""

    NOISE = "noise"
    """Comfort noise at the call's own background level."""
    TONE = "tone"
    """One flat tone, the same for every key."""
    SILENCE = "silence"
    """Digital silence."""


class Method(Enum):
    """How `capture` masks a live leg."""

    SUPPRESS = "suppress"
    """The tones' subspace is taken out of all audio, always: one packet of hold."""
    FILL = "fill"
    """Detected tones are filled, all else keeps its bytes: as much hold as detection needs."""
