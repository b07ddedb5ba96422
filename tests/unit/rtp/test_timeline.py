"""Timestamps on stream time."""

from __future__ import annotations

from voicemask.rtp.timeline import MAX_GAP_S, Timeline


def test_timestamps_scale_from_clock_to_rate() -> None:
    timeline = Timeline(8000, 16000)
    assert [timeline.place(160 * n, 0, 320 * n) for n in range(3)] == [0, 320, 640]


def test_timestamps_go_on_across_the_wrap() -> None:
    timeline = Timeline(8000, 8000)
    timeline.place(2**32 - 160, 0, 0)
    assert timeline.place(0, 0, 160) == 160


def test_the_first_packet_is_pinned_at_its_arrival() -> None:
    assert Timeline(8000, 8000).place(123456, 4000, 0) == 4000


def test_a_leap_arrivals_do_not_share_pins_anew() -> None:
    timeline = Timeline(8000, 8000)
    timeline.place(0, 0, 0)
    assert timeline.place(10**9, 170, 160) == 170
    assert timeline.place(10**9 + 160, 330, 330) == 330


def test_a_silence_arrivals_share_keeps_its_length() -> None:
    timeline = Timeline(8000, 8000)
    timeline.place(0, 0, 0)
    assert timeline.place(80160, 80200, 160) == 80160


def test_a_timestamp_that_fell_back_goes_on_after_what_was_placed() -> None:
    timeline = Timeline(8000, 8000)
    timeline.place(10**6, 0, 0)
    assert timeline.place(10, 90, 160) == 160


def test_no_gap_is_longer_than_the_limit() -> None:
    timeline = Timeline(8000, 8000)
    timeline.place(0, 0, 0)
    arrival = 10 * MAX_GAP_S * 8000
    assert timeline.place(arrival, arrival, 160) == 160 + MAX_GAP_S * 8000
