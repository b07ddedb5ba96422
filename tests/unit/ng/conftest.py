"""Fixtures of the NG tests."""

from __future__ import annotations

import pytest

from tests.unit.ng.fakes import SDP_A, SDP_B, FakeMedia, Proxy


@pytest.fixture
def proxy() -> Proxy:
    return Proxy(FakeMedia())


@pytest.fixture
def media(proxy: Proxy) -> FakeMedia:
    return proxy.media


@pytest.fixture
def sdp_a() -> bytes:
    return SDP_A


@pytest.fixture
def sdp_b() -> bytes:
    return SDP_B
