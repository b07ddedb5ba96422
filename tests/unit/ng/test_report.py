"""Query, list and statistics."""

from __future__ import annotations

from tests.unit.ng.fakes import Proxy


def test_query_tells_what_rtpengine_tells(proxy: Proxy) -> None:
    proxy.talk(label="customer")
    reply = proxy.ask("query")
    assert (reply["created"], reply["last signal"]) == (1_700_000_000, 1_700_000_001)
    assert reply["totals"]["RTP"] == {"packets": 20, "bytes": 3200, "errors": 0}
    party = reply["tags"]["1A"]
    assert (party["tag"], party["in dialogue with"], party["label"]) == ("1A", "1B", "customer")
    assert party["policy"] == "guard"
    (medium,) = party["medias"]
    assert (medium["index"], medium["type"], medium["protocol"]) == (1, "audio", "RTP/AVP")
    (stream,) = medium["streams"]
    assert stream["local port"] == 30000
    assert stream["endpoint"] == {"family": "IPv4", "address": "10.0.0.1", "port": 4000}
    assert stream["stats"] == {"packets": 10, "bytes": 1600, "errors": 0}


def test_query_can_ask_for_one_party(proxy: Proxy) -> None:
    proxy.talk()
    assert list(proxy.ask("query", from_tag="1B")["tags"]) == ["1B"]


def test_query_of_an_unknown_call(proxy: Proxy) -> None:
    assert proxy.ask("query") == {"result": "error", "error-reason": "Unknown call-id"}


def test_list_names_calls_up_to_a_limit(proxy: Proxy) -> None:
    for number in range(40):
        proxy.offer(call_id=f"c{number}")
    assert len(proxy.ask("list")["calls"]) == 32
    assert proxy.ask("list", limit="2")["calls"] == ["c0", "c1"]
    assert proxy.ask("list", limit=0)["result"] == "error"


def test_statistics_hold_fractions_as_text(proxy: Proxy) -> None:
    expected = {"current": {"calls": 0, "load": "0.250000"}}
    assert proxy.ask("statistics")["statistics"] == expected
