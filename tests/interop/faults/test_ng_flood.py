"""20,000 damaged NG messages while a call runs."""

from __future__ import annotations

from benchmarks.robustness.ng_flood import end_all, flood
from tests.interop.direct import DirectCall
from tests.interop.faults.service import Held, Service

N_DATAGRAMS, N_WARM = 20_000, 5_000


def test_damaged_messages_end_no_process_no_call_and_keep_no_port(
    service: Service, call: DirectCall
) -> None:
    pid = service.media_pid
    address = ("127.0.0.1", service.ng_port)
    # what is made once is made now, the process's own warm-up too
    flood(address, N_WARM, seed=1)
    end_all_but(call, address)
    n_ports, before = service.used_ports(), Held.by(pid)
    counts = flood(address, N_DATAGRAMS - N_WARM, seed=2)
    assert counts["ok"] > 200, "hardly anything got through the parser"
    assert counts["internal error"] == 0, service.log()
    assert service.media_pid == pid
    call.agent.wait_heard(20)
    end_all_but(call, address)
    assert service.used_ports() == n_ports
    after = Held.by(pid)
    assert after.n_fds <= before.n_fds
    assert after.resident_bytes - before.resident_bytes < 16 << 20


def end_all_but(call: DirectCall, address: tuple[str, int]) -> None:
    end_all(address, {call.call_id})
