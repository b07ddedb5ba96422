"""Frames to the vault as a vault reads them, and what is left of them here."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicemask.capture.digit import KEYS, Digit
from voicemask.dtmf.arbiter import Carrier, KeyPress
from voicemask.media import vault_link
from voicemask.media.loop import Loop
from voicemask.media.vault_link import Frame, VaultLink

PAN = "4111111111111111"


@pytest.fixture(autouse=True)
def quick_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_link, "RETRY_S", 0.01)


@pytest.fixture
def loop() -> Iterator[Loop]:
    def fail(error: BaseException) -> None:
        raise AssertionError from error

    loop = Loop(fail)
    yield loop
    loop.close()


class Vault:
    """The other end."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.sock: socket.socket | None = None

    def accept(self) -> None:
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(2)

    def frames(self, n: int) -> list[tuple[int, bytes]]:
        assert self.sock is not None
        stream = self.sock.makefile("rb")
        found = []
        for _ in range(n):
            (length,) = struct.unpack("!H", stream.read(2))
            body = stream.read(length)
            assert body[0] == vault_link.VERSION
            found.append((body[1], body[2:]))
        return found

    def close(self) -> None:
        self.listener.close()
        if self.sock is not None:
            self.sock.close()


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    vault = Vault(tmp_path / "vault.sock")
    yield vault
    vault.close()


def run_until(loop: Loop, is_done: object) -> None:
    deadline_s = time.monotonic() + 5
    while not is_done():  # type: ignore[operator]
        assert time.monotonic() < deadline_s
        loop.run_once(0.05)


def test_a_capture_is_three_kinds_of_frames(loop: Loop, vault: Vault, tmp_path: Path) -> None:
    link = VaultLink(loop, tmp_path / "vault.sock")
    vault.accept()
    capture = link.capture_started("call-ü", "tag-a")
    press = KeyPress(0, Digit.of("5"), 0, 800, frozenset({Carrier.TONE, Carrier.INFO}))
    assert link.key(capture, press, 1234)
    assert link.key(capture, Digit.of("#"), 2**40, [Carrier.EVENT])
    link.capture_ended(capture)
    name = "call-ü".encode()
    uid = capture.bytes
    assert vault.frames(4) == [
        (Frame.CAPTURE_STARTED, uid + struct.pack("!H", len(name)) + name + b"\0\5tag-a"),
        (Frame.KEY, uid + struct.pack("!BBQ", KEYS.index("5"), 1 | 4, 1234)),
        (Frame.KEY, uid + struct.pack("!BBQ", KEYS.index("#"), 2, 2**40)),
        (Frame.CAPTURE_ENDED, uid),
    ]
    link.close()


def test_nothing_of_a_key_is_left_in_the_buffer(loop: Loop, vault: Vault, tmp_path: Path) -> None:
    link = VaultLink(loop, tmp_path / "vault.sock")
    capture = link.capture_started("call", "tag")
    for key in PAN:
        link.key(capture, Digit.of(key), 20)
    assert not any(link._buffer)
    link.close()


def test_without_a_vault_keys_go_nowhere(loop: Loop, tmp_path: Path) -> None:
    link = VaultLink(loop, tmp_path / "vault.sock")
    capture = link.capture_started("call", "tag")
    assert not link.key(capture, Digit.of("1"), 0)
    link.capture_ended(capture)
    assert link.n_keys_dropped == 1
    assert not any(link._buffer)
    link.close()


def test_a_vault_that_comes_later_hears_of_open_captures_but_of_no_earlier_key(
    loop: Loop, tmp_path: Path
) -> None:
    link = VaultLink(loop, tmp_path / "vault.sock")
    capture = link.capture_started("call", "tag")
    link.key(capture, Digit.of("1"), 0)
    vault = Vault(tmp_path / "vault.sock")
    run_until(loop, lambda: link.is_connected)
    vault.accept()
    link.key(capture, Digit.of("2"), 0)
    kinds = vault.frames(2)
    assert [kind for kind, _ in kinds] == [Frame.CAPTURE_STARTED, Frame.KEY]
    assert kinds[1][1][16] == KEYS.index("2")
    link.close()
    vault.close()


def test_a_vault_that_goes_and_comes_back_is_found_again(
    loop: Loop, vault: Vault, tmp_path: Path
) -> None:
    link = VaultLink(loop, tmp_path / "vault.sock")
    vault.accept()
    capture = link.capture_started("call", "tag")
    vault.frames(1)
    assert vault.sock is not None
    vault.sock.close()
    run_until(loop, lambda: link.n_connections == 2)
    vault.accept()
    assert vault.frames(1)[0][1].startswith(capture.bytes)
    link.close()


def test_a_vault_that_does_not_read_costs_keys_and_no_memory(
    loop: Loop, vault: Vault, tmp_path: Path
) -> None:
    link = VaultLink(loop, tmp_path / "vault.sock")
    vault.accept()
    capture = link.capture_started("call", "tag")
    n_sent = 0
    while link.key(capture, Digit.of("1"), n_sent):
        n_sent += 1
        assert n_sent < 1_000_000
    assert link.n_keys_dropped == 1
    assert len(link._buffer) == vault_link.MAX_UNSENT
    # what was taken before comes in order and whole, once it is read again
    n_read = 0
    deadline_s = time.monotonic() + 10
    assert vault.sock is not None
    vault.sock.setblocking(False)
    data = bytearray()
    while n_read < n_sent and time.monotonic() < deadline_s:
        loop.run_once(0)
        try:
            data += vault.sock.recv(1 << 20)
        except BlockingIOError:
            continue
        n_read = (len(data) - 31) // 30
    assert n_read == n_sent
    assert not any(link._buffer)
    link.close()


def test_close_overwrites_what_was_not_sent(loop: Loop, vault: Vault, tmp_path: Path) -> None:
    link = VaultLink(loop, tmp_path / "vault.sock")
    capture = link.capture_started("call", "tag")
    while link.key(capture, Digit.of("7"), 9):
        pass
    assert any(link._buffer)
    link.close()
    assert not any(link._buffer)
