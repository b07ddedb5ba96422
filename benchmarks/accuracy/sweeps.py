"""Hit rate along one axis at a time: noise, speech beneath, twist, frequency offset, tone length.

python -m benchmarks.accuracy.sweeps    # all receivers, and results/sweeps.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.accuracy.results import write_result
from benchmarks.material import impair
from benchmarks.material.impair import Effect
from benchmarks.material.keying import Keying, Recording, keyed
from benchmarks.peers.receivers import RECEIVERS

SEED: Final = 11
PLAIN: Final = Keying()


@dataclass(frozen=True, slots=True)
class Sweep:
    """One axis: what a plot writes under it, its values, and the sound at a value."""

    label: str
    values: tuple[float, ...]
    make: Callable[[float], tuple[Keying, tuple[Effect, ...]]]

    def recording(self, value: float) -> Recording:
        rng = np.random.default_rng(SEED)
        keying, effects = self.make(value)
        recording = keyed(keying, rng)
        for effect in effects:
            recording = effect(recording, rng)
        return recording


def _range(low: float, high: float, step: float) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in np.arange(low, high + step / 2, step))


SWEEPS: Final[dict[str, Sweep]] = {
    "noise": Sweep(
        "tone pair over white noise, dB",
        _range(-6, 18, 1.5),
        lambda db: (PLAIN, (impair.white(db),)),
    ),
    "speech": Sweep(
        "tone pair over speech, dB",
        _range(-6, 18, 2),
        lambda db: (
            replace(PLAIN, tone_ms=100, pause_ms=100, n_keys=320),
            (impair.over_speech(db),),
        ),
    ),
    "twist": Sweep(
        "twist, dB (high minus low)",
        _range(-16, 16, 1),
        lambda db: (PLAIN.at_level(-8).with_twist(db), ()),
    ),
    "frequency": Sweep(
        "both tones off by, %",
        _range(-4.5, 4.5, 0.25),
        lambda percent: (replace(PLAIN, low_percent=percent, high_percent=percent), ()),
    ),
    "length": Sweep(
        "length of the tone, ms",
        _range(14, 44, 2),
        lambda ms: (replace(PLAIN, tone_ms=ms), ()),
    ),
}


def rates(sweep: Sweep, names: Iterable[str]) -> dict[str, list[float]]:
    """Give each receiver's hit rate (0..1) at each value."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for value in track(sweep.values, sweep.label, console=Console(stderr=True), transient=True):
        recording = sweep.recording(value)
        for name, column in found.items():
            column.append(round(RECEIVERS[name](recording).hit_rate, 4))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure hit rates along one axis at a time.")
    parser.add_argument("--only", choices=list(SWEEPS))
    only = parser.parse_args().only
    figures = {}
    for name, sweep in SWEEPS.items():
        if only not in (None, name):
            continue
        found = rates(sweep, RECEIVERS)
        figures[name] = {"label": sweep.label, "values": sweep.values, "hit_rate": found}
        table = Table(sweep.label, *found, title="Digits found, %")
        for index, value in enumerate(sweep.values):
            table.add_row(
                f"{value:g}", *(f"{100 * column[index]:.1f}" for column in found.values())
            )
        Console(width=100).print(table)
    if only is None:
        print(f"written: {write_result('sweeps', figures).name}")


if __name__ == "__main__":
    main()
