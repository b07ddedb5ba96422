"""Steps of the wall clock: nothing that masks or schedules may look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.interop.direct import CUSTOMER, DirectCall
from tests.interop.faults.presses import Presses
from tests.interop.faults.service import FaultPorts, Service, wait_until

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class SteppedClock(Service):
    """A service whose wall clock a test steps; its monotonic clock stays true."""

    def wait_single(self) -> None:
        """Wait until the thread of its warm-up is over: libfaketime has threads wait wrongly."""
        pid = self.media_pid
        with suppress(AssertionError):
            wait_until(lambda: n_threads(pid) > 1, 3, "the warm-up began")
        wait_until(lambda: n_threads(pid) == 1, 30, "the warm-up ended")

    def step(self, seconds: int) -> None:
        (self.folder / "offset").write_text(f"{seconds:+d}\n")


@pytest.fixture
def stepped(
    ports: FaultPorts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SteppedClock]:
    assert LIBRARIES, "libfaketime is not installed: apt-get install faketime"
    (tmp_path / "offset").write_text("+0\n")
    for name, value in {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "offset"),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # the file is looked at once a second: in every call it costs more than the calls do
        "FAKETIME_CACHE_DURATION": "1",
    }.items():
        monkeypatch.setenv(name, value)
    service = SteppedClock(ports, tmp_path)
    for name in [
        name for name in os.environ if name.startswith("FAKETIME") or name == "LD_PRELOAD"
    ]:
        monkeypatch.delenv(name)
    try:
        yield service
        assert service._answers(), service.said()
        assert "internal error" not in service.log(), service.log()
    finally:
        service.end()


def n_threads(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Threads:"))


def test_clock_steps_of_days_lose_no_packet_and_let_nothing_out(
    stepped: SteppedClock, ports: FaultPorts
) -> None:
    stepped.wait_single()
    call = DirectCall(stepped, ports)
    call.done("start recording")
    call.done("block DTMF", from_tag=CUSTOMER)
    call.agent.wait_heard(10)
    presses = Presses(45, seed=8)
    presses.said_by(call.customer)
    for seconds in (86400, -86400, 30, -30, 0):
        stepped.step(seconds)
        assert call.ask("query")["result"] == "ok"
        call.agent.wait_heard(60)
    call.customer.wait_said(30)
    call.catch_up()
    numbers = [int.from_bytes(packet[2:4], "big") for packet in call.agent.heard]
    assert (numbers[-1] - numbers[0]) % 65536 + 1 == len(numbers)
    presses.assert_nothing_heard(call.agent.heard, call.customer.sent)
    call.close()
    assert "watchdog" not in stepped.log()
    (recorded,) = stepped.recordings_of(call.call_id)
    assert recorded.audio.shape[1] > 5 * recorded.rate_hz
