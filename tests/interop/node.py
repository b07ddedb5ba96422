"""The media node as a process: steered by NG, listened to by its control socket, its recordings."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from tests.interop.ng import NgClient
from tests.interop.ports import PortBlock
from tests.interop.process import Process
from voicemask.recording.keys import load_keys
from voicemask.recording.library import Entry, list_recordings

RUN = "import sys; from voicemask.cli import main; sys.exit(main())"


def voicemask(*arguments: str | Path) -> str:
    """Run a command of voicemask; give its output."""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Node:
    """`voicemask media` on loopback.

    Parameters
    ----------
    options : further ones.
    """

    def __init__(self, ports: PortBlock, folder: Path, *options: str) -> None:
        self.ng_port = ports.take()
        self.media_ports = ports.take_range()
        self.folder = folder
        self.recordings = folder / "recordings"
        self._prepare()
        self._key = folder / "recording.keys"
        voicemask("recordings", "keys", "create", "--recording-key", self._key)
        self._process = Process(self._command(*options), folder / "node.log", folder)
        self.ng = NgClient(self.ng_port)
        try:
            self._process.await_ready(self._answers)
        except BaseException:
            self.ng.close()
            raise

    def _prepare(self) -> None:
        """Make what has to be there before it starts."""
        self.recordings.mkdir(exist_ok=True)

    def _command(self, *options: str) -> list[str]:
        return [
            *(sys.executable, "-c", RUN, "media"),
            *("--ng", f"udp:127.0.0.1:{self.ng_port}", "--ng", f"tcp:127.0.0.1:{self.ng_port}"),
            *("--rtp-address", "127.0.0.1", "--rtp-address", "::1"),
            *("--rtp-ports", f"{self.media_ports.start}-{self.media_ports.stop - 1}"),
            *("--control", f"unix:{self.folder / 'control'}"),
            *("--recordings", str(self.recordings), "--recording-key", str(self._key)),
            *options,
        ]

    def _answers(self) -> bool:
        try:
            return self.ng.ask("ping", timeout_s=0.3) == {"result": "pong"}
        except OSError:
            return False

    def calls(self) -> list[str]:
        """Name the calls it has."""
        reply = self.ng.ask("list")
        calls: list[str] = reply["calls"]
        return calls

    def used_ports(self) -> int:
        """Count the UDP ports of its range that are bound."""
        bound: set[int] = set()
        for table in ("udp", "udp6"):
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
            bound |= {int(line.split()[1].rpartition(":")[2], 16) for line in lines}
        return len(bound & set(self.media_ports))

    def events(self) -> Events:
        """Listen to what the control socket tells from now on."""
        return Events(self.folder / "control")

    def client(self, kind: str, *, is_json: bool = False) -> NgClient:
        """Steer it by another connection; see `NgClient`."""
        return NgClient(self.ng_port, kind, is_json=is_json)

    def recording_of(self, call_id: str) -> Recorded:
        """Open the one recording of a call."""
        entries = list_recordings(self.recordings, load_keys(self._key))
        (entry,) = (entry for entry in entries if entry.call_id == call_id)
        path = self.folder / f"{entry.name}.wav"
        where = ("--recordings", self.recordings, "--recording-key", self._key)
        voicemask("recordings", "export", entry.name, path, *where)
        audio, rate_hz = sf.read(path, dtype="float32", always_2d=True)
        return Recorded(np.ascontiguousarray(audio.T), rate_hz, entry)

    def said(self) -> str:
        return self._process.said()

    def is_running(self) -> bool:
        return self._process.is_running()

    def end(self) -> None:
        self.ng.close()
        self._process.end()


class Recorded:
    """A recording as it was exported: (2, n) audio, customer first, and its entry in the list."""

    def __init__(self, audio: NDArray[np.float32], rate_hz: int, entry: Entry) -> None:
        self.audio, self.rate_hz, self.entry = audio, rate_hz, entry


class Events:
    """A connection to the control socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self.ask("events")

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a request; gives its result."""
        self.send(command, **fields)
        return self.result()

    def send(self, command: str, **fields: Any) -> None:
        """Send a request; its result is taken later."""
        self._socket.sendall(json.dumps({"id": 1, "command": command, **fields}).encode() + b"\n")

    def result(self) -> dict[str, Any]:
        """Take the result of the next request."""
        while True:
            line = self._read()
            if "event" not in line:
                assert line["ok"], line
                result: dict[str, Any] = line["result"]
                return result

    def wait_for(self, name: str, call_id: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until this happened to the call; gives the event's details."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._socket.settimeout(max(0.01, deadline_s - time.monotonic()))
            line = self._read()
            if line.get("event") == name and line["call"] == call_id:
                details: dict[str, Any] = line["details"]
                return details

    def _read(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self._lines.readline())
        return line

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
