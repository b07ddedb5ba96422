"""The tone tests of the Mitel CM7291 tape, the classic test of a DTMF receiver.

Bursts of 50 ms: decode check, bandwidth and centre offset, acceptable twist, dynamic range, guard
time, signal to noise. The tape itself is not free; these are its tests made from their description
(the order of pulses, their steps and the formulas over the counts N).

    python -m benchmarks.accuracy.cm7291    # all receivers, and results/cm7291.json
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.results import write_result
from benchmarks.material import impair
from benchmarks.material.keying import FULL_SCALE_DBM0, KEYS, Keying, Recording, joined, keyed
from benchmarks.peers.receivers import RECEIVERS

SEED: Final = 7291
CLIP_DBM0: Final = FULL_SCALE_DBM0
BURST: Final = Keying(tone_ms=50, pause_ms=50)
SNR_PULSES: Final = 1000
NOISE_DBV: Final = (-24, -18, -12)


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def _steps(keyings: list[Keying]) -> Recording:
    rng = _rng()
    return joined([keyed(keying, rng) for keying in keyings])


def decode_check() -> Recording:
    """Sixteen digits ten times each, each tone 6 dB below clip."""
    return keyed(replace(BURST.at_level(CLIP_DBM0 - 6.1), keys=KEYS * 10), _rng())


def bandwidth(key: str, is_low: bool, sign: int) -> Recording:
    """One tone stepped by 0.1 % to 4 %; each pulse -20 dB."""
    field = "low_percent" if is_low else "high_percent"
    plain = replace(BURST.at_level(CLIP_DBM0 - 20), keys=key)
    steps = [replace(plain, **{field: sign * step / 10}) for step in range(1, 41)]  # type: ignore[arg-type]
    return _steps(steps)


def twist(is_low_down: bool) -> Recording:
    """Two hundred pulses, one tone 0.1 dB weaker with each, down to -20 dB."""
    plain = replace(BURST.at_level(CLIP_DBM0 - 6.1), keys="1")
    sign = 1 if is_low_down else -1
    return _steps([plain.with_twist(sign * step / 10) for step in range(1, 201)])


def dynamic_range() -> Recording:
    """Digit 1, thirty-five pulses, each 1 dB weaker."""
    return _steps([replace(BURST.at_level(CLIP_DBM0 - 6.1 - step), keys="1") for step in range(35)])


def guard_time() -> Recording:
    """Four hundred pulses from 49 down to 10 ms."""
    lengths_ms = np.linspace(49, 10, 400)
    return _steps([replace(BURST, tone_ms=float(ms), keys="1") for ms in lengths_ms])


def in_noise(noise_dbv: float) -> Recording:
    """A thousand pulses over white noise; 0 dBV is the pair's level, -24 dBV 24 dB under it."""
    rng = _rng()
    return impair.white(-noise_dbv)(keyed(replace(BURST, keys="1" * SNR_PULSES), rng), rng)


def figures_of(name: str) -> dict[str, Any]:
    """Run all tests on one receiver."""
    receiver = RECEIVERS[name]
    hits = {True: 0, False: 0}
    bands: dict[str, str] = {}
    for key in "159D":
        for group, is_low in (("low", True), ("high", False)):
            for sign in (1, -1):
                hits[sign > 0] = receiver(bandwidth(key, is_low, sign)).hits
            width, centre = (hits[True] + hits[False]) / 10, (hits[True] - hits[False]) / 20
            bands[f"{key} {group}"] = f"{width:.1f} % / {centre:+.2f} %"
    return {
        "decode check, of 160": receiver(decode_check()).hits,
        **{f"bandwidth / centre offset, {row}": text for row, text in bands.items()},
        "twist, low tone down, dB": receiver(twist(True)).hits / 10,
        "twist, high tone down, dB": receiver(twist(False)).hits / 10,
        "dynamic range, dB": receiver(dynamic_range()).hits,
        "guard time, ms": (500 - receiver(guard_time()).hits) / 10,
        **{f"noise {dbv} dBV, of 1000": receiver(in_noise(dbv)).hits for dbv in NOISE_DBV},
    }


def main() -> None:
    figures = {name: figures_of(name) for name in RECEIVERS}
    table = Table("test", *figures, title="CM7291 tone tests")
    for test in next(iter(figures.values())):
        table.add_row(test, *(str(figures[name][test]) for name in figures))
    Console(width=110).print(table)
    print(f"written: {write_result('cm7291', figures).name}")


if __name__ == "__main__":
    main()
