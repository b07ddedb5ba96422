"""What the media process tells the outside of its calls: no audio, no digit, no time of a press."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class EventKind(Enum):
    """What happened."""

    CALL_STARTED = "call_started"
    CALL_CHANGED = "call_changed"
    CALL_ENDED = "call_ended"
    POLICY_CHANGED = "policy_changed"
    """Every sink masks by it from now on."""
    KEY_PRESSED = "key_pressed"
    """During capture; carries how many so far."""
    DEGRADED = "degraded"
    """Something of the call cannot be masked sample by sample: fill or nothing passes."""
    RECORDING_STARTED = "recording_started"
    RECORDING_ENDED = "recording_ended"
    RECORDING_FAILED = "recording_failed"
    ALERT = "alert"
    """Of the process: overload, a stall, an error of ours, a full disk."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One event; `details` hold names and counts only."""

    kind: EventKind
    call_id: str = ""
    details: Mapping[str, str | int | float] = field(default_factory=dict)
