"""A call to another maker's phone, with its own SRTP: what it hears, it says back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.hearing import assert_all_read, assert_nobody_reads
from tests.interop.phone import Exchange
from tests.interop.ports import PortBlock
from tests.interop.sipp import new_call_id
from tests.interop.softphone import Softphone

CARD = "4111111111111111"
KEYS = "0417#*"


@pytest.fixture(params=["", "srtp-mand"], ids=["clear", "srtp"])
def softphone(
    ports: PortBlock, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Softphone]:
    phone = Softphone(ports, tmp_path, request.param)
    yield phone
    phone.end()


def test_softphone_hears_keys_until_capture_begins(
    exchange: Exchange, softphone: Softphone
) -> None:
    customer = exchange.phone("caller")
    extra = ("X-Offer: RTP/SAVP", "X-Answer: RTP/AVP") if softphone.is_secure else ()
    target = f"sip:agent@127.0.0.1:{softphone.port}"
    customer.sip.call(target, customer.description(), new_call_id(), *extra)
    customer.talk_to(customer.sip.expect("200").sdp)
    customer.line.wait_heard(5)

    customer.press(KEYS)
    customer.line.wait_heard(15)
    assert_all_read(customer.line.heard, KEYS)

    customer.mask("capture")
    customer.line.wait_heard(15)
    customer.line.heard.clear()
    customer.press(CARD)
    customer.line.wait_heard(15)
    assert_nobody_reads(customer.line.heard)
    customer.sip.do("bye")
    customer.sip.expect("ended")
    assert softphone.has_srtp() == softphone.is_secure
