"""A whole service, its real node in it: keys from the control socket and the line reach the vault.

What else it says or leaves on the disk is searched for them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from voicemask.capture.digit import KEYS
from voicemask.media.vault_link import Frame
from voicemask.ng import bencode

PATIENCE_S = 20.0
PAN = "4111111111111111"
PROGRAM = "from voicemask.cli import main; main()"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def description(port: int) -> str:
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    )


class Steered:
    """A running service, its vault, and clients of NG and control."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault = socket.socket(socket.AF_UNIX)
        self.vault.bind(str(folder / "vault.sock"))
        self.vault.listen()
        self.vault.settimeout(PATIENCE_S)
        self.ng = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.ng.settimeout(PATIENCE_S)
        port = free_port()
        self.ng.connect(("127.0.0.1", port))
        options = {
            "ng": f"udp:127.0.0.1:{port}",
            "rtp-address": "127.0.0.1",
            "rtp-ports": "20000-29999",
            "control": f"unix:{folder}/control.sock",
            "vault": f"unix:{folder}/vault.sock",
            "recordings": f"{folder}/recordings",
            "customer": "caller",
            "log-level": "debug",
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--log-level", "debug", "media", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        link, _ = self.vault.accept()
        link.settimeout(PATIENCE_S)
        self.frames = link.makefile("rb")
        link.close()
        self.control = socket.socket(socket.AF_UNIX)
        self.control.settimeout(PATIENCE_S)
        self.control.connect(str(folder / "control.sock"))
        self.lines = self.control.makefile("rb")
        self.n_asked = 0

    def ask(self, command: str, **fields: Any) -> dict[bytes, Any]:
        """Ask over NG."""
        self.n_asked += 1
        cookie = b"k%d" % self.n_asked
        self.ng.send(cookie + b" " + bencode.encode({"command": command, **fields}))
        reply = bencode.decode(self.ng.recv(65535).split(b" ", 1)[1])
        assert isinstance(reply, dict)
        return reply

    def tell(self, **request: Any) -> dict[str, Any]:
        """Ask on the control socket, past the events in between."""
        self.control.sendall(json.dumps(request).encode() + b"\n")
        while "ok" not in (reply := json.loads(self.lines.readline())):
            pass
        result: dict[str, Any] = reply
        return result

    def frame(self) -> tuple[int, bytes]:
        """Give the next frame to the vault."""
        (length,) = struct.unpack("!H", self.frames.read(2))
        body = self.frames.read(length)
        return body[1], body[2:]

    def end(self) -> str:
        """End the service; give all it said."""
        self.process.terminate()
        assert self.process.stderr is not None
        self.said += self.process.stderr.read()
        assert self.process.wait(PATIENCE_S) == 0
        self.process.stderr.close()
        for item in (self.frames, self.lines, self.control, self.ng, self.vault):
            item.close()
        return self.said


@pytest.fixture
def steered(tmp_path: Path) -> Iterator[Steered]:
    service = Steered(tmp_path)
    yield service
    if service.process.returncode is None:
        service.end()


def begin_call(service: Steered) -> None:
    offer = {"call-id": "call-1", "from-tag": "a", "sdp": description(40000)}
    answer = service.ask("offer", **offer)
    assert answer[b"result"] == b"ok", answer
    answer = {"call-id": "call-1", "from-tag": "a", "to-tag": "b", "sdp": description(40002)}
    assert service.ask("answer", **answer)[b"result"] == b"ok"


def test_keys_of_a_capture_go_to_the_vault_and_nowhere_else(steered: Steered) -> None:
    begin_call(steered)
    assert steered.tell(command="events")["ok"]
    asked = steered.tell(command="policy", call="call-1", role="customer", policy="capture")
    assert asked["result"]["policies"] == {"a": "capture", "b": "guard"}
    steered.tell(command="record", call="call-1", action="start")
    kind, started = steered.frame()
    assert kind == Frame.CAPTURE_STARTED
    assert started[16:] == b"\x00\x06call-1\x00\x01a"
    keys = ""
    for key in PAN:
        told = {"command": "info", "call": "call-1", "tag": "a", "key": key, "duration_ms": 100}
        assert steered.tell(**told)["ok"]
        kind, body = steered.frame()
        assert (kind, body[:16]) == (Frame.KEY, started[:16])
        keys += KEYS[body[16]]
    assert keys == PAN
    assert steered.ask("delete", **{"call-id": "call-1", "from-tag": "a"})[b"result"] == b"ok"
    assert steered.frame() == (Frame.CAPTURE_ENDED, started[:16])
    assert steered.tell(command="calls")["result"] == {"calls": []}
    said = steered.end()
    pattern = re.compile("[^0-9]{0,6}".join(PAN))
    assert not pattern.search(said)
    for path in steered.folder.rglob("*"):
        if path.is_file():
            assert not pattern.search(path.read_bytes().decode("latin-1")), path.name


def test_a_recorder_that_is_killed_is_started_anew_and_the_call_goes_on(steered: Steered) -> None:
    begin_call(steered)
    assert steered.tell(command="record", call="call-1", action="start")["ok"]
    health = steered.tell(command="health")["result"]
    children = Path(f"/proc/{health['pid']}/task/{health['pid']}/children").read_text().split()
    (recorder,) = map(int, children)
    os.kill(recorder, signal.SIGKILL)
    assert steered.process.stderr is not None
    while "recorder ended" not in (line := steered.process.stderr.readline()):
        assert line
    state = steered.tell(command="call", call="call-1")["result"]
    assert state["is_recording"]
    assert steered.ask("query", **{"call-id": "call-1"})[b"result"] == b"ok"
