"""The metrics page, as a scraper reads it."""

from __future__ import annotations

import socket
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from voicemask.errors import ConfigError
from voicemask.media.metrics import TABLE, serve_metrics
from voicemask.media.options import Endpoint
from voicemask.media.watchdog import Watch


@dataclass
class Watched:
    index: int
    watch: Watch = field(default_factory=Watch)
    n_restarts: int = 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(*children: Watched) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    port = free_port()
    server = serve_metrics(Endpoint("tcp", "127.0.0.1", port), lambda: children)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            text = page.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_beat_becomes_metrics_of_its_process() -> None:
    child = Watched(1, n_restarts=2)
    node = {"calls": 3, "packets_dropped": {"stranger": 5, "late": 1}, "unknown": {"x": 1}}
    child.watch.beat({"node": node, "process": {"errors": 4}}, 0.0)
    page = scrape(child)
    process = ("process", "1")
    assert page["voicemask_calls", (process,)] == 3
    assert page["voicemask_packets_dropped_total", (process, ("reason", "stranger"))] == 5
    assert page["voicemask_internal_errors_total", (process,)] == 4
    assert page["voicemask_restarts_total", (process,)] == 2
    assert page["voicemask_process_up", (process,)] == 1


def test_lateness_is_a_histogram() -> None:
    child = Watched(0)
    late = {"counts": {"0.001": 7, "0.01": 2, "inf": 1}, "sum": 0.5}
    child.watch.beat({"node": {"tick_lateness_s": late}}, 0.0)
    page = scrape(child)
    name = "voicemask_tick_lateness_seconds"
    assert page[f"{name}_bucket", (("le", "0.01"), ("process", "0"))] == 9
    assert page[f"{name}_bucket", (("le", "+Inf"), ("process", "0"))] == 10
    assert page[f"{name}_count", (("process", "0"),)] == 10
    assert page[f"{name}_sum", (("process", "0"),)] == 0.5


def test_a_stall_is_an_alert() -> None:
    child = Watched(0)
    child.watch.beat({}, 0.0)
    assert child.watch.check(3.1)
    page = scrape(child)
    assert page["voicemask_watchdog_alerts_total", (("process", "0"),)] == 1
    assert page["voicemask_process_up", (("process", "0"),)] == 0


def test_before_the_first_beat_there_is_a_page() -> None:
    assert scrape(Watched(0))["voicemask_process_up", (("process", "0"),)] == 0


def test_what_is_no_number_is_left_out() -> None:
    child = Watched(0)
    node = {"calls": "many", "packets_dropped": 3, "tick_lateness_s": {"counts": 1}}
    child.watch.beat({"node": node, "process": None}, 0.0)
    assert not any("calls" in name for name, _ in scrape(child))


def test_no_label_can_hold_a_call_or_a_key() -> None:
    assert {row.label for row in TABLE} == {"", "reason", "link"}


def test_a_taken_address_is_refused_in_words() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        endpoint = Endpoint("tcp", "127.0.0.1", holder.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot be bound"):
            serve_metrics(endpoint, list)


def test_every_metric_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "media.md").read_text(encoding="utf-8")
    for row in TABLE:
        suffix = "_total" if row.kind == "counter" else ""
        assert f"`voicemask_{row.name}{suffix}`" in text, row.name
