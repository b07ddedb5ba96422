"""Run every receiver on every condition and print the table.

    python -m benchmarks.accuracy.run                      # all, and results/accuracy.json
    python -m benchmarks.accuracy.run --only "over speech" --receiver voicemask
    python -m benchmarks.accuracy.run --seed 7             # other draws of the same conditions

With a filter or another seed nothing is written.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.accuracy.conditions import CONDITIONS, SEED, Condition
from benchmarks.accuracy.results import write_result
from benchmarks.accuracy.score import Score
from benchmarks.material.codecs import CodecMissingError
from benchmarks.peers.receivers import RECEIVERS

WIDTH: Final = 150
Row = tuple[Condition, Mapping[str, Score]]


def measured(conditions: list[Condition], receivers: list[str], seed: int) -> list[Row]:
    """Score each receiver on each condition; a condition whose codec is missing is left out."""
    rows: list[Row] = []
    console = Console(stderr=True)
    for condition in track(conditions, "conditions", console=console, transient=True):
        try:
            recording = condition.recording(seed)
        except CodecMissingError as error:
            console.print(f"skipped {condition.name}: {error}")
            continue
        rows.append((condition, {name: RECEIVERS[name](recording) for name in receivers}))
    return rows


def cell(score: Score) -> str:
    """Say ``hits %``, then duplicates, wrong and false ones where there are any."""
    extras = [
        f"{count} {word}"
        for count, word in (
            (score.duplicates, "twice"),
            (score.wrong, "wrong"),
            (score.false, "false"),
        )
        if count
    ]
    # rounded down, so that 100 % means every press
    rate = [f"{int(score.hit_rate * 1000) / 10:g} %"] if score.presses else []
    return ", ".join(rate + extras) or "-"


def totals(rows: list[Row], receivers: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Sum up by kind and receiver: conditions, perfect ones, and every count of `Score`."""
    sums: dict[str, dict[str, dict[str, int]]] = {}
    for kind in dict.fromkeys(condition.kind for condition, _ in rows):
        of_kind = [scores for condition, scores in rows if condition.kind == kind]
        sums[kind] = {
            name: {
                "conditions": len(of_kind),
                "perfect": sum(scores[name].is_perfect for scores in of_kind),
                **dataclasses.asdict(sum((scores[name] for scores in of_kind), Score())),
            }
            for name in receivers
        }
    return sums


def print_tables(rows: list[Row], receivers: list[str], only_imperfect: bool) -> None:
    """Print a row per condition and the totals."""
    console = Console(width=WIDTH)
    table = Table("kind", "condition", *receivers, title="Digits decoded")
    for condition, scores in rows:
        if not (only_imperfect and all(score.is_perfect for score in scores.values())):
            cells = (cell(scores[name]) for name in receivers)
            table.add_row(condition.kind, condition.name, *cells)
    console.print(table)
    sums = Table("kind", "receiver", "conditions", "perfect", "digits", "twice", "wrong", "false")
    for kind, by_name in totals(rows, receivers).items():
        for name, counts in by_name.items():
            sums.add_row(
                kind, name, str(counts["conditions"]), str(counts["perfect"]),
                f"{counts['hits']} of {counts['presses']}", str(counts["duplicates"]),
                str(counts["wrong"]), str(counts["false"]),
            )  # fmt: skip
    console.print(sums)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="conditions whose name holds this")
    parser.add_argument("--kind", choices=("must", "hard", "reject"))
    parser.add_argument("--receiver", action="append", choices=list(RECEIVERS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--imperfect", action="store_true", help="leave out what all pass")
    options = parser.parse_args()
    receivers = options.receiver or list(RECEIVERS)
    chosen = [
        condition
        for condition in CONDITIONS
        if options.only in condition.name and options.kind in (None, condition.kind)
    ]
    rows = measured(chosen, receivers, options.seed)
    print_tables(rows, receivers, options.imperfect)
    if len(rows) == len(CONDITIONS) and len(receivers) == len(RECEIVERS) and options.seed == SEED:
        by_condition = [
            {
                "condition": condition.name,
                "kind": condition.kind,
                **{name: dataclasses.asdict(score) for name, score in scores.items()},
            }
            for condition, scores in rows
        ]
        figures = {"seed": SEED, "totals": totals(rows, receivers), "conditions": by_condition}
        print(f"written: {write_result('accuracy', figures).name}")


if __name__ == "__main__":
    main()
