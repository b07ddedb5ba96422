"""The kamailio.cfg of the documentation, as it stands there but for ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.interop.hearing import assert_all_read, assert_nobody_reads
from tests.interop.node import Node
from tests.interop.phone import Call, Exchange, Phone
from tests.interop.ports import PortBlock
from tests.interop.proxy import Kamailio

CONFIG = Path(__file__).parents[2] / "docs" / "ng" / "kamailio.cfg"
CARRIER, PBX = "127.0.0.2", "127.0.0.3"
CARD = "5555555555554444"
KEYS = "0417#*"


@pytest.fixture(params=["inbound", "outbound"])
def call(
    request: pytest.FixtureRequest, node: Node, ports: PortBlock, tmp_path: Path
) -> Iterator[tuple[Call, Phone, Phone]]:
    """A call through the documented proxy; with it the customer and the agent, whoever called."""
    hosts = (CARRIER, PBX) if request.param == "inbound" else (PBX, CARRIER)
    called = ports.take()
    changes = {f"sip:{name}:5060": f"sip:{name}:{called}" for name in ("PBX_HOST", "CARRIER_HOST")}
    kamailio = Kamailio(ports, node.ng_port, tmp_path, CONFIG, changes)
    with ExitStack() as stack:
        stack.callback(kamailio.end)
        exchange = stack.enter_context(closing(Exchange(ports, kamailio.port, tmp_path)))
        caller = exchange.phone("caller", host=hosts[0])
        callee = exchange.phone("callee", host=hosts[1], sip_port=called)
        call = exchange.connect(customer=caller, agent=callee)
        parties = (caller, callee) if request.param == "inbound" else (callee, caller)
        yield call, *parties


def test_documented_proxy_masks_between_start_and_stop_of_a_payment(
    call: tuple[Call, Phone, Phone], node: Node
) -> None:
    dialog, customer, agent = call
    customer.press(KEYS)
    agent.line.catch_up(customer.line)
    assert_all_read(agent.line.heard, KEYS)

    agent.inform("X-Payment: start")
    agent.sip.expect("informed")
    agent.line.heard.clear()
    customer.line.heard.clear()
    customer.press(CARD, "both")
    dialog.catch_up()
    assert_nobody_reads(agent.line.heard)
    assert set(customer.line.heard) <= set(agent.line.sent)

    agent.inform("X-Payment: stop")
    agent.sip.expect("informed")
    agent.line.heard.clear()
    customer.press(KEYS)
    agent.line.catch_up(customer.line)
    assert_all_read(agent.line.heard, KEYS)
    dialog.hang_up()
    assert dialog.call_id not in node.calls()
