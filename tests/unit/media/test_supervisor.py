"""The service as an operator meets it: real processes around a node that does nothing."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.media import fakes
from voicemask.media.dispatcher import process_of
from voicemask.media.watchdog import notify_systemd
from voicemask.ng import bencode

PATIENCE_S = 20.0


class Service:
    """A running service: what it says, and a client of its NG socket."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.port = given.pop("port", None) or free_port()
        self.control = folder / "control.sock"
        settings = {
            "rtp_address": "127.0.0.1",
            "ng": [f"udp:127.0.0.1:{self.port}", f"tcp:127.0.0.1:{self.port}"],
            "control": f"unix:{self.control}",
            **given,
        }
        self.process = subprocess.Popen(
            [sys.executable, fakes.__file__, json.dumps(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def wait_for(self, event: str) -> dict[str, Any]:
        """Give the next line of this event."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            line = self._lines.get(timeout=max(0.01, deadline_s - time.monotonic()))
            if event in line["event"]:
                return line

    def ask(self, fields: dict[str, Any], timeout_s: float = PATIENCE_S) -> dict[bytes, Any]:
        """Ask over UDP."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout_s)
            client.connect(("127.0.0.1", self.port))
            client.send(b"k " + bencode.encode(fields))
            reply = bencode.decode(client.recv(65535)[2:])
        assert isinstance(reply, dict)
        return reply

    def tell(self, path: Path, **request: Any) -> dict[str, Any]:
        """Ask on a control socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(path))
            client.sendall(json.dumps(request).encode() + b"\n")
            reply: dict[str, Any] = json.loads(client.makefile().readline())
        return reply

    def pid(self, path: Path | None = None) -> int:
        """Give the process id of a media process."""
        return int(self.tell(path or self.control, command="health")["result"]["pid"])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End the service; give its exit code and what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        code = self.process.wait(PATIENCE_S)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code, said


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    return False


def wait_until(is_so: Callable[[], bool]) -> None:
    """For what has no descriptor to wait on: a process of another parent."""
    deadline_s = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline_s
        pause.wait(0.01)


Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    services: list[Service] = []

    def start(**given: Any) -> Service:
        services.append(Service(tmp_path, **given))
        services[-1].wait_for("serving")
        return services[-1]

    yield start
    for service in services:
        if service.process.returncode is None:
            service.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_serves_and_ends_in_order(make: Make, number: int) -> None:
    service = make()
    assert service.ask({"command": "ping"})[b"result"] == b"pong"
    pid = service.pid()
    service.process.send_signal(signal.SIGHUP)
    assert service.ask({"command": "ping"})[b"result"] == b"pong"
    began_s = time.monotonic()
    assert service.end(number) == (0, "")
    assert time.monotonic() - began_s < 5
    assert not is_alive(pid)
    assert not service.control.exists()


def test_control_socket_is_for_its_owner_only(make: Make) -> None:
    service = make()
    assert service.control.stat().st_mode & 0o777 == 0o600


def test_a_media_process_is_hardened(make: Make) -> None:
    pid = make().pid()
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    core = next(line.split() for line in limits if line.startswith("Max core file size"))
    assert core[4:6] == ["0", "0"]
    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()


def test_a_killed_media_process_is_started_anew_on_the_same_sockets(make: Make) -> None:
    service = make()
    pid = service.pid()
    os.kill(pid, signal.SIGKILL)
    assert service.wait_for("media process ended")["code"] == -signal.SIGKILL
    # asked while there is none: it waits in the socket
    assert service.ask({"command": "ping"})[b"result"] == b"pong"
    assert service.pid() != pid


def test_a_stopped_media_process_is_said_within_five_seconds(make: Make) -> None:
    service = make()
    pid = service.pid()
    began_s = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        alert = service.wait_for("watchdog alert")
        assert time.monotonic() - began_s < 5
        assert (alert["level"], alert["state"]) == ("error", "stalled")
    finally:
        os.kill(pid, signal.SIGCONT)
    service.wait_for("recovered")
    assert service.pid() == pid


def test_a_service_ends_with_a_media_process_that_is_stopped(make: Make) -> None:
    service = make()
    pid = service.pid()
    os.kill(pid, signal.SIGSTOP)
    assert service.end()[0] == 0
    assert not is_alive(pid)


def test_media_processes_end_with_their_parent(make: Make) -> None:
    service = make()
    pid = service.pid()
    service.end(signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))


def test_several_processes_share_calls_and_ports(make: Make) -> None:
    service = make(processes=2, rtp_ports="30000-30999")
    first = next(n for n in range(20) if process_of(f"c{n}", 2) == 0)
    second = next(n for n in range(20) if process_of(f"c{n}", 2) == 1)
    ports = []
    for n in (first, second):
        offer = {"command": "offer", "call-id": f"c{n}"}
        # the first of two may serve before the second does
        wait_until(lambda offer=offer: b"first-port" in service.ask(offer))
        ports.append(service.ask(offer)[b"first-port"])
    assert ports == [30000, 30500]
    listed = service.ask({"command": "list"})
    assert sorted(listed[b"calls"]) == [b"call-30000", b"call-30500"]
    pids = {service.pid(service.control.with_name(f"control.sock.{n}")) for n in range(2)}
    assert len(pids) == 2


def test_calls_of_a_lost_process_get_an_error_and_the_others_go_on(make: Make) -> None:
    service = make(processes=2)
    pids = [service.pid(service.control.with_name(f"control.sock.{n}")) for n in range(2)]
    ours, other = (
        next(f"c{n}" for n in range(99) if process_of(f"c{n}", 2) == at) for at in (0, 1)
    )
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(pids[0], signal.SIGKILL)
    service.wait_for("media process ended")
    assert service.ask({"command": "offer", "call-id": other})[b"result"] == b"ok"
    answers = []
    while not answers or answers[-1] != b"ok":
        answers.append(service.ask({"command": "offer", "call-id": ours})[b"result"])
    assert set(answers) <= {b"error", b"ok"}


def test_an_error_of_ours_is_logged_by_its_place_only(make: Make) -> None:
    service = make()
    assert service.ask({"command": "query"})[b"result"] == b"error"
    line = service.wait_for("internal error")
    assert (line["error"], line["process"]) == ("RuntimeError", 0)
    assert line["place"].startswith("fakes.py:")
    assert "a bug" not in json.dumps(line)


def test_systemd_is_told_of_ready_life_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000000")
        service = make()
        service.end()
        heard = []
        while not heard or heard[-1] != b"STOPPING=1":
            heard.append(systemd.recv(100))
    assert b"READY=1" in heard
    assert b"WATCHDOG=1" in heard


def test_a_control_socket_left_behind_is_replaced(tmp_path: Path, make: Make) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "control.sock"))
    assert make().pid() > 0


def test_a_systemd_that_does_not_listen_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for _ in range(2000):
            notify_systemd("WATCHDOG=1")


@pytest.mark.parametrize("what", ["ng", "control", "user"])
def test_what_cannot_be_had_ends_the_start_with_one_line(
    make: Make, tmp_path: Path, what: str
) -> None:
    given: dict[str, Any] = {}
    if what in ("ng", "control"):
        holder = make()
        given = {"port": holder.port} if what == "ng" else {}
    else:
        given = {"user": "no-such-account"}
    late = Service(tmp_path, **given)
    late.process.wait(PATIENCE_S)
    code, said = late.end()
    assert code == 1
    assert "ConfigError" in said.splitlines()[-1]
