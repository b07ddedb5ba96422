"""SIPp as a phone's SIP: it runs scenarios/*.xml and takes each step from the test.

The scenarios use SIPp's third-party call control, which is a TCP connection that carries commands
("Do: bye") one way and events ("Event: 180") the other, each ended by an escape character.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from tests.interop.description import Described, read
from tests.interop.ports import PortBlock
from tests.interop.process import Process, program

SCENARIOS = Path(__file__).parent / "scenarios"
END = b"\x1b"
TIMEOUT_S = 10.0
NO_HEADERS = ("Subject: call", "Organization: tests")


@dataclass(frozen=True)
class Event:
    """What SIPp tells: a name, the tag of a reply, a description if one came."""

    name: str
    call_id: str
    tag: str
    sdp: Described | None


class Sipp:
    """One SIPp process playing one party of one call.

    Parameters
    ----------
    role : ``caller`` or ``callee``.
    proxy_port : of 127.0.0.1, where it sends all requests.
    host, port : its own address; port 0 is any.
    """

    def __init__(
        self, role: str, ports: PortBlock, proxy_port: int, folder: Path, *, host: str, port: int
    ) -> None:
        self.host, self.port = host, port or ports.take()
        self._name = f"{role}-{self.port}"
        self._call_id = ""
        self._sequence = 1
        self._pending = b""
        scenario = folder / f"{self._name}.xml"
        dialog = (SCENARIOS / "dialog.xml").read_text()
        text = (SCENARIOS / f"{role}.xml").read_text()
        scenario.write_text(text.replace("<!-- dialog.xml -->", dialog))
        self._folder = folder
        if role == "caller":
            control = ports.take()
            self._start(scenario, control, proxy_port)
            self._process.await_ready(lambda: self._connect(control))
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                server.settimeout(TIMEOUT_S)
                self._start(scenario, server.getsockname()[1], proxy_port)
                self._control = server.accept()[0]
            self._process.await_ready(lambda: _is_bound(self.host, self.port))
        self._control.settimeout(TIMEOUT_S)

    def _start(self, scenario: Path, control: int, proxy_port: int) -> None:
        command = [program("sipp"), "-sf", str(scenario), "-i", self.host, "-p", str(self.port)]
        command += ["-3pcc", f"127.0.0.1:{control}", "-m", "1", "-nostdin"]
        command += ["-default_behaviors", "all,-abortunexp,-bye", "-timeout", "60s"]
        command += ["-trace_msg", "-message_file", str(self._folder / f"{self._name}.messages")]
        command += ["-trace_err", "-error_file", str(self._folder / f"{self._name}.errors")]
        command += [f"127.0.0.1:{proxy_port}"]
        self._process = Process(command, self._folder / f"{self._name}.out", self._folder)

    def _connect(self, port: int) -> bool:
        try:
            self._control = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        except OSError:
            return False
        return True

    def do(self, what: str, sdp: str = "", *extra: str, target: str = "sip:nobody") -> None:
        """Take the next step; a request may bear two headers more."""
        self._sequence += 1
        first, second = (*extra, *NO_HEADERS)[:2]
        lines = [f"Call-ID: {self._call_id}", f"Do: {what}", f"Sequence: {self._sequence}"]
        lines += [f"Target: {target}", f"First: {first}", f"Second: {second}"]
        self._control.sendall("\r\n".join([*lines, "", sdp]).encode() + END)

    def call(self, target: str, sdp: str, call_id: str, *extra: str) -> None:
        """Send the first INVITE."""
        self._call_id = call_id
        self.do("invite", sdp, *extra, target=target)

    def expect(self, name: str, timeout_s: float = TIMEOUT_S) -> Event:
        """Wait for an event; anything else but 180 fails the test."""
        while True:
            event = self._read(timeout_s)
            self._call_id = event.call_id
            if event.name == name:
                return event
            assert event.name == "180", f"{self._name}: {name} awaited, {event.name} came"

    def _read(self, timeout_s: float) -> Event:
        self._control.settimeout(timeout_s)
        while END not in self._pending:
            try:
                data = self._control.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no event in {timeout_s} s\n{self.trace()}") from None
            assert data, f"SIPp ended\n{self.trace()}"
            self._pending += data
        message, _, self._pending = self._pending.partition(END)
        head, _, body = message.decode().partition("\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        tag = fields.get("Tag", "").removeprefix("tag=").strip()
        sdp = read(body) if "v=0" in body else None
        return Event(fields["Event"].strip(), fields["Call-ID"], tag, sdp)

    def trace(self) -> str:
        """Give what was sent and received, and what went wrong."""
        parts = (self._folder / f"{self._name}.{kind}" for kind in ("messages", "errors", "out"))
        return "\n".join(
            part.read_text(errors="replace")[-6000:] for part in parts if part.exists()
        )

    def end(self) -> None:
        self._control.close()
        self._process.end()


def _is_bound(host: str, port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def new_call_id() -> str:
    """Make a Call-ID no other call has."""
    return f"{os.getpid()}-{time.monotonic_ns()}@interop"
