"""One of our ports facing a party: what comes from it, and what goes to it.

The shortest way is the common one: a packet of a party nobody masks is received and sent on in the
same breath, with the bytes it came with. Where policy masks, it goes to the party's `LiveStream`
instead, and only what that gives out goes on. Nothing else can reach `send`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

from voicemask.errors import SrtpError
from voicemask.live.stream import LiveStream
from voicemask.media.ports import RECEIVE_BYTES, Pair, disconnect
from voicemask.media.source import Address, Source
from voicemask.ng.plan import LocalPort, Remote
from voicemask.rtp.packet import HEADER_BYTES, VERSION, looks_like_rtcp
from voicemask.rtp.srtp import SrtpContext

_MOST_WAITING: Final = 256
_LONGEST: Final = 2048
_AUDIO: Final = "audio"
_MOST_QUEUED: Final = RECEIVE_BYTES * 2 // 512
"""Datagrams a socket may hold: the kernel doubles its buffer, and charges 512 bytes for each."""

Tap = Callable[[bytes], None]


class Port:
    """A pair of sockets facing one party.

    Parameters
    ----------
    pair : the sockets.

    Attributes
    ----------
    sinks : ports that hear the party.
    live : masks the party; None where policy passes what it says.
    listener : hears keys of a party that is not masked; None for nobody.
    tap : gets every datagram before it is masked, for the recorder; None without.
    withholds : nothing that cannot be masked may pass: media other than audio.
    """

    __slots__ = (
        "_is_audio", "_is_connected", "_n_to_check", "_rtcp", "_rtp", "_source", "_srtp_in",
        "_srtp_out", "last_packet_s", "listener", "live", "local", "n_in", "n_out", "n_send_errors",
        "n_strangers", "n_unusable", "octets_in", "octets_out", "pair", "remote", "sinks",
        "ssrc", "tap", "withholds",
    )  # fmt: skip

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.local: LocalPort = pair.local
        self.remote: Remote | None = None
        self.sinks: tuple[Port, ...] = ()
        self.live: LiveStream | None = None
        self.listener: LiveStream | None = None
        self.tap: Tap | None = None
        self.withholds = False
        self.n_in = self.octets_in = self.n_out = self.octets_out = 0
        self.n_strangers = self.n_unusable = self.n_send_errors = 0
        self.last_packet_s = 0.0
        self.ssrc: bytes = b""
        self._rtp: socket.socket = pair.rtp
        self._rtcp: socket.socket | None = pair.rtcp
        self._source: Source | None = None
        self._is_connected = False
        self._n_to_check = 0  # packets still to be looked at since the socket was connected
        self._is_audio = True
        self._srtp_in: SrtpContext | None = None
        self._srtp_out: SrtpContext | None = None

    @property
    def n_errors(self) -> int:
        """Datagrams that were no party's, no RTP, or could not be sent."""
        return self.n_strangers + self.n_unusable + self.n_send_errors

    @property
    def source(self) -> Address | None:
        """Where packets are taken from; None before the first."""
        return self._source.learnt if self._source is not None else None

    def set_remote(self, remote: Remote) -> None:
        """Take what the party's SDP says; the same again changes nothing."""
        old = self.remote
        if remote == old:
            return
        srtp_in, srtp_out = self._srtp_in, self._srtp_out
        if old is None or old.receive_key != remote.receive_key:
            srtp_in = SrtpContext(remote.receive_key) if remote.receive_key else None
        if old is None or old.send_key != remote.send_key:
            srtp_out = SrtpContext(remote.send_key) if remote.send_key else None
        # nothing of a remote side that was refused stays
        self._srtp_in, self._srtp_out = srtp_in, srtp_out
        self.remote = remote
        self._is_audio = remote.kind == _AUDIO
        if old is None or _addressing(old) != _addressing(remote):
            self._source = Source(remote)
            if self._is_connected or self._n_to_check:
                disconnect(self._rtp)
            self._is_connected, self._n_to_check = False, 0

    def on_rtp(self) -> None:
        """Take one datagram from the RTP socket."""
        data = self._received()
        if data is None:
            return
        if len(data) < HEADER_BYTES or data[0] & 0xC0 != 0x80 or not self._is_audio:
            self._take_other(data)
            return
        if 192 <= data[1] <= 223 and _is_whole_rtcp(data):
            self._forward_rtcp(data)
            return
        self.ssrc = data[8:12]
        if self.tap is not None:
            self.tap(data)
        live = self.live
        if live is not None:
            live.push(data, time.monotonic())
            return
        for sink in self.sinks:
            sink.send(data)
        if self.listener is not None:
            self.listener.push(data, time.monotonic())

    def catch_up(self) -> None:
        """Take what waits in the RTP socket: it came before what is about to happen."""
        for _ in range(_MOST_WAITING):
            try:
                self._rtp.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP answer, which is gone by this
            self.on_rtp()

    def _received(self) -> bytes | None:
        """One datagram of the party, decrypted; None where there is none."""
        source = None
        try:
            if self._is_connected:
                data = self._rtp.recv(_LONGEST)
            else:
                data, source = self._rtp.recvfrom(_LONGEST)
        except BlockingIOError:
            return None
        except OSError:
            self.n_send_errors += 1  # an ICMP answer to what we sent
            return None
        n_octets = len(data)
        if self._srtp_in is not None:
            opened = self._opened(data)
            if opened is None:
                return None
            data = opened
        # what is encrypted is authentic before anything is learnt from it
        if source is not None and not self._admits(data, (source[0], source[1])):
            return None
        self.n_in += 1
        self.octets_in += n_octets
        self.last_packet_s = time.time()
        return data

    def _take_other(self, data: bytes) -> None:
        if self._is_audio:
            self.n_unusable += 1
        else:
            self._relay(data)

    def send(self, data: bytes) -> None:
        """Send an RTP packet to the party."""
        source = self._source
        if source is None or source.target is None:
            return
        try:
            if self._srtp_out is not None:
                data = self._srtp_out.protect(data)
            if self._is_connected:
                self._rtp.send(data)
            else:
                self._rtp.sendto(data, source.target)
        except (OSError, SrtpError):
            self.n_send_errors += 1
            return
        self.n_out += 1
        self.octets_out += len(data)

    def on_rtcp(self) -> None:
        """Take one datagram from the RTCP socket."""
        assert self._rtcp is not None
        try:
            data, address = self._rtcp.recvfrom(_LONGEST)
        except OSError:
            return
        if self._source is None or not self._source.is_host(address[0]):
            self.n_strangers += 1
            return
        if self._srtp_in is not None:
            try:
                data = self._srtp_in.unprotect_rtcp(data)
            except SrtpError:
                self.n_unusable += 1
                return
        if not self._is_audio:
            self._relay(data, is_rtcp=True)
        else:
            self._forward_rtcp(data)

    def send_rtcp(self, data: bytes) -> None:
        """Send an RTCP packet to the party, where it wants it."""
        source, remote = self._source, self.remote
        if source is None or remote is None or source.target is None:
            return
        try:
            if self._srtp_out is not None:
                data = self._srtp_out.protect_rtcp(data)
            if remote.rtcp_mux or self._rtcp is None:
                target = source.target
                if self._is_connected:
                    self._rtp.send(data)
                else:
                    self._rtp.sendto(data, target)
            else:
                self._rtcp.sendto(data, (source.target[0], remote.rtcp_port))
        except (OSError, SrtpError):
            self.n_send_errors += 1

    def _admits(self, data: bytes, source: Address) -> bool:
        lock = self._source
        if lock is None or not lock.admits(source, data):
            self.n_strangers += 1
            return False
        if lock.is_exact:
            self._lock(lock.expected)
        return True

    def _lock(self, party: Address) -> None:
        """Have the kernel keep strangers out, and believe it when what it had queued is through."""
        if self._n_to_check:
            self._n_to_check -= 1
            self._is_connected = not self._n_to_check
            return
        try:
            self._rtp.connect(party)
            self._n_to_check = _MOST_QUEUED
        except OSError:
            self.n_send_errors += 1

    def _opened(self, data: bytes) -> bytes | None:
        assert self._srtp_in is not None
        try:
            if looks_like_rtcp(data):
                return self._srtp_in.unprotect_rtcp(data)
            return self._srtp_in.unprotect(data)
        except SrtpError:
            self.n_unusable += 1
            return None

    def _forward_rtcp(self, data: bytes) -> None:
        """Pass RTCP on, and nothing that only came to its port."""
        if not _is_whole_rtcp(data):
            self.n_unusable += 1
            return
        for sink in self.sinks:
            sink.send_rtcp(data)

    def _relay(self, data: bytes, *, is_rtcp: bool = False) -> None:
        """Pass on media other than audio, but not while policy masks: nobody can look into it."""
        if self.withholds:
            return
        for sink in self.sinks:
            if is_rtcp:
                sink.send_rtcp(data)
            else:
                sink.send(data)


def _is_whole_rtcp(data: bytes) -> bool:
    """Tell whether a datagram is RTCP to its end: RTP of types 64..95 with a marker begins alike.

    References
    ----------
    RFC 3550 appendix A.2 (the lengths of a compound packet add up), RFC 5761 section 4.
    """
    at = 0
    while at + 4 <= len(data) and data[at] >> 6 == VERSION and 192 <= data[at + 1] <= 223:
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    return at == len(data) >= 8


def _addressing(remote: Remote) -> tuple[object, ...]:
    return (remote.address, remote.port, remote.received_from, remote.learning)
