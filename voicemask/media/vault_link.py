"""Key presses on their way to the vault: framed, typed, and gone from here once sent.

Frames are in docs/vault-link.md. All of a key that this process holds on this way is one byte in a
buffer that is overwritten after each send. Without a vault, or with one that does not read, keys
are counted and dropped: a queue of digits is what nobody should find. Captures that are open are
told again after a reconnection, so that the vault knows whose keys come next.
"""

from __future__ import annotations

import socket
import struct
import uuid
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Final

from voicemask.capture.digit import KEYS, Digit
from voicemask.dtmf.arbiter import Carrier, KeyPress
from voicemask.media.loop import Loop

VERSION: Final = 1
RETRY_S: Final = 1.0
MAX_UNSENT: Final = 4096
_MAX_NAME: Final = 1024
_HEAD: Final = struct.Struct("!HBB")
_KEY: Final = struct.Struct("!16sBBQ")
_LENGTH: Final = struct.Struct("!H")
_CARRIER_BITS: Final = {Carrier.TONE: 1, Carrier.EVENT: 2, Carrier.INFO: 4}


class Frame(IntEnum):
    """Type of a frame."""

    CAPTURE_STARTED = 1
    KEY = 2
    CAPTURE_ENDED = 3


class VaultLink:
    """Sends captures and their keys to the vault's Unix socket.

    Parameters
    ----------
    path : of the socket; it may appear and go at any time.
    """

    def __init__(self, loop: Loop, path: Path) -> None:
        self._loop = loop
        self._path = str(path)
        self._sock: socket.socket | None = None
        self._buffer = bytearray(MAX_UNSENT)
        self._n_unsent = 0
        self._open: dict[uuid.UUID, tuple[str, str]] = {}
        self._is_closed = False
        self.n_keys_sent = 0
        self.n_keys_dropped = 0
        self.n_connections = 0
        self._connect()

    @property
    def is_connected(self) -> bool:
        """Whether there is a vault now."""
        return self._sock is not None

    def capture_started(self, call_id: str, tag: str) -> uuid.UUID:
        """Tell that the keys of a party are being captured; give the capture's name."""
        capture = uuid.uuid4()
        self._open[capture] = (call_id, tag)
        self._tell_start(capture)
        return capture

    def key(self, capture: uuid.UUID, press: KeyPress | Digit, at_ms: int,
            carriers: Iterable[Carrier] = ()) -> bool:  # fmt: skip
        """Send one key; False where it went nowhere.

        Parameters
        ----------
        at_ms : stream time of the press.
        carriers : how it was told; a `KeyPress` knows by itself.
        """
        if isinstance(press, KeyPress):
            digit, carriers = press.digit, press.carriers
        else:
            digit = press
        bits = sum(_CARRIER_BITS[carrier] for carrier in set(carriers))
        start = self._reserve(Frame.KEY, _KEY.size)
        if start is None:
            self.n_keys_dropped += 1
            return False
        index = KEYS.index(digit.reveal())
        at_ms = min(max(at_ms, 0), 2**64 - 1)
        _KEY.pack_into(self._buffer, start, capture.bytes, index, bits, at_ms)
        is_sent = self._flush()
        self.n_keys_sent += is_sent
        self.n_keys_dropped += not is_sent
        return is_sent

    def capture_ended(self, capture: uuid.UUID) -> None:
        """Tell that no key of this capture will follow."""
        if self._open.pop(capture, None) is None:
            return
        start = self._reserve(Frame.CAPTURE_ENDED, 16)
        if start is not None:
            self._buffer[start : start + 16] = capture.bytes
            self._flush()

    def close(self) -> None:
        """Overwrite what is left and hang up."""
        self._is_closed = True
        self._hang_up()

    def _tell_start(self, capture: uuid.UUID) -> None:
        names = [name.encode()[:_MAX_NAME] for name in self._open[capture]]
        body = capture.bytes + b"".join(_LENGTH.pack(len(name)) + name for name in names)
        start = self._reserve(Frame.CAPTURE_STARTED, len(body))
        if start is not None:
            self._buffer[start : start + len(body)] = body
            self._flush()

    def _reserve(self, frame: Frame, size: int) -> int | None:
        """Write a head behind what is unsent; None without a vault or room."""
        if self._sock is None or self._n_unsent + _HEAD.size + size > MAX_UNSENT:
            return None
        _HEAD.pack_into(self._buffer, self._n_unsent, size + 2, VERSION, frame)
        start = self._n_unsent + _HEAD.size
        self._n_unsent = start + size
        return start

    def _flush(self) -> bool:
        """Send what is there, overwrite what was sent; False where the vault is gone."""
        sock = self._sock
        if sock is None:
            return False
        try:
            n_sent = sock.send(memoryview(self._buffer)[: self._n_unsent])
        except BlockingIOError:
            n_sent = 0
        except OSError:
            self._hang_up()
            return False
        n_left = self._n_unsent - n_sent
        with memoryview(self._buffer) as view:
            # in place: a slice of the buffer itself would be a copy nobody overwrites
            view[:n_left] = view[n_sent : self._n_unsent]
        self._wipe(n_left)
        if n_left:
            self._loop.add_writer(sock.fileno(), self._on_writable)
        else:
            self._loop.remove_writer(sock.fileno())
        return True

    def _on_writable(self) -> None:
        self._flush()

    def _wipe(self, n_kept: int) -> None:
        self._buffer[n_kept : self._n_unsent] = bytes(self._n_unsent - n_kept)
        self._n_unsent = n_kept

    def _connect(self) -> None:
        if self._is_closed:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            self._loop.call_later(RETRY_S, self._connect)
            return
        self._sock = sock
        self.n_connections += 1
        self._loop.add_reader(sock.fileno(), self._on_readable)
        for capture in list(self._open):
            self._tell_start(capture)

    def _on_readable(self) -> None:
        """Notice that the vault has gone; it has nothing to say."""
        if self._sock is None:
            return
        try:
            if self._sock.recv(256):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._hang_up()

    def _hang_up(self) -> None:
        self._wipe(0)
        if self._sock is not None:
            self._loop.remove(self._sock.fileno())
            self._sock.close()
            self._sock = None
            if not self._is_closed:
                self._loop.call_later(RETRY_S, self._connect)
