"""What a live relay lets through of pressed keys, beside rtpengine on the same packets.

``python -m benchmarks.path.leak`` from the root of the project. Every call of
`benchmarks.path.conditions` is spoken in real time, all at once, through each relay in turn; what
the agent's side got is placed by RTP timestamp and put to

- `benchmarks.path.leftover`: milliseconds of each tone that are left;
- multimon-ng and spandsp: keys they name;
- the five attacks of `benchmarks.leak.table`, by someone who knows when each key was pressed;
- a count of telephone-event packets that reached the agent;

and so are the recordings, exported and aligned. In `guard` only the recording is masked.

Tones begin and end anywhere on the packets' grid: gaps and lengths are drawn in samples.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.accuracy.results import write_result
from benchmarks.leak.decoders import multimon_decodes, spandsp_decodes
from benchmarks.leak.press import Float32
from benchmarks.leak.table import ATTACKS, Leak, attack_calls
from benchmarks.path.calls import PathCall, make_calls
from benchmarks.path.conditions import CONDITIONS, FAMILIES, Carriage
from benchmarks.path.leftover import Float64, leaked_ms, others_tones
from benchmarks.path.play import play
from benchmarks.path.recorded import recording_folder, rtpengine_recordings, voicemask_recordings
from benchmarks.path.relays import MODES, Mode, Relay

PRESSES: Final = 96
QUICK_PRESSES: Final = 32
MASKING: Final = ("rtpengine mask 60", "voicemask suppress", "voicemask fill", "voicemask guard")
LIMIT_MS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Through:
    """What one sink got of all calls, measured.

    Parameters
    ----------
    name : of relay and sink.
    leftover_ms, chance_ms : condition -> (n_presses,) what is left of the tones, and what the
        measure gives for tones that were not there.
    leak : attacks.
    multimon, spandsp : condition -> presses named rightly.
    events : condition -> telephone-event packets that got through.
    """

    name: str
    leftover_ms: dict[str, Float64]
    chance_ms: dict[str, Float64]
    leak: Leak
    multimon: dict[str, int]
    spandsp: dict[str, int]
    events: dict[str, int]


def examine(
    name: str, calls: Sequence[PathCall], outputs: Sequence[Float32], events: Sequence[int]
) -> Through:
    """Measure what one sink got, one output per call, aligned to it."""
    leftover, chance = {}, {}
    for call, heard in zip(calls, outputs, strict=True):
        if call.condition.carriage is Carriage.EVENT:
            continue
        start, end, rest = call.call.start, call.tone_end, call.call.audio - call.tones
        leftover[call.condition.name] = leaked_ms(heard, call.tones, rest, start, end)
        strange = others_tones(call.tones, call.call.keys, start, end)
        chance[call.condition.name] = leaked_ms(heard, strange, rest, start, end)
    known = [call.call for call in calls]
    multimon, spandsp = (
        {condition: right for condition, (_, _, right) in decode(known, outputs).counts.items()}
        for decode in (multimon_decodes, spandsp_decodes)
    )
    counted = {call.condition.name: n for call, n in zip(calls, events, strict=True)}
    leak = attack_calls(known, outputs)
    return Through(name, leftover, chance, leak, multimon, spandsp, counted)


def through_relay(mode: Mode, calls: Sequence[PathCall], *, record: bool) -> Iterator[Through]:
    """Speak the calls through a relay; measure what the agents got, and what was recorded."""
    with recording_folder(mode, record=record) as folder:
        with Relay(mode, recordings=folder) as relay:
            got = play(relay, [call.parties for call in calls])
        agents = [each.agent for each in got]
        if mode.masks_agent:
            heard, events = [each.audio for each in agents], [each.n_events for each in agents]
            yield examine(f"{mode.name}, agent leg", calls, heard, events)
        if folder is not None:
            recorded = _recorded(mode, folder, calls)
            yield examine(f"{mode.name}, recording", calls, recorded, [0] * len(calls))


def _recorded(mode: Mode, folder: Path, calls: Sequence[PathCall]) -> list[Float32]:
    if mode.relay == "rtpengine":
        return rtpengine_recordings(folder, calls)
    return voicemask_recordings(folder, folder.with_suffix(".key"), calls, folder.parent)


def figures(through: Through, conditions: Sequence[str]) -> dict[str, Any]:
    """Figures over some conditions."""
    names = [name for name in conditions if name in through.leftover_ms]
    empty = [np.zeros(0)]
    left = np.concatenate([through.leftover_ms[name] for name in names] or empty)
    chance = np.concatenate([through.chance_ms[name] for name in names] or empty)
    chosen = set(conditions)
    share = {attack: through.leak.accuracy(attack, chosen) for attack in ATTACKS}
    return {
        "presses": share["any"][2],
        "left_mean_ms": round(float(left.mean()), 3) if left.size else None,
        "left_max_ms": float(left.max()) if left.size else None,
        "left_over_limit": int((left > LIMIT_MS).sum()),
        "chance_mean_ms": round(float(chance.mean()), 3) if left.size else None,
        "chance_max_ms": float(chance.max()) if left.size else None,
        "multimon": sum(through.multimon[name] for name in conditions),
        "spandsp": sum(through.spandsp[name] for name in conditions),
        "events": sum(through.events[name] for name in conditions),
        **{attack: round(percent, 1) for attack, (percent, _, _) in share.items()},
        "half_interval": round(share["any"][1], 1),
    }


HEAD: Final = (
    f"{'':28s}{'presses':>8s}{'left ms mean/max':>18s}{'chance':>12s}{'>0.5 ms':>8s}"
    f"{'multimon':>9s}{'spandsp':>8s}{'events':>7s}" + "".join(f"{a:>8s}" for a in ATTACKS)
)


def text(label: str, row: dict[str, Any]) -> str:
    """One line of the table."""
    left, chance = "-", "-"
    if row["left_mean_ms"] is not None:
        left = f"{row['left_mean_ms']:.2f} / {row['left_max_ms']:.1f}"
        chance = f"{row['chance_mean_ms']:.2f} / {row['chance_max_ms']:.1f}"
    return (
        f"{label:28s}{row['presses']:8d}{left:>18s}{chance:>12s}{row['left_over_limit']:8d}"
        f"{row['multimon']:9d}{row['spandsp']:8d}{row['events']:7d}"
        + "".join(f"{row[attack]:8.1f}" for attack in ATTACKS)
    )


def table(through: Through, calls: Sequence[PathCall]) -> dict[str, dict[str, Any]]:
    """Figures of all calls, of each family, and of each condition."""
    groups = {"all": [call.condition.name for call in calls]}
    for family in FAMILIES:
        names = [call.condition.name for call in calls if call.condition.family == family]
        if names:
            groups[family] = names
    rows = {label: figures(through, names) for label, names in groups.items()}
    rows |= {f"  {name}": figures(through, [name]) for name in groups["all"]}
    return rows


def _print(through: Through, rows: dict[str, dict[str, Any]], *, by_condition: bool) -> None:
    print(f"\n{through.name}", HEAD, sep="\n")
    for label, row in rows.items():
        if by_condition or not label.startswith(" "):
            print(text(label, row))
    print("chance".ljust(89), *(f"{through.leak.chance(a):7.1f}" for a in ATTACKS), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="what a live relay lets through of pressed keys")
    parser.add_argument("--quick", action="store_true", help="a third of the presses")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this one; repeatable")
    parser.add_argument("--only", default="", help="conditions or families, a regular expression")
    parser.add_argument("--by-condition", action="store_true")
    parser.add_argument("--no-recordings", action="store_true", help="the agent leg only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--plot", type=Path, help="draw what is left into this file")
    options = parser.parse_args()
    rows = [c for c in CONDITIONS if re.search(options.only, f"{c.name} {c.family}")]
    calls = make_calls(rows, QUICK_PRESSES if options.quick else PRESSES, options.seed)
    print(f"{len(calls)} calls at once, {max(c.call.audio.size for c in calls) / 8000:.0f} s")
    results = {}
    for name in options.mode or MASKING:
        for through in through_relay(MODES[name], calls, record=not options.no_recordings):
            results[through.name] = table(through, calls)
            _print(through, results[through.name], by_condition=options.by_condition)
    if options.save:
        print(write_result("relay-leak", results))
    if options.plot:
        from benchmarks.path.plots import plot_leftovers  # noqa: PLC0415 matplotlib is slow

        plot_leftovers(results, options.plot)


if __name__ == "__main__":
    main()
