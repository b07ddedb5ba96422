"""The curve of cost and delay along the number of calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS: Final = {
    "rtpengine forward": "#e8a48c",
    "rtpengine mask 60": "#c1440e",
    "rtpengine mask 60, 1 way": "#d97c5f",
    "voicemask open": "#9bb8d3",
    "voicemask guard": "#4f6d9b",
    "voicemask suppress": "#0b6e4f",
    "voicemask suppress, 2 ways": "#54a58c",
    "voicemask fill": "#8bbf9f",
}
PANELS: Final = (
    ("us_per_packet", "processor time a packet, µs", "log"),
    ("to_agent_p50_ms", "added delay to the agent, p50, ms", "symlog"),
    ("to_agent_p99_ms", "added delay to the agent, p99, ms", "symlog"),
)
LONGEST_MS: Final = 1000.0
MOST_US: Final = 400.0
MOST_STOLEN: Final = 0.02


def plot_density(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw three panels, a line a relay; points that lost over 0.1 % are hollow.

    Points from whose core the host took time are left out.

    Parameters
    ----------
    rows : medians, as `benchmarks.density.run.summary` gives them.
    path : file to write; its suffix gives the format.
    """
    told = [row for row in rows if row["stolen"] <= MOST_STOLEN]
    figure, panels = plt.subplots(1, len(PANELS), figsize=(12, 4.1))
    for axes, (name, label, scale) in zip(panels, PANELS, strict=True):
        for mode, colour in COLOURS.items():
            line = sorted((r for r in told if r["mode"] == mode), key=lambda r: int(r["calls"]))
            if not line:
                continue
            x, y = [r["calls"] for r in line], [r[name] for r in line]
            axes.plot(x, y, color=colour, linewidth=1.5, label=mode)
            faces = ["white" if r["lost"] > 0.001 else colour for r in line]
            axes.scatter(x, y, s=18, c=faces, edgecolors=colour, zorder=3)
        axes.set(xlabel="calls on one core", ylabel=label, yscale=scale)
        if scale == "symlog":
            axes.set_ylim(0, LONGEST_MS)
            axes.set_yticks([0, 1, 10, 35, 70, 300], ["0", "1", "10", "35", "70", "300"])
        else:
            axes.set_ylim(5, MOST_US)
            axes.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", linewidth=0.4, alpha=0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, loc="upper center", frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.89))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
