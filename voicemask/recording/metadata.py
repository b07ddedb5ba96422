"""What a recording tells beside its audio: notes, written as they come, inside the encryption.

A note is a JSON object with its ``kind``; the first is ``opened``, the last of a recording that was
finished is ``finished``. Notes say when something was masked and why: no level, no key. Their
frames are padded to a multiple of 256 bytes, so that the size of the file tells little.

Times are samples at the recording's rate, counted from its start, but for Unix times in ``*_at``.
Kinds that are not known are left alone: a later version may have more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from voicemask.errors import RecordingError

FORMAT: Final = 1
CHANNELS: Final = ("customer", "agent")
"""Left and right."""
_PAD_BYTES: Final = 256
_MAX_TEXT: Final = 1000
_MAX_ENTRIES: Final = 100
MAX_SPANS: Final = 500
"""In one note."""


class State(Enum):
    """How a recording stands."""

    LIVE = "live"
    """It is being written."""
    COMPLETE = "complete"
    DEGRADED = "degraded"
    """Finished, with stretches lost, or of a call that could not be masked sample by sample."""
    INCOMPLETE = "incomplete"
    """Its writer ended before it was finished, or its end was cut: what is there is whole."""
    LOCKED = "locked"
    """No private key is at hand to say more."""
    DAMAGED = "damaged"
    """Something of it was changed or is missing."""
    ERASED = "erased"
    """Its key is gone; what is left can never be opened."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known when a recording begins.

    Parameters
    ----------
    call_id : of the signalling.
    customer, agent : labels of the parties, empty where not known.
    policy : that masks the recording.
    extra : what else whoever asked for the recording wants kept with it.
    """

    call_id: str
    customer: str = ""
    agent: str = ""
    policy: str = "guard"
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known when a recording ends.

    Parameters
    ----------
    end : sample at which it ends; None is where its audio does.
    packets : counts by channel name (`CHANNELS`) and what was counted.
    is_degraded : something of the call could not be masked sample by sample.
    reason : why it ended: ``hangup``, ``stop``, ...
    """

    end: int | None = None
    packets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    is_degraded: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Stretch ``[start, end)`` of the time line; `channel` None is both."""

    start: int
    end: int
    reason: str
    channel: int | None = None


@dataclass(slots=True)
class Metadata:
    """The notes of a recording, put together.

    Parameters
    ----------
    opened, finished : first and last note; empty where they are missing.
    spans : masked stretches. pauses, lost : of both channels; a pause that did not end has the
        recording's end.
    events : policy changes and what else happened, each with its ``at`` and ``name``.
    """

    opened: dict[str, Any] = field(default_factory=dict)
    finished: dict[str, Any] = field(default_factory=dict)
    spans: list[Stretch] = field(default_factory=list)
    pauses: list[Stretch] = field(default_factory=list)
    lost: list[Stretch] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    open_pause: tuple[int, str] | None = None

    def take(self, note: Mapping[str, Any]) -> None:
        """Go on with the next note.

        Raises
        ------
        KeyError, TypeError, ValueError
            The note lacks what its kind has.
        """
        match note["kind"]:
            case "opened":
                self.opened = dict(note)
            case "spans":
                for channel, start, end, reason in note["spans"]:
                    self.spans.append(Stretch(int(start), int(end), str(reason), int(channel)))
            case "lost":
                stretch = Stretch(int(note["start"]), int(note["end"]), str(note["reason"]))
                self.lost.append(stretch)
            case "pause":
                self.end_pause(int(note["at"]))
                self.open_pause = (int(note["at"]), str(note["reason"]))
            case "resume":
                self.end_pause(int(note["at"]))
            case "event":
                self.events.append({name: note[name] for name in note if name != "kind"})
            case "finished":
                self.finished = dict(note)
                self.end_pause(int(note["end"]))

    def end_pause(self, at: int) -> None:
        """End the pause that is open, if one is."""
        if self.open_pause is not None:
            start, reason = self.open_pause
            self.pauses.append(Stretch(start, max(start, at), reason))
            self.open_pause = None


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """Bound what came from outside: entries, lengths, and types JSON has."""
    kept = list(values.items())[:_MAX_ENTRIES]
    return {str(name)[:_MAX_TEXT]: _clean_value(value) for name, value in kept}


def _clean_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return clean(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:_MAX_TEXT]


def serialize_note(kind: str, **content: Any) -> bytes:
    """Give a note as the content of a frame."""
    text = json.dumps({"kind": kind, **content}, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _PAD_BYTES)


def parse_note(data: bytes, subject: str) -> dict[str, Any]:
    """Read the content of a frame.

    Raises
    ------
    RecordingError
        It is no note.
    """
    try:
        note = json.loads(data)
    except (ValueError, RecursionError):
        note = None
    if not isinstance(note, dict) or not isinstance(note.get("kind"), str):
        raise RecordingError(subject, "holds a note that cannot be read", "use a later voicemask")
    return note
