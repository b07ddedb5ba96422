"""1,000 calls come and go, and leave nothing behind."""

from __future__ import annotations

from collections import deque

from tests.interop.faults.party import Party, connect, turns
from tests.interop.faults.service import Held, Service

N_CALLS, N_AT_ONCE, N_WARM = 1000, 20, 200


def test_a_thousand_calls_leave_no_port_descriptor_or_memory(service: Service) -> None:
    caller, callee = Party(1, 1), Party(2, 2)
    live: deque[str] = deque()
    pids = [service.media_pid, service.recorder_pid]
    warm: list[Held] = []
    for number in range(N_CALLS):
        if number == N_WARM:
            end(service, live, 0)
            warm = [Held.by(pid) for pid in pids]
        set_up(service, number, caller, callee)
        live.append(f"many-{number}")
        end(service, live, N_AT_ONCE)
    end(service, live, 0)
    assert service.calls() == []
    assert service.used_ports() == 0
    assert [service.media_pid, service.recorder_pid] == pids
    for pid, before in zip(pids, warm, strict=True):
        after = Held.by(pid)
        assert after.n_fds <= before.n_fds
        assert after.resident_bytes - before.resident_bytes < 8 << 20
    caller.sock.close()
    callee.sock.close()


def set_up(service: Service, number: int, caller: Party, callee: Party) -> None:
    """Set a call up; every fifth has media, every tenth is recorded or masked."""
    connect(service, f"many-{number}", caller, callee)
    command = {3: "block DTMF", 5: "start recording", 8: "block media"}.get(number % 10)
    if command:
        reply = service.ng.ask(command, call_id=f"many-{number}")
        assert reply["result"] == "ok", reply
    if number % 5 == 0:
        turns(5, caller, callee)


def end(service: Service, live: deque[str], n_left: int) -> None:
    """End the oldest calls until so many are left."""
    while len(live) > n_left:
        reply = service.ng.ask("delete", call_id=live.popleft(), from_tag="a")
        assert reply["result"] == "ok", reply
