"""Keys told by SIP INFO too: the vault is told each press once, however many ways it came."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest

from tests.interop.direct import CUSTOMER, DirectCall
from tests.interop.hearing import assert_nobody_reads
from tests.interop.line import FRAME, keyed
from tests.interop.node import Events, Node
from tests.interop.ports import PortBlock
from tests.interop.vault import INFO, Vault
from voicemask.audio.g711 import Law, decode
from voicemask.synthetic import TrueTone

CARDS = ("4111111111111111", "378282246310005")
TONE_MS = PAUSE_MS = 100
EVENT_LATE_SLOTS = 2
INFO_LATE_MS = (40, 180, 320)
"""After the tone began: within it, with the next one, after that."""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with closing(Vault(tmp_path_factory.mktemp("vault") / "keys")) as vault:
        yield vault


@pytest.fixture(scope="module")
def vault_node(
    vault: Vault, ports: PortBlock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    options = ("--vault", f"unix:{vault.path}", "--customer", "caller")
    node = Node(ports, tmp_path_factory.mktemp("vault_node"), *options)
    yield node
    node.end()


@pytest.fixture
def gateway(vault_node: Node) -> Iterator[Events]:
    """What a SIP gateway tells by the control socket."""
    with closing(vault_node.events()) as gateway:
        yield gateway


@pytest.fixture
def call(vault_node: Node, ports: PortBlock) -> Iterator[DirectCall]:
    with closing(DirectCall(vault_node, ports)) as call:
        call.done("block DTMF")
        call.agent.heard.clear()
        yield call


def test_key_told_by_tone_event_and_info_is_one_press(
    call: DirectCall, gateway: Events, vault: Vault
) -> None:
    press(call, gateway, "5", info_late_ms=(180,))
    said = finish(call, vault)
    print(vault.of(call.call_id))
    assert said == "5"
    assert_nobody_reads(call.agent.heard)


def test_key_pressed_while_the_process_stood_still_is_one_press(
    call: DirectCall, gateway: Events, vault: Vault
) -> None:
    pid = gateway.ask("health")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        press(call, gateway, "5", info_late_ms=(180,), waits=False)
    finally:
        os.kill(pid, signal.SIGCONT)
    gateway.result()
    assert finish(call, vault) == "5"
    assert_nobody_reads(call.agent.heard)


def test_key_told_by_info_alone_is_one_press(
    call: DirectCall, gateway: Events, vault: Vault
) -> None:
    gateway.ask("info", call=call.call_id, tag=CUSTOMER, key="7", duration_ms=100)
    vault.wait_keys(call.call_id, 1)
    assert vault.of(call.call_id)[0].carriers == INFO
    assert finish(call, vault) == "7"


@pytest.mark.parametrize("card", CARDS)
def test_card_told_three_ways_out_of_step_and_doubled_comes_once_and_in_order(
    call: DirectCall, gateway: Events, vault: Vault, card: str
) -> None:
    call.customer.copies = 2
    press(call, gateway, card, info_late_ms=INFO_LATE_MS)
    call.catch_up()
    assert finish(call, vault) == card
    assert_nobody_reads(call.agent.heard)


@pytest.mark.parametrize("card", CARDS)
def test_keys_come_to_the_vault_by_their_tones_alone(
    call: DirectCall, vault: Vault, card: str, record_property: Callable[[str, object], None]
) -> None:
    tones = keyed(card, tone_ms=TONE_MS, pause_ms=PAUSE_MS)
    n_before = len(call.customer.sent)
    call.customer.say(tones.audio[0])
    call.customer.wait_said()
    vault.wait_keys(call.call_id, len(card))
    late_ms = lateness_ms(call, vault, tones.truth, n_before)
    record_property("keys_late_ms", [round(ms) for ms in late_ms])
    assert finish(call, vault) == card


def press(
    call: DirectCall,
    gateway: Events,
    keys: str,
    *,
    info_late_ms: tuple[int, ...],
    waits: bool = True,
) -> None:
    """Press keys: tones, events some time after them, and an INFO for each, later still."""
    tones = keyed(keys, tone_ms=TONE_MS, pause_ms=PAUSE_MS, tail_ms=600)
    call.customer.say_with_events(tones, late_slots=EVENT_LATE_SLOTS)
    n_slots = call.customer.left()
    for number, tone in enumerate(tones.truth):
        late_slots = info_late_ms[number % len(info_late_ms)] // 20
        call.customer.wait_left(n_slots - tone.start // FRAME - late_slots)
        key = tone.digit.reveal()
        gateway.send("info", call=call.call_id, tag=CUSTOMER, key=key, duration_ms=TONE_MS)
        if waits:
            gateway.result()
    call.customer.wait_said()


def lateness_ms(
    call: DirectCall, vault: Vault, tones: Sequence[TrueTone], n_before: int
) -> list[float]:
    """How long after the packet with the end of its tone left did each key come to the vault."""
    line = call.customer
    audio = [n for n in range(n_before, len(line.sent)) if line.sent[n][1] & 0x7F == 0]
    loud = next(i for i, n in enumerate(audio) if _loudest(line.sent[n]) > 3000)
    shift = loud - tones[0].start // FRAME
    ends_s = [line.sent_at_s[audio[shift + tone.end // FRAME - 1]] for tone in tones]
    told = vault.of(call.call_id)
    return [1000 * (one.came_at_s - end_s) for one, end_s in zip(told, ends_s, strict=True)]


def _loudest(packet: bytes) -> int:
    return int(np.abs(decode(np.frombuffer(packet[12:], np.uint8), Law.MU).astype(int)).max())


def finish(call: DirectCall, vault: Vault) -> str:
    """End the capture; gives all keys that the vault was told."""
    call.done("unblock DTMF")
    vault.wait_ended(call.call_id)
    return vault.keys_of(call.call_id)
