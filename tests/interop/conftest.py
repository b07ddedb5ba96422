"""Real parts on loopback: Kamailio, SIPp and the media node, each worker with its own ports."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import resample_poly

from tests.interop.line import OPEN
from tests.interop.node import Node
from tests.interop.phone import Exchange
from tests.interop.ports import PortBlock
from tests.interop.proxy import Kamailio

WORDS = "I have the card here, one moment please, now I am going to enter the number for you."


@pytest.fixture(scope="session")
def ports() -> Iterator[PortBlock]:
    block = PortBlock()
    yield block
    block.close()


@pytest.fixture(autouse=True)
def lines_end_with_their_test() -> Iterator[None]:
    """Close what a test that failed has left open."""
    yield
    for left in list(OPEN):
        left.close()


@pytest.fixture(scope="session")
def node(ports: PortBlock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The media node that Kamailio uses."""
    node = Node(ports, tmp_path_factory.mktemp("node"))
    yield node
    node.end()


@pytest.fixture(scope="session")
def second_node(ports: PortBlock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A media node set otherwise: open, the caller is the customer, capture by fill."""
    options = ("--policy", "open", "--customer", "caller", "--method", "fill")
    node = Node(ports, tmp_path_factory.mktemp("second"), *options)
    yield node
    node.end()


@pytest.fixture(scope="session")
def kamailio(
    node: Node, ports: PortBlock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kamailio]:
    proxy = Kamailio(ports, node.ng_port, tmp_path_factory.mktemp("kamailio"))
    yield proxy
    proxy.end()


@pytest.fixture
def exchange(
    ports: PortBlock, node: Node, kamailio: Kamailio, tmp_path: Path
) -> Iterator[Exchange]:
    """Phones that call through Kamailio; afterwards the node still runs and has no call left."""
    exchange = Exchange(ports, kamailio.port, tmp_path)
    yield exchange
    exchange.close()
    assert node.is_running(), node.said()
    for call_id in node.calls():
        node.ng.ask("delete", call_id=call_id)


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    """A sentence at 8 kHz."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    subprocess.run(["espeak-ng", "-w", str(path), WORDS], check=True)
    audio, rate_hz = sf.read(path, dtype="float32")
    spoken = resample_poly(audio, 8000, rate_hz).astype(np.float32)
    return np.asarray(spoken * (0.2 / np.abs(spoken).max()), np.float32)
