"""What `detect`, `verify`, `replay` and `profiles` list: rows of a table, or lines of JSON.

Key presses come with the key as it is to be shown, ``*`` unless somebody asked to reveal it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from voicemask.console import print_table

if TYPE_CHECKING:
    from voicemask.replay.listen import HeardDigit, ReadableDigit
    from voicemask.replay.pcap import CallSummary

_PLACES_SHOWN: Final = 8

_DIGIT_HEADS: Final = ("file", "channel", "start s", "end s", "key", "level dBFS", "twist dB")
_VERDICT_HEADS: Final = ("file", "verdict", "readable", "where (channel: seconds)")
_CALL_HEADS: Final = ("call", "codecs", "seconds", "packets", "key presses", "spans", "files")
_VALUE_HEADS: Final = ("value of", "is", "unit", "source", "status")


def digit_line(item: HeardDigit, key: str, path: Path | None) -> str:
    """Give a key press as a JSON object; with its file where there are several."""
    line: dict[str, object] = {
        "digit": key,
        "start": round(item.start_s, 6),
        "end": round(item.end_s, 6),
        "channel": item.channel,
    }
    return json.dumps(line if path is None else line | {"file": str(path)})


def digit_row(item: HeardDigit, key: str, path: Path) -> list[str]:
    """Give a key press as a row of `print_digits`."""
    times = [f"{item.start_s:.3f}", f"{item.end_s:.3f}"]
    levels = [f"{item.level_dbfs:.1f}", f"{item.twist_db:+.1f}"]
    return [str(path), str(item.channel), *times, key, *levels]


def print_digits(rows: Sequence[Sequence[str]]) -> None:
    """Print the table of key presses, and how many they are."""
    if rows:
        print_table(_DIGIT_HEADS, rows)
    print(f"{len(rows)} key presses")


def verdict_line(path: Path, places: Sequence[ReadableDigit]) -> str:
    """Give what can still be read in a file as a JSON object."""
    found = [
        {
            "channel": place.channel,
            "start": round(place.start_s, 6),
            "end": round(place.end_s, 6),
            "confidence": round(place.confidence, 3),
        }
        for place in places
    ]
    verdict = {"file": str(path), "clean": not places, "n_readable": len(places), "places": found}
    return json.dumps(verdict)


def verdict_row(path: Path, places: Sequence[ReadableDigit]) -> list[str]:
    """Give the same as a row of `print_verdicts`, with the first places only."""
    shown = [f"{place.channel}: {place.start_s:.2f}" for place in places[:_PLACES_SHOWN]]
    rest = [f"and {len(places) - _PLACES_SHOWN} more"] if len(places) > _PLACES_SHOWN else []
    verdict = "DIGITS READABLE" if places else "clean"
    return [str(path), verdict, str(len(places)), ", ".join(shown + rest)]


def print_verdicts(rows: Sequence[Sequence[str]]) -> None:
    """Print the table of verdicts, if there is one."""
    if rows:
        print_table(_VERDICT_HEADS, rows)


def print_calls(calls: Iterable[CallSummary]) -> None:
    """Print the table of replayed calls."""
    rows = [
        [
            str(call.index),
            ", ".join(call.codecs),
            f"{call.duration_s:.1f}",
            str(call.n_packets),
            str(call.n_key_presses),
            str(call.n_spans),
            ", ".join(path.name for path in call.paths),
        ]
        for call in calls
    ]
    print_table(_CALL_HEADS, rows)


def print_profiles() -> None:
    """Print the names of the receiver profiles and their kinds."""
    from voicemask.dtmf.profile import load_profile, profile_names

    kinds = [(known, load_profile(known).kind) for known in profile_names()]
    print_table(("profile", "kind"), kinds)


def print_profile(name: str) -> None:
    """Print the values of a profile with their sources.

    Raises
    ------
    ProfileError
        The profile is unknown or broken.
    """
    from voicemask.dtmf.profile import describe_profile

    rows = [
        (row.key, f"{row.value:g}", row.unit, row.source, row.status)
        for row in describe_profile(name)
    ]
    print_table(_VALUE_HEADS, rows)
