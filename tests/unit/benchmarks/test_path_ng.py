"""The benchmarks' own bencode, and the SDP they offer."""

from __future__ import annotations

import pytest

from benchmarks.path.ng import Value, bdecode, bencode
from benchmarks.path.relays import MODES, sdp


def test_a_message_is_written_as_kamailio_writes_it() -> None:
    message: dict[str, Value] = {
        "command": "offer",
        "ICE": "remove",
        "supports": ["load limit"],
        "delay-buffer": 60,
    }
    assert bencode(message) == (
        b"d3:ICE6:remove7:command5:offer12:delay-bufferi60e8:supportsl10:load limitee"
    )


@pytest.mark.parametrize(
    "value", ["", "v=0\r\n", 0, -7, [], ["a", 1, ["b"]], {}, {"a": {"b": [1, "c"]}}]
)
def test_what_is_written_is_read_back(value: object) -> None:
    assert bdecode(bencode(value)) == value  # type: ignore[arg-type]


def test_a_length_counts_octets() -> None:
    assert bencode("é") == b"2:\xc3\xa9"


def test_telephone_event_is_offered_where_it_is_wanted() -> None:
    assert "telephone-event" in sdp(4000, events=True)
    assert "telephone-event" not in sdp(4000, events=False)


def test_the_peer_masks_as_it_does_best() -> None:
    command, fields = MODES["rtpengine mask 60"].requests[0]
    assert command == "block DTMF"
    assert fields["DTMF-security"] == "silence"
    assert fields["delay-buffer"] == 60
