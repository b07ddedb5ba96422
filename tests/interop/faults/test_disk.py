"""No room for recordings: the call goes on, an alert is raised, what was written opens."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.interop.direct import CUSTOMER, DirectCall
from tests.interop.faults.presses import Presses
from tests.interop.faults.service import FaultPorts, Service, wait_until
from tests.interop.hearing import assert_no_tone

ROOM_BYTES = 96 * 1024


class SmallDisk(Service):
    """A service whose recordings have a file system of 256 KiB, or a limit on each file.

    Mounting needs root and a right that containers may lack.
    """

    is_mounted = False

    def _prepare(self) -> None:
        super()._prepare()
        options = f"size={256 * 1024},mode=700"
        mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(self.recordings)]
        self.is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def fill_up(self) -> None:
        """Leave room for little."""
        if self.is_mounted:
            stat = os.statvfs(self.recordings)
            free = stat.f_bavail * stat.f_frsize
            (self.recordings / "ballast").write_bytes(bytes(max(0, free - ROOM_BYTES)))
        else:
            resource.prlimit(self.recorder_pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))

    def end(self) -> None:
        super().end()
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self.recordings)], check=False)


@pytest.fixture
def small(ports: FaultPorts, tmp_path: Path) -> Iterator[SmallDisk]:
    service = SmallDisk(ports, tmp_path)
    try:
        yield service
        assert "internal error" not in service.log(), service.log()
    finally:
        service.end()


def test_full_disk_in_capture_harms_no_call(small: SmallDisk, ports: FaultPorts) -> None:
    with closing(DirectCall(small, ports)) as call, closing(small.events()) as events:
        call.done("start recording")
        call.done("block DTMF", from_tag=CUSTOMER)
        call.agent.wait_heard(10)
        pid = small.media_pid
        small.fill_up()
        presses = Presses(100, seed=7)
        presses.said_by(call.customer)
        events.wait_for("recording_failed", call.call_id, 25)
        wait_until(lambda: "recording_failed" in small.log(), 2, "the alert in the log")
        call.customer.wait_said(30)
        call.catch_up()
        assert small.media_pid == pid
        numbers = [int.from_bytes(packet[2:4], "big") for packet in call.agent.heard]
        assert (numbers[-1] - numbers[0]) % 65536 + 1 == len(numbers)
        presses.assert_nothing_heard(call.agent.heard, call.customer.sent)
        call.done("delete", from_tag=CUSTOMER)
        (recorded,) = small.recordings_of(call.call_id)
        assert recorded.entry["state"] != "complete"
        assert recorded.audio.shape[1] > recorded.rate_hz
        for channel in recorded.audio:
            assert_no_tone(channel, recorded.rate_hz)


def test_recordings_folder_that_goes_away_harms_no_call(
    service: Service, ports: FaultPorts
) -> None:
    with closing(DirectCall(service, ports)) as call:
        call.done("start recording")
        call.agent.wait_heard(100)
        service.recordings.rename(service.folder / "gone")
        call.agent.wait_heard(100)
        with closing(DirectCall(service, ports)) as another:
            another.ask("start recording")
            another.agent.wait_heard(200)
            numbers = [int.from_bytes(packet[2:4], "big") for packet in another.agent.heard]
            assert (numbers[-1] - numbers[0]) % 65536 + 1 == len(numbers)
