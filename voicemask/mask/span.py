"""A stretch of one channel that was masked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Why a stretch was masked; never which key."""

    TONE = "tone"
    """In-band tone named by detection."""
    EVENT = "event"
    """RFC 4733 event."""
    INFO = "info"
    """SIP INFO digit."""
    MUTE = "mute"
    """Policy mute."""
    UNDECODABLE = "undecodable"
    """Audio we could not decode while policy masks."""


@dataclass(frozen=True, slots=True)
class Span:
    """Masked stretch ``[start, end)`` of one channel.

    Parameters
    ----------
    channel : index of the channel in its file or call.
    start, end : samples at the rate of the audio it belongs to.
    reason : what caused the mask.
    level_dbfs : level of the strongest tone pair, relative to a full-scale sine, rounded to 1 dB;
        None where no tone was measured.
    """

    channel: int
    start: int
    end: int
    reason: Reason
    level_dbfs: float | None
