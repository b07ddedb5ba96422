"""Recording by NG."""

from __future__ import annotations

import pytest

from tests.unit.ng.fakes import FakeMedia, Proxy
from voicemask.ng.plan import RecordingAction

START, PAUSE, STOP = RecordingAction.START, RecordingAction.PAUSE, RecordingAction.STOP


def actions(media: FakeMedia) -> list[RecordingAction]:
    return [action for action, _ in media.recordings]


def test_recording_is_started_paused_and_stopped(proxy: Proxy, media: FakeMedia) -> None:
    proxy.talk()
    for command in ("start recording", "pause recording", "start recording", "stop recording"):
        assert proxy.ask(command)["result"] == "ok"
    assert actions(media) == [START, PAUSE, START, STOP]


@pytest.mark.parametrize("how", [{"flags": ["pause"]}, {"pause": "yes"}])
def test_stop_can_mean_pause(proxy: Proxy, media: FakeMedia, how: dict[str, object]) -> None:
    proxy.talk()
    proxy.ask("stop recording", **how)
    assert actions(media) == [PAUSE]


@pytest.mark.parametrize("wish", ["on", "off"])
def test_a_reinvite_does_not_end_a_pause(proxy: Proxy, media: FakeMedia, wish: str) -> None:
    proxy.offer(record_call="on")
    proxy.answer()
    proxy.ask("pause recording")
    proxy.offer(to_tag="1B", record_call=wish)
    proxy.answer(record_call=wish)
    assert actions(media) == [START, PAUSE]


def test_metadata_go_to_the_recording(proxy: Proxy, media: FakeMedia) -> None:
    proxy.offer(record_call="yes", metadata="queue:sales|note")
    assert media.recordings == [(START, {"queue": "sales", "metadata": "note"})]


def test_a_call_goes_on_without_its_recording_and_says_so(proxy: Proxy, media: FakeMedia) -> None:
    media.failing = {"record"}
    reply = proxy.offer(flags=["record call"])
    assert reply["result"] == "ok"
    assert reply["warning"] == "record-call: record: cannot be done"
    assert proxy.ask("start recording")["result"] == "error"


def test_leaving_a_party_out_of_a_recording_is_refused(proxy: Proxy, media: FakeMedia) -> None:
    assert proxy.offer(flags=["exclude recording"])["result"] == "error"
    assert not media.open


def test_other_places_for_recordings_are_ignored_aloud(proxy: Proxy) -> None:
    proxy.talk()
    assert "recording-file" in proxy.ask("start recording", recording_file="/x.wav")["warning"]
