"""The loop's descriptors: what is closed behind its back must not stop it."""

from __future__ import annotations

import os
import socket
import time
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


def test_timers_go_off_in_their_order_and_only_when_due(loop: Loop) -> None:
    order: list[int] = []
    loop.call_later(60, lambda: order.append(9))
    loop.call_later(0.002, lambda: order.append(2))
    loop.call_later(0, lambda: order.append(1))
    same_s = time.monotonic()
    for n in (3, 4, 5):
        loop.call_at(same_s + 0.003, lambda n=n: order.append(n))  # type: ignore[misc]
    while len(order) < 5:
        loop.run_once(1)
    assert order == [1, 2, 3, 4, 5]


def test_a_timer_set_by_a_timer_waits_for_a_later_round_of_packets(loop: Loop) -> None:
    first, second = socket.socketpair()
    order: list[str] = []
    loop.add_reader(first.fileno(), lambda: order.append(first.recv(9).decode()))
    loop.call_later(0, lambda: loop.call_later(0.001, lambda: order.append("later")) and None)
    second.send(b"packet")
    while len(order) < 2:
        loop.run_once(1)
    assert order == ["packet", "later"]
    loop.remove(first.fileno())
    first.close()
    second.close()


def test_a_writer_is_called_until_it_is_removed(loop: Loop) -> None:
    first, second = socket.socketpair()
    calls: list[str] = []
    loop.add_writer(first.fileno(), lambda: calls.append("write"))
    loop.add_reader(first.fileno(), lambda: calls.append(first.recv(9).decode()))
    loop.run_once(1)
    loop.run_once(1)
    assert calls == ["write", "write"]
    loop.remove_writer(first.fileno())
    loop.remove_writer(first.fileno())
    second.send(b"read")
    loop.run_once(1)
    assert calls == ["write", "write", "read"]
    loop.remove(first.fileno())
    loop.remove(first.fileno())
    first.close()
    second.close()


def test_a_hang_up_is_told_to_the_reader(loop: Loop) -> None:
    first, second = socket.socketpair()
    read: list[bytes] = []
    loop.add_reader(first.fileno(), lambda: read.append(first.recv(9)))
    second.close()
    loop.run_once(1)
    assert read == [b""]
    loop.remove(first.fileno())
    first.close()


def test_a_reader_that_raises_does_not_keep_others_from_their_packets() -> None:
    errors: list[BaseException] = []
    loop = Loop(errors.append)
    pairs = [socket.socketpair() for _ in range(3)]
    served: list[int] = []

    def read(n: int) -> None:
        served.append(pairs[n][0].recv(1)[0])
        if n == 1:
            raise ValueError

    for n, (first, second) in enumerate(pairs):
        loop.add_reader(first.fileno(), lambda n=n: read(n))  # type: ignore[misc]
        second.send(bytes([n]))
    while len(served) < 3:
        loop.run_once(1)
    assert sorted(served) == [0, 1, 2]
    assert [type(error) for error in errors] == [ValueError]
    loop.close()
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_run_ends_after_the_round_in_which_it_was_stopped(loop: Loop) -> None:
    order: list[int] = []
    loop.call_later(0, loop.stop)
    loop.call_later(0, lambda: order.append(1))
    loop.run()
    assert order == [1]
