"""What a relay leaves alone: bytes where it must not touch them, and speech where it does.

``python -m benchmarks.path.untouched`` from the root of the project. Two sets of calls are spoken
through each relay in real time: talk without a key, and pressed keys on a quiet line with talk in
the other direction. Per relay and set:

- *agent leg*, *customer leg*: frames that came with the payload they were sent with, of all sent,
  and frames that did not come;
- *no tone*: the same on the agent leg over frames that hold no sample of a tone, and *away*: over
  frames 60 ms or more from any;
- *STOI*, *level*: intelligibility of the customer's talk as the agent hears it against what was
  sent (pystoi; 1 is untouched), and its change in RMS.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pystoi import stoi

from benchmarks.accuracy.results import write_result
from benchmarks.leak.conditions import Condition
from benchmarks.leak.press import RATE_HZ, Float32, samples
from benchmarks.path.calls import PathCall, make_calls, speech_calls
from benchmarks.path.conditions import PathCondition
from benchmarks.path.play import Got, play
from benchmarks.path.relays import MODES, Mode, Relay
from benchmarks.path.script import FRAME_SAMPLES, Heard

N_CALLS: Final = 16
TALK_S: Final = 20.0
PRESSES: Final = 16
AWAY_MS: Final = 60.0
KEYS: Final = tuple(
    PathCondition(Condition(f"keys {index}", "keys", (60, 120), (500, 1500)), "keys")
    for index in range(N_CALLS)
)


def equal(heard: Heard, payload: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which frames came with the payload they had; (n_frames,)."""
    return np.asarray(heard.came & np.all(heard.payload == payload, axis=1))


def away_from_tones(call: PathCall, margin_ms: float) -> NDArray[np.bool_]:
    """Say which frames hold no sample within `margin_ms` of a tone; (n_frames,)."""
    near = np.zeros(call.call.audio.size + 1, np.int64)
    margin = samples(margin_ms)
    for start, end in zip(call.call.start, call.tone_end, strict=True):
        near[max(0, start - margin)] += 1
        near[min(near.size - 1, end + margin)] -= 1
    inside = np.cumsum(near)[:-1].reshape(-1, FRAME_SAMPLES)
    return np.asarray(~np.any(inside > 0, axis=1))


def percent(parts: Sequence[NDArray[np.bool_]]) -> float:
    """Share of true values over all parts, percent."""
    return round(100 * float(np.mean(np.concatenate(parts))), 3)


def figures(calls: Sequence[PathCall], got: Sequence[Got]) -> dict[str, Any]:
    """Figures over some calls."""
    to_agent = [equal(g.agent, c.payload) for c, g in zip(calls, got, strict=True)]
    to_customer = [equal(g.customer, c.agent_payload) for c, g in zip(calls, got, strict=True)]
    without, away = (
        [part[away_from_tones(c, ms)] for c, part in zip(calls, to_agent, strict=True)]
        for ms in (0.0, AWAY_MS)
    )
    row: dict[str, Any] = {
        "agent_equal": percent(to_agent),
        "agent_missing": percent([~g.agent.came for g in got]),
        "customer_equal": percent(to_customer),
        "customer_missing": percent([~g.customer.came for g in got]),
        "no_tone_equal": percent(without),
        "away_equal": percent(away),
    }
    if not any(call.call.keys.size for call in calls):
        pairs = [(c.call.audio, g.agent.audio) for c, g in zip(calls, got, strict=True)]
        row["stoi"] = round(float(np.mean([stoi(a, b, RATE_HZ) for a, b in pairs])), 3)
        row["level_db"] = round(float(np.mean([_level_db(a, b) for a, b in pairs])), 2)
    return row


def _level_db(sent: Float32, heard: Float32) -> float:
    power = [float(np.mean(np.square(x, dtype=np.float64))) + 1e-12 for x in (heard, sent)]
    return 10 * float(np.log10(power[0] / power[1]))


def measure(mode: Mode, sets: dict[str, list[PathCall]]) -> dict[str, dict[str, Any]]:
    """Speak all sets through one relay at once."""
    calls = [call for group in sets.values() for call in group]
    with Relay(mode) as relay:
        got = play(relay, [call.parties for call in calls])
    rows, at = {}, 0
    for label, group in sets.items():
        rows[label] = figures(group, got[at : at + len(group)])
        at += len(group)
    return rows


HEAD: Final = (
    f"{'':27s}{'':7s}{'agent equal %':>14s}{'missing':>9s}{'customer equal %':>18s}"
    f"{'missing':>9s}{'no tone %':>11s}{'away %':>9s}{'STOI':>7s}{'level dB':>10s}"
)


def text(mode: str, label: str, row: dict[str, Any]) -> str:
    """One line of the table."""
    line = (
        f"{mode:27s}{label:7s}{row['agent_equal']:14.2f}{row['agent_missing']:9.2f}"
        f"{row['customer_equal']:18.2f}{row['customer_missing']:9.2f}"
        f"{row['no_tone_equal']:11.2f}{row['away_equal']:9.2f}"
    )
    return line + (f"{row['stoi']:7.3f}{row['level_db']:10.2f}" if "stoi" in row else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="what a relay leaves alone")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    options = parser.parse_args()
    sets = {
        "talk": speech_calls(N_CALLS, TALK_S, options.seed),
        "keys": make_calls(KEYS, PRESSES, options.seed),
    }
    results = {}
    print(HEAD)
    for name in options.mode or MODES:
        results[name] = measure(MODES[name], sets)
        for label, row in results[name].items():
            print(text(name, label, row), flush=True)
    if options.save:
        print(write_result("relay-untouched", results))


if __name__ == "__main__":
    main()
