"""What `show` tells of a recording, as plain values."""

from __future__ import annotations

from typing import Any

from voicemask.recording.layout import N_CHANNELS
from voicemask.recording.metadata import CHANNELS
from voicemask.recording.reader import Recording


def facts(recording: Recording) -> dict[str, Any]:
    """Give its facts; what its notes do not say is empty.

    Raises
    ------
    RecordingError
        It is damaged.
    """
    told = recording.metadata
    opened, finished = told.opened, told.finished
    return {
        "id": str(recording.recording_id),
        "state": recording.state.value,
        "started_at": recording.envelope.started_at,
        "duration_s": round(recording.duration_s, 6),
        "rate_hz": recording.rate_hz,
        "call_id": opened.get("call_id", ""),
        "customer": opened.get("customer", ""),
        "agent": opened.get("agent", ""),
        "policy": opened.get("policy", ""),
        "extra": opened.get("extra", {}),
        "ended_by": finished.get("reason", ""),
        "talk": finished.get("talk", {}),
        "packets": finished.get("packets", {}),
        "n_spans": len(told.spans),
        "events": [
            {**event, "at": round(event["at"] / recording.rate_hz, 6)} for event in told.events
        ],
        "key_id": recording.envelope.key_id,
    }


def stretches(recording: Recording) -> list[dict[str, Any]]:
    """Give what was masked, paused or lost, by start; `channel` is empty where it is both.

    Raises
    ------
    RecordingError
        It is damaged.
    """
    told = recording.metadata
    found = [
        {
            "kind": kind,
            "start_s": round(item.start / recording.rate_hz, 6),
            "end_s": round(item.end / recording.rate_hz, 6),
            "channel": "" if item.channel is None else CHANNELS[item.channel % N_CHANNELS],
            "reason": item.reason,
        }
        for kind, items in (("masked", told.spans), ("paused", told.pauses), ("lost", told.lost))
        for item in items
    ]
    return sorted(found, key=lambda item: (item["start_s"], item["end_s"]))
