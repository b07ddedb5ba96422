"""RFC 4733 events: payload and tracker."""

from __future__ import annotations

import pytest

from voicemask.capture.digit import KEYS, Digit
from voicemask.errors import PacketError
from voicemask.rtp.event import (
    EventReport,
    EventTracker,
    TrackedEvent,
    event_code,
    parse_event,
    serialize_event,
)

FIVE = Digit.of("5")


def report(duration: int, end: bool = False, code: int = 5) -> EventReport:
    return EventReport(code, end, 10, duration)


def track(*pushes: tuple[int, EventReport]) -> list[TrackedEvent]:
    tracker = EventTracker(8000)
    events = [event for start, item in pushes for event in tracker.push(start, item)]
    return events + tracker.flush()


def test_payload_round_trip_keeps_all_bits() -> None:
    payload = bytes([11, 0xCA, 0x03, 0x20, 1, 0x0A, 0, 160])
    assert serialize_event(parse_event(payload)) == payload


@pytest.mark.parametrize("payload", [b"", b"abc", b"abcde"])
def test_payloads_not_made_of_reports_are_refused(payload: bytes) -> None:
    with pytest.raises(PacketError):
        parse_event(payload)


@pytest.mark.parametrize("key", KEYS)
def test_codes_and_digits_are_each_others_inverse(key: str) -> None:
    assert EventReport(event_code(Digit.of(key)), True, 0, 0).digit == Digit.of(key)


def test_flash_is_no_digit() -> None:
    assert EventReport(16, True, 0, 0).digit is None


def test_a_report_does_not_print_its_key() -> None:
    assert "code=*" in repr(report(160, code=7))


def test_updates_and_repeated_ends_are_one_event() -> None:
    pushes = [(1000, report(160)), (1000, report(320)), *[(1000, report(480, True))] * 3]
    assert track(*pushes) == [TrackedEvent(1000, 1480, FIVE, True)]


def test_an_event_whose_start_was_lost_begins_at_its_timestamp() -> None:
    assert track((1000, report(480, True))) == [TrackedEvent(1000, 1480, FIVE, True)]


def test_the_next_event_ends_one_whose_end_was_lost() -> None:
    events = track((1000, report(160)), (2000, report(160, True)))
    assert events == [
        TrackedEvent(1000, 1160, FIVE, False),
        TrackedEvent(2000, 2160, FIVE, True),
    ]


def test_silence_ends_an_event_whose_end_was_lost() -> None:
    tracker = EventTracker(8000)
    tracker.push(1000, report(160))
    assert tracker.advance(1160 + 2400) == []
    assert tracker.advance(1160 + 2401) == [TrackedEvent(1000, 1160, FIVE, False)]


def test_segments_of_a_long_event_are_one_event() -> None:
    events = track((0, report(0xFFFF)), (0xFFFF, report(160)), (0xFFFF, report(8000, True)))
    assert events == [TrackedEvent(0, 0xFFFF + 8000, FIVE, True)]


def test_a_sender_that_moves_the_timestamp_in_each_update_gives_one_event() -> None:
    pushes = [(n * 160, report(160)) for n in range(5)]
    assert track(*pushes, (800, report(160, True))) == [TrackedEvent(0, 960, FIVE, True)]


def test_the_same_key_again_is_a_second_event() -> None:
    events = track((0, report(320, True)), (640, report(320, True)))
    assert [event.start for event in events] == [0, 640]
