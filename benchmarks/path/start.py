"""How long `voicemask media` takes from the shell's command to its first answer over NG.

    python -m benchmarks.path.start [--runs 10] [--configured] [--processes N]

Each run is a fresh process with recordings, control socket and metrics; a ping is sent every 5 ms
until one is answered. With --configured the settings come from a voicemask.toml. A first run, which
is not counted, leaves the bytecode that an installed package comes with.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PING: Final = b"k d7:command4:pinge"
_PATIENCE_S: Final = 30.0
_PROGRAM: Final = "from voicemask.cli import main; main()"


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    """Give a port that is free now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def options_in(folder: Path, port: int, n_processes: int) -> dict[str, str | int]:
    """Give settings of a whole service in a folder of its own."""
    return {
        "ng": f"udp:127.0.0.1:{port}",
        "rtp_address": "127.0.0.1",
        "rtp_ports": "20000-29999",
        "control": f"unix:{folder}/control.sock",
        "recordings": f"{folder}/recordings",
        "metrics": f"127.0.0.1:{free_port(socket.SOCK_STREAM)}",
        "processes": n_processes,
    }


def command_line(options: dict[str, str | int]) -> list[str]:
    """Write settings as options."""
    pairs = [("--" + name.replace("_", "-"), str(value)) for name, value in options.items()]
    return [part for pair in pairs for part in pair]


def environment_in(folder: Path) -> dict[str, str]:
    """Give the environment, with a place of its own for bytecode."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def time_start(folder: Path, n_processes: int, *, is_configured: bool) -> float:
    """Start a service once; give the seconds until it answers."""
    port = free_port()
    options = options_in(folder, port, n_processes)
    arguments = [sys.executable, "-c", _PROGRAM, "media"]
    if is_configured:
        lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        (folder / "voicemask.toml").write_text("\n".join(["[media]", *lines, ""]))
    else:
        arguments += command_line(options)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.005)
        began_s = time.perf_counter()
        service = subprocess.Popen(
            arguments, cwd=folder, env=environment_in(folder), stderr=subprocess.DEVNULL
        )
        try:
            return wait_for_answer(client, began_s)
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait()


def wait_for_answer(client: socket.socket, began_s: float) -> float:
    """Ping until somebody answers; give the seconds it took."""
    while (now_s := time.perf_counter()) - began_s < _PATIENCE_S:
        try:
            client.send(_PING)
            client.recv(100)
        except TimeoutError:
            continue
        except ConnectionRefusedError:
            time.sleep(max(0.0, now_s + 0.005 - time.perf_counter()))
            continue
        return time.perf_counter() - began_s
    raise SystemExit("the service does not answer")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the median and the extremes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--configured", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        times_s = [
            time_start(Path(name), given.processes, is_configured=given.configured)
            for _ in range(given.runs + 1)
        ][1:]
    load = os.getloadavg()[0]
    print(
        f"start to first answer, {given.runs} runs, load {load:.1f}: "
        f"median {statistics.median(times_s):.2f} s, "
        f"{min(times_s):.2f} to {max(times_s):.2f} s"
    )


if __name__ == "__main__":
    main()
