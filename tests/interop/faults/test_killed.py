"""kill -9 of the media process and of its recorder, in the middle of a capture."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

from tests.interop.direct import CUSTOMER, DirectCall
from tests.interop.faults.presses import Presses
from tests.interop.faults.service import FaultPorts, Service, wait_until
from tests.interop.hearing import assert_no_tone


def test_media_killed_in_capture_ends_in_silence_and_starts_anew(
    service: Service, ports: FaultPorts, call: DirectCall
) -> None:
    presses = Presses(60, seed=1)
    start_capture(call, presses)
    call.agent.wait_heard(150)
    former = service.kill_media()
    time.sleep(0.05)
    n_heard = len(call.agent.heard)
    service.wait_restarted(former)
    call.customer.wait_said(30)
    assert len(call.agent.heard) == n_heard, "packets of the dead call went on"
    presses.assert_nothing_heard(call.agent.heard, call.customer.sent, share=0.2)
    assert call.ask("query")["result"] == "error"
    assert "media process ended" in service.log()
    with closing(DirectCall(service, ports)) as another:
        another.agent.wait_heard(20)
        another.customer.wait_heard(20)


def test_recording_of_a_killed_media_process_opens(service: Service, call: DirectCall) -> None:
    call.done("start recording")
    presses = Presses(60, seed=2)
    start_capture(call, presses)
    call.agent.wait_heard(300, 10)
    service.wait_restarted(service.kill_media())
    recorded = service.recording_of(call.call_id)
    assert recorded.audio.shape[1] > 2.5 * recorded.rate_hz
    for channel in recorded.audio:
        assert_no_tone(channel, recorded.rate_hz)


def test_recorder_killed_in_capture_loses_no_packet_and_its_recording_opens(
    service: Service, call: DirectCall
) -> None:
    call.done("start recording")
    presses = Presses(60, seed=3)
    start_capture(call, presses)
    call.agent.wait_heard(300, 10)
    media, former = service.media_pid, service.recorder_pid
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: former not in (service.recorders() or [former]), 10, "another recorder")
    call.customer.wait_said(30)
    call.catch_up()
    assert service.media_pid == media
    assert missing(call) == 0
    presses.assert_nothing_heard(call.agent.heard, call.customer.sent)
    call.done("delete", from_tag=CUSTOMER)
    for recorded in service.recordings_of(call.call_id):
        for channel in recorded.audio:
            assert_no_tone(channel, recorded.rate_hz)


def start_capture(call: DirectCall, presses: Presses) -> None:
    call.done("block DTMF", from_tag=CUSTOMER)
    call.agent.wait_heard(10)
    presses.said_by(call.customer)


def missing(call: DirectCall) -> int:
    """Sequence numbers between the first and the last heard that did not come."""
    heard = [int.from_bytes(packet[2:4], "big") for packet in call.agent.heard]
    return (heard[-1] - heard[0]) % 65536 + 1 - len(set(heard))
