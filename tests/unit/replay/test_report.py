"""The report of what was masked."""

from __future__ import annotations

import json
from pathlib import Path

from voicemask.mask.span import Reason, Span
from voicemask.replay.report import FileReport, write_report


def report(*spans: Span) -> FileReport:
    return FileReport("in.wav", "out.wav", 8000, 2, 16000, "guard", "noise", "mask", 1, spans)


def test_times_are_seconds_of_the_file() -> None:
    body = report(Span(1, 4000, 6000, Reason.TONE, -11.0)).as_json()
    assert body["duration_s"] == 2.0
    assert body["spans"] == [
        {"channel": 1, "start_s": 0.5, "end_s": 0.75, "reason": "tone", "level_dbfs": -11}
    ]


def test_masked_time_is_summed_over_channels() -> None:
    spans = (Span(0, 0, 8000, Reason.TONE, -11.0), Span(1, 0, 4000, Reason.TONE, -11.0))
    assert report(*spans).masked_s == 1.5


def test_a_span_without_a_tone_has_no_level(tmp_path: Path) -> None:
    body = report(Span(0, 0, 16000, Reason.MUTE, None)).as_json()
    write_report(tmp_path / "report.json", body)
    text = (tmp_path / "report.json").read_text()
    assert json.loads(text, parse_constant=str)["spans"][0]["level_dbfs"] is None
