"""What the density benchmark makes of its runs."""

from __future__ import annotations

from typing import Any

from benchmarks.density.run import holds_to, summary


def _point(calls: int, **changed: Any) -> dict[str, Any]:
    way = {"p50_ms": 20.0, "p99_ms": 30.0}
    point = {
        "mode": "voicemask suppress", "calls": calls, "us_per_packet": 10.0, "core_share": 0.1,
        "lost": 0.0, "kb_per_call": 50.0, "idle_mb": 90.0, "others": 0.0, "stolen": 0.0,
        "load_late_p99_ms": 0.1,
        "to_agent": way, "to_customer": way,
    }  # fmt: skip
    return {**point, **changed}


def test_the_figures_are_medians_of_the_repeats() -> None:
    rows = summary([_point(10, us_per_packet=us) for us in (9.0, 11.0, 50.0)])
    assert [(row["calls"], row["us_per_packet"], row["repeats"]) for row in rows] == [(10, 11.0, 3)]


def test_a_relay_holds_to_the_last_load_before_one_that_loses() -> None:
    points = [_point(100), _point(200), _point(300, lost=0.002), _point(400)]
    assert holds_to(summary(points), "voicemask suppress") == 200


def test_a_relay_that_is_late_does_not_hold() -> None:
    late = {"p50_ms": 20.0, "p99_ms": 36.0}
    points = [_point(100), _point(200, to_agent=late)]
    assert holds_to(summary(points), "voicemask suppress") == 100


def test_the_peer_may_be_as_late_as_its_buffer_makes_it() -> None:
    late = {"p50_ms": 61.0, "p99_ms": 66.0}
    points = [_point(100, mode="rtpengine mask 60", to_agent=late, to_customer=late)]
    assert holds_to(summary(points), "rtpengine mask 60") == 100


def test_a_load_during_which_the_host_took_the_core_tells_nothing() -> None:
    points = [_point(100), _point(200, lost=0.3, stolen=0.2), _point(300)]
    assert holds_to(summary(points), "voicemask suppress") == 300
