"""SIGSTOP and SIGCONT of the media process while keys are pressed."""

from __future__ import annotations

import time

import pytest

from tests.interop.direct import CUSTOMER, DirectCall
from tests.interop.faults.presses import Presses
from tests.interop.faults.service import Service, wait_until


@pytest.mark.parametrize("stopped_s", [0.6, 3.0])
@pytest.mark.parametrize(
    "service", [("--method", "suppress"), ("--method", "fill")], indirect=True, ids=lambda o: o[1]
)
def test_keys_pressed_while_media_stood_still_are_masked(
    service: Service, call: DirectCall, stopped_s: float
) -> None:
    presses = Presses(40 if stopped_s < 1 else 60, seed=4)
    call.done("block DTMF", from_tag=CUSTOMER)
    call.agent.wait_heard(20)
    presses.said_by(call.customer)
    call.agent.wait_heard(100)
    with service.stopped():
        time.sleep(stopped_s)
    call.customer.wait_said(30)
    call.catch_up()
    presses.assert_nothing_heard(call.agent.heard, call.customer.sent)


def test_watchdog_says_within_five_seconds_that_media_stands_still(
    service: Service, call: DirectCall
) -> None:
    with service.stopped():
        wait_until(lambda: "watchdog alert" in service.log(), 5, "the watchdog's alert")
    wait_until(lambda: "recovered" in service.log(), 5, "the word that it goes on")
    call.agent.wait_heard(10)
