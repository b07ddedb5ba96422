"""Draw the plots of docs/detector.md from the results: hit rates along each axis, and talk-off.

python -m benchmarks.accuracy.plots    # reads benchmarks/results, writes docs/img
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.results import read_result

FOLDER: Final = Path(__file__).parents[2] / "docs" / "img"
COLOURS: Final = {"voicemask": "#0b6e4f", "spandsp": "#c1440e", "multimon-ng": "#4f6d9b"}
MARKS: Final = {"voicemask": "o", "spandsp": "s", "multimon-ng": "^"}
REQUIRED: Final = {
    "twist": ((-8.0, 4.0), "AT&T: -8 to +4 dB"),
    "frequency": ((-1.5, 1.5), "to be accepted: 1.5 %"),
    "length": ((40.0, 44.0), "to be accepted: 40 ms"),
}
"""The stretch of an axis where ITU-T Q.24 wants every digit."""


def _finish(figure: Figure, axes: Axes, name: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize=8)
    FOLDER.mkdir(parents=True, exist_ok=True)
    # no date, and element names that do not change from run to run
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    print(f"written: {name}.svg")


def hit_rate(name: str, sweep: dict[str, Any]) -> None:
    """Draw one sweep, every receiver a line."""
    figure, axes = plt.subplots(figsize=(6, 3.2))
    if name in REQUIRED:
        (low, high), words = REQUIRED[name]
        axes.axvspan(low, high, color="#000000", alpha=0.06, label=words)
    for receiver, column in sweep["hit_rate"].items():
        percent = [100 * rate for rate in column]
        axes.plot(
            sweep["values"], percent, color=COLOURS[receiver], marker=MARKS[receiver],
            markersize=3.5, linewidth=1.4, label=receiver,
        )  # fmt: skip
    axes.set(xlabel=sweep["label"], ylabel="digits found, %", ylim=(-3, 103))
    _finish(figure, axes, f"hit_rate_{name}")


def talk_off(totals: dict[str, dict[str, float]]) -> None:
    """Draw false digits as bars: normal speed and six speeds."""
    figure, axes = plt.subplots(figsize=(6, 3.2))
    for index, (receiver, colour) in enumerate(COLOURS.items()):
        counts = [of_speed[receiver] for of_speed in totals.values()]
        at = [group + (index - 1) * 0.27 for group in range(len(counts))]
        bars = axes.bar(at, counts, width=0.25, color=colour, label=receiver)
        axes.bar_label(bars, fmt="%d", fontsize=8, padding=2)
    names = [f"{name}, {of_speed['hours']:.1f} h" for name, of_speed in totals.items()]
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("false digits")
    _finish(figure, axes, "talk_off")


def main() -> None:
    mpl.rcParams["svg.hashsalt"] = "voicemask"
    mpl.rcParams["font.size"] = 9
    for name, sweep in read_result("sweeps").items():
        hit_rate(name, sweep)
    talk_off(read_result("talkoff")["totals"])


if __name__ == "__main__":
    main()
