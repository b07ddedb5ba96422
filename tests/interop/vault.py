"""A vault that keeps what it is told, as docs/vault-link.md has it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KEYS = "123A456B789C*0#D"
STARTED, KEY, ENDED = 1, 2, 3
TONE, EVENT, INFO = 1, 2, 4


@dataclass(frozen=True)
class Told:
    """One key: which, how it was told, and when this came here."""

    capture: bytes
    key: str
    carriers: int
    at_ms: int
    came_at_s: float


class Vault:
    """Listens for one media process after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.captures: dict[bytes, tuple[str, str]] = {}
        self.ended: list[bytes] = []
        self.told: list[Told] = []
        self._news = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def keys_of(self, call_id: str) -> str:
        """Read the keys of a call in the order they came."""
        return "".join(told.key for told in self.of(call_id))

    def of(self, call_id: str) -> list[Told]:
        """Give what was told of a call."""
        with self._news:
            return self._of(call_id)

    def wait_ended(self, call_id: str, timeout_s: float = 10.0) -> None:
        """Wait until the capture of a call is over: no key of it follows."""
        self._wait(lambda: self._has_ended(call_id), timeout_s, "of its end")

    def wait_keys(self, call_id: str, n_keys: int, timeout_s: float = 10.0) -> None:
        """Wait for so many keys of a call."""
        self._wait(lambda: len(self._of(call_id)) >= n_keys, timeout_s, f"of {n_keys} keys")

    def close(self) -> None:
        self._listener.close()

    def _has_ended(self, call_id: str) -> bool:
        return any(self.captures[name][0] == call_id for name in self.ended)

    def _of(self, call_id: str) -> list[Told]:
        return [told for told in self.told if self.captures[told.capture][0] == call_id]

    def _wait(self, is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._news:
            is_told = self._news.wait_for(is_so, timeout_s)
            assert is_told, f"the vault was not told {what}, {len(self.told)} keys in all"

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link, link.makefile("rb") as stream:
                while head := stream.read(2):
                    (length,) = struct.unpack("!H", head)
                    self._take(stream.read(length), time.monotonic())

    def _take(self, frame: bytes, now_s: float) -> None:
        version, kind, body = frame[0], frame[1], frame[2:]
        assert version == 1
        with self._news:
            if kind == STARTED:
                self.captures[body[:16]] = _names(body[16:])
            elif kind == KEY:
                index, carriers, at_ms = struct.unpack("!BBQ", body[16:])
                self.told.append(Told(body[:16], KEYS[index], carriers, at_ms, now_s))
            elif kind == ENDED:
                self.ended.append(body[:16])
            self._news.notify_all()


def _names(data: bytes) -> tuple[str, str]:
    (length,) = struct.unpack_from("!H", data)
    return data[2 : 2 + length].decode(), data[4 + length :].decode()
