"""NG over TCP: where a message ends, however it comes."""

from __future__ import annotations

import pytest

from voicemask.errors import NgError
from voicemask.ng.feed import MAX_MESSAGE_BYTES, NgFeed

MESSAGES = [
    b"1_1 d7:command4:pinge",
    b'2_1 {"command":"offer","sdp":"}\\"{","n":[1,{"a":2}]}',
    b"3_1 d1:ai-7e1:bl2:d:1:eee",
]


def test_messages_come_out_whole_however_they_are_cut() -> None:
    stream = b"\r\n".join(MESSAGES)
    for size in (1, 2, 7, len(stream)):
        feed = NgFeed()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [message for piece in pieces for message in feed.feed(piece)] == MESSAGES


def test_the_start_of_a_message_waits() -> None:
    feed = NgFeed()
    assert feed.feed(b"1_1 d7:command4:pi") == []
    assert feed.feed(b"nge2_2") == [b"1_1 d7:command4:pinge"]


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 300,
        b"1 l1:ae",
        b"1 dx:",
        b"1 d1234567890123456789012345678:",
        b"1 d99999:",
        b"1 " + b"d" * 40,
    ],
)
def test_a_stream_that_is_not_ng_is_refused(data: bytes) -> None:
    with pytest.raises(NgError):
        NgFeed().feed(data)


def test_a_message_without_end_is_refused() -> None:
    feed = NgFeed()
    with pytest.raises(NgError):
        for _ in range(3):
            feed.feed(b'1 {"' + b"x" * (MAX_MESSAGE_BYTES // 2))
