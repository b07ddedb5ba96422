"""Port pairs: even and odd, each in turn, given back whole."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from tests.unit.media.parties import LOCAL, n_descriptors
from voicemask.errors import ConfigError, NgBusyError, NgError
from voicemask.media import ports
from voicemask.media.ports import Pair, PortPool, disconnect
from voicemask.media.settings import RtpAddress

FIRST = 20000 + os.getpid() % 900 * 10
HERE = RtpAddress(LOCAL, "192.0.2.9")


@pytest.fixture
def pool() -> PortPool:
    return PortPool((HERE, RtpAddress("127.0.0.2", "127.0.0.2", "lan")), FIRST + 1, FIRST + 9)


def test_rtp_is_even_and_rtcp_the_next(pool: PortPool) -> None:
    pair = pool.open(4)
    assert pair.local.rtp_port % 2 == 0
    assert pair.local.rtcp_port == pair.local.rtp_port + 1
    assert pair.local.address == "192.0.2.9"
    assert pair.rtcp is not None
    assert pair.rtp.getsockname() == (LOCAL, pair.local.rtp_port)
    assert pair.rtcp.getsockname() == (LOCAL, pair.local.rtcp_port)
    assert not pair.rtp.getblocking()
    pool.close(pair)


def test_a_range_begins_and_ends_with_a_whole_pair(pool: PortPool) -> None:
    assert pool.n_free == 4  # +2 .. +9
    for first, last in ((FIRST, FIRST), (FIRST + 1, FIRST + 2), (FIRST + 9, FIRST)):
        with pytest.raises(ConfigError, match="no pair"):
            PortPool((HERE,), first, last)
    with pytest.raises(ConfigError, match="no address"):
        PortPool((), FIRST, FIRST + 9)


def test_one_port_for_both(pool: PortPool) -> None:
    pair = pool.open(4, rtcp_mux=True)
    assert pair.rtcp is None
    assert pair.local.rtcp_port == pair.local.rtp_port
    pool.close(pair)


def test_a_pool_that_is_empty_says_so_and_is_full_again(pool: PortPool) -> None:
    before = n_descriptors()
    pairs: list[Pair] = []
    with pytest.raises(NgBusyError, match="none is free"):
        while True:
            pairs.append(pool.open(4))
    assert len({pair.local.number for pair in pairs}) == len(pairs)
    assert len({pair.local.rtp_port for pair in pairs}) == len(pairs) <= 4
    for pair in pairs:
        pool.close(pair)
    assert pool.n_free == 4
    assert n_descriptors() == before


def test_a_port_is_used_again_after_all_others(pool: PortPool) -> None:
    first = pool.open(4)
    pool.close(first)
    second = pool.open(4)
    pool.close(second)
    seen = [first.local.rtp_port, second.local.rtp_port]
    while len(seen) < pool.n_free:
        pair = pool.open(4)
        seen.append(pair.local.rtp_port)
        pool.close(pair)
    assert len(set(seen)) == len(seen)


def test_a_port_of_somebody_else_is_passed_over() -> None:
    # the RTCP port of the first pair is taken: neither of the two is kept
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOCAL, FIRST + 13))
        before = n_descriptors()
        pool = PortPool((HERE,), FIRST + 12, FIRST + 15)
        pair = pool.open(4)
        assert pair.local.rtp_port == FIRST + 14
        pool.close(pair)
        assert n_descriptors() == before


def test_interfaces_have_names(pool: PortPool) -> None:
    pair = pool.open(4, interface="lan")
    assert pair.rtp.getsockname()[0] == "127.0.0.2"
    pool.close(pair)
    with pytest.raises(NgError, match="interface 'wan'"):
        pool.open(4, interface="wan")
    with pytest.raises(NgError, match="IPv6"):
        pool.open(6)
    assert pool.n_free == 4


def test_a_machine_without_descriptors_is_busy(
    pool: PortPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_host: str, _port: int) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(ports, "_open", fail)
    with pytest.raises(NgBusyError, match="limit of open files"):
        pool.open(4)


def test_a_socket_that_was_connected_hears_everyone_again(pool: PortPool) -> None:
    pair = pool.open(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        pair.rtp.connect((LOCAL, 9))
        disconnect(pair.rtp)
        other.sendto(b"here", (LOCAL, pair.local.rtp_port))
        pair.rtp.setblocking(True)
        pair.rtp.settimeout(5)
        assert pair.rtp.recv(10) == b"here"
    pool.close(pair)
