"""NG over UDP and TCP, in bencode and JSON, from several proxies at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.interop.description import describe
from tests.interop.direct import CUSTOMER, REPLACE, DirectCall
from tests.interop.hearing import assert_nobody_reads
from tests.interop.line import keyed
from tests.interop.ng import NgClient
from tests.interop.node import Node
from tests.interop.ports import PortBlock
from tests.interop.sipp import new_call_id

CARD = "4111111111111111"
WAYS = [("udp", True), ("tcp", False), ("tcp", True)]
NAMES = ["udp-json", "tcp-bencode", "tcp-json"]


@pytest.fixture(params=WAYS, ids=NAMES)
def client(request: pytest.FixtureRequest, node: Node) -> Iterator[NgClient]:
    kind, is_json = request.param
    with closing(node.client(kind, is_json=is_json)) as client:
        yield client


def test_call_is_set_up_masked_and_ended(node: Node, ports: PortBlock, client: NgClient) -> None:
    assert client.ask("ping") == {"result": "pong"}
    with closing(DirectCall(node, ports, ng=client)) as call:
        assert client.ask("list")["calls"] == [call.call_id]
        call.done("block DTMF")
        call.agent.heard.clear()
        call.customer.say_with_events(keyed(CARD[:6]))
        call.customer.wait_said()
        call.catch_up()
        assert_nobody_reads(call.agent.heard)
        assert call.done("query")["tags"][CUSTOMER]["policy"] == "capture"
        call.done("unblock DTMF")
    assert client.ask("query", call_id=call.call_id)["error-reason"] == "Unknown call-id"
    assert node.used_ports() == 0


def test_request_that_comes_again_is_answered_the_same_and_done_once(
    node: Node, client: NgClient
) -> None:
    own = {"call_id": new_call_id(), "from_tag": CUSTOMER, "replace": REPLACE}
    _, offer = client.write("offer", sdp=describe("127.0.0.1", 40000), **own)
    client.send(offer)
    reply = client.receive()
    n_ports = node.used_ports()
    for _ in range(3):
        client.send(offer)
        assert client.receive() == reply
    assert node.used_ports() == n_ports
    _, end = client.write("delete", call_id=own["call_id"])
    client.send(end)
    deleted = client.receive()
    client.send(end)
    # done anew it would be an error: the call is gone
    assert client.receive() == deleted
    assert node.used_ports() == 0


def test_same_cookie_of_another_client_is_another_request(node: Node, client: NgClient) -> None:
    with closing(node.client("udp")) as other:
        own = {"from_tag": CUSTOMER, "sdp": describe("127.0.0.1", 40000), "replace": REPLACE}
        calls = [new_call_id(), new_call_id()]
        for one, call_id in zip((client, other), calls, strict=True):
            assert one.ask("offer", call_id=call_id, **own)["result"] == "ok"
        assert set(calls) <= set(node.calls())
        for one, call_id in zip((other, client), calls, strict=True):
            assert one.ask("delete", call_id=call_id)["result"] == "ok"


def test_several_clients_ask_at_once_and_get_their_own_replies(node: Node) -> None:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(node.client(*way[:1], is_json=way[1]))) for way in WAYS * 4
        ]
        asked = []
        for number, client in enumerate(clients):
            for _ in range(10):
                command = ("ping", "list", "statistics")[number % 3]
                asked.append((client, *client.write(command)))
        for client, _, message in asked:
            client.send(message)
        for client, cookie, _ in asked:
            assert client.receive().split(b" ", 1)[0] == cookie


@pytest.mark.parametrize("is_json", [False, True], ids=["bencode", "json"])
def test_stream_cut_anywhere_is_read(node: Node, is_json: bool) -> None:
    with closing(node.client("tcp", is_json=is_json)) as client:
        messages = [client.write("ping") for _ in range(3)]
        stream = b"".join(message for _, message in messages)
        for n in range(len(stream)):
            client.send(stream[n : n + 1])
        for cookie, _ in messages:
            assert client.receive().split(b" ", 1)[0] == cookie
