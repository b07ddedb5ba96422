"""The relays under test: started on one core, steered over NG, measured from /proc.

A `Mode` is a relay and what it is asked to do with a call. rtpengine relays in user space (no
kernel table) and masks as it does best: `block DTMF` with silence and a delay buffer of 60 ms,
in-band detection on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.path.ng import NgClient, NgRefusedError, Value

HOST: Final = "127.0.0.1"
FIRST_PORT: Final = 20000
LAST_PORT: Final = 31999
"""Below the ports the kernel gives out by itself."""
START_S: Final = 15.0
EVENT_PAYLOAD_TYPE: Final = 101
RELAY_CORE: Final = 0
LOAD_CORE: Final = 1
LOCK: Final = Path(tempfile.gettempdir()) / "relay-bench.lock"
"""Held while a relay runs: another benchmark waits, as two would measure each other."""
REAL_TIME_PRIORITY: Final = 1
"""Of relays and load alike, round robin, where it is allowed: what else the machine does then takes
little of their time. Nobody of them gets more than a core has."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A relay and what it does with calls.

    Parameters
    ----------
    name : in tables.
    relay : ``rtpengine`` or ``voicemask``.
    options : command line beyond what every start gets.
    requests : NG commands with their fields, sent when a call is up.
    offer : keys added to its offer.
    """

    name: str
    relay: str
    options: tuple[str, ...] = ()
    requests: tuple[tuple[str, Mapping[str, Value]], ...] = ()
    offer: Mapping[str, Value] = field(default_factory=dict)

    @property
    def masks_agent(self) -> bool:
        """Whether it keeps tones from the agent's leg."""
        return bool(self.requests)


_Request = tuple[str, Mapping[str, Value]]

_RTPENGINE_MASK: Final[_Request] = (
    "block DTMF",
    {"DTMF-security": "silence", "delay-buffer": 60, "flags": ["detect-DTMF"]},
)
_CUSTOMER: Final = {"label": "customer"}
_CAPTURE: Final[_Request] = ("block DTMF", {})


def _one_way(request: _Request) -> _Request:
    """Ask for the caller's speech only."""
    command, fields = request
    return command, {**fields, "from-tag": "a"}


MODES: Final = {
    mode.name: mode
    for mode in (
        Mode("rtpengine forward", "rtpengine"),
        Mode("rtpengine mask 60", "rtpengine", requests=(_RTPENGINE_MASK,)),
        Mode("rtpengine mask 60, 1 way", "rtpengine", requests=(_one_way(_RTPENGINE_MASK),)),
        Mode("voicemask open", "voicemask", ("--policy", "open"), offer=_CUSTOMER),
        Mode("voicemask guard", "voicemask", offer=_CUSTOMER),
        Mode("voicemask suppress", "voicemask", requests=(_CAPTURE,), offer=_CUSTOMER),
        Mode("voicemask suppress, 2 ways", "voicemask", requests=(_CAPTURE,)),
        Mode(
            "voicemask fill", "voicemask", ("--method", "fill"), requests=(_CAPTURE,),
            offer=_CUSTOMER,
        ),
    )
}  # fmt: skip
"""The caller is the customer. rtpengine is told of the call, as Kamailio does it, and masks both
ways unless a mode says otherwise; voicemask masks both where nobody says who is the customer."""


def may_run_in_real_time() -> bool:
    """Say whether this user may give real-time priorities."""
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    return os.geteuid() == 0 or soft >= REAL_TIME_PRIORITY


def free_port() -> int:
    """Find a UDP port nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a relay takes the packets of a call: from its caller, from its callee."""

    caller: int
    callee: int


class Relay:
    """A relay that runs; use it as a context manager.

    Parameters
    ----------
    mode : which, and how.
    core : of all its processes; None leaves them free.
    recordings : folder, for runs that record every call; voicemask's key file lies beside it, with
        the suffix ``.key``.
    """

    def __init__(
        self, mode: Mode, core: int | None = RELAY_CORE, recordings: Path | None = None
    ) -> None:
        self.mode = mode
        self._core = core
        self._recordings = recordings
        self._folder = Path(tempfile.mkdtemp(prefix="relay-bench-"))
        self._ng_port = free_port()
        self.ng = NgClient((HOST, self._ng_port))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._lock = LOCK.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        command = list(self._command())
        if may_run_in_real_time():
            command = ["chrt", "--rr", str(REAL_TIME_PRIORITY), *command]
        if self._core is not None:
            command = ["taskset", "--cpu-list", str(self._core), *command]
        # it ends with us, however we end
        command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=_environment()
            )
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ng.close()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()

    def _command(self) -> Iterator[str]:
        if self.mode.relay == "rtpengine":
            yield from ("rtpengine", "--config-file=none", "--table=-1", "--foreground")
            yield from ("--log-stderr", "--log-level=3", "--num-threads=1")
            yield from (f"--interface={HOST}", f"--listen-ng={HOST}:{self._ng_port}")
            yield from (f"--port-min={FIRST_PORT}", f"--port-max={LAST_PORT}")
            if self._recordings is not None:
                yield from (f"--recording-dir={self._recordings}", "--recording-method=pcap")
                yield "--recording-format=raw"
        else:
            yield from (str(Path(sys.executable).with_name("voicemask")), "media")
            yield from ("--ng", f"udp:{HOST}:{self._ng_port}", "--rtp-address", HOST)
            yield from ("--rtp-ports", f"{FIRST_PORT}-{LAST_PORT}")
            yield from ("--control", f"unix:{self._folder / 'control'}", "--log-level", "warning")
            if self._recordings is not None:
                yield from ("--recordings", str(self._recordings))
                yield from ("--recording-key", str(self._recordings.with_suffix(".key")))
        yield from self.mode.options

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(NgRefusedError):
                self.ng.ask("ping", tries=1)
                return
            time.sleep(0.1)
        said = self.log()
        self.__exit__(None, None, None)
        raise RuntimeError(f"{self.mode.relay} did not start: {said}")

    def log(self) -> str:
        """What it wrote to its standard streams, the end of it."""
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    @property
    def control(self) -> Path:
        """The control socket."""
        return self._folder / "control"

    def set_up(
        self,
        call_id: str,
        caller_port: int,
        callee_port: int,
        *,
        events: bool = False,
        offer: Mapping[str, Value] | None = None,
    ) -> Ports:
        """Bring a call up, with the mode's requests.

        Parameters
        ----------
        caller_port, callee_port : where the parties receive.
        events : whether telephone-event is negotiated.
        offer : keys added to the offer.
        """
        both: dict[str, Value] = {
            "call-id": call_id,
            "from-tag": "a",
            "replace": ["origin", "session-connection"],
            "ICE": "remove",
        }
        extra = {**self.mode.offer, **(offer or {})}
        offered = self.ng.ask("offer", {**both, "sdp": sdp(caller_port, events), **extra})
        answer = {"sdp": sdp(callee_port, events), "to-tag": "b"}
        answered = self.ng.ask("answer", {**both, **answer})
        requests = self.mode.requests
        if self._recordings is not None:
            requests = (("start recording", {}), *requests)
        for command, fields in requests:
            self.ng.ask(command, {"call-id": call_id, **fields})
        return Ports(_audio_port(answered["sdp"]), _audio_port(offered["sdp"]))

    def end(self, call_id: str) -> None:
        """End a call."""
        self.ng.ask("delete", {"call-id": call_id, "from-tag": "a", "delete-delay": 0})

    def pids(self) -> list[int]:
        """All its processes."""
        assert self._process is not None
        found = [self._process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += [int(x) for x in (task / "children").read_text().split()]
        return found

    def cpu_ns(self) -> int:
        """Time on the processor of all threads of all its processes."""
        return sum(cpu_ns(pid) for pid in self.pids())

    def memory_bytes(self) -> int:
        """Proportional set size of all its processes: shared pages are counted once."""
        return sum(_pss_bytes(pid) for pid in self.pids())


def _environment() -> dict[str, str]:
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def sdp(port: int, events: bool) -> str:
    """Describe one party: PCMU, 20 ms, telephone-event where wanted."""
    types = f"0 {EVENT_PAYLOAD_TYPE}" if events else "0"
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {HOST}",
        "s=-",
        f"c=IN IP4 {HOST}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {types}",
        "a=rtpmap:0 PCMU/8000",
        *([f"a=rtpmap:{EVENT_PAYLOAD_TYPE} telephone-event/8000"] if events else []),
        "a=ptime:20",
        "a=sendrecv",
    ]
    return "\r\n".join(lines) + "\r\n"


def _audio_port(text: Value) -> int:
    found = re.search(r"^m=audio (\d+)", str(text), re.MULTILINE)
    if found is None:
        raise NgRefusedError("the reply's SDP has no audio")
    return int(found[1])


def cpu_ns(pid: int) -> int:
    """Time on the processor of all threads of a process, from their schedstat."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def _pss_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """Time since a core started: in use, and taken by the host of a virtual machine."""

    busy_ns: int
    stolen_ns: int


def core_times(core: int) -> CoreTimes:
    """Read the times of a core from /proc/stat."""
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    text = Path("/proc/stat").read_text()
    found = re.search(rf"^cpu{core} (.*)$", text, re.MULTILINE)
    assert found is not None
    user, nice, system, _idle, _wait, irq, softirq, stolen = map(int, found[1].split()[:8])
    return CoreTimes(tick_ns * (user + nice + system + irq + softirq), tick_ns * stolen)
