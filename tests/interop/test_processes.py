"""`--processes 2`: each call has one process, and one's end harms none of the other's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.interop.direct import DirectCall
from tests.interop.hearing import assert_heard_to_the_byte
from tests.interop.node import Events, Node
from tests.interop.ports import PortBlock
from tests.interop.sipp import new_call_id
from voicemask.media.dispatcher import process_of

N_CALLS = 6


class Pair(Node):
    """A node of two processes."""

    def control(self, index: int) -> Events:
        """Listen to the control socket of one."""
        return Events(self.folder / f"control.{index}")

    def calls_of(self, index: int) -> list[str]:
        """Name the calls of one process."""
        with closing(self.control(index)) as control:
            calls: list[str] = control.ask("calls")["calls"]
            return calls

    def pid_of(self, index: int) -> int:
        with closing(self.control(index)) as control:
            return int(control.ask("health")["pid"])


@pytest.fixture
def pair(ports: PortBlock, tmp_path: Path) -> Iterator[Pair]:
    node = Pair(ports, tmp_path, "--processes", "2")
    try:
        yield node
    finally:
        node.end()


def test_calls_of_two_processes_go_on_by_themselves(pair: Pair, ports: PortBlock) -> None:
    with ExitStack() as stack:
        calls = [
            stack.enter_context(closing(DirectCall(pair, ports, call_id=call_id)))
            for call_id in ids_of_both()
        ]
        first, second = halves(pair, calls)
        assert_each_has_one_process(pair, first, second)
        assert_told_together(pair, calls)
        assert_other_calls_go_on(pair, first, second)


def ids_of_both() -> list[str]:
    """Call-ids, half of them for each process."""
    ids: list[list[str]] = [[], []]
    while min(map(len, ids)) < N_CALLS // 2:
        call_id = new_call_id()
        ids[process_of(call_id, 2)].append(call_id)
    return ids[0][: N_CALLS // 2] + ids[1][: N_CALLS // 2]


def halves(pair: Pair, calls: list[DirectCall]) -> tuple[list[DirectCall], list[DirectCall]]:
    """The calls that each process says it has: all of them, half each."""
    names = [pair.calls_of(index) for index in range(2)]
    found = [[call for call in calls if call.call_id in named] for named in names]
    assert [len(half) for half in found] == [N_CALLS // 2] * 2
    return found[0], found[1]


def assert_each_has_one_process(
    pair: Pair, first: list[DirectCall], second: list[DirectCall]
) -> None:
    """Requests about a call, by any client, come to where it is: they find it."""
    for kind in ("udp", "tcp"):
        with closing(pair.client(kind)) as client:
            for call in (*first, *second):
                for command in ("query", "block DTMF", "unblock DTMF"):
                    reply = client.ask(command, call_id=call.call_id)
                    assert reply["result"] == "ok", (command, reply)
    assert [set(pair.calls_of(index)) for index in range(2)] == [
        {call.call_id for call in half} for half in (first, second)
    ]


def assert_told_together(pair: Pair, calls: list[DirectCall]) -> None:
    """List and statistics are of both."""
    assert set(pair.calls()) == {call.call_id for call in calls}
    parts = []
    for index in range(2):
        with closing(pair.control(index)) as control:
            parts.append(control.ask("stats")["tick_lateness_s"]["sum"])
    total = pair.ng.ask("statistics")["statistics"]
    assert total["calls"] == total["calls_started"] == len(calls)
    assert total["packets_in"] > 10 * len(calls)
    assert float(total["tick_lateness_s"]["sum"]) >= sum(parts) - 1e-6


def assert_other_calls_go_on(pair: Pair, first: list[DirectCall], second: list[DirectCall]) -> None:
    """One process killed: its calls fall silent, the other's lose nothing, and it comes back."""
    former = pair.pid_of(0)
    for call in second:
        call.catch_up()
        call.agent.heard.clear()
        call.customer.heard.clear()
    os.kill(former, signal.SIGKILL)
    for call in second:
        call.agent.wait_heard(50)
        call.catch_up()
        assert_heard_to_the_byte(call.customer, call.agent)
        assert_heard_to_the_byte(call.agent, call.customer)
    assert pair.pid_of(1) != former
    wait_for_all(pair, [call.call_id for call in second])
    assert pair.pid_of(0) != former
    assert all(call.ask("query")["result"] == "error" for call in first)


def wait_for_all(pair: Pair, left: list[str]) -> None:
    """Wait until both processes answer, and the calls left are those."""
    deadline_s = time.monotonic() + 10
    while pair.ng.ask("ping")["result"] != "pong" or set(pair.calls()) != set(left):
        assert time.monotonic() < deadline_s
