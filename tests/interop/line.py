"""A phone's media: sends a packet every 20 ms, and keeps what comes.

It always sends, as phones do: faint noise where there is nothing to say. RFC 4733 events go out
beside the audio or in its place.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.interop.coder import PACKET_MS, Coder
from tests.interop.description import MAPS, Key
from voicemask.rtp.sdes import CryptoKey
from voicemask.rtp.srtp import SrtpContext
from voicemask.synthetic import SyntheticCall, make_call

Samples = NDArray[np.float32]
FRAME = 160
TIMEOUT_S = 20.0
PERIOD_S = PACKET_MS / 1000
EVENT_TYPE = MAPS["telephone-event"][0]
KEYS = "0123456789*#ABCD"
TONE_MS = PAUSE_MS = 60
OPEN: set[Line] = set()
"""Lines that still send: one that outlived its test would be a stranger to the next one's calls."""


@dataclass
class Frame:
    """What goes out in one 20 ms slot: audio, an event's report, or both."""

    audio: Samples | None
    report: bytes = b""
    since: int = 0
    """Slots since the event began."""


def keyed(keys: str, **settings: Any) -> SyntheticCall:
    """Make tones that begin and end with packets."""
    rhythm = {"tone_ms": TONE_MS, "pause_ms": PAUSE_MS, "lead_ms": 200, "tail_ms": 200}
    return make_call(keys, **{**rhythm, **settings})


class Line:
    """RTP and RTCP of one party, on a port of its own.

    Parameters
    ----------
    port : even; RTCP is on the next one.
    """

    def __init__(self, address: str, port: int, seed: int) -> None:
        self.address, self.port = address, port
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._rtp = _bind(family, address, port)
        self._rtcp = _bind(family, address, port + 1)
        random = np.random.default_rng(seed)
        self._quiet = (random.standard_normal(8000) * 10**-3).astype(np.float32)
        self.ssrc, self.sequence = 0x10000000 + seed, 1000
        self._timestamp, self._slot = 160000 + seed, 0
        self._frames: deque[Frame] = deque()
        self._coder = Coder("PCMU")
        self._to: tuple[str, int] | None = None
        self._to_rtcp: tuple[str, int] | None = None
        self._protect: Callable[[bytes], bytes] = bytes
        self._unprotect: Callable[[bytes], bytes] = bytes
        self.copies = 1
        """How often the network brings each packet."""
        self.sent: list[bytes] = []
        self.sent_at_s: list[float] = []
        self.heard: list[bytes] = []
        self.heard_at_s: list[float] = []
        self.heard_rtcp: list[bytes] = []
        self.broken = 0
        self._news = threading.Condition()
        self._runs = True
        OPEN.add(self)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send_to(
        self,
        address: str,
        port: int,
        *,
        rtcp_port: int = 0,
        codec: str = "PCMU",
        send_key: Key | None = None,
        receive_key: Key | None = None,
        sends: bool = True,
    ) -> None:
        """Begin to send, or go on elsewhere or with another codec; keys hold from now on."""
        with self._news:
            if codec != self._coder.name:
                self._coder = Coder(codec)
            self._protect = _context(send_key).protect if send_key else bytes
            self._unprotect = _context(receive_key).unprotect if receive_key else bytes
            self._to_rtcp = (address, rtcp_port or port + 1)
            self._to = (address, port) if sends else None

    def fall_silent(self) -> None:
        """Send nothing at all."""
        with self._news:
            self._to = None

    def say(self, audio: Samples) -> None:
        """Queue audio, float32 at the rate of the codec."""
        with self._news:
            n = self._coder.n_samples
            padded = np.pad(audio, (0, -len(audio) % n))
            self._frames.extend(Frame(frame) for frame in padded.reshape(-1, n))

    def send_events(self, keys: str, *, tone_ms: int = TONE_MS, pause_ms: int = PAUSE_MS) -> None:
        """Queue keys as RFC 4733 events in place of audio."""
        for key in keys:
            self._queue_event(key, [None] * (tone_ms // 20))
            with self._news:
                self._frames.extend(Frame(self._noise(n)) for n in range(pause_ms // 20))

    def say_with_events(self, call: SyntheticCall, *, late_slots: int = 0) -> None:
        """Queue tones, and beside each an event of the same length, so much later."""
        with self._news:
            before = len(self._frames)
            self.say(call.audio[0])
            queued = list(self._frames)[before:]
            for tone in call.truth:
                n_slots = (tone.end - tone.start) // FRAME
                for since in range(n_slots):
                    frame = queued[tone.start // FRAME + late_slots + since]
                    key = tone.digit.reveal()
                    frame.report = _report(key, since + 1, is_last=since == n_slots - 1)
                    frame.since = since

    def _queue_event(self, key: str, audio: list[Samples | None]) -> None:
        n_slots = len(audio)
        with self._news:
            self._frames.extend(
                Frame(frame, _report(key, since + 1, is_last=since == n_slots - 1), since)
                for since, frame in enumerate(audio)
            )

    def send_raw(self, payload_type: int, payload: bytes) -> bytes:
        """Send one packet at once, of any kind; gives its bytes."""
        with self._news:
            self._send(payload_type, payload, self._timestamp)
            return self.sent[-1]

    def send_rtcp(self, packet: bytes, *, mux: bool = False) -> None:
        assert self._to is not None and self._to_rtcp is not None
        (self._rtp if mux else self._rtcp).sendto(packet, self._to if mux else self._to_rtcp)

    def wait_said(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until all that was queued is sent."""
        self._wait(lambda: not self._frames, timeout_s, "not all was sent")

    def wait_left(self, n_slots: int, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until no more than this is left of what was queued."""
        self._wait(lambda: len(self._frames) <= n_slots, timeout_s, "not all was sent")

    def left(self) -> int:
        """Count the slots that are queued."""
        with self._news:
            return len(self._frames)

    def wait_heard(self, n_packets: int, timeout_s: float = TIMEOUT_S) -> None:
        """Wait for this many more packets."""
        target = len(self.heard) + n_packets
        self._wait(lambda: len(self.heard) >= target, timeout_s, f"{n_packets} packets awaited")

    def wait_heard_rtcp(self, n_packets: int, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until this many RTCP packets have come."""
        self._wait(lambda: len(self.heard_rtcp) >= n_packets, timeout_s, "no RTCP came")

    def catch_up(self, speaker: Line, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until what the other has sent by now has come, by sequence number."""
        target = speaker.sequence

        def has_come() -> bool:
            return any(
                _ssrc(packet) == speaker.ssrc and (_sequence(packet) - target) % 65536 < 32768
                for packet in self.heard[-3:]
            )

        self._wait(has_come, timeout_s, "what was said did not come")

    def close(self) -> None:
        """End it; once more does nothing."""
        OPEN.discard(self)
        self._runs = False
        self._thread.join()
        self._rtp.close()
        self._rtcp.close()

    def _wait(self, is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._news:
            if not self._news.wait_for(is_so, timeout_s):
                counts = f"{len(self.sent)} sent, {len(self.heard)} heard, {self.broken} broken"
                raise AssertionError(f"{self.port}: {what} in {timeout_s} s ({counts})")

    def _serve(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._rtp, selectors.EVENT_READ)
        selector.register(self._rtcp, selectors.EVENT_READ)
        due_s = time.monotonic()
        while self._runs:
            for ready, _ in selector.select(max(0.0, due_s - time.monotonic())):
                self._take(ready.fileobj)  # type: ignore[arg-type]
            if time.monotonic() >= due_s:
                with self._news:
                    self._send_slot()
                    self._news.notify_all()
                due_s += PERIOD_S
        selector.close()

    def _take(self, sock: socket.socket) -> None:
        while True:
            try:
                packet = sock.recv(2048)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # the other end's port is not open yet
            with self._news:
                if sock is self._rtcp or 192 <= packet[1] <= 223:
                    self.heard_rtcp.append(packet)
                else:
                    self._hear(packet)
                self._news.notify_all()

    def _hear(self, packet: bytes) -> None:
        try:
            self.heard.append(self._unprotect(packet))
            self.heard_at_s.append(time.monotonic())
        except Exception:  # noqa: BLE001 - whatever does not open is counted
            self.broken += 1

    def _send_slot(self) -> None:
        self._slot += 1
        coder = self._coder
        self._timestamp = (self._timestamp + coder.n_ticks) % 2**32
        if self._to is None:
            return
        frame = self._frames.popleft() if self._frames else Frame(self._noise(self._slot))
        if frame.report:
            start = (self._timestamp - frame.since * FRAME) % 2**32
            for _ in range(3 if frame.report[1] & 0x80 else 1):
                self._send(EVENT_TYPE, frame.report, start, marker=frame.since == 0)
        if frame.audio is not None:
            self._send(coder.payload_type, coder.encode(frame.audio), self._timestamp)

    def _send(self, payload_type: int, payload: bytes, ts: int, *, marker: bool = False) -> None:
        self.sequence = (self.sequence + 1) % 65536
        second = payload_type | (0x80 if marker else 0)
        packet = struct.pack("!BBHII", 0x80, second, self.sequence, ts, self.ssrc) + payload
        self.sent.append(packet)
        self.sent_at_s.append(time.monotonic())
        assert self._to is not None
        for _ in range(self.copies):
            self._rtp.sendto(self._protect(packet), self._to)

    def _noise(self, slot: int) -> Samples:
        n = self._coder.n_samples
        start = slot * n % (len(self._quiet) - n)
        return self._quiet[start : start + n]


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock


def _context(key: Key) -> SrtpContext:
    return SrtpContext(CryptoKey(1, key.suite, key.secret))


def _report(key: str, slots: int, *, is_last: bool) -> bytes:
    return struct.pack("!BBH", KEYS.index(key), (0x80 if is_last else 0) | 10, slots * FRAME)


def _ssrc(packet: bytes) -> int:
    return int.from_bytes(packet[8:12], "big")


def _sequence(packet: bytes) -> int:
    return int.from_bytes(packet[2:4], "big")
