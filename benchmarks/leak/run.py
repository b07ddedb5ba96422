"""Print what masked audio still tells, masker by masker.

``python -m benchmarks.leak.run`` from the root of the project. See benchmarks/leak/README.md.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.results import write_result
from benchmarks.leak.conditions import CONDITIONS, GROUPS, PRESSES, Condition
from benchmarks.leak.decoders import Decoded, multimon_decodes, spandsp_decodes
from benchmarks.leak.maskers import MASKERS
from benchmarks.leak.missed import missed
from benchmarks.leak.plots import plot_leak
from benchmarks.leak.press import LeakCall, to_pcm16
from benchmarks.leak.table import ATTACKS, CallMasker, Leak, attack_calls, make_calls

SUMMARY_GROUPS = ("all", "guard's scope")


@dataclass(frozen=True, slots=True)
class Result:
    """One masker's figures."""

    leak: Leak
    multimon: Decoded
    spandsp: Decoded
    missed: dict[str, int]


def measure(masker: CallMasker, calls: Sequence[LeakCall]) -> Result:
    """Mask every call, as 16-bit audio, attack it and try to decode it."""
    outputs = [to_pcm16(masker(call)) for call in calls]
    return Result(
        attack_calls(calls, outputs),
        multimon_decodes(calls, outputs),
        spandsp_decodes(calls, outputs),
        missed(calls, outputs),
    )


def chosen(pattern: str) -> list[Condition]:
    """Conditions whose name or family matches a regular expression."""
    rows = [c for c in CONDITIONS if re.search(pattern, c.name) or re.search(pattern, c.family)]
    if not rows:
        raise SystemExit(f"--only {pattern}: matches no condition; see --list")
    return rows


def report(name: str, result: Result, by_condition: bool) -> str:
    """Give one masker's tables as text."""
    leak = result.leak
    present = [g for g, names in GROUPS.items() if set(leak.condition.tolist()) & names]
    lines = ["", f"## {name}", leak.text(present)]
    for label, decoded in (("multimon-ng", result.multimon), ("spandsp", result.spandsp)):
        presses, reported, right = decoded.total(GROUPS["all"])
        where = decoded.where() if right < presses / 100 else "many conditions"
        lines.append(f"{label} decodes {right} of {presses} ({where}), reports {reported} keys")
    if name.startswith("guard"):
        lines.append(f"presses left alone: {result.missed or 'none'}")
    if by_condition:
        lines += ["", leak.by_condition()]
    return "\n".join(lines)


def summary(results: dict[str, Result], group: str) -> str:
    """One line per masker: percent of keys guessed by each attack, percent decoded."""
    head = "".join(f"{a:>9s}" for a in ATTACKS) + f"{'worst':>9s}{'multimon':>10s}{'spandsp':>9s}"
    lines = ["", f"# {group}", f"{'masker':42s}{head}"]
    names = GROUPS[group]
    for name, result in results.items():
        shares = [result.leak.accuracy(a, names)[0] for a in ATTACKS]
        cells = "".join(f"{share:9.1f}" for share in (*shares, max(shares)))
        cells += f"{result.multimon.percent(names):10.2f}{result.spandsp.percent(names):9.2f}"
        lines.append(f"{name:42s}{cells}")
    return "\n".join(lines)


def figures(result: Result) -> dict[str, object]:
    """Give one masker's figures for benchmarks/results: percent, half the 95 % interval."""
    groups = {
        group: {a: [round(x, 2) for x in result.leak.accuracy(a, names)[:2]] for a in ATTACKS}
        for group, names in GROUPS.items()
    }
    decoded = {
        group: [round(d.percent(names), 3) for d in (result.multimon, result.spandsp)]
        for group, names in GROUPS.items()
    }
    return {**groups, "decoded by multimon, spandsp": decoded}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masker", action="append", default=[], help="regular expression; repeat")
    parser.add_argument("--only", default="", help="conditions or families, regular expression")
    parser.add_argument("--presses", type=int, default=PRESSES, help="per condition of weight 1")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    parser.add_argument("--by-condition", action="store_true")
    parser.add_argument("--plot", type=Path, help="write the plot of leaks by masker here")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/leak.json")
    parser.add_argument("--list", action="store_true", help="list maskers and conditions, and stop")
    return parser.parse_args()


def main() -> None:
    """Run the benchmark from the command line."""
    options = _arguments()
    if options.list:
        print("maskers:", *MASKERS, "conditions:", *(c.name for c in CONDITIONS), sep="\n  ")
        return
    calls = make_calls(options.presses, chosen(options.only), options.seed)
    print(f"{sum(c.keys.size for c in calls)} presses in {len(calls)} conditions; chance 6.25 %")
    names = [
        n for n in MASKERS if not options.masker or any(re.search(m, n) for m in options.masker)
    ]
    results: dict[str, Result] = {}
    for name in names:
        began = time.perf_counter()
        results[name] = measure(MASKERS[name], calls)
        print(report(name, results[name], options.by_condition))
        print(f"({time.perf_counter() - began:.0f} s)", flush=True)
    made = {call.condition for call in calls}
    for group in SUMMARY_GROUPS:
        if made & GROUPS[group]:
            print(summary(results, group))
    if options.save:
        write_result("leak", {name: figures(result) for name, result in results.items()})
    if options.plot:
        plot_leak({name: result.leak for name, result in results.items()}, options.plot)


if __name__ == "__main__":
    main()
