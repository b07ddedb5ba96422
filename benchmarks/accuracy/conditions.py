"""The conditions under which digits are to be decoded, and what is not to be taken for a digit.

Three kinds. *must*: what ITU-T Q.24 or everyday lines ask of a receiver; every digit once, none
wrong. *hard*: beyond that, to see where a detector ends. *reject* (rejects.py): no digit may be
decoded.

A condition is a way of keying, a chain of effects and a seed, so it sounds the same in every run.

    python -m benchmarks.accuracy.conditions          # print the table
    python -m benchmarks.accuracy.conditions OUT_DIR  # write each as WAV with its truth
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from benchmarks.accuracy.rejects import REJECTS
from benchmarks.material import codecs, impair
from benchmarks.material.impair import Effect
from benchmarks.material.keying import RATE_HZ, Keying, Recording, keyed

SEED: Final = 24


@dataclass(frozen=True, slots=True)
class Condition:
    """A named recording; `kind` is ``must``, ``hard`` or ``reject``, `group` a table's part."""

    name: str
    group: str
    kind: str
    make: Callable[[np.random.Generator], Recording]

    @property
    def must_pass(self) -> bool:
        return self.kind == "must"

    def recording(self, seed: int = SEED) -> Recording:
        """Make the sound; the seed and the name decide all that is random.

        Raises
        ------
        CodecMissingError
            The condition's codec is not installed.
        """
        return self.make(np.random.default_rng((seed, zlib.crc32(self.name.encode()))))


def _condition(kind: str, group: str, name: str, keying: Keying, *effects: Effect) -> Condition:
    def make(rng: np.random.Generator) -> Recording:
        recording = keyed(keying, rng)
        for effect in effects:
            recording = effect(recording, rng)
        return recording

    return Condition(f"{group}: {name}", group, kind, make)


PLAIN: Final = Keying()
QUICK: Final = Keying(tone_ms=50, pause_ms=50)
US_DIAL_HZ: Final[tuple[float, ...]] = (350.0, 440.0)
EU_DIAL_HZ: Final[tuple[float, ...]] = (425.0,)


def _levels() -> list[Condition]:
    def at(kind: str, dbm0: float) -> Condition:
        return _condition(kind, "level", f"{dbm0:g} dBm0 per tone", PLAIN.at_level(dbm0))

    must = [at("must", dbm0) for dbm0 in (-3, -6, -10, -15, -20, -24, -27)]
    return must + [at("hard", dbm0) for dbm0 in (0, -30, -35, -40, -45)]


def _times() -> list[Condition]:
    def of(kind: str, tone_ms: float, pause_ms: float, keying: Keying = PLAIN) -> Condition:
        name = f"{tone_ms:g} ms tone, {pause_ms:g} ms pause"
        return _condition(kind, "time", name, replace(keying, tone_ms=tone_ms, pause_ms=pause_ms))

    must = [(40, 40), (45, 45), (45, 48), (50, 43), (50, 50), (70, 30), (70, 50), (90, 30)]
    must += [(40, 80), (100, 100), (200, 100)]
    hard = [(40, 30), (35, 35), (30, 30), (27, 40), (24, 60), (50, 20), (50, 25)]
    return (
        [of("must", *pair) for pair in must]
        + [of("hard", *pair) for pair in hard]
        + [of("hard", 1000, 200, replace(PLAIN, n_keys=64))]
    )


def _frequencies() -> list[Condition]:
    def of(kind: str, low: float, high: float, offset_hz: float = 0.0) -> Condition:
        name = f"low {low:+g} %, high {high:+g} %" + (
            f", {offset_hz:g} Hz more" if offset_hz else ""
        )
        keying = replace(PLAIN, low_percent=low, high_percent=high, offset_hz=offset_hz)
        return _condition(kind, "frequency", name, keying)

    must = [(0.5, 0.5), (-0.5, -0.5), (1, 1), (-1, -1), (1.5, 1.5), (-1.5, -1.5)]
    must += [(1.5, -1.5), (-1.5, 1.5)]
    between = [(1.8, 1.8), (-1.8, -1.8), (1.8, -1.8), (2, 2), (-2, -2), (2.5, 2.5), (-2.5, -2.5)]
    between += [(3, 3), (-3, -3)]
    return (
        [of("must", *pair) for pair in must]
        + [of("hard", 1.5, 1.5, 2.0), of("hard", -1.5, -1.5, 2.0), of("hard", 1.5, 1.5, 4.0)]
        + [of("hard", *pair) for pair in between]
    )


def _twists() -> list[Condition]:
    def of(kind: str, twist_db: float) -> Condition:
        keying = PLAIN.at_level(-8).with_twist(twist_db)
        return _condition(kind, "twist", f"{twist_db:+g} dB", keying)

    must = [of("must", twist_db) for twist_db in (-8, -6, -4, 2, 4)]
    return must + [of("hard", twist_db) for twist_db in (-12, -10, 5, 6, 8, 9, 10, 12)]


def _noises() -> list[Condition]:
    def noisy(
        kind: str, group: str, name: str, effect: Effect, keying: Keying = PLAIN
    ) -> Condition:
        return _condition(kind, group, name, keying, effect)

    kinds = {
        24: "must",
        18: "must",
        15: "must",
        12: "must",
        9: "hard",
        6: "hard",
        3: "hard",
        0: "hard",
    }
    table = [
        noisy(kind, "white noise", f"{snr} dB", impair.white(snr)) for snr, kind in kinds.items()
    ]
    table += [
        noisy("hard", "white noise", f"{snr} dB, 50 ms tones", impair.white(snr), QUICK)
        for snr in (15, 12, 9)
    ]
    table += [
        noisy("must", "line noise", "pink, 15 dB", impair.coloured(15, 1)),
        noisy("hard", "line noise", "pink, 6 dB", impair.coloured(6, 1)),
        noisy("hard", "line noise", "brown (street), 6 dB", impair.coloured(6, 2)),
        noisy("must", "line noise", "hum 50 Hz, 10 dB", impair.hum(50, 10)),
        noisy("must", "line noise", "hum 60 Hz, 10 dB", impair.hum(60, 10)),
        noisy("hard", "line noise", "hum 50 Hz, 3 dB", impair.hum(50, 3)),
        noisy("hard", "line noise", "impulses 2 a second, half scale", impair.impulses(2, 0.5)),
        noisy("hard", "line noise", "impulses 10 a second, half scale", impair.impulses(10, 0.5)),
    ]
    return table


def _voices() -> list[Condition]:
    def of(kind: str, group: str, above_db: float, keying: Keying, suffix: str = "") -> Condition:
        effect = (impair.over_speech if group == "over speech" else impair.over_music)(above_db)
        return _condition(kind, group, f"{above_db:g} dB{suffix}", keying, effect)

    slow = replace(PLAIN, tone_ms=100, pause_ms=100, n_keys=480)
    quick = replace(PLAIN, n_keys=480)
    speech = [("must", 20), ("must", 15), ("hard", 10), ("hard", 6), ("hard", 3), ("hard", 0)]
    table = [of(kind, "over speech", db, slow) for kind, db in speech]
    table += [of("hard", "over speech", db, quick, ", 70 ms tones") for db in (10, 6, 3, 0)]
    music = [("must", 15), ("hard", 10), ("hard", 6), ("hard", 3)]
    return table + [of(kind, "over music", db, slow) for kind, db in music]


def _lines() -> list[Condition]:
    def of(kind: str, name: str, *effects: Effect, keying: Keying = PLAIN) -> Condition:
        return _condition(kind, "line", name, keying, *effects)

    shaped = [
        ("must", "10 ms gap in each tone", replace(PLAIN, tone_ms=100, gap_ms=10)),
        ("must", "8 ms gap in each tone", replace(PLAIN, tone_ms=100, gap_ms=8)),
        ("must", "5 ms gap in each tone", replace(PLAIN, tone_ms=100, gap_ms=5)),
        ("hard", "15 ms gap in each tone", replace(PLAIN, tone_ms=120, gap_ms=15)),
        ("hard", "20 ms gap in each tone", replace(PLAIN, tone_ms=120, gap_ms=20)),
        ("must", "rise and fall of 5 ms", replace(PLAIN, tone_ms=50, rise_ms=5)),
        ("hard", "rise and fall of 7 ms", replace(PLAIN, tone_ms=50, rise_ms=7)),
        ("hard", "phase jump of 90 degrees", replace(PLAIN, tone_ms=100, jump_deg=90)),
        ("hard", "phase jump of 180 degrees", replace(PLAIN, tone_ms=100, jump_deg=180)),
        ("hard", "ringing, 5 ms time constant", replace(PLAIN, ring_ms=5)),
        ("hard", "ringing, 12 ms time constant", replace(PLAIN, ring_ms=12)),
        ("hard", "amplitude modulation 20 Hz, 30 %", replace(PLAIN, am_hz=20, am_depth=0.3)),
        ("hard", "amplitude modulation 50 Hz, 30 %", replace(PLAIN, am_hz=50, am_depth=0.3)),
        ("must", "made at 48 kHz", replace(PLAIN, via_hz=48000)),
        ("hard", "made at 44.1 kHz", replace(PLAIN, via_hz=44100)),
        ("hard", "made at 16 kHz", replace(PLAIN, via_hz=16000)),
    ]
    return [of(kind, name, keying=keying) for kind, name, keying in shaped] + [
        of("must", "echo 30 ms, -20 dB", impair.echo(30, 20)),
        of("hard", "echo 30 ms, -15 dB", impair.echo(30, 15)),
        of("hard", "echo 30 ms, -10 dB", impair.echo(30, 10)),
        of("hard", "echo 20 ms, -6 dB", impair.echo(20, 6)),
        of("must", "band 300-3400 Hz", impair.band(300, 3400)),
        of("must", "DC offset of 2 %", impair.offset(0.02)),
        of("hard", "DC offset of 10 %", impair.offset(0.1)),
        of("must", "clock 100 ppm fast", impair.skewed(100)),
        of("hard", "carrier shifted by 5 Hz", impair.shifted(5)),
        of("hard", "carrier shifted by -5 Hz", impair.shifted(-5)),
        of("hard", "distortion 5 %", impair.bent(0.05, -0.05)),
        of("must", "clipped by 3 dB", impair.clipped(3)),
        of("hard", "clipped by 6 dB", impair.clipped(6)),
        of("hard", "clipped by 12 dB", impair.clipped(12)),
        of("hard", "slips of one sample every 25 ms", impair.slipping(25, 1)),
        of("hard", "fading 3 Hz, 10 dB", impair.faded(3, 10)),
    ]


def _dial_tones() -> list[Condition]:
    rows: list[tuple[str, str, tuple[float, ...], int]]
    rows = [("hard", "US", US_DIAL_HZ, db) for db in (5, 10)] + [("must", "US", US_DIAL_HZ, 15)]
    rows += [("hard", "EU", EU_DIAL_HZ, db) for db in (0, 5, 10)] + [("must", "EU", EU_DIAL_HZ, 15)]
    return [
        _condition(kind, "dial tone", f"{name} at -{db} dB", PLAIN, impair.over_tones(tones, db))
        for kind, name, tones, db in rows
    ]


def _codecs() -> list[Condition]:
    def of(kind: str, name: str, codec: codecs.Codec, keying: Keying = PLAIN) -> Condition:
        return _condition(kind, "codec", name, keying, impair.coded(codec))

    quiet = PLAIN.at_level(-24)
    return [
        of("must", "A-law", codecs.alaw),
        of("must", "A-law, -24 dBm0", codecs.alaw, quiet),
        of("must", "mu-law", codecs.ulaw),
        of("must", "mu-law, -24 dBm0", codecs.ulaw, quiet),
        of("hard", "A-law, -35 dBm0", codecs.alaw, PLAIN.at_level(-35)),
        of("must", "G.722", codecs.g722),
        of("must", "G.726 32k", codecs.g726_32),
        of("must", "Opus 24k", codecs.opus_24k),
        of("hard", "Opus 12k", codecs.opus_12k),
        of("hard", "GSM", codecs.gsm),
        of("hard", "GSM, 50 ms tones", codecs.gsm, QUICK),
        of("hard", "GSM twice", codecs.in_turn(codecs.gsm, codecs.alaw, codecs.gsm)),
        of("hard", "G.729", codecs.g729),
        of("hard", "G.729, 50 ms tones", codecs.g729, QUICK),
        of("hard", "G.723.1 6.3k", codecs.g723_1),
        of("hard", "AMR 12.2k", codecs.amr_12k2),
        of("hard", "AMR 7.4k", codecs.amr_7k4),
    ]


def _losses() -> list[Condition]:
    return [
        _condition(
            "hard", "packet loss", f"{percent} %, {'repeat' if repeat else 'silence'}",
            replace(PLAIN, tone_ms=100, pause_ms=100), impair.lossy(percent, repeat),
        )
        for percent in (1, 3, 5)
        for repeat in (True, False)
    ]  # fmt: skip


def _mixtures() -> list[Condition]:
    def of(kind: str, name: str, keying: Keying, *effects: Effect) -> Condition:
        return _condition(kind, "mixed", name, keying, *effects)

    worst = replace(PLAIN.at_level(-16).with_twist(-6), low_percent=1.5, high_percent=-1.5)
    return [
        of("must", "93 ms a digit, -20 dBm0, A-law",
           replace(PLAIN, tone_ms=45, pause_ms=48).at_level(-20), impair.coded(codecs.alaw)),
        of("must", "twist +4 dB, +1.5 %, 24 dB of noise",
           replace(PLAIN.with_twist(4), low_percent=1.5, high_percent=1.5), impair.white(24)),
        of("hard", "twist -6 dB, 1.5 % apart, mu-law, 18 dB of noise", worst,
           impair.white(18), impair.coded(codecs.ulaw)),
        of("hard", "40 ms at -27 dBm0, A-law, 1.5 % off",
           replace(PLAIN.at_level(-27), tone_ms=40, pause_ms=40, low_percent=1.5, high_percent=1.5),
           impair.coded(codecs.alaw)),
        of("hard", "speech 10 dB under, then GSM", PLAIN,
           impair.over_speech(10), impair.coded(codecs.gsm)),
        of("hard", "echo and 18 dB of noise", PLAIN, impair.echo(30, 15), impair.white(18)),
    ]  # fmt: skip


CONDITIONS: Final[tuple[Condition, ...]] = tuple(
    _levels() + _times() + _frequencies() + _twists() + _noises() + _voices() + _lines()
    + _dial_tones() + _codecs() + _losses() + _mixtures()
    + [Condition(f"reject: {name}", "reject", "reject", make) for name, make in REJECTS.items()]
)  # fmt: skip
MUST: Final = tuple(condition for condition in CONDITIONS if condition.must_pass)


def write_wavs(folder: Path) -> None:
    """Write every condition as 16-bit WAV, with `truth.json` beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for index, condition in enumerate(CONDITIONS):
        recording = condition.recording()
        name = f"{index:03d}.wav"
        soundfile.write(folder / name, recording.audio, RATE_HZ, subtype="PCM_16")
        truth[name] = {
            "condition": condition.name,
            "kind": condition.kind,
            "presses": recording.truth,
        }
    (folder / "truth.json").write_text(json.dumps(truth))


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the conditions, or write them as WAV.")
    parser.add_argument("folder", type=Path, nargs="?")
    folder = parser.parse_args().folder
    if folder is not None:
        write_wavs(folder)
        return
    for kind in ("must", "hard", "reject"):
        rows = [condition for condition in CONDITIONS if condition.kind == kind]
        print(f"{kind}: {len(rows)}")
        for condition in rows:
            print(f"  {condition.name}")


if __name__ == "__main__":
    main()
