"""SRTP on one side or both, keys by SDES: masked as any other call."""

from __future__ import annotations

import pytest

from tests.interop.description import Key
from tests.interop.hearing import assert_all_read, assert_nobody_reads, event_keys
from tests.interop.phone import Call, Exchange

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_256_GCM": 44,
}
"""Bytes of key and salt: RFC 4568 section 6.2, RFC 7714 section 12."""
CARD = "378282246310005"
KEYS = "0417#*"
TO_PLAIN, TO_SECURE = "RTP/AVP", "RTP/SAVP"


@pytest.mark.parametrize("suite", SUITES)
def test_customer_by_srtp_agent_in_clear(exchange: Exchange, suite: str) -> None:
    customer = exchange.phone("caller", key=key(1, suite))
    call = exchange.connect(f"X-Offer: {TO_PLAIN}", f"X-Answer: {TO_SECURE}", customer=customer)
    assert call.to_agent.profile == TO_PLAIN
    assert call.to_agent.cryptos() == []
    assert call.to_customer.profile == TO_SECURE
    assert_carried_then_masked(call)


def test_customer_in_clear_agent_by_srtp(exchange: Exchange) -> None:
    agent = exchange.phone("callee", key=key(2))
    call = exchange.connect(f"X-Offer: {TO_SECURE}", f"X-Answer: {TO_PLAIN}", agent=agent)
    assert call.to_agent.profile == TO_SECURE
    assert call.to_customer.profile == TO_PLAIN
    assert_carried_then_masked(call)


def test_both_by_srtp_each_with_keys_of_its_own(exchange: Exchange) -> None:
    one, other = key(1), key(2)
    customer, agent = exchange.phone("caller", key=one), exchange.phone("callee", key=other)
    call = exchange.connect(customer=customer, agent=agent)
    told = [key.secret for _, key in (*call.to_agent.cryptos(), *call.to_customer.cryptos())]
    assert len(told) >= 2
    assert not {one.secret, other.secret} & set(told)
    assert_carried_then_masked(call)


def assert_carried_then_masked(call: Call) -> None:
    customer, agent = call.customer, call.agent
    customer.press(KEYS, "both")
    call.catch_up()
    assert_all_read(agent.line.heard, KEYS)
    assert event_keys(agent.line.heard) == KEYS
    assert set(customer.line.heard) <= set(agent.line.sent)
    customer.mask("capture")
    agent.line.heard.clear()
    customer.press(CARD, "both")
    call.catch_up()
    assert_nobody_reads(agent.line.heard)
    assert (customer.line.broken, agent.line.broken) == (0, 0)


def key(seed: int, suite: str = "AES_CM_128_HMAC_SHA1_80") -> Key:
    return Key(suite, bytes((seed * 37 + n) % 256 for n in range(SUITES[suite])))
