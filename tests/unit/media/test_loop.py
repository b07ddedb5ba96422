"""The loop's descriptors: what is closed behind its back must not stop it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from voicemask.media.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    errors: list[BaseException] = []
    loop = Loop(errors.append)
    yield loop
    loop.close()
    assert errors == []


def test_a_number_that_has_become_another_socket_is_served(loop: Loop) -> None:
    first, second = socket.socketpair()
    loop.add_reader(first.fileno(), lambda: None)
    number = first.fileno()
    first.close()
    heard: list[bytes] = []
    other, third = socket.socketpair()
    os.dup2(other.fileno(), number)
    loop.add_reader(number, lambda: heard.append(os.read(number, 10)))
    third.send(b"here")
    loop.run_once(1)
    assert heard == [b"here"]
    loop.remove(number)
    if number != other.fileno():
        os.close(number)
    for sock in (second, other, third):
        sock.close()


def test_what_is_closed_already_can_be_removed(loop: Loop) -> None:
    first, second = socket.socketpair()
    number = first.fileno()
    loop.add_reader(number, lambda: None)
    first.close()
    loop.remove(number)
    loop.run_once(0)
    second.close()


def test_an_error_of_a_callback_is_told_and_the_others_are_served() -> None:
    errors: list[BaseException] = []
    served: list[int] = []
    loop = Loop(errors.append)

    def fail() -> None:
        raise RuntimeError

    loop.call_later(0, fail)
    loop.call_later(0, lambda: served.append(1))
    loop.call_later(0, lambda: served.append(2)).cancel()
    loop.run_once(0)
    assert served == [1]
    assert [type(error) for error in errors] == [RuntimeError]
    loop.close()
