"""What the payload types of a stream stand for, and who reads and writes them."""

from __future__ import annotations

from voicemask.audio.codecs import Codec, make_codec
from voicemask.audio.g711 import Law
from voicemask.errors import CodecError
from voicemask.rtp.sdp import PayloadType


class Kind:
    """What a payload type stands for."""

    __slots__ = ("codec", "is_cn", "is_event", "law", "rate_hz", "ticks_hz")

    def __init__(self, payload_type: PayloadType) -> None:
        self.is_event = payload_type.is_event
        self.is_cn = payload_type.encoding == "CN"
        self.law: Law | None = None
        self.codec: Codec | None = None
        self.ticks_hz = payload_type.clock_hz
        self.rate_hz = 8000
        if not (self.is_event or self.is_cn):
            self._find(payload_type)

    def _find(self, payload_type: PayloadType) -> None:
        plain = (payload_type.clock_hz, payload_type.n_channels) == (8000, 1)
        if payload_type.encoding == "PCMU" and plain:
            self.law = Law.MU
        elif payload_type.encoding == "PCMA" and plain:
            self.law = Law.A
        else:
            try:
                self.codec = make_codec(payload_type)
            except CodecError:
                return
            self.rate_hz = self.codec.rate_hz

    @property
    def coder(self) -> Law | Codec | None:
        """Who writes its payloads; None when nobody can."""
        return self.law or self.codec
