"""A media service of its own for every test that harms one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.interop.direct import DirectCall
from tests.interop.faults.service import FaultPorts, Service


@pytest.fixture(scope="session")
def ports() -> Iterator[FaultPorts]:
    block = FaultPorts()
    yield block
    block.close()


@pytest.fixture
def service(request: pytest.FixtureRequest, ports: FaultPorts, tmp_path: Path) -> Iterator[Service]:
    """A media service that still answers at the end, and met no error of its own."""
    service = Service(ports, tmp_path, *getattr(request, "param", ()))
    try:
        yield service
        assert service._answers(), service.said()
        assert "internal error" not in service.log(), service.log()
    finally:
        service.end()


@pytest.fixture
def call(service: Service, ports: FaultPorts) -> Iterator[DirectCall]:
    """A call with media both ways."""
    with closing(DirectCall(service, ports)) as call:
        yield call
