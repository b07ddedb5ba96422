"""What live relays let through, family by family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.leak.table import ATTACKS
from benchmarks.path.conditions import FAMILIES

CHANCE_PERCENT: Final = 100 / 16
COLOURS: Final = {
    "rtpengine mask 60, agent leg": "#c1440e",
    "rtpengine mask 60, recording": "#e8a48c",
    "voicemask suppress, agent leg": "#0b6e4f",
    "voicemask suppress, recording": "#54a58c",
    "voicemask fill, agent leg": "#4f6d9b",
    "voicemask fill, recording": "#9bb8d3",
    "voicemask guard, recording": "#b8a13a",
}
OTHER_COLOUR: Final = "#888888"


def plot_leftovers(results: Mapping[str, Mapping[str, dict[str, Any]]], path: Path) -> None:
    """Draw the best attack's share of keys and the longest leftover, a bar a relay and family.

    Parameters
    ----------
    results : relay and sink -> family -> figures, as `benchmarks.path.leak.table` gives them.
    path : file to write; its suffix gives the format.
    """
    families = [f for f in ("all", *FAMILIES) if all(f in rows for rows in results.values())]
    figure, (guessed, left) = plt.subplots(1, 2, figsize=(11, 0.9 + 0.55 * len(families)))
    height = 0.8 / len(results)
    for k, (name, rows) in enumerate(results.items()):
        y = np.arange(len(families)) + (k - (len(results) - 1) / 2) * height
        best = [max(rows[f][attack] for attack in ATTACKS) for f in families]
        longest = [rows[f]["left_max_ms"] or 0 for f in families]
        colour = COLOURS.get(name, OTHER_COLOUR)
        guessed.barh(y, best, height, color=colour, label=name)
        left.barh(y, longest, height, color=colour)
    guessed.axvline(CHANCE_PERCENT, color="black", linestyle="--", linewidth=1)
    guessed.set_xlabel("keys guessed by the best of five attacks, % (dashed: chance)")
    left.axvline(0.5, color="black", linestyle="--", linewidth=1)
    left.set_xscale("symlog", linthresh=1)
    left.set_xticks([0, 0.5, 1, 10, 100], ["0", "0.5", "1", "10", "100"])
    left.set_xlabel("longest stretch of a tone left, ms (dashed: 0.5)")
    for axes in (guessed, left):
        axes.set_yticks(range(len(families)), families)
        axes.invert_yaxis()
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="upper center", ncols=4, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
