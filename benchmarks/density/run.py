"""What a call costs: processor time a packet, added delay, memory, beside rtpengine in one run.

``python -m benchmarks.density.run`` from the root of the project; ``--quick`` for a first look.

One relay at a time runs on one core, all its processes on it; the load runs on the other
(`benchmarks.density.load`). A call is 100 packets a second, 50 each way, of conversations with
key presses. Each point is a relay started anew. Repeats go round all relays before any is measured
again, and the medians of the repeats are the figures.

- *us a packet*: time on the processor (schedstat of all threads of all processes) by packets that
  arrived. Loopback delivers inside the sender's system call, so the relay pays for its packets'
  way into the load's socket, and the load for theirs into the relay's: the same for each relay.
- *delay*: from the kernel taking a packet of the load's to the kernel having one for it.
- *holds to*: the most calls with at most 0.1 % of packets lost and the delay's 99th percentile
  within its limit (35 ms, rtpengine 70 ms), of those tried.
- *others*: share of the relay's core used by anything else. Relay and load run at real-time
  priority where they may, so that it costs caches, hardly time.
- *stolen*: share of the relay's core that the host of a virtual machine took away. Delays and
  losses of a run with much of it are the machine's, and its processor time is too large. Such a
  point is tried again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.accuracy.results import write_result
from benchmarks.density.load import FRAME_NS, Load
from benchmarks.density.material import loops
from benchmarks.path.recorded import recording_folder
from benchmarks.path.relays import MODES, RELAY_CORE, Mode, Ports, Relay, core_times

N_CALLS: Final = (10, 50, 100, 200, 300, 400, 600)
QUICK_CALLS: Final = (10, 100, 300)
WARM_UP_S: Final = 1.5
MEASURE_S: Final = 4.0
REPEATS: Final = 3
MOST_LOST: Final = 0.001
HOPELESS_LOST: Final = 0.1
"""More calls are not tried with a relay that lost so much."""
P99_LIMIT_MS: Final = {"rtpengine": 70.0, "voicemask": 35.0}
FILL_P99_LIMIT_MS: Final = 300.0
"""`fill` holds what its detector needs, by choice."""
MOST_STOLEN: Final = 0.02
TRIES: Final = 3
"""Of a point from whose core the host took more; the least disturbed counts."""

NUMBERS: Final = (
    "us_per_packet", "core_share", "lost", "kb_per_call", "idle_mb", "others", "stolen",
)  # fmt: skip
"""Of a point, one each; delays are two ways."""

Point = dict[str, Any]
"""One measurement: names to numbers."""


@contextmanager
def generator(n_calls: int, n_frames: int, payload: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the load as a process."""
    command = [
        sys.executable, "-m", "benchmarks.density.load",
        str(n_calls), str(n_frames), str(payload),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _line(process: subprocess.Popen[str], expected: str = "") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line or (expected and line != expected):
        raise RuntimeError(f"the load ended early: {line!r}")
    return line


def measure(
    mode: Mode,
    n_calls: int,
    payload: Path,
    measure_s: float = MEASURE_S,
    warm_up_s: float = WARM_UP_S,
    *,
    recordings: Path | None = None,
) -> Point:
    """Run one relay under one load.

    Parameters
    ----------
    payload : file of `benchmarks.density.material.loops`.
    recordings : folder, where every call is recorded.
    """
    n_frames = round((warm_up_s + measure_s) * 1e9 / FRAME_NS)
    relay = Relay(mode, recordings=recordings)
    with relay, generator(n_calls, n_frames, payload) as process:
        caller_port, callee_port = map(int, _line(process).split())
        idle_bytes = relay.memory_bytes()
        ports = [
            relay.set_up(f"density-{index}", caller_port, callee_port) for index in range(n_calls)
        ]
        assert process.stdin is not None
        process.stdin.write(_load(ports, payload, warm_up_s, measure_s).line() + "\n")
        _line(process, "measuring")
        cpu_ns, before = relay.cpu_ns(), core_times(RELAY_CORE)
        _line(process, "measured")
        cpu_ns = relay.cpu_ns() - cpu_ns
        after = core_times(RELAY_CORE)
        others_ns = after.busy_ns - before.busy_ns - cpu_ns
        said = json.loads(_line(process))
        per_call = (relay.memory_bytes() - idle_bytes) / n_calls
    return {
        "mode": mode.name,
        "calls": n_calls,
        **_costs(said, cpu_ns, measure_s),
        "idle_mb": round(idle_bytes / 1e6, 1),
        "kb_per_call": round(per_call / 1e3, 1),
        "others": round(max(0.0, others_ns / (measure_s * 1e9)), 3),
        "stolen": round((after.stolen_ns - before.stolen_ns) / (measure_s * 1e9), 3),
        **said,
    }


def calmest(
    mode: Mode, n_calls: int, payload: Path, measure_s: float, recordings: Path | None
) -> Point:
    """Measure until the host leaves the relay its core, a few times at most."""
    tries: list[Point] = []
    while len(tries) < TRIES and not (tries and is_undisturbed(tries[-1])):
        tries.append(measure(mode, n_calls, payload, measure_s, recordings=recordings))
    return min(tries, key=lambda point: float(point["stolen"]))


def _load(ports: Sequence[Ports], payload: Path, warm_up_s: float, measure_s: float) -> Load:
    callers, callees = tuple(p.caller for p in ports), tuple(p.callee for p in ports)
    return Load(callers, callees, str(payload), warm_up_s, measure_s)


def _costs(said: Point, cpu_ns: int, measure_s: float) -> Point:
    ways = (said["to_agent"], said["to_customer"])
    sent, lost = sum(way["sent"] for way in ways), sum(way["lost"] for way in ways)
    return {
        "us_per_packet": round(cpu_ns / 1e3 / max(1, sent - lost), 2),
        "core_share": round(cpu_ns / (measure_s * 1e9), 3),
        "lost": round(lost / sent, 6),
    }


def summary(points: Sequence[Point]) -> list[Point]:
    """Medians over the repeats of each mode and load, in the order they were first measured."""
    groups: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        groups.setdefault((point["mode"], point["calls"]), []).append(point)
    rows = []
    for (mode, calls), group in groups.items():
        row: Point = {"mode": mode, "calls": calls, "repeats": len(group)}
        for name in (
            "us_per_packet",
            "core_share",
            "lost",
            "kb_per_call",
            "idle_mb",
            "others",
            "stolen",
        ):
            row[name] = round(median(point[name] for point in group), 6)
        for way in ("to_agent", "to_customer"):
            for name in ("p50_ms", "p99_ms"):
                row[f"{way}_{name}"] = median(point[way][name] for point in group)
        row["load_late_p99_ms"] = median(point["load_late_p99_ms"] for point in group)
        rows.append(row)
    return rows


def holds(row: Point) -> bool:
    """Say whether a load is carried: little lost, and in time both ways."""
    mode = MODES[row["mode"]]
    limit_ms = FILL_P99_LIMIT_MS if row["mode"].endswith("fill") else P99_LIMIT_MS[mode.relay]
    in_time = row["to_agent_p99_ms"] <= limit_ms and row["to_customer_p99_ms"] <= limit_ms
    return bool(row["lost"] <= MOST_LOST and in_time)


def is_undisturbed(point: Point) -> bool:
    """Say whether the host left the relay its core."""
    return bool(point["stolen"] <= MOST_STOLEN)


def holds_to(rows: Sequence[Point], mode: str) -> int:
    """Most calls of a mode before the first load that was not carried; disturbed ones tell none."""
    most = 0
    told = (row for row in rows if row["mode"] == mode and is_undisturbed(row))
    for row in sorted(told, key=lambda r: int(r["calls"])):
        if not holds(row):
            break
        most = row["calls"]
    return most


HEAD: Final = (
    f"{'relay':27s}{'calls':>6s}{'us/packet':>10s}{'core':>6s}{'lost %':>8s}"
    f"{'to agent p50/p99 ms':>21s}{'to customer p50/p99':>21s}{'kB/call':>9s}"
    f"{'others %':>9s}{'stolen %':>9s}"
)


def text(row: Point) -> str:
    """One line of the table."""
    agent = f"{row['to_agent_p50_ms']:.2f} / {row['to_agent_p99_ms']:.2f}"
    customer = f"{row['to_customer_p50_ms']:.2f} / {row['to_customer_p99_ms']:.2f}"
    return (
        f"{row['mode']:27s}{row['calls']:6d}{row['us_per_packet']:10.1f}{row['core_share']:6.2f}"
        f"{100 * row['lost']:8.2f}{agent:>21s}{customer:>21s}{row['kb_per_call']:9.0f}"
        f"{100 * row['others']:9.1f}{100 * row['stolen']:9.1f}"
    )


def measure_all(
    modes: Sequence[Mode], loads: Sequence[int], repeats: int, measure_s: float, *, record: bool
) -> list[Point]:
    """Measure every mode under every load, round by round; prints as it goes."""
    points: list[Point] = []
    hopeless: set[str] = set()
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        payload = Path(folder) / "payload.npy"
        np.save(payload, loops())
        for _ in range(repeats):
            for n_calls in loads:
                for mode in modes:
                    tried = {p["calls"] for p in points if p["mode"] == mode.name}
                    if mode.name in hopeless and n_calls not in tried:
                        continue
                    with recording_folder(mode, record=record) as into:
                        points.append(calmest(mode, n_calls, payload, measure_s, into))
                    print(text(summary(points[-1:])[0]), flush=True)
                    if points[-1]["lost"] > HOPELESS_LOST and is_undisturbed(points[-1]):
                        hopeless.add(mode.name)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="three loads, once")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this one; repeatable")
    parser.add_argument("--calls", type=int, action="append", help="only this load; repeatable")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--seconds", type=float, default=MEASURE_S)
    parser.add_argument("--record", action="store_true", help="every call is recorded")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--plot", type=Path, help="draw the curve into this file")
    options = parser.parse_args()
    loads = options.calls or (QUICK_CALLS if options.quick else N_CALLS)
    repeats = options.repeats or (1 if options.quick else REPEATS)
    modes = [mode for name, mode in MODES.items() if not options.mode or name in options.mode]
    points = measure_all(modes, loads, repeats, options.seconds, record=options.record)
    rows = summary(points)
    print("\nmedians", HEAD, *map(text, rows), "", sep="\n")
    for mode in modes:
        print(f"{mode.name} holds to {holds_to(rows, mode.name)} calls of those tried")
    stolen = sum(not is_undisturbed(point) for point in points)
    print(f"{stolen} of {len(points)} runs on a core of which the host took over {MOST_STOLEN:.0%}")
    if options.save:
        figures = {m.name: holds_to(rows, m.name) for m in modes}
        name = "relay-density-recording" if options.record else "relay-density"
        print(write_result(name, {"holds_to": figures, "rows": rows, "runs": points}))
    if options.plot:
        from benchmarks.density.plots import plot_density  # noqa: PLC0415 matplotlib is slow

        plot_density(rows, options.plot)


if __name__ == "__main__":
    main()
