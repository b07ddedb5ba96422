"""Strangers who send to a call's port neither change its stream nor silence it.

Twelve ways: from another port or another address, with the caller's SSRC or their own, before the
caller's first packet, while the caller talks, or when it has fallen silent. rtpengine 10.5.3 with
its default settings loses the stream in all of them, with strict-source in four.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.interop.faults.party import Party, connect, turns
from tests.interop.faults.service import FaultPorts, Service

CALLER, CALLEE, STRANGER = 0x21, 0x22, 0x23
WAYS = list(
    itertools.product(
        ("other-port", "other-address"),
        ("same-ssrc", "other-ssrc"),
        ("before", "talking", "silent"),
    )
)
_numbers = itertools.count()
PATIENCE = 5
"""Packets on their way when the caller begins to speak again."""


@pytest.fixture(scope="module", params=["strict", "symmetric"])
def relay(
    request: pytest.FixtureRequest,
    ports: FaultPorts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """One service for all ways; what is named is its `--learning`."""
    folder = tmp_path_factory.mktemp(request.param)
    service = Service(ports, folder, "--learning", request.param)
    yield service
    service.end()


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> Iterator[tuple[Party, Party, Party, str]]:
    place, ssrc, moment = request.param
    caller, callee = Party(CALLER, 1), Party(CALLEE, 2)
    address = "127.0.0.1" if place == "other-port" else "127.0.0.66"
    stranger = Party(STRANGER, 1 if ssrc == "same-ssrc" else 3, address)
    yield caller, callee, stranger, moment
    for party in (caller, callee, stranger):
        party.sock.close()


def test_no_stranger_keeps_a_stream_nor_silences_it(
    relay: Service, way: tuple[Party, Party, Party, str], request: pytest.FixtureRequest
) -> None:
    caller, callee, stranger, moment = way
    attack(relay, *way)
    assert caller.marks() == {CALLEE}
    assert stranger.heard == []
    # until the caller speaks, its own host may stand in for it: asymmetric RTP
    if "strict" in request.node.callspec.id or moment != "before":
        assert callee.marks() <= {CALLER}


def test_what_strangers_sent_while_nobody_looked_is_not_taken(relay: Service) -> None:
    caller, callee = Party(CALLER, 1), Party(CALLEE, 2)
    stranger = Party(STRANGER, 1, "127.0.0.66")
    connect(relay, "queued", caller, callee)
    stranger.to = caller.to
    with relay.stopped():
        caller.say()
        for _ in range(100):
            stranger.say()
        caller.say()
    turns(20, caller, callee)
    callee.await_heard(20)
    assert callee.marks() == {CALLER}
    assert len(callee.heard) >= 20
    for party in (caller, callee, stranger):
        party.sock.close()


def attack(service: Service, caller: Party, callee: Party, stranger: Party, moment: str) -> None:
    """Let the stranger try; afterwards caller and callee hear each other and nobody else."""
    connect(service, f"stranger-{next(_numbers)}", caller, callee)
    stranger.to = caller.to
    if moment == "before":
        turns(40, stranger, callee)
        turns(PATIENCE, stranger, callee, caller)
        callee.await_mark(CALLER)  # what strangers sent before was on its way before it
    else:
        turns(20, caller, callee)
        turns(20, *((caller, stranger, callee) if moment == "talking" else (stranger, callee)))
    n_callee, n_caller, n_stranger = len(callee.heard), len(caller.heard), len(stranger.heard)
    turns(30, caller, stranger, callee)
    callee.await_heard(n_callee + 28)
    caller.await_heard(n_caller + 28)
    assert callee.marks(n_callee) == {CALLER}
    assert len(callee.heard) - n_callee >= 28
    assert len(caller.heard) - n_caller >= 28
    assert len(stranger.heard) == n_stranger, "the stream goes to a stranger"
    service.ng.ask("delete", call_id=f"stranger-{next(_numbers) - 1}", from_tag="a")
