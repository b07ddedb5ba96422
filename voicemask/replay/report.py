"""What was masked, as JSON: spans, reasons and levels, never digits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicemask.capture.policy import Fill, Policy
from voicemask.mask.span import Span


@dataclass(frozen=True, slots=True)
class Settings:
    """How files are to be masked."""

    policy: Policy = Policy.GUARD
    fill: Fill = Fill.NOISE
    profile: str = "mask"


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was done to one file.

    Parameters
    ----------
    source, target : files read and written, as they were named.
    rate_hz, n_channels, n_frames : of the audio.
    policy, fill, profile : settings it was masked with.
    n_key_presses : key presses that were decoded; faint ones are masked without being counted.
    spans : masked stretches in samples, in order of start.
    """

    source: str
    target: str
    rate_hz: int
    n_channels: int
    n_frames: int
    policy: str
    fill: str
    profile: str
    n_key_presses: int
    spans: tuple[Span, ...]

    @property
    def duration_s(self) -> float:
        """Length of the file."""
        return self.n_frames / self.rate_hz

    @property
    def masked_s(self) -> float:
        """Masked time, summed over channels."""
        return sum(span.end - span.start for span in self.spans) / self.rate_hz

    def as_json(self) -> dict[str, Any]:
        """Give the report as a JSON object."""
        return {
            "source": self.source,
            "target": self.target,
            "rate_hz": self.rate_hz,
            "channels": self.n_channels,
            "duration_s": round(self.duration_s, 6),
            "policy": self.policy,
            "fill": self.fill,
            "profile": self.profile,
            "n_key_presses": self.n_key_presses,
            "masked_s": round(self.masked_s, 6),
            "spans": [_span_json(span, self.rate_hz) for span in self.spans],
        }


def _span_json(span: Span, rate_hz: int) -> dict[str, Any]:
    return {
        "channel": span.channel,
        "start_s": round(span.start / rate_hz, 6),
        "end_s": round(span.end / rate_hz, 6),
        "reason": span.reason.value,
        "level_dbfs": span.level_dbfs,
    }


def write_report(path: Path, body: dict[str, Any]) -> None:
    """Write a report; it appears only when it is whole.

    Raises
    ------
    AudioFileError
        The place cannot be written.
    """
    from voicemask.replay.output import whole_file  # noqa: PLC0415

    with whole_file(path) as part:
        part.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
