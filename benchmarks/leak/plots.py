"""Plot of what is guessed from masked audio, by masker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.leak.conditions import GROUPS
from benchmarks.leak.table import ATTACKS, Leak

CHANCE_PERCENT: Final = 100 / 16
COLOURS: Final = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677")


def plot_leak(leaks: Mapping[str, Leak], path: Path, group: str = "all") -> None:
    """Draw a bar per masker and attack with its 95 % interval, on a logarithmic axis.

    Parameters
    ----------
    leaks : masker -> measurement.
    path : file to write; its suffix gives the format.
    group : key of `GROUPS`.
    """
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.55 * len(leaks)))
    rows = np.arange(len(leaks))
    height = 0.8 / len(ATTACKS)
    for k, attack in enumerate(ATTACKS):
        cells = [leak.accuracy(attack, GROUPS[group]) for leak in leaks.values()]
        axes.barh(
            rows + (k - 2) * height,
            [cell[0] for cell in cells],
            height,
            xerr=[cell[1] for cell in cells],
            error_kw={"elinewidth": 0.6},
            color=COLOURS[k],
            label=attack,
        )
    axes.axvline(CHANCE_PERCENT, color="black", linestyle="--", linewidth=1, label="chance")
    axes.set_xscale("log")
    axes.set_xlim(4, 110)
    axes.set_xticks([5, 6.25, 10, 20, 50, 100], ["5", "6.25", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_yticks(rows, list(leaks))
    axes.invert_yaxis()
    axes.set_xlabel(f"keys guessed from masked audio, % ({group} conditions)")
    axes.legend(ncols=6, loc="lower center", bbox_to_anchor=(0.4, 1.0), frameon=False, fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
